"""Table of the backends, from which the command line lists them without importing any."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Protocol, cast

from weckd_edge.core.errors import ConfigError, MissingDependency, ModelError, did_you_mean
from weckd_edge.devices.runtime.backends.base import ModelSource, NetworkRunner, Runner


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """A backend, as a row of the table.

    Attributes:
        module: Module that holds ``open_model``.
        library: Top-level module of the library that it needs.
        extra: Extra of this package that brings the library.
        suffixes: Suffixes of the model files that it reads.
        runs: Values of ``BuiltModel.backend`` in a manifest that it runs; every backend that reads ``.onnx`` also runs the
            bundle's ONNX graph.
        network_only: Whether it can time the network without its preprocessing.
    """

    module: str
    library: str
    extra: str
    suffixes: tuple[str, ...]
    runs: tuple[str, ...]
    network_only: bool = False


BACKENDS: dict[str, Backend] = {
    "openvino": Backend(
        module="weckd_edge.devices.runtime.backends.openvino_backend",
        library="openvino",
        extra="cpu",
        suffixes=(".xml", ".onnx"),
        runs=("openvino",),
        network_only=True,
    ),
    "onnxruntime": Backend(
        module="weckd_edge.devices.runtime.backends.onnxruntime_backend",
        library="onnxruntime",
        extra="compile",
        suffixes=(".onnx",),
        runs=("onnxruntime",),
    ),
    "tensorrt": Backend(
        module="weckd_edge.devices.runtime.backends.tensorrt_backend",
        library="tensorrt",
        extra="tensorrt",
        suffixes=(".engine",),
        runs=("tensorrt",),
    ),
}


class _Opener(Protocol):
    def open_model(self, model: ModelSource, *, threads: int, cache_dir: Path | None, reference: bool) -> Runner: ...

    def open_network(self, model: ModelSource, tensor_name: str, *, threads: int) -> NetworkRunner: ...


def find_backend(name: str) -> Backend:
    """Return the backend of a name.

    Raises:
        ConfigError: No backend has that name.
    """
    if name not in BACKENDS:
        raise ConfigError(f"unknown backend '{name}'{did_you_mean(name, BACKENDS)}", code="E_CONFIG_CHOICE")
    return BACKENDS[name]


def library_version(backend: str) -> str:
    """Return the version of the library that a backend runs models with, without loading it.

    Raises:
        ConfigError: No backend has that name.
        MissingDependency: The library is not installed.
    """
    row = find_backend(backend)
    try:
        return metadata.version(row.library)
    except metadata.PackageNotFoundError as err:
        raise MissingDependency(
            f"{backend} is not installed; pip install 'weckd-edge[{row.extra}]'", code="E_MISSING_LIBRARY"
        ) from err


def open_runner(
    backend: str, model: ModelSource, *, threads: int = 1, cache_dir: Path | None = None, reference: bool = False
) -> Runner:
    """Open a model.

    Args:
        backend: Name in the table.
        model: A model file, or proved bytes: ``.xml`` or ``.onnx`` for openvino, ``.onnx`` for onnxruntime, ``.engine`` for
            tensorrt.
        threads: Processor threads that one query may use, at least 1.
        cache_dir: Folder in which a backend may keep what it compiled, so that the next opening is faster; None keeps none.
        reference: Compute exactly as the graph is written, however slow: ONNX Runtime evaluates Q/DQ nodes in floating
            point instead of fusing them; OpenVINO uses its accuracy mode. TensorRT has no such mode and refuses.

    Raises:
        ConfigError: No backend has that name, or there is fewer than one thread.
        ModelError: The file is missing, of another kind, or refused by the library; or a graph that is given as bytes takes
            data from elsewhere.
        MissingDependency: The library is absent or broken.
    """
    row = find_backend(backend)
    if threads < 1:
        raise ConfigError(f"threads = {threads}: expected at least 1", code="E_CONFIG_RANGE")
    module = cast(_Opener, importlib.import_module(row.module))
    return module.open_model(model, threads=threads, cache_dir=cache_dir, reference=reference)


def open_network(backend: str, model: ModelSource, tensor_name: str, *, threads: int = 1) -> NetworkRunner:
    """Open the part of a model behind ``tensor_name``, to time the network without its preprocessing.

    Raises:
        ConfigError: No backend has that name.
        ModelError: The backend cannot cut a graph, or the graph has no such tensor.
    """
    row = find_backend(backend)
    if not row.network_only:
        raise ModelError(f"{backend} cannot time the network alone; openvino can", code="E_MODEL_BACKEND_MODE")
    module = cast(_Opener, importlib.import_module(row.module))
    return module.open_network(model, tensor_name, threads=threads)
