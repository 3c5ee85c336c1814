"""Readers of Linux's files under ``/sys`` and ``/proc``: a text or a number in each, and numbered folders."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path


def read_text(path: Path, *, separator: str = "", refused: Callable[[OSError], None] | None = None) -> str:
    """Return a file's text without the spaces around it; empty where it cannot be read.

    Args:
        path: The file.
        separator: Replacement of each zero byte, with which the device tree ends its strings.
        refused: Called with the error where the file is there and cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8", "replace").replace("\0", separator).strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as err:
        if refused is not None:
            refused(err)
        return ""


def as_number(text: str) -> int | None:
    """Return the whole number that a text is; None where it is something else."""
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def numbered(folder: Path, pattern: str) -> list[Path]:
    """Return the paths below a folder that match, in the order of the numbers in their names."""
    return sorted(folder.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", str(path.relative_to(folder)))])
