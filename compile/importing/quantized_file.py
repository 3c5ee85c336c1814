"""A network that a user has quantized already: brought to the form of this project's own int8 graphs, code for code.

What ONNX Runtime, NNCF, modelopt and TensorRT's tools write differs in places that change no answer: integer operators
(QOperator) instead of Q/DQ pairs, int32 biases and other constants behind a DequantizeLinear, weights as int8 without their
Q, uint8 with a zero point of 128 for int8 with 0. These are rewritten; what breaks a rule after that is refused by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import consumers, producers
from weckd_edge.compile.quantize.qdq_constants import (
    arrays_of,
    drop_unread,
    float_values,
    pair_weights,
    put_array,
    zero_point,
)
from weckd_edge.compile.quantize.qdq_nodes import PAIR, WEIGHTED, axis_of, broadcast_steps
from weckd_edge.compile.quantize.qdq_rules import find_violations
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

AT_RUN_TIME = ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul")
_MICROSOFT = "com.microsoft"
_MOVES = ("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "MaxPool", "Slice", "Gather", "Identity", "Pad", "Relu")
"""Operators that ONNX Runtime lets run on int8 values between others, whose output has their scale."""

_ADVICE = "quantize it with symmetric int8 activations and weights, or bring the float network it was made from"


def is_quantized(model: ModelProto) -> bool:
    """Tell whether a graph holds Q/DQ nodes or integer operators."""
    kinds = {node.op_type for node in model.graph.node}
    return bool(kinds.intersection((*PAIR, *AT_RUN_TIME, *_INTEGER)))


def normalise_quantized(name: str, model: ModelProto) -> ModelProto:
    """Return a quantized network as Q/DQ pairs in this project's form, with the codes and the predictions that it had.

    Args:
        name: The file, for messages.
        model: What was imported; it is left as it is.

    Raises:
        ModelError: A node breaks a rule of the targets; it and the rule are named.
    """
    onnx = require("onnx", "read a quantized network")
    settled: ModelProto = onnx.ModelProto()
    settled.CopyFrom(model)
    graph = settled.graph
    for index, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
        if node.op_type in AT_RUN_TIME:
            raise ModelError(
                f"{name}: is quantized already; {node.name}: {node.op_type} finds its range at run time, which no target "
                f"builds; {_ADVICE}",
                code="E_MODEL_QUANTIZED",
            )
    _inline_constants(onnx, graph)
    _write_pairs(onnx, name, graph)
    _centre_unsigned(onnx, graph)
    _fold_constants(onnx, graph)
    pair_weights(settled)
    drop_unread(graph)
    for entry in [e for e in settled.opset_import if e.domain == _MICROSOFT]:
        settled.opset_import.remove(entry)
    broken = find_violations(settled)
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise ModelError(
            f"{name}: is quantized already; {broken[0].node}: {broken[0].rule}{more}; {_ADVICE}", code="E_MODEL_QUANTIZED"
        )
    return settled


def _inline_constants(onnx: Any, graph: GraphProto) -> None:
    for node in [n for n in graph.node if n.op_type == "Constant"]:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if value is not None:
            put_array(onnx, graph, node.output[0], onnx.numpy_helper.to_array(value))
            graph.node.remove(node)


@dataclass(frozen=True, slots=True)
class _Integer:
    """How an integer operator names its operands: places of each ``(value, scale, zero point)``, and of the output's."""

    makes: str
    operands: tuple[int, ...]
    output: int
    bias: int | None = None


_INTEGER: dict[str, _Integer] = {
    "QLinearConv": _Integer("Conv", (0, 3), 6, bias=8),
    "QLinearMatMul": _Integer("MatMul", (0, 3), 6),
    "QGemm": _Integer("Gemm", (0, 3), 7, bias=6),
    "QLinearAdd": _Integer("Add", (0, 3), 6),
    "QLinearMul": _Integer("Mul", (0, 3), 6),
    "QLinearGlobalAveragePool": _Integer("GlobalAveragePool", (0,), 3),
    "QLinearAveragePool": _Integer("AveragePool", (0,), 3),
    "QLinearSigmoid": _Integer("Sigmoid", (0,), 3),
    "QLinearLeakyRelu": _Integer("LeakyRelu", (0,), 3),
    "QLinearSoftmax": _Integer("Softmax", (0,), 3),
    "QLinearReduceMean": _Integer("ReduceMean", (0,), 3),
    "QLinearConcat": _Integer("Concat", (), 0),
}
_OWN_ATTRIBUTES = ("channels_last", "opset")


def _write_pairs(onnx: Any, name: str, graph: GraphProto) -> None:
    """Write integer operators as float ones between pairs; what runs on codes in between too."""
    if not any(node.op_type in _INTEGER for node in graph.node):
        return
    codes: dict[str, tuple[str, str]] = {}
    nodes: list[NodeProto] = []

    def real(tensor: str) -> str:
        return f"{tensor}_real" if tensor in codes else tensor

    def dequantize(tensor: str, scale: str, zero: str, **more: int) -> str:
        made = f"{tensor}_real" if tensor in codes else f"{tensor}_real_{len(nodes)}"
        nodes.append(
            onnx.helper.make_node("DequantizeLinear", [tensor, scale, zero], [made], f"{made}_DequantizeLinear", **more)
        )
        return made

    def quantize(tensor: str, to: str, scale: str, zero: str) -> None:
        nodes.append(onnx.helper.make_node("QuantizeLinear", [tensor, scale, zero], [to], f"{to}_QuantizeLinear"))
        codes[to] = (scale, zero)
        dequantize(to, scale, zero)

    arrays = arrays_of(onnx, graph)
    for node in graph.node:
        reads = list(node.input)
        if node.op_type in _INTEGER:
            layout = _INTEGER[node.op_type]
            if any(a.name == "channels_last" and a.i for a in node.attribute):
                raise ModelError(
                    f"{name}: is quantized already; {node.name}: its channels come last; {_ADVICE}", code="E_MODEL_QUANTIZED"
                )
            places = layout.operands or tuple(range(2, len(reads), 3))
            operands = []
            for at in places:
                value, scale, zero = reads[at : at + 3]
                # One scale an output channel: axis 0 of a convolution's weights, the last one of a matrix's.
                turned = any(a.name == "transB" and a.i for a in node.attribute)
                axis = 0 if layout.makes == "Conv" or turned else 1
                more = {"axis": axis} if value in arrays and arrays[scale].size > 1 else {}
                operands.append(real(value) if value in codes else dequantize(value, scale, zero, **more))
            if layout.bias is not None and len(reads) > layout.bias and reads[layout.bias]:
                steps = arrays[reads[1]].astype(np.float64) * arrays[reads[4]].astype(np.float64)
                bias = (arrays[reads[layout.bias]].astype(np.float64) * steps.reshape(-1)).astype(np.float32)
                operands.append(put_array(onnx, graph, f"{node.name}_bias", bias))
            attributes = {
                a.name: onnx.helper.get_attribute_value(a) for a in node.attribute if a.name not in _OWN_ATTRIBUTES
            }
            kept = len(reads) > layout.output and reads[layout.output]
            raw = f"{node.output[0]}_raw" if kept else node.output[0]
            nodes.append(onnx.helper.make_node(layout.makes, operands, [raw], node.name, **attributes))
            if kept:
                quantize(raw, node.output[0], *reads[layout.output : layout.output + 2])
        elif node.op_type == "QuantizeLinear" and reads[0] not in arrays:
            quantize(reads[0], node.output[0], reads[1], reads[2] if len(reads) > 2 else "")
        elif node.op_type == "DequantizeLinear" and reads[0] in codes:
            nodes.append(onnx.helper.make_node("Identity", [real(reads[0])], list(node.output), node.name))
        elif node.op_type in _MOVES and reads[0] in codes:
            moved = onnx.NodeProto()
            moved.CopyFrom(node)
            moved.input[0], moved.output[0] = real(reads[0]), f"{node.output[0]}_raw"
            nodes.append(moved)
            quantize(moved.output[0], node.output[0], *codes[reads[0]])
        else:
            blind = next((read for read in reads if read in codes), None)
            if blind is not None:
                raise ModelError(
                    f"{name}: is quantized already; {node.name}: {node.op_type} reads integer codes; {_ADVICE}",
                    code="E_MODEL_QUANTIZED",
                )
            nodes.append(node)
    ordered = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(ordered)
    del graph.value_info[:]


def _centre_unsigned(onnx: Any, graph: GraphProto) -> None:
    """Write uint8 codes around a zero point of 128 as int8 ones around 0: the same numbers."""
    arrays = arrays_of(onnx, graph)
    shifted: dict[str, str] = {}
    for node in [n for n in graph.node if n.op_type in PAIR and len(n.input) > 2]:
        zero = arrays.get(node.input[2])
        if zero is None or zero.dtype != np.uint8 or not (zero == 128).all():
            continue
        if node.op_type == "DequantizeLinear" and node.input[0] in arrays:
            if node.input[0] not in shifted:
                codes = (arrays[node.input[0]].astype(np.int16) - 128).astype(np.int8)
                shifted[node.input[0]] = put_array(onnx, graph, f"{node.input[0]}_int8", codes)
            node.input[0] = shifted[node.input[0]]
        key = node.input[2]
        if key not in shifted:
            shifted[key] = put_array(onnx, graph, f"{key}_int8", np.zeros(zero.shape, np.int8))
        node.input[2] = shifted[key]


def _fold_constants(onnx: Any, graph: GraphProto) -> None:
    """Make plain numbers of constants behind a DQ that are no layer's weights: biases, scales, tables of positions."""
    arrays, read_by = arrays_of(onnx, graph), consumers(graph)
    made_by = producers(graph)
    for dq in [n for n in graph.node if n.op_type == "DequantizeLinear"]:
        q = made_by.get(dq.input[0])
        source = q.input[0] if q is not None and q.op_type == "QuantizeLinear" else dq.input[0]
        if source not in arrays or any(_is_weight(reader, dq.output[0]) for reader in read_by.get(dq.output[0], [])):
            continue
        codes = arrays[dq.input[0]] if q is None else _codes(arrays, q)
        put_array(onnx, graph, f"{dq.output[0]}_folded", float_values(arrays, codes, dq))
        for reader in read_by.get(dq.output[0], []):
            reader.input[:] = [f"{dq.output[0]}_folded" if name == dq.output[0] else name for name in reader.input]
        graph.node.remove(dq)


def _is_weight(node: NodeProto, tensor: str) -> bool:
    return node.op_type in WEIGHTED and len(node.input) > 1 and node.input[1] == tensor


def _codes(arrays: dict[str, NDArray[Any]], q: NodeProto) -> NDArray[Any]:
    zero = zero_point(arrays, q)
    limits = np.iinfo(zero.dtype)
    values, steps = arrays[q.input[0]], arrays[q.input[1]]
    shift = broadcast_steps(zero.astype(np.float32), values.ndim, axis_of(q))
    scaled = np.rint(values / broadcast_steps(steps, values.ndim, axis_of(q))) + shift
    return np.clip(scaled, limits.min, limits.max).astype(zero.dtype)
