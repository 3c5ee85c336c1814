"""Rules of a Q/DQ graph from which its runtimes read the same int8 network, for each form.

TensorRT's form follows NVIDIA's ``IQuantizeLayer`` (symmetric, int8, per-channel weights only) and is read by OpenVINO and
ONNX Runtime too. The processor's form may have uint8 activations with any zero point, which TensorRT refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from weckd_edge.compile.graph import consumers, opset_of, producers
from weckd_edge.compile.quantize.forms import TENSORRT, Form
from weckd_edge.compile.quantize.qdq_nodes import PAIR, WEIGHTED, axis_of
from weckd_edge.compile.quantize.qdq_placement import ACTIVATIONS
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.jetson.version_rules import version_tuple

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_NEWEST_OPSET = (("8.4", 17), ("10.0", 20), ("10.9", 22), ("10.13", 24))
"""Newest operator set of TensorRT's parser, from a version on: onnx-tensorrt's docs/operators.md by release branch."""

Severity = Literal["error", "fusion", "advice"]
WHOLE_GRAPH = "(graph)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Violation:
    """One broken rule.

    Attributes:
        node: Name of the node; ``(graph)`` where the rule concerns the whole graph.
        rule: Expectation and finding, in words.
        severity: ``error``: it is refused, or read as another network; ``fusion``: it is built, but runs apart or in
            floating point what could be one int8 kernel; ``advice``: TensorRT runs it, and it may be slow.
    """

    node: str
    rule: str
    severity: Severity = "error"


def find_violations(model: ModelProto, form: Form = TENSORRT, *, tensorrt: str | None = None) -> tuple[Violation, ...]:
    """Return every breach of a rule that is an error, in graph order.

    Args:
        model: The graph.
        form: Form whose rules are checked.
        tensorrt: Version of TensorRT whose own rules are checked too; None checks the rules that all runtimes share.
    """
    return tuple(found for found in check_rules(model, form, tensorrt=tensorrt) if found.severity == "error")


def check_rules(model: ModelProto, form: Form = TENSORRT, *, tensorrt: str | None = None) -> tuple[Violation, ...]:
    """Return every finding about a graph's Q/DQ nodes, errors first, each kind in graph order.

    Args:
        model: The graph.
        form: Form whose rules are checked. The processor's are fewer, but for what ONNX Runtime could not fuse.
        tensorrt: Version of TensorRT whose own rules are checked too, fusion and speed among them; None checks the shared
            ones.
    """
    rules = _Rules(model, form, version_tuple(tensorrt) if tensorrt is not None else None)
    for node in model.graph.node:
        if node.op_type in PAIR:
            rules.check_pair(node)
        if form.unsigned:
            rules.check_for_processor(node)
        if tensorrt is not None:
            rules.check_for_tensorrt(node)
    if tensorrt is not None:
        rules.check_graph()
    order: dict[Severity, int] = {"error": 0, "fusion": 1, "advice": 2}
    return tuple(sorted(rules.found, key=lambda violation: order[violation.severity]))


class _Rules:
    def __init__(self, model: ModelProto, form: Form, version: tuple[int, ...] | None) -> None:
        onnx = require("onnx", "check a graph")
        graph = model.graph
        self._onnx, self._model, self._form, self._version = onnx, model, form, version
        self._constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
        for node in graph.node:
            for value in node.attribute if node.op_type == "Constant" else ():
                if value.name == "value":
                    self._constants[node.output[0]] = onnx.numpy_helper.to_array(value.t)
        self._made_by, self._read_by = producers(graph), consumers(graph)
        self._outputs = {value.name for value in graph.output}
        self.found: list[Violation] = []

    def _blame(self, node: str, rule: str, severity: Severity = "error") -> None:
        self.found.append(Violation(node=node, rule=rule, severity=severity))

    def check_pair(self, node: NodeProto) -> None:
        scale = self._constants.get(node.input[1])
        zero = self._constants.get(node.input[2]) if len(node.input) > 2 else None
        if scale is None:
            self._blame(node.name, f"its scale must be a constant, '{node.input[1]}' is none")
            return
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            self._blame(node.name, "its scale must be finite and over 0")
        first = self._made_by.get(node.input[0])
        source = first.input[0] if node.op_type == "DequantizeLinear" and first is not None else node.input[0]
        self._check_zero_point(node, zero, is_weight=source in self._constants)
        if scale.size > 1 and source not in self._constants:
            self._blame(node.name, f"an activation takes one scale for the whole tensor, it has {scale.size}")
        elif scale.size > 1:
            self._check_axis(node, self._constants[source].shape, scale.size)
        if node.op_type == "DequantizeLinear" and source in self._constants:
            self._check_constant(node)
        if node.op_type == "QuantizeLinear":
            self._check_readers(node)
        elif (first is None or first.op_type != "QuantizeLinear") and not self._stored(node) and not self._is_frame(node):
            self._blame(node.name, "it must stand right behind a QuantizeLinear")

    def _check_zero_point(self, node: NodeProto, zero: np.ndarray[Any, Any] | None, *, is_weight: bool) -> None:
        if self._form.unsigned and not is_weight:
            if zero is not None and zero.dtype not in (np.int8, np.uint8):
                self._blame(node.name, f"its zero point must be int8 or uint8, not {zero.dtype}")
        elif zero is None:
            self._blame(node.name, "it must name a zero point: without one its type is uint8")
        elif zero.dtype != np.int8:
            self._blame(node.name, f"its zero point must be int8, not {zero.dtype}")
        elif zero.any():
            self._blame(node.name, "its zero point must be 0 (symmetric)")

    def _is_frame(self, node: NodeProto) -> bool:
        """Tell whether a node dequantizes the pixels that the graph takes, which a processor's runtime reads as they are."""
        name = node.input[0]
        while (maker := self._made_by.get(name)) is not None and maker.op_type == "Transpose":
            name = maker.input[0]
        return self._form.unsigned and name in {value.name for value in self._model.graph.input}

    def _check_readers(self, node: NodeProto) -> None:
        readers = self._read_by.get(node.output[0], [])
        others = [reader.op_type for reader in readers if reader.op_type != "DequantizeLinear"]
        if others:
            self._blame(node.name, f"only DequantizeLinear may read it, {others[0]} does")
        elif not readers or node.output[0] in self._outputs:
            self._blame(node.name, "a DequantizeLinear must read it; the graph's output is floating point")

    def _stored(self, node: NodeProto) -> bool:
        """Tell whether a node dequantizes weights that are stored in int8, which TensorRT reads from 10.0 on."""
        stored = self._constants.get(node.input[0])
        if stored is None or stored.dtype != np.int8:
            return False
        return self._form.unsigned or (self._version is not None and self._version >= (10, 0))

    def _check_constant(self, node: NodeProto) -> None:
        for reader in self._read_by.get(node.output[0], []):
            if reader.op_type not in WEIGHTED or list(reader.input).index(node.output[0]) != 1:
                self._blame(
                    node.name,
                    f"of constants only a layer's weights take a pair; {reader.name} ({reader.op_type}) reads this one, "
                    "which TensorRT cannot build and OpenVINO takes for weights",
                )
                return

    def _check_axis(self, node: NodeProto, shape: tuple[int, ...], count: int) -> None:
        axis = axis_of(node)
        for reader in self._read_by.get(node.output[0], []):
            if (
                reader.op_type == "Conv"
                and axis not in (0, -4)
                and len(reader.input) > 1
                and reader.input[1] == node.output[0]
            ):
                self._blame(
                    node.name, f"a convolution's weights take one scale an output channel, axis 0; its axis is {axis}"
                )
                return
        if not -len(shape) <= axis < len(shape) or shape[axis] != count:
            self._blame(node.name, f"it has {count} scales along axis {axis}, which a tensor {list(shape)} does not have")

    def check_for_processor(self, node: NodeProto) -> None:
        """Check that a convolution that reads int8 writes it too: ONNX Runtime runs it in floating point otherwise."""
        if node.op_type != "Conv" or not self._is_dequantized(node.input[0]) or node.output[0] in self._outputs:
            return
        for reader in self._read_by.get(node.output[0], []):
            if reader.op_type != "QuantizeLinear":
                self._blame(
                    node.name,
                    f"{reader.name} ({reader.op_type}) reads what it writes in floating point; a QuantizeLinear alone must "
                    "read it, or it runs in floating point",
                    "fusion",
                )
                return

    def check_for_tensorrt(self, node: NodeProto) -> None:
        if node.op_type == "Conv":
            self._check_convolution(node)
        elif node.op_type == "Add":
            self._check_sum(node)
        elif node.op_type == "QuantizeLinear":
            self._check_activation(node)

    def _pair_before(self, name: str) -> tuple[NodeProto, NodeProto, NodeProto] | None:
        """Return the convolution, Q and DQ that a tensor comes from; None where anything else reads one of them."""
        dq = self._made_by.get(name)
        q = self._made_by.get(dq.input[0]) if dq is not None and dq.op_type == "DequantizeLinear" else None
        conv = self._made_by.get(q.input[0]) if q is not None and q.op_type == "QuantizeLinear" else None
        if dq is None or q is None or conv is None or conv.op_type != "Conv":
            return None
        alone = all(len(self._read_by.get(tensor, [])) == 1 for tensor in (name, dq.input[0], q.input[0]))
        return (conv, q, dq) if alone else None

    def _is_dequantized(self, name: str) -> bool:
        maker = self._made_by.get(name)
        return maker is not None and maker.op_type == "DequantizeLinear"

    def _check_activation(self, q: NodeProto) -> None:
        for dq in self._read_by.get(q.output[0], []):
            readers = self._read_by.get(dq.output[0], []) if dq.op_type == "DequantizeLinear" else []
            found = self._pair_before(dq.output[0]) if readers else None
            if found is not None and readers[0].op_type in ACTIVATIONS:
                self._blame(
                    q.name,
                    f"a pair between {found[0].name} and its activation {readers[0].name} splits what is one kernel, and "
                    "rounds a range of which the activation keeps a part; put it behind the activation",
                    "fusion",
                )

    def _check_sum(self, add: NodeProto) -> None:
        if any(name in self._constants for name in add.input) or len(add.input) != 2:
            return
        dequantized = [self._is_dequantized(name) for name in add.input]
        pairs = [found for name in add.input if (found := self._pair_before(name)) is not None]
        if all(dequantized) and pairs:
            last, q, _ = pairs[-1]
            self._blame(
                q.name,
                f"a pair between {last.name} and the sum {add.name} splits what is one kernel; leave it out",
                "fusion",
            )
        for name, other, known in (
            (add.input[0], add.input[1], dequantized[1]),
            (add.input[1], add.input[0], dequantized[0]),
        ):
            conv = self._made_by.get(name)
            if conv is not None and conv.op_type == "Conv" and self._is_dequantized(conv.input[0]) and not known:
                self._blame(
                    add.name,
                    f"its other branch '{other}' must be quantized too, or {conv.name} writes floating point",
                    "fusion",
                )
                return

    def _check_convolution(self, node: NodeProto) -> None:
        weights = self._weights(node)
        if weights is None or not self._is_dequantized(node.input[0]):
            return
        if not self._is_dequantized(node.input[1]):
            self._blame(node.name, "its input is quantized and its weights are not: it runs in floating point", "fusion")
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        outputs, inputs = weights[0], weights[1] * groups
        if groups > 1 and groups == inputs and min(weights[2:], default=1) < 3:
            kernel = "x".join(str(side) for side in weights[2:])
            self._blame(node.name, f"a depthwise {kernel} convolution has no fast int8 kernel; leave it in FP16", "advice")
        elif 1 < groups < inputs:
            self._blame(node.name, f"{groups} groups run apart in int8; FP16 may be faster, measure both", "advice")
        first = inputs <= 4
        odd = [f"{count} {what}" for count, what in ((0 if first else inputs, "input"), (outputs, "output")) if count % 16]
        if odd:
            self._blame(node.name, f"{' and '.join(odd)} channels: int8 kernels fill whole multiples of 16", "advice")

    def _weights(self, node: NodeProto) -> tuple[int, ...] | None:
        name = node.input[1]
        for _ in range(2):
            maker = self._made_by.get(name)
            if name in self._constants or maker is None or maker.op_type not in PAIR:
                break
            name = maker.input[0]
        found = self._constants.get(name)
        return tuple(found.shape) if found is not None else None

    def check_graph(self) -> None:
        """Check opset, types of scales and the type of the frame against the version that was asked for."""
        if self._version is None:
            return
        requested = ".".join(str(part) for part in self._version)
        newest = max((opset for since, opset in _NEWEST_OPSET if version_tuple(since) <= self._version), default=13)
        opset = opset_of(self._model)
        if opset > newest:
            self._blame(WHOLE_GRAPH, f"opset {opset}: TensorRT {requested} reads up to {newest}")
        halves = [node for node in self._model.graph.node if node.op_type in PAIR and self._scale_type(node) == np.float16]
        if halves and opset < 19:
            self._blame(halves[0].name, f"an FP16 scale needs opset 19 or newer, the graph is of {opset}")
        if halves and self._version < (10, 0):
            self._blame(halves[0].name, f"TensorRT {requested} takes FP32 scales; FP16 ones from 10.0 on")
        quantized = any(node.op_type in PAIR for node in self._model.graph.node)
        if quantized and not halves and self._version >= (10, 12):
            self._blame(
                WHOLE_GRAPH,
                f"TensorRT {requested} types every tensor as the graph says: with FP32 scales all between int8 layers runs "
                "in FP32; use the FP16 form",
                "advice",
            )
        for value in self._model.graph.input:
            if value.type.tensor_type.elem_type == self._onnx.TensorProto.UINT8:
                self._check_frame(value.name, requested)

    def _scale_type(self, node: NodeProto) -> np.dtype[Any] | None:
        scale = self._constants.get(node.input[1])
        return None if scale is None else scale.dtype

    def _check_frame(self, name: str, requested: str) -> None:
        for reader in self._read_by.get(name, []):
            if reader.op_type != "Cast":
                self._blame(reader.name, f"TensorRT's parser refuses {reader.op_type} of uint8; cast the frame first")
            elif self._version is not None and self._version < (8, 6):
                self._blame(reader.name, f"TensorRT {requested} cannot cast uint8 (8.6 can); take a float frame")


def require_rules(model: ModelProto, form: Form = TENSORRT, *, fused: bool = False) -> None:
    """Refuse a graph that breaks a rule whose breach is an error.

    Args:
        model: The graph.
        form: Form whose rules are checked.
        fused: Whether a convolution is refused too that would not be fused.

    Raises:
        ModelError: A rule is broken; the message names the first three nodes.
    """
    refused = ("error", "fusion") if fused else ("error",)
    broken = [found for found in check_rules(model, form) if found.severity in refused]
    if broken:
        shown = "; ".join(f"{v.node}: {v.rule}" for v in broken[:3])
        runtimes = "the runtimes of processors" if form.unsigned else "TensorRT and OpenVINO"
        raise ModelError(
            f"{len(broken)} Q/DQ nodes break the rules that {runtimes} share ({shown}); quantize it again",
            code="E_MODEL_QDQ_RULES",
        )
