"""The page of every TOML setting, from the dataclasses of ``weckd_edge.config``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from described import described, summary_of, table_of

from weckd_edge.config import BuildConfig

HEAD = """# Settings

`weckd-edge build --config FILE` reads a TOML file; `study`, `tune`, `compile` and `data audit` read the same one. Every
setting has a default, so that the file may be empty. An unknown name, a value of another type and two settings that
contradict each other are refused with one line that names them. Paths are relative to the file. `none` means that the
setting is left out: TOML has no word for it.

This page is generated from `weckd_edge/config/`.

```toml
seed = 0

[[link]]                      # the chain, largest link first
model = "mobilenetv2_100"
input_size = 128

[[link]]
model = "mobilenetv2_050"
input_size = 96

[train]
epochs = 12

[gates]
max_latency_p90_ms = 20.0
```
"""


def tables() -> list[tuple[str, type]]:
    """Return every table of the file by its heading, in the order of ``BuildConfig``, tables within tables behind theirs."""
    found: list[tuple[str, type]] = []
    hints = get_type_hints(BuildConfig)
    for item in fields(BuildConfig):
        for cls, is_list in dataclasses_in(hints[item.name]):
            found.append((f"[[{item.name}]]" if is_list else f"[{item.name}]", cls))
            for name, hint in get_type_hints(cls).items():
                found += [(f"{item.name}.{name}", inner) for inner, _ in dataclasses_in(hint)]
    return found


def dataclasses_in(hint: Any) -> Iterator[tuple[type, bool]]:
    """Yield the dataclasses that a type names, and whether it is a list of them."""
    if is_dataclass(hint) and isinstance(hint, type):
        yield hint, False
    for inner in get_args(hint):
        for cls, _ in dataclasses_in(inner):
            yield cls, True


def settings_page() -> str:
    """Return the page, Markdown."""
    top = [one for one in described(BuildConfig) if one.name == "seed"]
    lines = [HEAD, "## Top of the file", "", "| setting | type | default | meaning |", "|---|---|---|---|"]
    lines += [f"| `{one.name}` | {one.kind} | `{one.default}` | {one.text} |" for one in top]
    links = {cls: f"#{cls.__name__.lower()}" for heading, cls in tables() if not heading.startswith("[")}
    for heading, cls in tables():
        level = "##" if heading.startswith("[") else "###"
        anchor = heading.strip("[]") if heading.startswith("[") else cls.__name__.lower()
        lines += [
            "",
            f"{level} `{heading}` {{ #{anchor} }}",
            "",
            summary_of(cls),
            "",
            *(line.replace("None", "none") for line in table_of(cls, links, first="setting")),
        ]
    return "\n".join(lines) + "\n"
