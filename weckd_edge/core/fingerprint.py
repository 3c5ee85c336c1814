"""What a result depends on beside its inputs: versions of this software and of its libraries."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import weckd_edge

LIBRARIES = ("torch", "timm", "onnx", "onnxruntime", "openvino", "tensorrt-rtx", "numpy", "pillow")


def versions() -> dict[str, str]:
    """Return the versions of this software and of the libraries whose results depend on them, where installed."""
    found = {"weckd-edge": weckd_edge.__version__, "python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def key_of(inputs: object, *entries: str) -> object:
    """Return the key of a step.

    Args:
        inputs: Digests of its inputs, and its settings.
        entries: Names of the modules of this package that it calls.
    """
    return {"inputs": inputs, "versions": versions()}
