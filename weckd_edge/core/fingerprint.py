"""What a result depends on beside its inputs: versions of this software and of its libraries."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import weckd_edge

LIBRARIES = ("torch", "timm", "onnx", "onnxruntime", "openvino", "tensorrt-rtx", "numpy", "pillow")


def library_versions() -> dict[str, str]:
    """Return the versions of this software and of the libraries whose results depend on them, where installed."""
    found = {"weckd-edge": weckd_edge.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
