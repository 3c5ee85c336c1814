"""Import an optional library where it is used: with its telemetry off, and in plain words where it is missing."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType

from weckd_edge.core import telemetry
from weckd_edge.core.errors import MissingDependency

OUTSIDE_KEYS = "finds libraries, whose versions count by themselves"

EXTRA_OF = {
    "asyncssh": "remote",
    "cryptography": "sign",
    "cyclonedx": "report",
    "jinja2": "report",
    "lightning_fabric": "train",
    "mlflow": "mlflow",
    "mlperf_loadgen": "bench",
    "model_signing": "sign",
    "onnx": "compile",
    "onnxruntime": "compile",
    "openvino": "cpu",
    "optuna": "train",
    "packaging": "report",
    "pillow_heif": "heic",
    "safetensors": "train",
    "scipy": "train",
    "tensorboard": "tensorboard",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "jetson-preflight",
    "timm": "train",
    "torch": "train",
    "torch_tensorrt": "torch-tensorrt",
    "torchvision": "train",
}
"""Which extra of this package brings each optional top-level module."""


def is_installed(module: str) -> bool:
    """Tell whether a module can be found, without importing it."""
    return find_spec(module) is not None


def require(module: str, purpose: str) -> ModuleType:
    """Import ``module``, which then reports to nobody, or say what is missing.

    Args:
        module: Dotted module name; its first part is looked up in ``EXTRA_OF``.
        purpose: What it is needed for, in words that complete "... is needed to".

    Raises:
        MissingDependency: The library is absent, or is there and fails to import (two different messages).
    """
    telemetry.switch_off_telemetry()
    top = module.partition(".")[0]
    extra = EXTRA_OF.get(top)
    command = f"pip install 'weckd-edge[{extra}]'" if extra else f"pip install {top}"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        if err.name is not None and err.name.partition(".")[0] == top:
            raise MissingDependency(
                f"{top} is needed to {purpose} and is not installed; {command}", code="E_MISSING_LIBRARY"
            ) from err
        raise MissingDependency(
            f"{top} is installed but broken (it cannot import {err.name}); reinstall it: {command}",
            code="E_MISSING_BROKEN_LIBRARY",
        ) from err
    except (ImportError, OSError) as err:
        raise MissingDependency(
            f"{top} is installed but broken ({err}); reinstall it: {command}", code="E_MISSING_BROKEN_LIBRARY"
        ) from err
