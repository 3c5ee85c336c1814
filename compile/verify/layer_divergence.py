"""Where two implementations of one graph part: their tensors compared layer by layer.

A tensor is only looked at where an operator reads it: there it lies in memory, whatever was fused before it. Even so, one
more reader can change what a backend fuses (a residual sum, say). So the predictions are compared with those of the graph
that hands out nothing: where all are the same to the bit, what was read is what runs. Where they are not, fewer
tensors are asked for at a time, down to one, and one that disturbs alone is marked with by how much. What a sum reads and
makes is asked for alone from the start, as it nearly always disturbs.

Each asking compiles the graph once more. After ``MAX_OPENED`` of them what is left is asked for together, and marked; what
lies next to where the others part comes first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import LayerDivergence, LayerParity
from weckd_edge.compile.backends import onnxruntime_backend, openvino_backend
from weckd_edge.compile.backends.layers import LayerReader, LayerValues
from weckd_edge.compile.graph import load_graph, producers
from weckd_edge.core.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

INT8_THRESHOLD_DB = 20.0
"""Two int8 implementations part where the difference holds more than a hundredth of a tensor's energy. Rounding alone comes
first: one step up or down on a fifth of the elements leaves 30 to 40 dB behind the first layers, less in deep networks."""

FLOAT_THRESHOLD_DB = 60.0
"""The same for float32: a millionth of the energy, far over the rounding of sums in another order."""

EQUAL_DB = 40.0
"""Falls are counted from so much over the threshold downwards: above it a handful of elements is one step apart."""

CHUNK = 32
"""So many tensors are asked for at a time, at first."""

MAX_OPENED = 16
"""So often a graph is compiled with some of its tensors handed out."""

_PAIR = ("QuantizeLinear", "DequantizeLinear")
_READERS = ("Conv", "Gemm", "MatMul", "Add", "Mul", "GlobalAveragePool", "AveragePool", "MaxPool", "ReduceMean", "Softmax")
_Open = Callable[[Sequence[str]], LayerReader]

OPENERS: dict[str, Callable[[Path, Sequence[str]], LayerReader]] = {
    "onnxruntime": onnxruntime_backend.open_layers,
    "openvino": openvino_backend.open_layers,
}
"""Backends whose tensors can be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorTap:
    """A tensor that an operator reads.

    Attributes:
        tensor: Its name in the graph.
        name: Name of the operator that makes it (the one in front of a Q/DQ pair).
        kind: That operator's ONNX type.
        alone: Whether a sum reads or makes it, so that it is asked for alone.
    """

    tensor: str
    name: str
    kind: str
    alone: bool


def find_divergence(
    onnx: Path,
    other: Path,
    backend: str,
    frames: Sequence[NDArray[np.uint8]],
    *,
    names: tuple[str, str],
    threshold_db: float = INT8_THRESHOLD_DB,
) -> LayerDivergence:
    """Compare a graph as it is written (ONNX Runtime without fusion) with what a backend makes of it, layer by layer.

    Args:
        onnx: The graph.
        other: What the backend opens: the same graph, or a model made from it that keeps its tensors' names.
        backend: A key of ``OPENERS``.
        frames: uint8 ``[1, H, W, 3]`` each, at least one; best those on which the predictions differ most.
        names: How the two are called in a report.
        threshold_db: They part where a layer's SQNR is under this.

    Raises:
        ModelError: A graph cannot be read, or not one frame was given.
    """
    if not frames:
        raise ModelError("expected frames to compare layers on, got none", code="E_MODEL_FRAME")
    taps = find_taps(load_graph(onnx).graph)

    written = OPENERS["onnxruntime"](onnx, [tap.tensor for tap in taps])

    def open_other(requested: Sequence[str]) -> LayerReader:
        return OPENERS[backend](other, requested)

    plain = [_run_reader(open_other([]), frame).probabilities for frame in frames]
    comparison = _Comparison(written, open_other, frames, plain)
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
        a=names[0],
        b=names[1],
        frames=len(frames),
        threshold_db=threshold_db,
        first=under[0] if under else None,
        steepest=steepest_fall([layer.sqnr_db for layer in layers], threshold_db + EQUAL_DB),
        layers=tuple(layers),
    )


def _is_under(layer: LayerParity, threshold_db: float) -> bool:
    return layer.sqnr_db is not None and layer.sqnr_db < threshold_db


def steepest_fall(sqnr_db: Sequence[float | None], top: float) -> int | None:
    """Return which layer falls furthest under the lowest before it; None where none is under ``top``."""
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
    while found is not None and found.op_type in _PAIR:
        found = made_by.get(found.input[0])
    return None if found is None or found.op_type == "Constant" else found


class _Comparison:
    """What is known so far of the tensors of two implementations.

    Args:
        written: The graph as it is written, with every tensor that will be asked for: nothing is fused in it.
        open_other: Opens the other.
        frames: What both answer.
        plain: The other's answers where it hands out nothing.
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
        """Compare tensors, fewer at a time where handing them out disturbs, until the graph was opened too often."""
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
    """Return the ratio in dB; None where nothing differs, and the least float where there is no signal at all."""
    if noise == 0:
        return None
    return 10 * math.log10(max(signal / noise, 1e-30))
