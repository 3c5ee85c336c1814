"""What a dataclass says of its fields: name, type in words, default, unit and text, from its docstring."""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

UNITS = {
    "_ns": "nanoseconds", "_us": "microseconds", "_ms": "milliseconds", "_s": "seconds", "_mib": "MiB", "_gib": "GiB",
    "_mj": "millijoules", "_mw": "milliwatts", "_w": "watts", "_mhz": "MHz", "_mhz_max": "MHz", "_c": "°C",
    "_gbps": "GB/s", "_bits": "bits", "_percent": "%", "bytes": "bytes", "_fraction": "fraction, 0..1",
}  # fmt: skip
"""Units that the end of a name states."""
WORDS = {
    r"\b0\.\.1\b|[Ff]raction|\b0 to 1\b|0 \(none\) to 1": "fraction, 0..1",
    r"\bpixels?\b": "pixels",
    r"\bmilliseconds\b": "milliseconds",
    r"\bseconds\b": "seconds",
    r"\bMiB\b": "MiB",
}
"""Units that the first sentence of a text states, where the name does not."""
SIMPLE = {str: "text", int: "integer", float: "number", bool: "true or false", type(None): "none", dict: "table"}


class Described(NamedTuple):
    """One field of a dataclass.

    Attributes:
        name: Its name.
        kind: Its type, in words.
        default: Its default as TOML or JSON writes it; empty where it must be given.
        unit: Its unit; empty where it has none.
        text: What it is, Markdown.
    """

    name: str
    kind: str
    default: str
    unit: str
    text: str


def summary_of(cls: type) -> str:
    """Return what a dataclass's docstring says before its attributes, as Markdown."""
    return as_markdown((inspect.getdoc(cls) or "").partition("Attributes:")[0])


def attribute_texts(cls: type) -> dict[str, str]:
    """Return the text of every attribute that a class's docstring explains, Markdown on one line."""
    _, _, block = (inspect.getdoc(cls) or "").partition("Attributes:\n")
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \w+:)", "\n" + block):
        name, colon, text = entry.strip().partition(":")
        if colon and name.isidentifier():
            found[name] = as_markdown(re.split(r"\n\S", text)[0])
    return found


def as_markdown(text: str) -> str:
    """Return a docstring's text as one line of Markdown."""
    return " ".join(text.replace("``", "`").split())


def described(cls: type, links: Mapping[type, str] | None = None) -> Iterator[Described]:
    """Yield every field of a dataclass; one that its docstring does not explain has no text.

    Args:
        cls: The dataclass.
        links: Addresses of the dataclasses that have a place of their own.
    """
    texts, hints = attribute_texts(cls), get_type_hints(cls)
    for item in fields(cls):
        text = texts.get(item.name, "")
        hint = hints[item.name]
        yield Described(item.name, in_words(hint, links or {}), default_of(item), unit_of(item.name, text, hint), text)


def in_words(hint: Any, links: Mapping[type, str]) -> str:
    """Return a type in words: ``integer or none``, ``one of `a`, `b```, ``list of text``."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(in_words(one, links) for one in inner)
    if origin in (tuple, list, frozenset):
        members = [one for one in inner if one is not ...]
        words = dict.fromkeys(in_words(one, links) for one in members)
        return (
            f"list of {', '.join(words)}"
            if ... in inner or origin is not tuple
            else f"list of {len(members)}: {', '.join(words)}"
        )
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table of {in_words(inner[1], links)} by name"
    if is_dataclass(hint):
        return f"[`{hint.__name__}`]({links[hint]})" if hint in links else f"`{hint.__name__}`"
    return SIMPLE.get(hint, getattr(hint, "__name__", str(hint)))


def default_of(item: Field[Any]) -> str:
    """Return a field's default as a setting is written; empty: it must be given."""
    if item.default_factory is not MISSING:
        return as_setting(item.default_factory())
    return "" if item.default is MISSING else as_setting(item.default)


def as_setting(value: Any) -> str:
    """Return a value as TOML writes it; None, which TOML has not, is ``none``."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(as_setting, value))}]"
    if isinstance(value, dict):
        return "{}" if not value else "{ " + ", ".join(f"{name} = {as_setting(one)}" for name, one in value.items()) + " }"
    if is_dataclass(value):
        return "its defaults"
    return f"{value:g}" if isinstance(value, float) else str(value)


def unit_of(name: str, text: str, hint: Any) -> str:
    """Return the unit of a field: what its name ends with, else what the first sentence of its text says."""
    numbers = {int, float} & {*get_args(hint), hint} or any({int, float} & set(get_args(one)) for one in get_args(hint))
    if not numbers:
        return ""
    for end, unit in UNITS.items():
        if name.endswith(end):
            return unit
    first = re.split(r"\.\s", text)[0]
    return next((unit for pattern, unit in WORDS.items() if re.search(pattern, first)), "")


def cell(text: str) -> str:
    """Return a text for a cell of a Markdown table."""
    return text.replace("|", "\\|")


def table_of(cls: type, links: Mapping[type, str] | None = None, *, first: str = "field") -> list[str]:
    """Return a Markdown table of a dataclass's fields."""
    head = [first, "type", "default", "unit", "meaning"]
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for one in described(cls, links):
        default = f"`{one.default}`" if one.default else "must be given"
        cells = [f"`{one.name}`", one.kind, default, one.unit, one.text]
        lines.append(f"| {' | '.join(map(cell, cells))} |")
    return lines
