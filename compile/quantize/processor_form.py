"""Finish the processor's form of an int8 graph: every operator that has an int8 kernel reads int8 and writes int8.

ONNX Runtime runs an operator in int8 where a Q stands right behind it, and OpenVINO writes int8 there. So an activation
that its Q's clipping replaces is taken out, and any other one gets a pair in front of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import consumers, producers
from weckd_edge.compile.quantize.qdq_constants import arrays_of, drop_unread, put_array, zero_point
from weckd_edge.compile.quantize.qdq_nodes import PAIR
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

CLIPPING = ("Relu", "Clip")
"""Activations that a quantizer's clipping replaces where its range lies inside theirs."""

WRITING_INT8 = ("Conv", "Add", "Mul", "Concat", "GlobalAveragePool", "AveragePool", "MaxPool")
"""Operators that run in int8 only where a Q reads what they write."""

_LEVELS = 255
_ROUNDING = 1e-5
"""Relative difference of a range's end that is rounding alone."""


def finish_processor_form(model: ModelProto, limits: Mapping[str, tuple[float, float]], outside: Collection[str]) -> None:
    """Put a pair behind each operator that runs in int8, and absorb the activations in front of quantizers, in place.

    Args:
        model: Graph whose quantized operators read uint8 behind a pair.
        limits: Lowest and highest value of tensors, by name.
        outside: Names of the operators that stay in floating point.
    """
    for tensor in _unpaired(model.graph, outside):
        _put_pair(model.graph, tensor, limits)
    absorb_activations(model.graph)
    drop_unread(model.graph)


def _unpaired(graph: GraphProto, outside: Collection[str]) -> list[str]:
    """Return the tensors that must get a pair, so that an operator can write int8: its output, or its activation's."""
    arrays, made_by, read_by = arrays_of(require("onnx", "quantize a network"), graph), producers(graph), consumers(graph)
    outputs = {value.name for value in graph.output}
    found = []
    for node in graph.node:
        if node.op_type not in WRITING_INT8 or node.name in outside or not _reads_int8(node, made_by):
            continue
        tensor = node.output[0]
        readers = read_by.get(tensor, [])
        if len(readers) == 1 and clip_range(readers[0], arrays)[0] == 0.0:
            tensor = readers[0].output[0]
            readers = read_by.get(tensor, [])
        if tensor not in outputs and any(reader.op_type != "QuantizeLinear" for reader in readers):
            found.append(tensor)
    return found


def _reads_int8(node: NodeProto, made_by: Mapping[str, NodeProto]) -> bool:
    return any(name in made_by and made_by[name].op_type == "DequantizeLinear" for name in node.input)


def _put_pair(graph: GraphProto, tensor: str, limits: Mapping[str, tuple[float, float]]) -> None:
    """Put a pair behind a tensor, which all its readers read from then on."""
    onnx = require("onnx", "quantize a network")
    low, high = limits[tensor]
    scale = np.float32((high - low) / _LEVELS) if high > low else np.float32(1)
    scales = [put_array(onnx, graph, f"{tensor}_scale", scale)]
    scales.append(put_array(onnx, graph, f"{tensor}_zero_point", np.rint(-low / scale).astype(np.uint8)))
    readers = consumers(graph)[tensor]
    codes, numbers = f"{tensor}_QuantizeLinear_Output", f"{tensor}_DequantizeLinear_Output"
    q = onnx.helper.make_node(PAIR[0], [tensor, *scales], [codes], f"{tensor}_QuantizeLinear")
    dq = onnx.helper.make_node(PAIR[1], [codes, *scales], [numbers], f"{tensor}_DequantizeLinear")
    for reader in readers:
        reader.input[:] = [numbers if name == tensor else name for name in reader.input]
    place = min(at for at, node in enumerate(graph.node) if node in readers)
    graph.node.insert(place, dq)
    graph.node.insert(place, q)


def absorb_activations(graph: GraphProto) -> None:
    """Remove, in place, each activation that quantizers alone read and whose clipping theirs replaces."""
    arrays, read_by = arrays_of(require("onnx", "quantize a network"), graph), consumers(graph)
    for node in [n for n in graph.node if n.op_type in CLIPPING]:
        readers = read_by.get(node.output[0], [])
        if readers and all(is_absorbed(node, q, arrays) for q in readers):
            for q in readers:
                q.input[0] = node.input[0]
            graph.node.remove(node)


def is_absorbed(activation: NodeProto, q: NodeProto, arrays: dict[str, NDArray[Any]]) -> bool:
    """Tell whether a quantizer clips at least as much as an activation in front of it."""
    if q.op_type != "QuantizeLinear" or q.input[1] not in arrays or arrays[q.input[1]].size != 1:
        return False
    scale, zero = arrays[q.input[1]].item(), zero_point(arrays, q)
    limits, shift = np.iinfo(zero.dtype), int(zero.item())
    low, high = (limits.min - shift) * scale, (limits.max - shift) * scale
    least, most = clip_range(activation, arrays)
    margin = _ROUNDING * (high - low)
    return least is not None and low >= least - margin and (most is None or high <= most + margin)


def clip_range(node: NodeProto, arrays: dict[str, NDArray[Any]]) -> tuple[float | None, float | None]:
    """Return the ends that an activation clips to, None for one that it does not; both are None for any other node."""
    if node.op_type == "Relu":
        return 0.0, None
    if node.op_type != "Clip":
        return None, None
    ends = [arrays[name].item() if name in arrays else None for name in (*node.input[1:3], "", "")[:2]]
    return ends[0], ends[1]
