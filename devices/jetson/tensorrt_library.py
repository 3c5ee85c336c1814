"""Version of the TensorRT that Python has really imported, which people replace beside the one of their JetPack.

Three places name a version, and they may differ: the binding that Python imports, the library that it has loaded, and the
package manager, whose record an upgrade by pip or by hand leaves behind. The library's own word counts.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.machine.sysfs import read_text

_PARTS = ("Major", "Minor", "Patch", "Build")
_LOADED = re.compile(r"(/\S*/libnvinfer\.so\S*)")


def imported_version(root: Path, binding_version: str) -> str:
    """Return the version of the imported TensorRT with its build number, such as ``10.3.0.30``.

    The library says it from 10.0 on. For older ones the package manager completes the binding's version.

    Args:
        root: Folder that holds ``proc`` and ``var``.
        binding_version: ``__version__`` of the imported binding.

    Raises:
        DeviceError: The binding has loaded a library of another version, with which no engine that it builds would run.
    """
    plain = binding_version.partition("+")[0]
    loaded = _library_version(root)
    if loaded is None:
        return _package_version(root, plain) or binding_version
    path, version = loaded
    if plain.split(".")[:3] != version.split(".")[:3]:
        raise DeviceError(
            f"Python's tensorrt is {binding_version}, and it has loaded {path}, which is {version}; install both in one "
            "version (apt's python3-libnvinfer with libnvinfer, or pip's tensorrt with its own libraries), and let "
            "LD_LIBRARY_PATH name no other",
            code="E_DEVICE_TENSORRT",
        )
    return version


def _library_version(root: Path) -> tuple[str, str] | None:
    """Return path and version of the loaded library; None where there is none, or it does not say its version in parts."""
    found = _LOADED.search(read_text(root / "proc/self/maps"))
    if found is None:
        return None
    try:
        library = ctypes.CDLL(found[1])
        numbers = [int(getattr(library, f"getInferLib{part}Version")()) for part in _PARTS]
    except (OSError, AttributeError):
        return None
    return found[1], ".".join(map(str, numbers))


def _package_version(root: Path, plain: str) -> str | None:
    status = read_text(root / "var/lib/dpkg/status")
    # An upgrade leaves the older package's record behind, so that there may be several.
    for found in re.finditer(r"^Package: libnvinfer\d+\n(?:\S.*\n| .*\n)*?Version: (\d+(?:\.\d+)+)", status, re.MULTILINE):
        if found[1] == plain or found[1].startswith(f"{plain}."):
            return found[1]
    return None
