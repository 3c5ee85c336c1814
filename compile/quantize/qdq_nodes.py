"""Change the Q/DQ pairs of a graph: open residual sums, keep weights as int8; list quantized operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import consumers, network_nodes, producers
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

PAIR = ("QuantizeLinear", "DequantizeLinear")
WEIGHTED = ("Conv", "Gemm", "MatMul")


def store_int8_weights(model: ModelProto) -> None:
    """Store quantized weights as int8 behind a lone DQ, in a quarter of the size; TensorRT before 10 reads pairs alone."""
    onnx = require("onnx", "quantize a network")
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] in constants]:
        values, steps = (onnx.numpy_helper.to_array(constants[name]) for name in node.input[:2])
        small = quantize_values(values, steps, axis_of(node))
        graph.initializer.append(onnx.numpy_helper.from_array(small, node.output[0]))
        graph.node.remove(node)
    drop_unused(graph)


def quantize_values(values: NDArray[np.float32], steps: NDArray[np.float32], axis: int) -> NDArray[np.int8]:
    """Quantize values to int8 as QuantizeLinear does: zero point 0, one step or one for each index of ``axis``."""
    small: NDArray[np.int8] = np.clip(np.rint(values / broadcast_steps(steps, values.ndim, axis)), -128, 127).astype(np.int8)
    return small


def round_values(
    values: NDArray[np.float32], step: NDArray[np.float32], zero: NDArray[np.integer[Any]]
) -> NDArray[np.float32]:
    """Return values as a pair with one step and this zero point, int8 or uint8, hands them on."""
    limits, shift = np.iinfo(zero.dtype), np.float32(zero.item())
    codes = np.clip(np.rint(values / step) + shift, limits.min, limits.max)
    rounded: NDArray[np.float32] = (codes - shift) * step
    return rounded


def broadcast_steps(steps: NDArray[np.float32], dimensions: int, axis: int) -> NDArray[np.float32]:
    """Return steps in a shape that broadcasts to a tensor of so many dimensions: one, or one for each index of ``axis``."""
    if steps.ndim == 0:
        return steps
    return np.expand_dims(steps, tuple(d for d in range(dimensions) if d != axis % dimensions))


def axis_of(node: NodeProto) -> int:
    """Return the axis along which a Q or DQ node has a step of its own for each index."""
    return next((int(a.i) for a in node.attribute if a.name == "axis"), 1)


def open_residual_sums(graph: GraphProto) -> None:
    """Remove, in place, the Q/DQ pair between a convolution and a sum whose other branch is quantized.

    TensorRT then fuses convolution, sum and the following Q into one int8 kernel; with the pair it cannot.
    """
    made_by, read_by = producers(graph), consumers(graph)
    order = {node.output[0]: at for at, node in enumerate(graph.node)}
    dropped: list[NodeProto] = []
    for add in [n for n in graph.node if n.op_type == "Add"]:
        pairs = [_pair_after_conv(name, made_by, read_by) for name in add.input]
        branches = [
            name for name in add.input if made_by.get(name) is not None and made_by[name].op_type == "DequantizeLinear"
        ]
        candidates = [pair for pair in pairs if pair is not None]
        if len(branches) != 2 or not candidates:
            continue
        q, dq = max(candidates, key=lambda pair: order[pair[0].input[0]])
        for position, name in enumerate(add.input):
            if name == dq.output[0]:
                add.input[position] = q.input[0]
        dropped += [q, dq]
    for node in dropped:
        graph.node.remove(node)
    drop_unused(graph)


def _pair_after_conv(
    name: str, made_by: dict[str, NodeProto], read_by: dict[str, list[NodeProto]]
) -> tuple[NodeProto, NodeProto] | None:
    """Return the Q and DQ that stand between a convolution and the tensor, if nothing else reads either."""
    dq = made_by.get(name)
    q = made_by.get(dq.input[0]) if dq is not None and dq.op_type == "DequantizeLinear" else None
    conv = made_by.get(q.input[0]) if q is not None and q.op_type == "QuantizeLinear" else None
    if dq is None or q is None or conv is None or conv.op_type != "Conv":
        return None
    alone = all(len(read_by.get(tensor, [])) == 1 for tensor in (name, dq.input[0], q.input[0]))
    return (q, dq) if alone else None


def drop_unused(graph: GraphProto) -> None:
    """Remove, in place, constants that nothing reads and types of tensors that nothing makes."""
    used = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
    made = {name for node in graph.node for name in node.output}
    for info in [i for i in graph.value_info if i.name not in made]:
        graph.value_info.remove(info)


def split_by_precision(graph: GraphProto) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of a network's operators that read int8 values, and of the weighted ones that do not."""
    made_by = producers(graph)

    def reads_int8(node: NodeProto) -> bool:
        maker = made_by.get(node.input[0])
        return maker is not None and maker.op_type == "DequantizeLinear"

    operators = [n for n in network_nodes(graph) if n.op_type not in PAIR and n.input]
    quantized = tuple(n.name for n in operators if reads_int8(n))
    return quantized, tuple(n.name for n in operators if n.op_type in WEIGHTED and not reads_int8(n))
