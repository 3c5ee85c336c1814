"""Choose the operators that read int8 values: those that have an int8 kernel and whose result goes to another.

Left in floating point, although their type could be int8, are scales and shifts by a constant, activations and norms that
are written out in sums and products (GELU, SiLU, a layer norm), matrix products of two activations (attention), and sums,
products and averages whose result no layer with weights reads: there int8 would round and speed nothing up. A pair on the
constant of such an operator is worse: TensorRT and OpenVINO take an int8 constant for a layer's weights, and refuse it
elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weckd_edge.compile.quantize.qdq_nodes import WEIGHTED

if TYPE_CHECKING:
    from onnx import GraphProto

QUANTIZED_TYPES = (*WEIGHTED, "Add", "Mul", "GlobalAveragePool", "AveragePool", "MaxPool", "ReduceMean")
"""Operators that may get int8 inputs.

Others run between them on whatever type they are given; so does an activation, which belongs to the convolution before it.
"""

ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Elu", "PRelu", "Mish", "Gelu")
_POINTWISE = (*ACTIVATIONS, "Add", "Sub", "Mul", "Div", "Pow", "Erf", "Exp", "Log", "Softplus", "Sqrt", "Neg", "Min", "Max")
_PASSING = (
    *(
        "Add",
        "Mul",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "ReduceMean",
        "Concat",
        "Split",
        "Slice",
        "Gather",
        "Pad",
    ),
    *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Resize", "DepthToSpace", "SpaceToDepth"),
)


def left_in_float(graph: GraphProto) -> tuple[str, ...]:
    """Return the names of the operators of ``QUANTIZED_TYPES`` that must read floating point, in graph order."""
    constants = constants_of(graph)
    layers = {n.name for n in graph.node if n.op_type in WEIGHTED and constants.intersection(n.input)}
    single = _functions_of_one_tensor(graph, constants)
    used = _read_by(layers, graph, single)
    return tuple(
        node.name
        for node in graph.node
        if node.op_type in QUANTIZED_TYPES
        and node.name not in layers
        and (node.op_type in WEIGHTED or node.name in single or not used.intersection(node.output))
    )


def reads_float(graph: GraphProto) -> tuple[str, ...]:
    """Return the names of all operators that get no int8 inputs of their own, in graph order."""
    left = set(left_in_float(graph))
    return tuple(node.name for node in graph.node if node.op_type not in QUANTIZED_TYPES or node.name in left)


def constants_of(graph: GraphProto) -> set[str]:
    """Return the names of the tensors that are the same for every image."""
    found = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if all(name in found or not name for name in node.input):
            found.update(node.output)
    return found


def _functions_of_one_tensor(graph: GraphProto, constants: set[str]) -> set[str]:
    """Return the names of the operators that compute, element by element, a function of one tensor and constants."""
    origin: dict[str, str] = {}
    found: set[str] = set()
    for node in graph.node:
        origins = {origin.get(name, name) for name in node.input if name and name not in constants}
        if node.op_type in _POINTWISE and len(origins) == 1:
            found.add(node.name)
            origin.update(dict.fromkeys(node.output, origins.pop()))
    return found


def _read_by(layers: set[str], graph: GraphProto, single: set[str]) -> set[str]:
    """Return the tensors that layers read, directly or behind operators that pass values on."""
    found: set[str] = set()
    for node in reversed(graph.node):
        hands_on = node.op_type in _PASSING or node.name in single
        if node.name in layers or (hands_on and found.intersection(node.output)):
            found.update(node.input)
    return found
