"""Import of optional libraries: with their telemetry switched off, and with a clear error where one is missing."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from types import ModuleType

from weckd_edge.core import telemetry
from weckd_edge.core.errors import MissingDependency, first_line

OUTSIDE_KEYS = "finds libraries, whose versions count by themselves"

EXTRA_OF = {
    "ai_edge_litert": "litert",
    "asyncssh": "remote",
    "av": "video",
    "cryptography": "sign",
    "cyclonedx": "report",
    "jinja2": "report",
    "jpeg_ls": "dicom",
    "lightning_fabric": "train",
    "mlflow": "mlflow",
    "mlperf_loadgen": "bench",
    "model_signing": "sign",
    "onnx": "compile",
    "onnxruntime": "compile",
    "openjpeg": "dicom",
    "openvino": "cpu",
    "optuna": "train",
    "packaging": "report",
    "pillow_heif": "heic",
    "psycopg": "postgres",
    "pydicom": "dicom",
    "safetensors": "train",
    "scipy": "train",
    "tensorboard": "tensorboard",
    "tensorrt": "tensorrt",
    "tensorrt_rtx": "jetson-preflight",
    "timm": "train",
    "torch": "train",
    "torch_pruning": "train",
    "torch_tensorrt": "torch-tensorrt",
    "torchvision": "train",
}
"""Extra of this package that installs each optional top-level module."""

DISTRIBUTION_OF = {
    "PIL": "pillow",
    "cyclonedx": "cyclonedx-python-lib",
    "google": "protobuf",
    "jpeg_ls": "pyjpegls",
    "mlflow": "mlflow-skinny",
    "mlperf_loadgen": "mlcommons-loadgen",
    "openjpeg": "pylibjpeg-openjpeg",
    "packageurl": "packageurl-python",
    "pynvml": "nvidia-ml-py",
}
"""Distribution of each module whose name differs from its distribution's name, where it is the one that extras install."""


def is_installed(module: str) -> bool:
    """Return whether a module can be found, without importing it."""
    return find_spec(module) is not None


def version_of(module: str) -> str | None:
    """Return the version of the distribution that a top-level module comes from, without importing it.

    A module may come from another distribution than the one that the extras install, such as ``onnxruntime-gpu``. None: no
    distribution says that it is here.
    """
    try:
        return metadata.version(DISTRIBUTION_OF.get(module, module))
    except metadata.PackageNotFoundError:
        return metadata.version(_providers()[module][0]) if module in _providers() else None


@functools.cache
def _providers() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def require(module: str, purpose: str) -> ModuleType:
    """Import an optional module with its telemetry switched off, or raise an error that says how to install it.

    Args:
        module: Dotted name of the module; its first part is looked up in ``EXTRA_OF``.
        purpose: Purpose, in words that complete "... is needed to".

    Raises:
        MissingDependency: The library is absent, or is installed and fails to import (two different messages).
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
            f"{top} is installed but broken ({first_line(err)}); reinstall it: {command}", code="E_MISSING_BROKEN_LIBRARY"
        ) from err
