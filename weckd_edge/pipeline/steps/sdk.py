"""The source of the C library, which every bundle carries: a bundle brings the code that opens it."""

from __future__ import annotations

import shutil
from pathlib import Path

import weckd_edge.devices
from weckd_edge.core.errors import StoreError

SDK_FOLDER = "sdk"
SOURCE = Path(weckd_edge.devices.__path__[0]) / "firmware"
_FOLDERS = ("include", "src", "cmake", "examples", "python", "update", "recipes")
_FILES = ("CMakeLists.txt", "LICENSE")
_LEFT_OUT = ("tests", "__pycache__")


def sdk_files() -> tuple[Path, ...]:
    """Return the source files that a bundle carries, relative to ``SOURCE``, sorted; tests and fuzzers are left out.

    Raises:
        StoreError: The source files were not installed with this package.
    """
    if not (SOURCE / "CMakeLists.txt").is_file():
        raise StoreError(
            f"{SOURCE}: expected the C library's sources, found none; install weckd-edge again", code="E_STORE_INSTALLATION"
        )
    below = [path.relative_to(SOURCE) for name in _FOLDERS for path in (SOURCE / name).rglob("*") if path.is_file()]
    kept = [path for path in below if not any(part in _LEFT_OUT or part.startswith(".") for part in path.parts)]
    return tuple(sorted([*map(Path, _FILES), *kept]))


def write_sdk(bundle: Path) -> None:
    """Copy the source files to ``sdk/`` of a bundle that is being written.

    Raises:
        StoreError: The source files were not installed with this package.
    """
    for path in sdk_files():
        target = bundle / SDK_FOLDER / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(SOURCE / path, target)
