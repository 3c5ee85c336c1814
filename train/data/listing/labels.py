"""Recognise cells of a CSV that hold no label, or several: signs of a missing class, and lists of classes."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Sequence

_MISSING = frozenset({"", "?", "-", "--", ".", "None", "NONE", "nil", "NIL"})
_MISSING_IN_ANY_CASE = frozenset({"nan", "na", "n/a", "#n/a", "#na", "<na>", "null", "#null!", "#value!", "nat"})
_MAYBE_MISSING = frozenset({"none", "unknown", "unlabelled", "unlabeled", "undefined", "missing", "not labelled"})

_STRONG = "|"
_WEAK = (";", ",", "+", "&", "/")
_LIST = re.compile(r"[\[({].*[\])}]", re.DOTALL)


def is_missing(text: str) -> bool:
    """Tell whether a cell stands for a missing value, as programs write it; ``none`` in lower case may be a class."""
    return text in _MISSING or text.lower() in _MISSING_IN_ANY_CASE


def may_be_missing(label: str) -> bool:
    """Tell whether a class's name may stand for images without a class."""
    return label.lower() in _MAYBE_MISSING or is_missing(label)


def parts_of(label: str) -> tuple[str, ...]:
    """Return the names in a cell that lists several, as a Python or JSON list or with separators; else the cell alone."""
    if _LIST.fullmatch(label):
        try:
            found = ast.literal_eval(label)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found = None
        if isinstance(found, (list, tuple, set)):
            return tuple(sorted(str(part).strip() for part in found) if isinstance(found, set) else map(_plain, found))
    for separator in (_STRONG, *_WEAK):
        if separator in label:
            parts = tuple(part.strip() for part in label.split(separator))
            if len(parts) > 1 and all(parts):
                return parts
    return (label,)


def _plain(part: object) -> str:
    return str(part).strip()


def find_combined(labels: Iterable[str]) -> frozenset[str]:
    """Return the labels that list several classes.

    A list of several in brackets does. Names with a bar between them do where one of them is a label, or stands in another
    list, too; those with another sign between them where all do, as ``normal, healthy`` may well be one class.
    """
    whole = set(labels)
    parts = {label: parts_of(label) for label in whole}
    several = {label: names for label, names in parts.items() if len(names) > 1}
    uses = Counter(name for names in several.values() for name in set(names))
    known = {name for name in uses if name in whole or uses[name] > 1}
    found = set()
    for label, names in several.items():
        strong = _STRONG in label and not _LIST.fullmatch(label)
        if _LIST.fullmatch(label) or (any if strong else all)(name in known for name in names):
            found.add(label)
    return frozenset(found)


def single(label: str) -> str:
    """Return a label without the brackets of a list that holds it alone."""
    names = parts_of(label) if _LIST.fullmatch(label) else (label,)
    return names[0] if len(names) == 1 else label


def is_flag(text: str) -> bool:
    """Tell whether a cell says yes or no, in figures or words; an empty cell says no."""
    return text == "" or flag(text) is not None


def flag(text: str) -> bool | None:
    """Return the meaning of a cell that says yes or no; None where it says something else."""
    lower = text.lower()
    if lower in ("true", "false"):
        return lower == "true"
    try:
        value = float(text) if text else 0.0
    except ValueError:
        return None
    return bool(value) if value in (0.0, 1.0) else None


def ones(cells: Sequence[str]) -> list[int]:
    """Return the places of a row's cells that say yes."""
    return [n for n, cell in enumerate(cells) if flag(cell)]
