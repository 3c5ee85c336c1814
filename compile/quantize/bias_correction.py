"""Correct biases: the shift that rounding gives a layer's mean output is taken off (Nagel 2019, arXiv 1906.04721).

The shift is computed layer by layer from the FP32 network's own values: the mean of each input channel, as it is and as
int8 holds it, through the weights as they are and as int8 holds them. Borders are left out of account.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import producers
from weckd_edge.compile.quantize.qdq_nodes import axis_of, broadcast_steps, quantize_values, round_values
from weckd_edge.compile.quantize.ranges import watch_tensors
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import ProgressTask

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

Means = dict[str, NDArray[np.float64]]


def correct_biases(
    int8: Sequence[ModelProto], fp32: ModelProto, input_name: str, frames: Iterable[NDArray[Any]], task: ProgressTask
) -> list[tuple[str, ...]]:
    """Change the biases of int8 graphs' convolutions and linear layers in place; the frames are run once for all of them.

    Args:
        int8: Int8 graphs, their weights in floating point behind a pair of their own.
        fp32: Graph that all were made from.
        input_name: Name of the graphs' input.
        frames: Training frames, as the graphs take them.
        task: Progress, which advances by one a frame.

    Returns:
        Names of the corrected layers of each graph.

    Raises:
        DataError: A frame cannot be read.
        ModelError: ONNX Runtime cannot run the graph.
    """
    onnx = require("onnx", "correct biases")
    layers_of = [_layers(model.graph, fp32) for model in int8]
    plain, held_of = _means(fp32, input_name, layers_of, frames, task)
    for model, layers, held in zip(int8, layers_of, held_of, strict=True):
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        for layer in layers:
            rounded, exact = layer.outputs(layer.held_weights, held[layer.source]), plain[layer.source]
            shift = rounded - layer.outputs(layer.weights, exact)
            bias = constants[layer.bias]
            corrected = onnx.numpy_helper.to_array(bias).astype(np.float64) - shift
            bias.CopyFrom(onnx.numpy_helper.from_array(corrected.astype(np.float32), layer.bias))
    return [tuple(layer.name for layer in layers) for layers in layers_of]


def _layers(graph: GraphProto, fp32: ModelProto) -> list[_Layer]:
    """Return the layers of an int8 graph whose biases are corrected."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    made_by = producers(graph)
    readers = Counter(name for node in graph.node for name in node.input)
    plain_nodes = {node.name: node for node in fp32.graph.node}
    return [
        _Layer(node, plain_nodes[node.name], made_by, constants)
        for node in graph.node
        if _is_layer(node, made_by, constants) and readers[node.input[2]] == 1
    ]


def _is_layer(node: NodeProto, made_by: dict[str, NodeProto], constants: dict[str, Any]) -> bool:
    """Tell whether a node is a convolution or linear layer in int8 with a bias of its own, added as it is."""
    if node.op_type not in ("Conv", "Gemm") or len(node.input) != 3 or node.input[2] not in constants:
        return False
    pairs = [made_by.get(name) for name in node.input[:2]]
    if any(dq is None or dq.op_type != "DequantizeLinear" for dq in pairs):
        return False
    weights = made_by.get(pairs[1].input[0]) if pairs[1] is not None else None
    plain = not any((a.name == "transA" and a.i) or (a.name in ("alpha", "beta") and a.f != 1) for a in node.attribute)
    return weights is not None and weights.input[0] in constants and plain


class _Layer:
    """One layer's weights ``[outputs, inputs]``, summed over the taps of its kernel."""

    def __init__(self, node: NodeProto, plain: NodeProto, made_by: dict[str, NodeProto], constants: dict[str, Any]) -> None:
        onnx = require("onnx", "correct biases")
        array = onnx.numpy_helper.to_array
        self.name = node.name
        dq_input = made_by[node.input[0]]
        q_weights = made_by[made_by[node.input[1]].input[0]]
        self.source = plain.input[0]
        self.step, self.zero = (array(constants[name]) for name in dq_input.input[1:3])
        self.bias = node.input[2]
        weights = array(constants[q_weights.input[0]])
        attributes = {a.name: a for a in node.attribute}
        steps, axis = array(constants[q_weights.input[1]]), axis_of(q_weights)
        held = quantize_values(weights, steps, axis) * broadcast_steps(steps, weights.ndim, axis).astype(np.float64)
        if node.op_type == "Gemm" and not ("transB" in attributes and attributes["transB"].i):
            weights, held = weights.T, held.T
        taps = tuple(range(2, weights.ndim))
        self.weights = weights.sum(axis=taps, dtype=np.float64)
        self.held_weights = held.sum(axis=taps)
        self.groups = int(attributes["group"].i) if "group" in attributes else 1

    def outputs(self, weights: NDArray[np.float64], means: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mean of each output channel, without bias, from the mean of each input channel."""
        grouped = weights.reshape(self.groups, -1, weights.shape[1])
        found: NDArray[np.float64] = np.einsum("goi,gi->go", grouped, means.reshape(self.groups, -1)).ravel()
        return found


def _means(
    fp32: ModelProto,
    input_name: str,
    layers_of: Sequence[Sequence[_Layer]],
    frames: Iterable[NDArray[Any]],
    task: ProgressTask,
) -> tuple[Means, list[Means]]:
    """Return the mean of every channel of the layers' inputs: as it is, and as each graph rounds it."""
    steps_of = [{layer.source: (layer.step, layer.zero) for layer in layers} for layers in layers_of]
    sources = list(dict.fromkeys(name for steps in steps_of for name in steps))
    plain: dict[str, list[NDArray[np.float64]]] = {name: [] for name in sources}
    rounded: list[dict[str, list[NDArray[np.float64]]]] = [{name: [] for name in steps} for steps in steps_of]
    for arrays in watch_tensors(fp32, sources, input_name, frames, task):
        for name, values in zip(sources, arrays, strict=True):
            over = (0, *range(2, values.ndim))
            plain[name].append(values.mean(axis=over, dtype=np.float64))
            for steps, kept in zip(steps_of, rounded, strict=True):
                if name in steps:
                    kept[name].append(round_values(values, *steps[name]).mean(axis=over, dtype=np.float64))
    return _averaged(plain), [_averaged(kept) for kept in rounded]


def _averaged(kept: dict[str, list[NDArray[np.float64]]]) -> Means:
    return {name: np.mean(rows, axis=0) for name, rows in kept.items()}
