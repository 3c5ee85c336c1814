"""Class names in one text, as the command line takes them: separated by commas, in double quotes where they hold one."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a text such as ``normal,"red, bulging"``, without the spaces around them."""
    rows = list(csv.reader([text], skipinitialspace=True))
    return tuple(name.strip() for name in rows[0]) if rows else ()


def join_names(names: Iterable[str]) -> str:
    """Return names as one text that ``split_names`` reads."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(list(names))
    return line.getvalue()
