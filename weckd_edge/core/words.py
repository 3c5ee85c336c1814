"""Texts of lists and numbers: class names on the command line, numbers with their noun."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

NBSP = "\u00a0"


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a text such as ``normal,"red, bulging"``, without the spaces around them."""
    rows = list(csv.reader([text], skipinitialspace=True))
    return tuple(name.strip() for name in rows[0]) if rows else ()


def join_names(names: Iterable[str]) -> str:
    """Return names as one text that ``split_names`` reads."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(list(names))
    return line.getvalue()


def with_plain_spaces(text: str) -> str:
    """Return text with ordinary spaces for the no-break ones of a page, for a terminal or a file of data."""
    return text.replace(NBSP, " ")


def plural(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun: ``1 image``, ``1,204 images``."""
    return f"{number:,}{NBSP}{one if number == 1 else many or one + 's'}"
