"""Make notes on a data set with stable codes: ``I_`` for a decision, ``W_`` for a possible fault."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from weckd_edge.artifacts import DataNote

_SHOWN = 3


def note(code: str, text: str) -> DataNote:
    """Return a note on one line that can be printed and stored."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    return DataNote(code=code, text="".join(c if c.isprintable() else repr(c)[1:-1] for c in plain))


def some_names(names: Sequence[str], shown: int = _SHOWN) -> str:
    """Write the first few names and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{more}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def quoted(names: Iterable[str]) -> str:
    """Write names in quotes, separated by commas."""
    return ", ".join(f"'{name}'" for name in names)
