"""The C sources of the compiled library, and their digest: ``setup.py`` builds them, the loader compares.

The standard library alone is used, as ``setup.py`` runs this file before anything is installed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

OUTSIDE_KEYS = "says which C sources are compiled; they compute what the NumPy code beside them defines, byte for byte"

HERE = Path(__file__).resolve().parent
"""Folder of this file, which the library lies in as well."""

FIRMWARE = HERE.parent / "firmware"
"""Folder of the C library."""

COMPILED = (
    "core/errors.c",
    "core/instructions.c",
    "image/area.c",
    "image/colour.c",
    "image/frame.c",
    "image/front_end.c",
    "guard/guard.c",
    "guard/points.c",
    "guard/sums.c",
)
"""Files of the C library's ``src`` that are compiled; none of them needs another library."""

BINDING = HERE / "pixels.c"
"""The functions that Python calls."""

LIBRARY = HERE / "pixels.lib.so"
"""The compiled library; a wheel without it was built without a C compiler. With the dot it is taken for no module."""

FLAGS = ("-std=c11", "-O3", "-g0", "-ffp-contract=off", "-fvisibility=hidden", "-D_GNU_SOURCE")
"""Options of the compiler. Fused multiply-adds would change the last bit of the guard's score."""


def source_files() -> tuple[Path, ...]:
    """Return the files that are compiled."""
    return (BINDING, *(FIRMWARE / "src" / name for name in COMPILED))


def include_folders() -> tuple[Path, ...]:
    """Return the folders whose headers they include."""
    return (FIRMWARE / "include", FIRMWARE / "src")


def files_of_digest() -> list[Path]:
    """Return what is compiled, and every header beside it, sorted."""
    folders = {path.parent for path in source_files()} | {FIRMWARE / "include"}
    return sorted({*source_files(), *(path for folder in folders for path in folder.glob("*.h"))})


def digest_of_sources() -> str:
    """Return one digest, 64 digits, of what is compiled, the headers and the options; a missing file counts as none."""
    found = hashlib.sha256(" ".join(FLAGS).encode())
    for path in files_of_digest():
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
        found.update(f"{path.relative_to(HERE.parent).as_posix()} {content}\n".encode())
    return found.hexdigest()
