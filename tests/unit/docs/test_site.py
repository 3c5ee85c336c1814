"""The documentation site: generated pages are complete, pictures are up to date, and Markdown is read as it is meant."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import pytest

from weckd_edge import artifacts
from weckd_edge.cli.main import COMMANDS
from weckd_edge.config import BuildConfig
from weckd_edge.devices.profiles.profile import DeviceProfile, profile_names

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md"))


@pytest.fixture(scope="module")
def tools() -> Iterator[Any]:
    """Yield a function that imports a module of docs/tools."""
    sys.path.insert(0, str(DOCS / "tools"))
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    sys.path.remove(str(DOCS / "tools"))
    for name in set(sys.modules) - before:
        if str(DOCS / "tools") in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def settings_of(cls: type) -> Iterator[tuple[type, str]]:
    """Yield every setting of a table and of the tables within it."""
    for name, hint in get_type_hints(cls).items():
        yield cls, name
        for inner in (hint, *get_args(hint)):
            if is_dataclass(inner) and isinstance(inner, type):
                yield from settings_of(inner)


def test_the_page_of_settings_has_every_setting_with_a_default_and_a_text(tools: Any) -> None:
    page = tools("settings_page").settings_page()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (`.*?`|must be given) \| (.*?) \| (.+) \|$", page, re.MULTILINE)
    tables = {item.name for item in fields(BuildConfig)} - {"seed"}
    named = {name for cls, name in settings_of(BuildConfig) if cls is not BuildConfig}
    assert len(named) > 60
    assert named <= {name for name, *_ in rows}
    assert [name for name, *_, text in rows if not text.strip()] == []
    assert [name for name in tables if f"{{ #{name} }}" not in page] == []


def test_a_setting_with_a_unit_in_its_name_has_the_unit_in_the_page(tools: Any) -> None:
    page = tools("settings_page").settings_page()
    assert re.search(r"^\| `max_latency_p90_ms` \| number or none \| `none` \| milliseconds \|", page, re.MULTILINE)
    assert re.search(r"^\| `max_memory_mib` .*\| MiB \|", page, re.MULTILINE)
    assert re.search(r"^\| `input_size` \| integer \| `128` \| pixels \|", page, re.MULTILINE)


def test_the_page_of_records_has_every_record_and_field(tools: Any) -> None:
    page = tools("records_page").records_page()
    records = [one for one in vars(artifacts).values() if inspect.isclass(one) and is_dataclass(one)]
    assert len(records) > 30
    for record in records:
        _, _, rest = page.partition(f"\n### {record.__name__}\n")
        section = rest.partition("\n### ")[0]
        assert [item.name for item in fields(record) if f"| `{item.name}` |" not in section] == [], record.__name__


def test_the_page_of_profiles_has_every_profile_and_field(tools: Any) -> None:
    page = tools("profiles_page").profiles_page()
    assert [name for name in profile_names() if f"| `{name}` |" not in page] == []
    assert [item.name for item in fields(DeviceProfile) if f"| `{item.name}` |" not in page] == []


def test_the_page_of_the_c_api_has_everything_that_the_header_exports(tools: Any) -> None:
    module = tools("c_api_page")
    header, page = module.HEADER.read_text(encoding="utf-8"), module.c_api_page()
    exported = re.findall(r"^WECKD_EXPORT [^;]*?(\w+)\(", header, re.MULTILINE)
    assert len(exported) > 15
    assert [name for name in exported if f"### `{name}`" not in page] == []
    values = re.findall(r"^ {4}(WECKD_\w+) = ", header, re.MULTILINE)
    assert len(values) > 30
    assert [name for name in values if f"| `{name} = " not in page] == []
    structs = re.findall(r"typedef struct (\w+) \{(.*?)\n\}", header, re.DOTALL)
    for name, body in structs:
        section = page.partition(f"### `{name}` ")[2].partition("\n### ")[0]
        members = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL).count(";")
        assert section.count("\n| `") == members, name


def test_the_page_of_commands_is_made_of_the_command_line_itself() -> None:
    text = (DOCS / "reference/cli.md").read_text(encoding="utf-8")
    module, name = (re.findall(rf":{key}: (\S+)", text)[0] for key in ("module", "command"))
    group = getattr(importlib.import_module(module), name)
    assert group.list_commands(None) == list(COMMANDS)


def test_every_step_in_the_picture_is_a_module_and_every_record_an_artefact(tools: Any) -> None:
    drawing = tools("draw_steps")
    steps = {path.stem for path in (ROOT / "weckd_edge/pipeline/steps").glob("[a-z]*.py")}
    assert set(drawing.STEPS) <= steps
    helpers, of_compile = {"layout", "predict", "sdk"}, {"import_network", "read_calibration"}
    assert steps - set(drawing.STEPS) == helpers | of_compile, "draw the step, or name it here"
    assert [record for record in drawing.STEPS.values() if not hasattr(artifacts, record)] == []
    assert drawing.PICTURE.read_text(encoding="utf-8") == drawing.draw(), "run: python docs/tools/draw_steps.py"


def test_every_step_of_a_build_is_explained_on_the_page_of_the_architecture() -> None:
    text = (DOCS / "design/architecture.md").read_text(encoding="utf-8")
    steps = {path.stem for path in (ROOT / "weckd_edge/pipeline/steps").glob("[a-z]*.py")} - {"layout", "sdk"}
    assert [step for step in sorted(steps) if f"\n| `{step}`" not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_lists_and_tables_begin_after_an_empty_line(page: Path) -> None:
    """Markdown of the site takes a list that follows a line of text for more of that text."""
    lines = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL).split("\n")
    starts = re.compile(r"(?:[-*]|\d+\.) |\|")
    wrong = [
        line
        for before, line in pairwise(lines)
        if starts.match(line) and before.strip() and not starts.match(before) and not before.startswith((" ", "<!--"))
    ]
    assert wrong == []


def test_the_figures_in_the_readme_stand_in_the_results_that_it_names() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    results = readme.partition("\n## Results\n")[2].partition("\n## ")[0]
    told = (DOCS / "results/chain.md").read_text(encoding="utf-8")
    intervals = re.findall(r"[+-]?\d+\.\d \([+-]?\d+\.\d to [+-]?\d+\.\d\)", results.partition("[A whole build")[0])
    assert len(intervals) == 11
    assert [figure for figure in intervals if figure not in told] == []
    build = (DOCS / "results/otoscope-build.md").read_text(encoding="utf-8")
    rate = r"(\d+\.\d) % \(95 % interval (\d+\.\d).(\d+\.\d) %;"
    accuracy = re.search(rf"^Test accuracy \(held-out groups\): {rate}", build, re.MULTILINE)
    latency = re.search(r"^End-to-end latency, 90th percentile: (.+?) ms", build, re.MULTILINE)
    assert accuracy is not None
    assert latency is not None
    value, low, high = accuracy.groups()
    assert f"{value} % ({low} to {high}), end-to-end latency {latency[1]} ms" in results


def test_the_readme_counts_the_profiles_of_devices() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    devices = [name for name in profile_names() if not name.startswith("generic-")]
    assert f"Profiles of {len(devices)} devices" in readme


def test_the_table_of_extras_in_the_readme_is_that_of_the_page(tools: Any) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    page = (DOCS / "get-started/install.md").read_text(encoding="utf-8")
    size = re.compile(r"^\| `(weckd-edge[^`]*)` \| .* \| ([\d.]+ [MG]B) \|$", re.MULTILINE)
    rows, all_rows = dict(size.findall(readme)), dict(size.findall(page))
    assert len(rows) == 5
    assert rows.items() <= all_rows.items()
    sizes = tools("install_sizes")
    assert {f"weckd-edge[{name}]" for name in sizes.extras()} | {"weckd-edge"} == set(all_rows)


def test_the_citation_names_the_version_of_the_package() -> None:
    import weckd_edge

    assert f"\nversion: {weckd_edge.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_page_of_the_python_api_shows_every_public_name() -> None:
    import weckd_edge

    page = (DOCS / "reference/api.md").read_text(encoding="utf-8")
    names = [name for name in weckd_edge.__all__ if name != "__version__"]
    assert len(names) > 8
    assert [name for name in names if f"| [`{name}`](" not in page] == []
    shown = set(re.findall(r"^::: weckd_edge\.(\w+)$", page, re.MULTILINE))
    assert set(names) - shown == {"BuildConfig"}  # a page of its own


RETIRED = {
    r"answer(?:s|ed|ing)?": "prediction, decision; predict, reply",
    r"(?:clears?|cleared) (?:a |the )?(?:bars?|limits?)": "meet a limit",
    r"bars?": "limit, gate",
    r"twins?": "baseline",
    r"trunks?": "backbone",
    r"brought": "imported",
    r"weigh(?:s|ed|ing)?": "evaluate, select",
    r"ships|shipping": "is deployed",
    r"papers": "documents",
    r"amiss|mend(?:s|ed)?|commonest|dealt|in vain|nobody looked": "plain English",
    r"frame to answer": "end-to-end latency",
    r"unfamiliar(?:ity)?": "OOD score",
    r"partings?": "layer divergence",
    r"far frames?": "OOD frames",
}
"""Words that the documentation does not use, each with what it says instead."""


def prose_of(page: Path) -> str:
    """Return a page's text without code, what commands printed, addresses and comments."""
    text = re.sub(r"```.*?```|<!--.*?-->", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = "\n".join(line for line in text.split("\n") if not line.startswith("    "))
    return re.sub(r"`[^`]*`|\]\([^)]*\)", "", text)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda page: page.stem)
def test_a_page_uses_the_words_of_the_field(page: Path) -> None:
    text = prose_of(page)
    found = [
        f"{word[0]}: say {say}"
        for pattern, say in RETIRED.items()
        for word in re.finditer(rf"\b(?:{pattern})\b", text, re.I)
    ]
    assert found == []


def test_a_retired_word_in_a_page_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`answer` is code.\n\nThe bar is cleared by the twin.\n")
    with pytest.raises(AssertionError):
        test_a_page_uses_the_words_of_the_field(page)
    page.write_text("`answer` is code, and so is\n\n```text\nbar\n```\n")
    test_a_page_uses_the_words_of_the_field(page)


def test_the_picture_of_the_terminal_is_that_of_the_page_and_fetches_nothing(tools: Any) -> None:
    pictures = tools("take_pictures")
    drawn = pictures.TERMINAL.read_text(encoding="utf-8")
    shown = " ".join(re.findall(r">([^<>]+)</text>", drawn)).replace("&#160;", " ")
    page = pictures.PAGE.read_text(encoding="utf-8")
    for command in re.findall(r"^\$ (.+)$", page, re.MULTILINE):
        assert command in shown, "run: python docs/tools/take_pictures.py"
    assert "font-face" not in drawn
    assert re.findall(r"url\((?!#)", drawn) == []
