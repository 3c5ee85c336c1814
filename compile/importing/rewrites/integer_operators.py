"""Write integer operators (QOperator), and operators on integer codes between them, as float ones between Q/DQ pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.quantize.qdq_constants import arrays_of, put_array
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

ADVICE = "quantize it with symmetric int8 activations and weights, or import the float network it was made from"

_MOVES = ("Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "MaxPool", "Slice", "Gather", "Identity", "Pad", "Relu")
"""Operators that ONNX Runtime lets run on int8 values between others, whose output has their scale."""


@dataclass(frozen=True, slots=True)
class _Integer:
    """Places of an integer operator's operands among its inputs.

    Attributes:
        makes: Name of the float operator that does the same.
        operands: Place of each operand's value; its scale and zero point follow. None of a fixed number: from place 2 on.
        output: Place of the output's scale; its zero point follows.
        bias: Place of the int32 bias; None for an operator without.
    """

    makes: str
    operands: tuple[int, ...]
    output: int
    bias: int | None = None


INTEGER: dict[str, _Integer] = {
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
"""How each integer operator names its operands."""

_OWN_ATTRIBUTES = ("channels_last", "opset")
"""Attributes that the float operator does not have."""


def write_integer_operators_out(name: str, graph: GraphProto) -> None:
    """Write, in place, integer operators, and those that move codes between them, as float ones between pairs.

    Args:
        name: Name of the file, for messages.
        graph: The graph, its ``Constant`` nodes already initializers.

    Raises:
        ModelError: Channels come last, or an operator that has no float form reads integer codes.
    """
    if any(node.op_type in INTEGER for node in graph.node):
        _PairWriter(name, graph).run()


def name_zero_points(graph: GraphProto) -> None:
    """Write the place of an output's zero point that an integer operator leaves out as an empty one, in place.

    Both say 0; ONNX Runtime ends the process where the place itself is missing.
    """
    for node in graph.node:
        layout = INTEGER.get(node.op_type)
        if layout is not None and len(node.input) == layout.output + 1:
            node.input.append("")


def _read(node: NodeProto, place: int) -> str:
    """Return the name of what a node reads at a place; empty where it reads nothing there."""
    return str(node.input[place]) if place < len(node.input) else ""


class _PairWriter:
    """Writes the nodes of one graph anew, with the pair of each tensor that holds codes."""

    def __init__(self, name: str, graph: GraphProto) -> None:
        self.onnx = require("onnx", "read a quantized network")
        self.name, self.graph = name, graph
        self.arrays: dict[str, NDArray[Any]] = arrays_of(self.onnx, graph)
        self.pairs: dict[str, tuple[str, str]] = {}
        """Scale and zero point of each tensor that holds codes, by its name."""
        self.nodes: list[NodeProto] = []

    def run(self) -> None:
        for node in self.graph.node:
            reads = list(node.input)
            if node.op_type in INTEGER:
                self._write_integer(node, INTEGER[node.op_type])
            elif node.op_type == "QuantizeLinear" and reads[0] not in self.arrays:
                self._quantize(reads[0], node.output[0], reads[1], _read(node, 2) or self._zero(np.uint8))
            elif node.op_type == "DequantizeLinear" and reads[0] in self.pairs:
                self._add("Identity", [self._real(reads[0])], list(node.output), node.name)
            elif node.op_type in _MOVES and reads[0] in self.pairs:
                self._write_move(node)
            elif any(read in self.pairs for read in reads):
                raise ModelError(
                    f"{self.name}: is quantized already; {node.name}: {node.op_type} reads integer codes; {ADVICE}",
                    code="E_MODEL_QUANTIZED",
                )
            else:
                self.nodes.append(node)
        ordered = [self.onnx.NodeProto.FromString(node.SerializeToString()) for node in self.nodes]
        del self.graph.node[:]
        self.graph.node.extend(ordered)
        del self.graph.value_info[:]

    def _write_integer(self, node: NodeProto, layout: _Integer) -> None:
        reads = list(node.input)
        if any(a.name == "channels_last" and a.i for a in node.attribute):
            raise ModelError(
                f"{self.name}: is quantized already; {node.name}: its channels come last; {ADVICE}",
                code="E_MODEL_QUANTIZED",
            )
        # One scale an output channel: axis 0 of a convolution's weights, the last one of a matrix's.
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        axis = 0 if layout.makes == "Conv" or turned else 1
        operands = []
        for at in layout.operands or tuple(range(2, len(reads), 3)):
            value, scale, zero = (_read(node, place) for place in (at, at + 1, at + 2))
            if value in self.pairs:
                operands.append(self._real(value))
                continue
            more = {"axis": axis} if value in self.arrays and self._constant(node, scale).size > 1 else {}
            operands.append(self._dequantize(value, scale, zero or self._zero(self._type_of(value)), **more))
        if layout.bias is not None and len(reads) > layout.bias and reads[layout.bias]:
            operands.append(self._float_bias(node, reads[layout.bias]))
        attributes = {
            a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute if a.name not in _OWN_ATTRIBUTES
        }
        scale, zero = _read(node, layout.output), _read(node, layout.output + 1)
        raw = f"{node.output[0]}_raw" if scale else node.output[0]
        self._add(layout.makes, operands, [raw], node.name, **attributes)
        if scale:
            first = _read(node, (layout.operands or (2,))[0])
            self._quantize(raw, node.output[0], scale, zero or self._zero(self._type_of(first)))

    def _float_bias(self, node: NodeProto, bias: str) -> str:
        """Add the numbers that an int32 bias stands for: its codes times the factor and the scales of input and weights."""
        factor = next((a.f for a in node.attribute if a.name == "alpha"), 1.0)
        scales = [self._constant(node, node.input[place]).astype(np.float64) for place in (1, 4)]
        steps = factor * scales[0] * scales[1]
        values = (self._constant(node, bias).astype(np.float64) * steps.reshape(-1)).astype(np.float32)
        return put_array(self.onnx, self.graph, f"{node.name}_bias", values)

    def _write_move(self, node: NodeProto) -> None:
        """Write an operator that only moves codes as one that moves numbers, with the pair of its input behind it."""
        source = node.input[0]
        moved = self.onnx.NodeProto()
        moved.CopyFrom(node)
        moved.input[0], moved.output[0] = self._real(source), f"{node.output[0]}_raw"
        scale, zero = self.pairs[source]
        if node.op_type == "Pad" and _read(node, 1) and all(a.s == b"constant" for a in node.attribute if a.name == "mode"):
            code = self._constant(node, _read(node, 2)) if _read(node, 2) else 0
            moved.input.extend([""] * (3 - len(moved.input)))
            moved.input[2] = self._number(node, code, scale, zero)
        elif node.op_type == "Relu" and self._constant(node, zero).any():
            moved.op_type = "Clip"
            moved.input.append(self._number(node, 0, scale, zero))
        self.nodes.append(moved)
        self._quantize(moved.output[0], node.output[0], scale, zero)

    def _number(self, node: NodeProto, code: Any, scale: str, zero: str) -> str:
        """Add the number that one code of a tensor stands for; return its name."""
        shifted = np.asarray(code, np.float32) - self._constant(node, zero).astype(np.float32)
        value = np.ravel(shifted * self._constant(node, scale)).astype(np.float32)[0]
        return put_array(self.onnx, self.graph, f"{node.name}_number", value)

    def _constant(self, node: NodeProto, name: str) -> NDArray[Any]:
        if name not in self.arrays:
            raise ModelError(
                f"{self.name}: is quantized already; {node.name}: '{name}' must be a constant; {ADVICE}",
                code="E_MODEL_QUANTIZED",
            )
        return self.arrays[name]

    def _zero(self, kind: np.dtype[Any] | type[np.generic]) -> str:
        """Return the name of a zero point of 0, which an operator that names none has."""
        name = f"absent_zero_point_{np.dtype(kind).name}"
        if name not in self.arrays:
            self.arrays[name] = np.zeros((), kind)
            put_array(self.onnx, self.graph, name, self.arrays[name])
        return name

    def _type_of(self, tensor: str) -> np.dtype[Any]:
        """Return the type of a tensor that holds codes."""
        known = self.arrays.get(self.pairs[tensor][1] if tensor in self.pairs else tensor)
        if known is not None:
            return known.dtype
        taken = next((value for value in self.graph.input if value.name == tensor), None)
        kind = taken.type.tensor_type.elem_type if taken is not None else self.onnx.TensorProto.UINT8
        named: np.dtype[Any] = self.onnx.helper.tensor_dtype_to_np_dtype(kind)
        return named

    def _real(self, tensor: str) -> str:
        """Return the name under which a tensor's numbers stand."""
        return f"{tensor}_real" if tensor in self.pairs else tensor

    def _dequantize(self, tensor: str, scale: str, zero: str, **more: int) -> str:
        made = f"{tensor}_real" if tensor in self.pairs else f"{tensor}_real_{len(self.nodes)}"
        self._add("DequantizeLinear", [tensor, scale, zero], [made], f"{made}_DequantizeLinear", **more)
        return made

    def _quantize(self, tensor: str, to: str, scale: str, zero: str) -> None:
        self._add("QuantizeLinear", [tensor, scale, zero], [to], f"{to}_QuantizeLinear")
        self.pairs[to] = (scale, zero)
        self._dequantize(to, scale, zero)

    def _add(self, kind: str, inputs: list[str], outputs: list[str], name: str, **attributes: Any) -> None:
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, outputs, name, **attributes))
