"""Compiles the library for pixels into a folder, as ``setup.py`` does, whatever is installed."""

import ctypes
import shutil
import subprocess
from pathlib import Path

from weckd_edge.devices.native.library import open_library
from weckd_edge.devices.native.sources import FLAGS, digest_of_sources, include_folders, source_files


def missing() -> str | None:
    """Say what is missing for it, or None."""
    return None if shutil.which("cc") else "no C compiler is installed"


def compile_library(path: Path, digest: str | None = None) -> None:
    """Compile the sources that lie here; warnings are errors."""
    macro = f'-DWECKD_SOURCES_DIGEST="{digest or digest_of_sources()}"'
    folders = [f"-I{folder}" for folder in include_folders()]
    options = [*FLAGS, "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", macro, *folders]
    done = subprocess.run(
        ["cc", *options, *map(str, source_files()), "-lm", "-o", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]


def build(folder: Path) -> ctypes.CDLL:
    """Compile and open the library."""
    path = folder / "pixels.lib.so"
    compile_library(path)
    return open_library(path)
