"""Sums of 8-bit products that this processor cannot hold, and the graphs that would run into them.

x86 processors without VNNI add two products of 8 bits in 16, which holds 255 * 127 once and not twice. A processor's own
models keep their weights within 7 bits where that is needed; a Jetson's keep all 8, and its bundle is tried on any machine.
ONNX Runtime has an option that avoids it; for OpenVINO, such graphs are found here.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from weckd_edge.core.errors import ModelError
from weckd_edge.devices.machine.detect import read_extensions, sums_saturate
from weckd_edge.devices.machine.identity import read_identity
from weckd_edge.devices.runtime.backends.base import ModelBytes, ModelSource
from weckd_edge.devices.runtime.backends.onnx_bytes import fields_of
from weckd_edge.devices.runtime.backends.onnx_nodes import parts_of_graph, read_nodes

LARGEST_SAFE_WEIGHT = 64
"""Largest weight of which two products with an activation of 255 fit into 16 bits."""

_INITIALIZER = 5
_DIMENSIONS, _TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9
_INT8 = b"\x03"


def would_saturate(model: ModelSource) -> bool:
    """Tell whether a graph holds int8 weights whose sums this processor may not hold.

    It is False for anything but ONNX, and for what is no graph or is missing: the library that opens it says so.
    """
    if model.suffix != ".onnx" or not _saturates_here():
        return False
    try:
        return has_wide_weights(model.graph if isinstance(model, ModelBytes) else model.read_bytes(), model.name)
    except (OSError, ModelError):
        return False


def has_wide_weights(data: bytes, where: str) -> bool:
    """Tell whether a graph holds int8 weights that need more than 7 bits, or float weights that it quantizes to all 8.

    Args:
        data: Bytes of the protobuf.
        where: Name of the graph for messages.

    Raises:
        ModelError: The bytes are no ONNX graph.
    """
    nodes = read_nodes(data, where)
    quantized = {node.reads[0].encode() for node in nodes if node.kind == "QuantizeLinear" and node.reads}
    return any(_is_wide(tensor, quantized, where) for tensor in parts_of_graph(data, _INITIALIZER, where))


def _is_wide(tensor: memoryview, quantized: set[bytes], where: str) -> bool:
    fields = [(field, content) for field, _, content in fields_of(tensor, where)]
    if any(field == _NAME and bytes(content) in quantized for field, content in fields):
        return True
    is_int8 = any(field == _TYPE and content == _INT8 for field, content in fields)
    if not is_int8 or not any(field == _DIMENSIONS for field, _ in fields):
        return False  # a zero point without dimensions may be -128
    values = [np.frombuffer(content, np.int8) for field, content in fields if field == _RAW_DATA]
    return any(int(np.abs(part.astype(np.int16)).max(initial=0)) > LARGEST_SAFE_WEIGHT for part in values)


@functools.cache
def _saturates_here() -> bool:
    root = Path("/")
    architecture = read_identity(root).architecture
    return bool(sums_saturate(architecture, read_extensions(root, architecture)))
