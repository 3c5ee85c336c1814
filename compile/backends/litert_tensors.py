"""A graph's tensors on their way into a .tflite file: in floating point, as int8 codes, channels last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.backends.tflite_file import Quantization, TfliteFile, per_tensor
from weckd_edge.compile.graph import consumers, producers
from weckd_edge.compile.quantize.qdq_constants import arrays_of, float_values, zero_point
from weckd_edge.compile.quantize.qdq_nodes import axis_of, quantize_values
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

CHANNELS_LAST = (0, 2, 3, 1)
FUSED = {"": 0, "RELU": 1, "RELU6": 3}
"""Numbers of the activations that an operator can have inside."""

SHIFT = 128
"""What a uint8 code is above the int8 code of the same number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Int8Result:
    """What stands between an operator and the int8 codes of its result.

    Attributes:
        activation: Activation that is computed inside; empty for none.
        passed: Names of the nodes that are thereby done.
        codes: Names of the graph's tensors that hold the codes.
        quantization: How the codes stand for numbers.
    """

    activation: str
    passed: tuple[str, ...]
    codes: tuple[str, ...]
    quantization: Quantization


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightCodes:
    """Constant weights as int8 codes.

    Attributes:
        codes: The codes.
        steps: Step of each channel ``[channels]``, or the only one ``[1]``.
        dq: The DequantizeLinear behind them.
    """

    codes: NDArray[np.int8]
    steps: NDArray[np.float32]
    dq: NodeProto


class GraphTensors:
    """The tensors of a graph, and those of the file that hold them.

    A tensor that a DequantizeLinear makes has codes alone until something reads it in floating point.

    Args:
        model: Graph from uint8 pixels to probabilities.
        file: File to write to; it is empty.

    Attributes:
        graph: The graph, with the shapes of its tensors.
        file: File that is written.
        done: Names of nodes that another's operator computes.
    """

    def __init__(self, model: ModelProto, file: TfliteFile) -> None:
        onnx = require("onnx", "write a LiteRT model")
        self._onnx = onnx
        self.graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
        self.file = file
        self.done: set[str] = set()
        self._arrays = arrays_of(onnx, self.graph)
        self._made_by, self._read_by = producers(self.graph), consumers(self.graph)
        self._shapes = {
            info.name: tuple(int(side.dim_value) for side in info.type.tensor_type.shape.dim)
            for info in (*self.graph.value_info, *self.graph.output, *self.graph.input)
        }
        self._as_written = {value.name for value in self.graph.input}
        self._floats: dict[str, int] = {}
        self._codes: dict[str, int] = {}
        self._quantizations: dict[int, Quantization] = {}

    # What the graph says.

    def attribute(self, node: NodeProto, name: str, default: Any) -> Any:
        """Return the value of a node's attribute."""
        return next((self._onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape in the graph."""
        return self._shapes[name]

    def stored_shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape in the file."""
        shape = self._shapes[name]
        is_map = len(shape) == 4 and name not in self._as_written
        return tuple(shape[axis] for axis in CHANNELS_LAST) if is_map else shape

    def maker(self, name: str) -> NodeProto | None:
        """Return the node that makes a tensor; None for a constant and the input."""
        return self._made_by.get(name)

    def readers(self, name: str) -> list[NodeProto]:
        """Return the nodes that read a tensor."""
        return self._read_by.get(name, [])

    def keep_layout(self, name: str) -> None:
        """Note that a tensor has the order of axes that it has in the graph."""
        self._as_written.add(name)

    def has_layout_kept(self, name: str) -> bool:
        """Tell whether a tensor has the order of axes that it has in the graph."""
        return name in self._as_written

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return a constant's numbers, its own or those that its codes stand for; None for a tensor that is none."""
        if name in self._arrays:
            return self._arrays[name]
        weights = self.weight_codes(name)
        return None if weights is None else float_values(self._arrays, weights.codes, weights.dq)

    def weight_codes(self, name: str) -> WeightCodes | None:
        """Return the codes of a constant; None for a tensor that is not one behind a DequantizeLinear."""
        dq = self._made_by.get(name)
        if dq is None or dq.op_type != "DequantizeLinear":
            return None
        steps = self._arrays[dq.input[1]].astype(np.float32)
        q = self._made_by.get(dq.input[0])
        if dq.input[0] in self._arrays:
            codes = self._arrays[dq.input[0]]
        elif q is not None and q.op_type == "QuantizeLinear" and q.input[0] in self._arrays:
            codes = quantize_values(self._arrays[q.input[0]], steps, axis_of(q))
        else:
            return None
        return WeightCodes(codes=codes, steps=steps.reshape(-1), dq=dq)

    def is_symmetric_int8(self, weights: WeightCodes) -> bool:
        """Tell whether weights are what LiteRT's int8 layers take."""
        return weights.codes.dtype == np.int8 and not zero_point(self._arrays, weights.dq).any()

    def quantization_of(self, node: NodeProto) -> Quantization | None:
        """Return how a Q node's codes stand for numbers, as int8; None where it has a step for each channel."""
        step, zero = self._arrays[node.input[1]], zero_point(self._arrays, node)
        if step.size != 1 or zero.dtype not in (np.uint8, np.int8):
            return None
        return per_tensor(float(step.item()), int(zero.item()) - (SHIFT if zero.dtype == np.uint8 else 0))

    def fused_activation(self, node: NodeProto) -> str:
        """Return the name of the activation that a node is and an operator can have inside; empty for other nodes."""
        if node.op_type == "Relu":
            return "RELU"
        if node.op_type == "Clip":
            low, high = (self.constant(name) if name else None for name in (*node.input[1:], "", "")[:2])
            if low is not None and low == 0 and (high is None or high == 6):
                return "RELU" if high is None else "RELU6"
        return ""

    # What the file holds.

    def put(self, name: str, values: NDArray[Any], quantization: Quantization | None = None) -> int:
        """Add a constant; return its number."""
        return self.file.add_tensor(name, values.shape, values.dtype.name, quantization, values)

    def floats(self, name: str) -> int:
        """Return the number of the tensor that holds one of the graph's in floating point, and add it where it is not there.

        Raises:
            ModelError: Nothing makes the tensor.
        """
        if name not in self._floats:
            values = None if name in self._codes else self.constant(name)
            if values is not None:
                values = values.transpose(CHANNELS_LAST) if values.ndim == 4 else values
                self._floats[name] = self.put(name, values.astype(np.float32))
            elif name in self._codes:
                codes = self._codes[name]
                self.file.add_operator("DEQUANTIZE", [codes], [self.add_floats(name)], "DequantizeOptions")
            else:
                raise ModelError(f"tensor '{name}': no operator that is written makes it", code="E_MODEL_OPERATOR")
        return self._floats[name]

    def add_floats(self, name: str) -> int:
        """Add the tensor that holds one of the graph's in floating point; return its number."""
        self._floats[name] = self.file.add_tensor(name, self.stored_shape(name), "float32")
        return self._floats[name]

    def share_floats(self, name: str, number: int) -> None:
        """Note that a tensor of the file holds another one of the graph's, too."""
        self._floats[name] = number

    def codes(self, name: str) -> int | None:
        """Return the number of the tensor that holds one of the graph's as int8 codes; None where there are none."""
        return self._codes.get(name)

    def all_codes(self, names: Sequence[str]) -> list[int] | None:
        """Return the numbers of the tensors that hold these as codes; None where one has none."""
        found = [self._codes[name] for name in names if name in self._codes]
        return found if len(found) == len(names) else None

    def add_codes(self, name: str, quantization: Quantization, *, shape: Sequence[int] | None = None) -> int:
        """Add a tensor of codes; return its number.

        Args:
            name: Tensor of the graph whose shape it has, and its own name.
            quantization: How its codes stand for numbers.
            shape: Another shape.
        """
        shape = self.stored_shape(name) if shape is None else shape
        made = self.file.add_tensor(f"{name}_int8", shape, "int8", quantization)
        self._quantizations[made] = quantization
        return made

    def share_codes(self, names: Sequence[str], number: int) -> None:
        """Note that a tensor of the file holds these of the graph's as codes."""
        self._codes.update(dict.fromkeys(names, number))

    def quantization(self, number: int) -> Quantization | None:
        """Return how the codes of one of the file's tensors stand for numbers; None for one in floating point."""
        return self._quantizations.get(number)

    # How a result is read.

    def int8_result(self, name: str) -> Int8Result | None:
        """Return what stands between an operator and its result's codes; None where something reads it in floating point."""
        readers, activation, passed = self.readers(name), "", []
        if len(readers) == 1 and (activation := self.fused_activation(readers[0])):
            passed.append(readers[0].name)
            readers = self.readers(readers[0].output[0])
        if not readers or any(node.op_type != "QuantizeLinear" for node in readers):
            return None
        found = {self.quantization_of(node) for node in readers}
        quantization = found.pop()
        if quantization is None or found:
            return None
        return Int8Result(
            activation=activation,
            passed=(*passed, *(node.name for node in readers)),
            codes=tuple(node.output[0] for node in readers),
            quantization=quantization,
        )

    def add_int8_result(self, name: str, result: Int8Result) -> int:
        """Add the codes of an operator's result, and note what is thereby done; return their number."""
        made = self.add_codes(name, result.quantization)
        self.share_codes(result.codes, made)
        self.done.update(result.passed)
        return made

    def add_float_result(self, name: str) -> tuple[int, str]:
        """Add an operator's result in floating point, behind an activation that it can have inside.

        Returns:
            The tensor's number, and the activation's name.
        """
        readers = self.readers(name)
        if len(readers) == 1 and (activation := self.fused_activation(readers[0])):
            self.done.add(readers[0].name)
            return self.add_floats(readers[0].output[0]), activation
        return self.add_floats(name), ""
