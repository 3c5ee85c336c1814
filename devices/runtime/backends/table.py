"""Table of the backends, from which the command line lists them without importing any."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from weckd_edge.core.errors import ConfigError, DeviceError, MissingDependency, ModelError, did_you_mean
from weckd_edge.core.optional_imports import is_installed, version_of
from weckd_edge.devices.runtime.backends.base import ModelSource, NetworkRunner, Runner
from weckd_edge.devices.runtime.backends.int8_saturation import would_saturate


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """A backend, as a row of the table.

    Attributes:
        title: Name of the library for people.
        module: Module that holds ``open_model``.
        library: Top-level module of the library that it needs.
        extra: Extra of this package that brings the library.
        suffixes: Suffixes of the model files that it reads.
        runs: Values of ``BuiltModel.backend`` in a manifest that it runs.
        network_only: Whether it can time the network without its preprocessing.
        half: Whether it can be asked to compute in float16.
        wide_weights: Whether it adds up products with 8-bit weights exactly where sums of 16 bits cannot hold them.
        firmware: Whether the C library runs it, too; the model that a build deploys is of such a backend.
    """

    title: str
    module: str
    library: str
    extra: str
    suffixes: tuple[str, ...]
    runs: tuple[str, ...]
    network_only: bool = False
    half: bool = False
    wide_weights: bool = False
    firmware: bool = True


BACKENDS: dict[str, Backend] = {
    "openvino": Backend(
        title="OpenVINO",
        module="weckd_edge.devices.runtime.backends.openvino_backend",
        library="openvino",
        extra="cpu",
        suffixes=(".xml", ".onnx"),
        runs=("openvino",),
        network_only=True,
        half=True,
    ),
    "onnxruntime": Backend(
        title="ONNX Runtime",
        module="weckd_edge.devices.runtime.backends.onnxruntime_backend",
        library="onnxruntime",
        extra="compile",
        suffixes=(".onnx",),
        runs=("onnxruntime",),
        wide_weights=True,
    ),
    "litert": Backend(
        title="LiteRT",
        module="weckd_edge.devices.runtime.backends.litert_backend",
        library="ai_edge_litert",
        extra="litert",
        suffixes=(".tflite",),
        runs=("litert",),
        firmware=False,
    ),
    "tensorrt": Backend(
        title="TensorRT",
        module="weckd_edge.devices.runtime.backends.tensorrt_backend",
        library="tensorrt",
        extra="tensorrt",
        suffixes=(".engine",),
        runs=("tensorrt",),
    ),
}


class _Opener(Protocol):
    def open_model(
        self, model: ModelSource, *, threads: int, cache_dir: Path | None, reference: bool, half: bool
    ) -> Runner: ...

    def computes_in_half(self) -> bool: ...

    def open_network(
        self, model: ModelSource, tensor_name: str, *, threads: int, reference: bool, half: bool
    ) -> NetworkRunner: ...


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
    version = version_of(row.library)
    if version is None:
        raise MissingDependency(
            f"{backend} is not installed; pip install 'weckd-edge[{row.extra}]'", code="E_MISSING_LIBRARY"
        )
    return version


def installed_version(backend: str) -> str | None:
    """Return the version of the library that a backend runs models with, without loading it.

    It is None where the library is not installed, and ``unknown`` where its installation does not say.

    Raises:
        ConfigError: No backend has that name.
    """
    if not is_installed(find_backend(backend).library):
        return None
    try:
        return library_version(backend)
    except MissingDependency:
        return "unknown"


def refusal(backend: str, *, half: bool) -> str | None:
    """Return why a backend runs nothing here, in words; None where it does.

    Args:
        backend: Name in the table.
        half: Whether the model is to compute in float16.

    Raises:
        ConfigError: No backend has that name.
        MissingDependency: The library is broken.
    """
    row = find_backend(backend)
    if not is_installed(row.library):
        return f"{backend} is not installed; pip install 'weckd-edge[{row.extra}]'"
    if half and not _computes_in_half(row):
        return f"{backend} does not compute in float16 on this processor"
    return None


def is_computed_as_written(backend: str, model: ModelSource) -> bool:
    """Tell whether a graph is computed in floating point here, as a backend's 8-bit sums would saturate.

    Raises:
        ConfigError: No backend has that name.
    """
    return not find_backend(backend).wide_weights and would_saturate(model)


def open_runner(
    backend: str,
    model: ModelSource,
    *,
    threads: int = 1,
    cache_dir: Path | None = None,
    reference: bool = False,
    half: bool = False,
) -> Runner:
    """Open a model.

    Args:
        backend: Name in the table.
        model: A model file, or proved bytes: ``.xml`` or ``.onnx`` for openvino, ``.onnx`` for onnxruntime, ``.tflite`` for
            litert, ``.engine`` for tensorrt.
        threads: Processor threads that one query may use, at least 1.
        cache_dir: Folder in which a backend may keep what it compiled, so that the next opening is faster; None keeps none.
        reference: Compute exactly as the graph is written, however slow: ONNX Runtime and OpenVINO evaluate Q/DQ nodes in
            floating point instead of fusing them. TensorRT has no such mode and refuses. It is so, too, where
            ``is_computed_as_written``.
        half: Compute in float16 wherever a layer is not int8.

    Raises:
        ConfigError: No backend has that name, or there is fewer than one thread.
        ModelError: The file is missing, of another kind, or refused by the library; or a graph that is given as bytes takes
            data from elsewhere.
        DeviceError: The model is to compute in float16, which the backend does not do on this processor.
        MissingDependency: The library is absent or broken.
    """
    row = find_backend(backend)
    _require_half(row, backend, model, half=half)
    if threads < 1:
        raise ConfigError(f"threads = {threads}: expected at least 1", code="E_CONFIG_RANGE")
    module = cast(_Opener, importlib.import_module(row.module))
    reference = reference or is_computed_as_written(backend, model)
    return module.open_model(model, threads=threads, cache_dir=cache_dir, reference=reference, half=half)


def _computes_in_half(row: Backend) -> bool:
    return row.half and cast(_Opener, importlib.import_module(row.module)).computes_in_half()


def _require_half(row: Backend, backend: str, model: ModelSource, *, half: bool) -> None:
    if half and not _computes_in_half(row):
        raise DeviceError(
            f"{model.name}: {backend} does not compute in float16 on this processor; choose another precision",
            code="E_DEVICE_BACKEND",
        )


def open_network(
    backend: str, model: ModelSource, tensor_name: str, *, threads: int = 1, half: bool = False
) -> NetworkRunner:
    """Open the part of a model behind ``tensor_name``, to time the network without its preprocessing.

    It computes as ``open_runner`` lets the whole model compute: where ``is_computed_as_written``, as the graph is written.

    Args:
        backend: Name in the table.
        model: The whole model.
        tensor_name: Name of the tensor between preprocessing and network.
        threads: Processor threads that one query may use.
        half: Compute in float16 wherever a layer is not int8.

    Raises:
        ConfigError: No backend has that name.
        ModelError: The backend cannot cut a graph, or the graph has no such tensor.
        DeviceError: The network is to compute in float16, which the backend does not do on this processor.
    """
    row = find_backend(backend)
    if not row.network_only:
        raise ModelError(f"{backend} cannot time the network alone; openvino can", code="E_MODEL_BACKEND_MODE")
    _require_half(row, backend, model, half=half)
    module = cast(_Opener, importlib.import_module(row.module))
    reference = is_computed_as_written(backend, model)
    return module.open_network(model, tensor_name, threads=threads, reference=reference, half=half)
