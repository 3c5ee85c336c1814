"""Count the layers of an ONNX graph, in float32, or in int8 where quantize pairs stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weckd_edge.compile.cost.counts import Operator, Role, fuse_operators
from weckd_edge.compile.graph import MAX_NODES, consumers, producers
from weckd_edge.core.errors import ModelError, did_you_mean, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.latency_model.counts import NetworkCounts

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_FREE = ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout")
_PLAIN = (
    "Relu",
    "Clip",
    "LeakyRelu",
    "PRelu",
    "HardSwish",
    "HardSigmoid",
    "Abs",
    "Neg",
    "Sqrt",
    "Reciprocal",
    "Round",
    "Floor",
)
_CURVED = ("Sigmoid", "Tanh", "Erf", "Elu", "Selu", "Exp", "Log", "Softplus", "Gelu", "Mish", "Celu")
_BINARY = ("Add", "Mul", "Sub", "Div", "Pow", "Max", "Min", "Where")
_POOLS = ("MaxPool", "AveragePool", "LpPool")
_REDUCES = ("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2")
_COPIES = (
    "Concat",
    "Slice",
    "Split",
    "Transpose",
    "Resize",
    "Pad",
    "Expand",
    "Tile",
    "DepthToSpace",
    "SpaceToDepth",
    "Cast",
)
_CARRIES = ("MaxPool", "Concat", "Slice", "Split", "Transpose")
_NORMALISES = (
    "Softmax",
    "LayerNormalization",
    "InstanceNormalization",
    "BatchNormalization",
    "GroupNormalization",
    "LogSoftmax",
)
_PAIR = ("QuantizeLinear", "DequantizeLinear")
_IGNORED = ("Constant", "Shape", "ConstantOfShape", "Range")

_ROLES: dict[str, Role] = {
    **dict.fromkeys(("Conv", "Gemm", "ConvTranspose"), "weighted"),
    **dict.fromkeys(_PLAIN, "plain"),
    **dict.fromkeys(_CURVED, "curved"),
    **dict.fromkeys(_BINARY, "binary"),
    **dict.fromkeys((*_POOLS, *_REDUCES), "pool"),
    **dict.fromkeys(_COPIES, "copy"),
    **dict.fromkeys(_NORMALISES, "normalise"),
    "Gather": "gather",
}


def count_onnx(model: ModelProto, *, behind: str | None = None) -> NetworkCounts:
    """Count a graph's layers.

    Args:
        model: The graph; shapes are inferred where it names none.
        behind: Name of a tensor that counting starts from, such as the network's input behind the preprocessing; None counts
            all.

    Raises:
        ModelError: A shape is open, the tensor is not there, or the graph has no operators.
    """
    if len(model.graph.node) > MAX_NODES:
        raise ModelError(f"expected at most {MAX_NODES} operators, found {len(model.graph.node)}", code="E_MODEL_LIMIT")
    try:
        return fuse_operators(_Reader(model, behind).steps())
    except (LookupError, ValueError) as err:
        raise ModelError(
            f"the operators of the graph do not fit together ({type(err).__name__}: {err})", code="E_MODEL_GRAPH"
        ) from err


class _Reader:
    def __init__(self, model: ModelProto, behind: str | None) -> None:
        onnx = require("onnx", "count a graph's layers")
        self.onnx = onnx
        graph: GraphProto = model.graph
        if _lacks_shapes(graph):
            try:
                graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
            except onnx.shape_inference.InferenceError as err:
                raise ModelError(
                    f"the shapes of the graph cannot be inferred ({first_line(err)})", code="E_MODEL_SHAPES"
                ) from err
        self.graph = graph
        self.made_by = producers(graph)
        self.constants = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self.types = {tensor.name: tensor.data_type for tensor in graph.initializer}
        for info in (*graph.value_info, *graph.input, *graph.output):
            self.types.setdefault(info.name, info.type.tensor_type.elem_type)
        self.shapes: dict[str, tuple[int, ...]] = dict(self.constants)
        for info in (*graph.value_info, *graph.input, *graph.output):
            shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in info.type.tensor_type.shape.dim)
            self.shapes.setdefault(info.name, shape)
        for node in graph.node:
            if node.op_type == "Constant":
                self._take_constant(node)
            elif node.op_type in _PAIR and node.input[0] in self.shapes:
                self.shapes[node.output[0]] = self.shapes[node.input[0]]
        self.roots: dict[str, str] = {}
        self.fixed: set[str] = set(self.constants)
        self.small: set[str] = set()
        self._follow()
        self.wanted = self._behind(behind)
        self.gates = self._self_gates()

    def _take_constant(self, node: NodeProto) -> None:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        self.constants[node.output[0]] = tuple(value.dims) if value is not None else ()
        self.shapes[node.output[0]] = self.constants[node.output[0]]

    def _behind(self, tensor: str | None) -> set[int] | None:
        """Return places of the nodes that depend on a tensor."""
        if tensor is None:
            return None
        known = {name for node in self.graph.node for name in node.input}
        if tensor not in known:
            raise ModelError(
                f"the graph has no tensor '{tensor}' that anything reads{did_you_mean(tensor, known)}", code="E_MODEL_GRAPH"
            )
        made, places = {tensor}, set()
        for place, node in enumerate(self.graph.node):
            if made.intersection(node.input) and tensor not in node.output:
                made.update(node.output)
                places.add(place)
        return places

    def _follow(self) -> None:
        """Find for every tensor which tensor it renames, whether it is constant, and whether it is in int8."""
        for node in self.graph.node:
            first = node.input[0] if node.input else ""
            renames = bool(node.input) and self._renames(node)
            constant = node.op_type in _IGNORED or (bool(node.input) and all(map(self.is_constant, node.input)))
            for name in node.output:
                if node.input and (renames or node.op_type in _PAIR):
                    self.roots[name] = self.root(first)
                    constant = self.is_constant(first)
                if constant:
                    self.fixed.add(name)
                if node.op_type == "DequantizeLinear" or (first in self.small and (renames or node.op_type in _CARRIES)):
                    self.small.add(name)

    def root(self, name: str) -> str:
        """Return the tensor that a name stands for, before pairs and changes of axes."""
        return self.roots.get(name, name)

    def _renames(self, node: NodeProto) -> bool:
        """Tell whether a node moves nothing: another shape, axes of one element, a slice of the whole."""
        if node.op_type in _FREE:
            return True
        before, after = self.shapes.get(node.input[0] if node.input else "", ()), self.shapes.get(node.output[0], ())
        if node.op_type == "Slice":
            return bool(before) and before == after
        order = next((list(a.ints) for a in node.attribute if a.name == "perm"), None)
        if node.op_type != "Transpose" or order is None or not before:
            return False
        kept = [axis for axis in order if before[axis] != 1]
        return kept == sorted(kept)

    def is_constant(self, name: str) -> bool:
        return not name or name in self.fixed

    def is_int8(self, name: str) -> bool:
        """Tell whether the tensor that a name stands for was quantized on the way."""
        return name in self.small

    def _self_gates(self) -> dict[str, str]:
        """Return the gate's output for the output of each product ``x * Sigmoid(x)``."""
        found = {}
        for node in self.graph.node:
            if node.op_type != "Mul":
                continue
            for gate_name, other in (node.input, reversed(node.input)):
                gate = self.made_by.get(self.root(gate_name))
                if gate is None or gate.op_type not in ("Sigmoid", "HardSigmoid"):
                    continue
                if self.root(gate.input[0]) == self.root(other):
                    found[node.output[0]] = gate.output[0]
        return found

    def steps(self) -> list[Operator]:
        inside = set(self.gates.values())
        found = []
        small = self._written_small()
        for place, node in enumerate(self.graph.node):
            if self.wanted is not None and place not in self.wanted:
                continue
            if node.op_type in (*_IGNORED, *_PAIR) or node.output[0] in inside:
                continue
            if self._renames(node) or all(map(self.is_constant, node.input)):
                continue
            found.append(self._step(node, small))
        return found

    def _written_small(self) -> set[str]:
        """Return tensors that every reader quantizes, also behind operators that only move values."""
        small: set[str] = set()
        readers = consumers(self.graph)
        for node in reversed(self.graph.node):
            for name in node.output:
                found = readers.get(name, [])
                if found and all(
                    reader.op_type == "QuantizeLinear"
                    or ((reader.op_type in _CARRIES or self._renames(reader)) and small.issuperset(reader.output))
                    for reader in found
                ):
                    small.add(name)
        return small

    def shape(self, name: str) -> tuple[int, ...]:
        shape = self.shapes.get(name)
        if shape is None or any(side < 0 for side in shape):
            raise ModelError(
                f"tensor '{name}': expected a fixed shape, got {'none' if shape is None else list(shape)}; "
                "export the network with a fixed input shape of batch 1",
                code="E_MODEL_SHAPES",
            )
        return shape

    def _bytes(self, name: str) -> int:
        elements = _size(self.shape(name))
        if self.is_int8(name):
            return elements
        onnx = self.onnx.TensorProto
        return elements * (1 if self.types.get(name) in (onnx.UINT8, onnx.INT8, onnx.BOOL) else 4)

    def _weight_bytes(self, name: str) -> int:
        root = self.root(name)
        elements = _size(self.constants.get(root, self.shapes.get(root, ())))
        quantized = name in self.made_by and self.made_by[name].op_type == "DequantizeLinear"
        return elements * (1 if quantized else 4)

    def _step(self, node: NodeProto, small: set[str]) -> Operator:
        inputs = [name for name in node.input if name and not self.is_constant(name)]
        constants = [name for name in node.input if name and self.is_constant(name)]
        output = node.output[0]
        role: Role = _ROLES.get(node.op_type, "other")
        if output in self.gates:
            gate = self.made_by[self.gates[output]]
            role = "curved" if gate.op_type == "Sigmoid" else "plain"
            inputs = inputs[:1]
            if self.root(inputs[0]) == gate.output[0]:
                inputs = [gate.input[0]]
        if node.op_type == "Cast" and len(self.shape(output)) < 4:
            role = "plain"
        in_shape, out_shape = self.shape(inputs[0]), self.shape(output)
        macs, window, groups, channels = _size(out_shape), 1, 1, (0, 0)
        if node.op_type == "MatMul":
            role = "weighted" if len(inputs) == 1 and inputs[0] == node.input[0] else "product"
            summed = self.shape(node.input[0])[-1]
            macs, channels = _size(out_shape) * summed, (summed, out_shape[-1])
        elif node.op_type == "Gemm":
            macs, channels = _size(out_shape) * in_shape[-1], (in_shape[-1], out_shape[-1])
        elif role == "weighted":
            weights = self.shape(node.input[1])
            groups = next((a.i for a in node.attribute if a.name == "group"), 1)
            window = _size(weights[2:])
            pixels = _size(out_shape if node.op_type == "Conv" else in_shape)
            macs, channels = pixels * _size(weights[1:]), (in_shape[1], out_shape[1])
        elif node.op_type in _POOLS:
            window = _size(tuple(next(a.ints for a in node.attribute if a.name == "kernel_shape")))
            macs = _size(out_shape) * window
        elif node.op_type in _REDUCES:
            macs, window = _size(in_shape), max(1, _size(in_shape) // max(1, _size(out_shape)))
        elif role == "copy" and len(node.output) > 1:
            macs = _size(in_shape)
        written = sum(_size(self.shape(name)) for name in node.output if name) if role == "copy" else _size(out_shape)
        narrow = output in small or self.types.get(output) in (self.onnx.TensorProto.UINT8, self.onnx.TensorProto.INT8)
        source = self.made_by.get(self.root(inputs[0]))
        read = {self.root(name): self._bytes(name) for name in inputs}
        return Operator(
            role=role,
            reads=tuple(read),
            writes=output,
            in_shape=in_shape,
            out_shape=out_shape,
            precision="int8" if self.is_int8(inputs[0]) else "float32",
            read_bytes=tuple(read.values()),
            written_bytes=written * (1 if narrow else 4),
            macs=macs,
            window=window,
            groups=groups,
            channels=channels,
            weight_bytes=sum(self._weight_bytes(name) for name in constants) if role in ("weighted", "binary") else 0,
            joins=source is not None and source.op_type in ("Concat", "Split", "Slice"),
            adds=node.op_type == "Add" and len(inputs) == 2 and self.shape(inputs[0]) == self.shape(inputs[1]),
        )


def _lacks_shapes(graph: GraphProto) -> bool:
    known = {info.name for info in (*graph.value_info, *graph.output)}
    return any(name and name not in known for node in graph.node if node.op_type != "Constant" for name in node.output)


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for side in shape:
        size *= side
    return size
