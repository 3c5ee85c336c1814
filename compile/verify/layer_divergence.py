"""Find the layer where two implementations of one graph diverge, by comparing their tensors layer by layer.

A tensor is only looked at where an operator reads it: there it lies in memory, whatever was fused before it. Even so, one
more reader can change what a backend fuses (a residual sum, say). So the predictions are compared with those of the graph
without further outputs: where all are the same to the bit, the tensors that were read are those of the model that runs.
Where they are not, fewer tensors are asked for at a time, down to one, and one that disturbs alone is marked with the
disturbance. Inputs and outputs of a sum are asked for alone from the start, as they nearly always disturb.

Each request compiles the graph once more. After ``MAX_OPENED`` requests the remaining tensors are asked for together, and
marked; those next to the layer where the others diverge come first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import LayerDivergence, LayerParity
from weckd_edge.compile.backends import onnxruntime_backend, openvino_backend
from weckd_edge.compile.backends.layers import LayerOpener, LayerReader, LayerValues
from weckd_edge.compile.graph import load_graph, producers
from weckd_edge.compile.quantize.qdq_nodes import PAIR
from weckd_edge.compile.verify.implementations import Implementation
from weckd_edge.core.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

INT8_THRESHOLD_DB = 20.0
"""SQNR under which two int8 implementations diverge, dB: the difference holds a hundredth of a tensor's energy.

Rounding alone stays over it: one step up or down on a fifth of the elements leaves 30 to 40 dB behind the first layers, less
in deep networks.
"""

FLOAT_THRESHOLD_DB = 60.0
"""SQNR under which two float32 implementations diverge, dB; sums rounded in another order stay far over it."""

EQUAL_DB = 40.0
"""Margin over the threshold under which a fall counts, dB: above it a handful of elements is one step apart."""

CHUNK = 32
"""Number of tensors that are first asked for at a time."""

MAX_OPENED = 16
"""Most times that a graph is compiled with some of its tensors as further outputs."""

_READERS = ("Conv", "Gemm", "MatMul", "Add", "Mul", "GlobalAveragePool", "AveragePool", "MaxPool", "ReduceMean", "Softmax")
_Open = Callable[[Sequence[str]], LayerReader]

OPENERS: dict[str, LayerOpener] = {
    "onnxruntime": onnxruntime_backend.open_layers,
    "openvino": openvino_backend.open_layers,
}
"""Functions that open a model with tensors from inside it, by backend."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorTap:
    """A tensor that an operator reads.

    Attributes:
        tensor: Name of the tensor in the graph.
        name: Name of the operator that makes it (the one in front of a Q/DQ pair).
        kind: ONNX type of that operator.
        alone: Whether a sum reads or makes it, so that it is asked for alone.
    """

    tensor: str
    name: str
    kind: str
    alone: bool


def find_divergence(
    written: Implementation,
    other: Implementation,
    frames: Sequence[NDArray[np.uint8]],
    *,
    threshold_db: float = INT8_THRESHOLD_DB,
) -> LayerDivergence:
    """Compare a graph as it is written (ONNX Runtime, unfused) with a backend's model of it as it runs, layer by layer.

    Args:
        written: Implementation whose model is the graph.
        other: Implementation that is compared with it, of a backend in ``OPENERS``. Its model is the same graph, or one made
            from it that keeps its tensors' names.
        frames: Frames as the graphs take them, uint8, at least one; best those on which the predictions differ most.
        threshold_db: SQNR of a layer under which the two diverge, dB.

    Raises:
        ModelError: A graph cannot be read, or not one frame was given.
    """
    if not frames:
        raise ModelError("expected frames to compare layers on, got none", code="E_MODEL_FRAME")
    taps = find_taps(load_graph(written.model).graph)
    read_written = OPENERS["onnxruntime"](written.model, [tap.tensor for tap in taps], reference=True)

    def open_other(requested: Sequence[str]) -> LayerReader:
        return OPENERS[other.backend](other.model, requested, reference=other.as_written, half=other.half)

    plain = [_run_reader(open_other([]), frame).probabilities for frame in frames]
    comparison = _Comparison(read_written, open_other, frames, plain)
    quiet = [tap for tap in taps if not tap.alone]
    for start in range(0, len(quiet), CHUNK):
        comparison.compare(quiet[start : start + CHUNK])
    found = comparison.found
    places = [at for at, p in enumerate(taps) if p.tensor in found and _is_under(found[p.tensor], threshold_db)]
    near = places[0] if places else 0
    loud = [(abs(at - near), tap) for at, tap in enumerate(taps) if tap.alone]
    loud.sort(key=lambda pair: pair[0])
    left = [tap for _, tap in loud]
    while left and comparison.opened < MAX_OPENED:
        comparison.compare([left.pop(0)])
    comparison.compare(left)
    layers = [found[tap.tensor] for tap in taps]
    under = [at for at, layer in enumerate(layers) if _is_under(layer, threshold_db)]
    return LayerDivergence(
        a=written.name,
        b=other.name,
        frames=len(frames),
        threshold_db=threshold_db,
        first=under[0] if under else None,
        steepest=steepest_fall([layer.sqnr_db for layer in layers], threshold_db + EQUAL_DB),
        layers=tuple(layers),
    )


def _is_under(layer: LayerParity, threshold_db: float) -> bool:
    return layer.sqnr_db is not None and layer.sqnr_db < threshold_db


def steepest_fall(sqnr_db: Sequence[float | None], top: float) -> int | None:
    """Return the place of the layer whose SQNR falls furthest under the lowest before it; None where all reach ``top``."""
    lowest, falls = top, []
    for value in sqnr_db:
        here = lowest if value is None else min(value, lowest)
        falls.append(lowest - here)
        lowest = here
    return falls.index(max(falls)) if any(falls) else None


def find_taps(graph: GraphProto) -> tuple[TensorTap, ...]:
    """Return the tensors that operators read and other operators make, in graph order; constants are left out."""
    made_by = producers(graph)
    read = {name for node in graph.node if node.op_type in _READERS for name in node.input}
    read.add(graph.output[0].name)
    summed = {name for node in graph.node if node.op_type == "Add" for name in node.input}
    taps = []
    for node in graph.node:
        for tensor in node.output:
            source = _source(node, made_by)
            if tensor in read and source is not None:
                alone = tensor in summed or source.op_type == "Add"
                taps.append(TensorTap(tensor=tensor, name=source.name or source.op_type, kind=source.op_type, alone=alone))
    return tuple(taps)


def _source(node: NodeProto, made_by: dict[str, NodeProto]) -> NodeProto | None:
    """Return the operator in front of Q and DQ; None behind a constant."""
    found: NodeProto | None = node
    while found is not None and found.op_type in PAIR:
        found = made_by.get(found.input[0])
    return None if found is None or found.op_type == "Constant" else found


class _Comparison:
    """Comparison of two implementations, tensor by tensor.

    Args:
        written: Reader of the graph as it is written, unfused, with every tensor that will be asked for.
        open_other: Opens a reader of the other implementation.
        frames: Frames that both classify, as the graphs take them, uint8.
        plain: Predictions of the other without further outputs, ``[classes]`` for each frame.
    """

    def __init__(
        self,
        written: LayerReader,
        open_other: _Open,
        frames: Sequence[NDArray[np.uint8]],
        plain: Sequence[NDArray[np.float32]],
    ) -> None:
        self._written, self._open_other, self._frames, self._plain = written, open_other, frames, plain
        self.opened = 0
        self.found: dict[str, LayerParity] = {}

    def compare(self, taps: Sequence[TensorTap]) -> None:
        """Compare tensors, fewer at a time where reading them disturbs, until the graph was opened too often."""
        if not taps:
            return
        self.opened += 1
        tensors = [tap.tensor for tap in taps]
        other = self._open_other(tensors)
        signal, noise, peak, largest = (np.zeros(len(taps)) for _ in range(4))
        disturbed = 0.0
        for frame, output in zip(self._frames, self._plain, strict=True):
            a, b = _run_reader(self._written, frame), _run_reader(other, frame)
            disturbed = max(disturbed, float(np.abs(b.probabilities - output).max()))
            if disturbed and self._may_divide(taps):
                break
            for at, tensor in enumerate(tensors):
                one, two = (values.tensors[tensor].astype(np.float64).reshape(-1) for values in (a, b))
                signal[at] += (one**2).sum()
                noise[at] += ((one - two) ** 2).sum()
                peak[at] = max(peak[at], np.abs(one).max())
                largest[at] = max(largest[at], np.abs(one - two).max())
        if disturbed and self._may_divide(taps):
            half = len(taps) // 2
            self.compare(taps[:half])
            self.compare(taps[half:])
            return
        for at, tap in enumerate(taps):
            self.found[tap.tensor] = LayerParity(
                name=tap.name,
                kind=tap.kind,
                sqnr_db=_decibel(signal[at], noise[at]),
                max_abs=float(largest[at]),
                peak=float(peak[at]),
                disturbed=disturbed,
            )

    def _may_divide(self, taps: Sequence[TensorTap]) -> bool:
        return len(taps) > 1 and self.opened < MAX_OPENED


def _run_reader(reader: LayerReader, frame: NDArray[np.uint8]) -> LayerValues:
    return reader(np.ascontiguousarray(frame))


def _decibel(signal: float, noise: float) -> float | None:
    """Return the ratio in dB; None where nothing differs, -300 where there is no signal at all."""
    if noise == 0:
        return None
    return 10 * math.log10(max(signal / noise, 1e-30))
