"""What Linux's files under ``/sys`` have in common: a number a file, and folders that are numbered."""

from __future__ import annotations

import re
from pathlib import Path


def as_number(text: str) -> int | None:
    """Return the whole number a file shows; None where it shows something else."""
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def numbered(folder: Path, pattern: str) -> list[Path]:
    """Return the paths below a folder that match, in the order of the numbers in their names."""
    return sorted(folder.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", str(path.relative_to(folder)))])
