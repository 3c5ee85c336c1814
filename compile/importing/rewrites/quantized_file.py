"""Rewrite a network that a user has quantized in the form of this project's own int8 graphs, code for code.

What ONNX Runtime, NNCF, modelopt and TensorRT's tools write differs in places that change no prediction: integer operators
(QOperator) instead of Q/DQ pairs, int32 biases and other constants behind a DequantizeLinear, weights as int8 without their
Q, uint8 with a zero point of 128 for int8 with 0. These are rewritten; a node that breaks a rule of every target after that
is refused by name. Activations with another zero point are kept for processors; TensorRT's form refuses them later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import consumers, producers
from weckd_edge.compile.importing.rewrites.integer_operators import ADVICE, INTEGER, write_integer_operators_out
from weckd_edge.compile.quantize.forms import PROCESSOR
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
from weckd_edge.devices.runtime.backends.int8_saturation import LARGEST_SAFE_WEIGHT

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

AT_RUN_TIME = ("DynamicQuantizeLinear", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul")
_MICROSOFT = "com.microsoft"


def is_quantized(model: ModelProto) -> bool:
    """Tell whether a graph holds Q/DQ nodes or integer operators."""
    kinds = {node.op_type for node in model.graph.node}
    return bool(kinds.intersection((*PAIR, *AT_RUN_TIME, *INTEGER)))


def normalise_quantized(name: str, model: ModelProto) -> ModelProto:
    """Return a quantized network as Q/DQ pairs in this project's form, with the codes and the predictions that it had.

    Args:
        name: Name of the file, for messages.
        model: Network as it was imported; it is left as it is.

    Raises:
        ModelError: A node breaks a rule of every target; it and the rule are named.
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
                f"builds; {ADVICE}",
                code="E_MODEL_QUANTIZED",
            )
    _inline_constants(onnx, graph)
    write_integer_operators_out(name, graph)
    _centre_unsigned(onnx, graph)
    _fold_constants(onnx, graph)
    pair_weights(settled)
    drop_unread(graph)
    for entry in [e for e in settled.opset_import if e.domain == _MICROSOFT]:
        settled.opset_import.remove(entry)
    broken = find_violations(settled, PROCESSOR)
    if broken:
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise ModelError(
            f"{name}: is quantized already; {broken[0].node}: {broken[0].rule}{more}; {ADVICE}", code="E_MODEL_QUANTIZED"
        )
    return settled


def has_wide_weights(model: ModelProto) -> bool:
    """Tell whether int8 weights of a network in this project's form need more than 7 bits.

    Sums of their products can overflow on x86 processors without VNNI.
    """
    arrays = arrays_of(require("onnx", "read a quantized network"), model.graph)
    weights = [node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] in arrays]
    return any(np.abs(_codes(arrays, q).astype(np.int16)).max(initial=0) > LARGEST_SAFE_WEIGHT for q in weights)


def _inline_constants(onnx: Any, graph: GraphProto) -> None:
    for node in [n for n in graph.node if n.op_type == "Constant"]:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if value is not None:
            put_array(onnx, graph, node.output[0], onnx.numpy_helper.to_array(value))
            graph.node.remove(node)


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
    """Replace constants behind a DQ that are no layer's weights by plain numbers: biases, scales, tables of positions."""
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
