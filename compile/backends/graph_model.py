"""Record of a graph that a library runs as it is, without being built into another file."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.artifacts import BuiltModel, Precision
from weckd_edge.compile.graph import NETWORK_INPUT_NAME
from weckd_edge.core.store import file_ref
from weckd_edge.devices.runtime.backends.int8_layers import count_if_int8
from weckd_edge.devices.runtime.backends.openvino_backend import NAME as OPENVINO
from weckd_edge.devices.runtime.backends.openvino_backend import precision_settings
from weckd_edge.devices.runtime.backends.table import library_version


def record_graph(onnx: Path, backend: str, precision: Precision, *, half: bool = False) -> BuiltModel:
    """Return the record of a graph as a model of a backend that reads ONNX.

    Args:
        onnx: The graph; the record names it relative to its folder.
        backend: Name in the backend table.
        precision: Precision of the graph, or ``fp16`` where it is computed in float16.
        half: Whether it is computed in float16 wherever a layer is not int8.

    Raises:
        MissingDependency: The backend's library is not installed.
    """
    graph = file_ref(onnx.parent, onnx)
    count = count_if_int8(backend, precision, onnx, NETWORK_INPUT_NAME)
    return BuiltModel(
        backend=backend,
        backend_version=library_version(backend),
        precision=precision,
        kind="model",
        files=(graph,),
        source_sha256=graph.sha256,
        int8_layers=count.int8_layers if count is not None else None,
        layers=count.layers if count is not None else None,
        settings=precision_settings(half=half) if backend == OPENVINO else {},
    )
