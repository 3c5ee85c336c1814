"""Read and change the constants of a graph with Q/DQ pairs: codes, the numbers these stand for, weights in pairs."""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import producers
from weckd_edge.compile.quantize.qdq_nodes import axis_of, broadcast_steps
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


def arrays_of(onnx: Any, graph: GraphProto) -> dict[str, NDArray[Any]]:
    """Return the constants of a graph by name."""
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}


def put_array(onnx: Any, graph: GraphProto, name: str, value: NDArray[Any]) -> str:
    """Add a constant to a graph; return its name."""
    graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value, order="C"), name))
    return name


def zero_point(arrays: dict[str, NDArray[Any]], node: NodeProto) -> NDArray[Any]:
    """Return the zero point of a Q or DQ node; 0 of uint8 where it names none."""
    return arrays[node.input[2]] if len(node.input) > 2 and node.input[2] else np.zeros((), np.uint8)


def float_values(arrays: dict[str, NDArray[Any]], codes: NDArray[Any], dq: NodeProto) -> NDArray[np.float32]:
    """Return the numbers that the codes of a DequantizeLinear stand for."""
    steps = broadcast_steps(arrays[dq.input[1]].astype(np.float32), codes.ndim, axis_of(dq))
    zero = broadcast_steps(zero_point(arrays, dq).astype(np.float32), codes.ndim, axis_of(dq))
    return np.asarray(((codes.astype(np.float32) - zero) * steps).astype(np.float32))


def pair_weights(model: ModelProto) -> None:
    """Put a Q back in front of weights that are kept as int8, in place: TensorRT before 10 reads pairs alone."""
    onnx = require("onnx", "read a quantized network")
    graph = model.graph
    arrays, made_by = arrays_of(onnx, graph), producers(graph)
    for dq in [n for n in graph.node if n.op_type == "DequantizeLinear" and n.input[0] in arrays]:
        codes = arrays[dq.input[0]]
        if codes.dtype != np.int8 or dq.input[0] in made_by or zero_point(arrays, dq).any():
            continue
        weights = put_array(onnx, graph, _unused(arrays, f"{dq.output[0]}_weights"), float_values(arrays, codes, dq))
        q = onnx.NodeProto()
        q.CopyFrom(dq)
        q.op_type, q.name = "QuantizeLinear", f"{dq.name}_again"
        q.input[0], q.output[0] = weights, _unused(arrays, f"{dq.output[0]}_codes")
        dq.input[0] = q.output[0]
        graph.node.insert(list(graph.node).index(dq), q)
    drop_unread(graph)


def _unused(taken: Container[str], name: str) -> str:
    while name in taken:
        name += "_again"
    return name


def drop_unread(graph: GraphProto) -> None:
    """Remove, in place, nodes and constants that nothing reads."""
    outputs = {value.name for value in graph.output}
    while True:
        read = {name for node in graph.node for name in node.input} | outputs
        dead = [n for n in graph.node if not read.intersection(n.output)]
        if not dead:
            break
        for node in dead:
            graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in read]:
        graph.initializer.remove(tensor)
