"""Images as the command line names them: files, folders and patterns."""

from __future__ import annotations

import glob
from pathlib import Path

from weckd_edge.core.errors import DataError


def expand_pattern(argument: Path) -> list[Path]:
    """Return the paths that an argument names; a pattern such as ``'images/**/*.png'`` gives what it matches, sorted.

    A shell expands a pattern that is not quoted, and refuses one that matches too many files; a quoted one arrives here.
    A path that exists is never a pattern.

    Raises:
        DataError: The pattern matches nothing.
    """
    pattern = str(argument)
    if argument.is_symlink() or argument.exists() or not glob.has_magic(pattern):
        return [argument]
    matches = sorted(glob.iglob(pattern, recursive=True))  # noqa: PTH207 - pathlib's refuses absolute patterns
    if not matches:
        raise DataError(f"{pattern}: expected a pattern that matches images, it matches nothing", code="E_DATA_SOURCE")
    return [Path(match) for match in matches]
