"""Find the range of each tensor: one pass over the calibration frames, from which every way of clipping is computed.

A pass keeps one histogram of magnitudes a tensor, so that its memory does not grow with the number of frames. The ways:

- ``minmax``: nothing is clipped;
- ``percentile``: the largest thousandth of a percent of the values is clipped;
- ``entropy``: the clipped and rounded histogram keeps the most information (least Kullback-Leibler divergence; Migacz,
  "8-bit inference with TensorRT", GTC 2017);
- ``mse``: rounding and clipping together make the least squared error.

ONNX Runtime's own calibrators are not used: they keep every activation in memory or, for entropy with their defaults, clip
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.errors import ModelError, WeckdError, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import ProgressTask

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

Method = Literal["minmax", "percentile", "entropy", "mse"]
METHODS: tuple[Method, ...] = get_args(Method)

BINS = 2048

PERCENTILE_FRACTION = 0.99999
"""Part of a tensor's values inside a ``percentile`` range, 0..1."""

_STRIDE = 8


class Histogram:
    """Histogram of one tensor's magnitudes, in ``BINS`` equal bins that widen twofold when a larger value comes.

    Attributes:
        counts: Number of magnitudes in each bin, ``[BINS]``.
        width: Width of a bin.
        largest: Largest magnitude.
        smallest: Smallest value: 0 or more where the tensor was never negative.
    """

    def __init__(self) -> None:
        self.counts: NDArray[np.int64] = np.zeros(BINS, dtype=np.int64)
        self.width = 0.0
        self.largest = 0.0
        self.smallest = 0.0

    def add(self, values: NDArray[np.float32]) -> None:
        """Count values of any shape.

        Raises:
            ValueError: A value is not finite.
        """
        magnitudes = np.abs(values, dtype=np.float32).ravel()
        largest = float(magnitudes.max(initial=0.0))
        if not np.isfinite(largest):
            raise ValueError("a value is not finite")
        if self.width == 0.0 and largest > 0:
            self.width = largest / BINS
        while largest > self.width * BINS:
            self.counts[: BINS // 2] = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[BINS // 2 :] = 0
            self.width *= 2
        self.largest = max(self.largest, largest)
        self.smallest = min(self.smallest, float(np.min(values, initial=0.0)))
        places = (magnitudes * np.float32(1 / self.width if self.width else 0)).astype(np.int32)
        self.counts += np.bincount(np.minimum(places, BINS - 1, out=places), minlength=BINS)

    def limit(self, method: Method, levels: int) -> float:
        """Return the largest magnitude that int8 holds when clipped by a method; 0 where every value was 0.

        Args:
            method: How the range is clipped.
            levels: Number of steps between 0 and the limit.
        """
        if method == "minmax" or self.width == 0.0:
            return self.largest
        return min(self.largest, _LIMITS[method](self.counts, levels) * self.width)


def _percentile(counts: NDArray[np.int64], levels: int) -> float:
    """Return the place to clip, in bins, below which ``PERCENTILE_FRACTION`` of the values lie."""
    del levels
    return float(np.searchsorted(np.cumsum(counts), PERCENTILE_FRACTION * counts.sum()) + 1)


def _mse(counts: NDArray[np.int64], levels: int) -> float:
    """Return the place to clip, in bins, with the least squared error of rounding and clipping."""
    centres = np.arange(BINS) + 0.5
    best, minimum = float(BINS), np.inf
    for last in range(levels, BINS + 1, _STRIDE):
        step = last / levels
        kept = np.minimum(np.rint(centres / step), levels) * step
        # Inside one bin the values spread evenly around its centre, which adds the same error to every choice.
        error = float(counts @ (centres - kept) ** 2)
        if error < minimum:
            best, minimum = float(last), error
    return best


def _entropy(counts: NDArray[np.int64], levels: int) -> float:
    """Return the place to clip, in bins, with the least divergence between the histogram and its rounded form."""
    shape = counts.astype(np.float64)
    shape[0] = shape[1]  # after a ReLU half of all values are 0, which every range holds exactly
    best, minimum = float(BINS), np.inf
    for last in range(levels + 1, BINS + 1, _STRIDE):
        clipped = shape[:last].copy()
        clipped[-1] += shape[last:].sum()
        starts = np.arange(levels) * last // levels
        sizes = np.diff(np.append(starts, last))
        filled = shape[:last] > 0
        sums = np.add.reduceat(shape[:last], starts)
        spread = np.repeat(sums / np.maximum(np.add.reduceat(filled.astype(np.float64), starts), 1), sizes) * filled
        if (total := clipped.sum()) == 0 or spread.sum() == 0:
            continue
        p, q = clipped / total, spread / spread.sum()
        some = p > 0
        divergence = float((p[some] * np.log(p[some] / np.maximum(q[some], 1e-12))).sum())
        if divergence < minimum:
            best, minimum = float(last), divergence
    return best


_LIMITS: dict[str, Callable[[NDArray[np.int64], int], float]] = {"percentile": _percentile, "entropy": _entropy, "mse": _mse}


def observe_ranges(
    model: ModelProto, names: Sequence[str], input_name: str, frames: Iterable[NDArray[Any]], task: ProgressTask
) -> dict[str, Histogram]:
    """Classify calibration frames and count the values of the named tensors.

    Args:
        model: FP32 graph, with the types of its tensors inferred.
        names: Names of float tensors.
        input_name: Name of the graph's input.
        frames: Inputs, one after another.
        task: Progress, which advances by one a frame.

    Raises:
        DataError: A frame cannot be read.
        ModelError: ONNX Runtime cannot run the graph, or a tensor holds a value that is not finite.
    """
    found = {name: Histogram() for name in names}
    for arrays in watch_tensors(model, names, input_name, frames, task):
        for name, values in zip(names, arrays, strict=True):
            try:
                found[name].add(values)
            except ValueError as err:
                raise ModelError(
                    f"calibration: tensor '{name}' holds a value that is not finite; train again", code="E_MODEL_NOT_FINITE"
                ) from err
    return found


def watch_tensors(
    model: ModelProto, names: Sequence[str], input_name: str, frames: Iterable[NDArray[Any]], task: ProgressTask
) -> Iterator[list[NDArray[Any]]]:
    """Classify frames, and yield for each the values of the named tensors. The arguments are those of ``observe_ranges``.

    Where no tensor is named, no frame is classified.

    Raises:
        DataError: A frame cannot be read.
        ModelError: ONNX Runtime cannot run the graph.
    """
    if not names:  # ONNX Runtime would return every output
        return
    ort: Any = require("onnxruntime", "quantize a network")
    watched = with_outputs(model, names)
    options = ort.SessionOptions()
    options.log_severity_level = 3
    try:
        session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for frame in frames:
            yield session.run(list(names), {input_name: frame})
            task.advance()
    except WeckdError:
        raise
    except Exception as err:  # ONNX Runtime's own errors have no common base class
        raise ModelError(f"ONNX Runtime cannot run this network ({first_line(err)})", code="E_MODEL_BACKEND_RUN") from err


def with_outputs(model: ModelProto, names: Sequence[str]) -> ModelProto:
    """Return a copy of a graph that has the named tensors as further outputs.

    Raises:
        ModelError: The graph does not tell a tensor's type.
    """
    watched = type(model)()
    watched.CopyFrom(model)
    graph: GraphProto = watched.graph
    there = {output.name for output in graph.output}
    known = {info.name: info for info in graph.value_info}
    graph.output.extend(known[name] for name in names if name not in there and name in known)
    missing = set(names) - there - set(known)
    if missing:
        raise ModelError(
            f"the graph does not tell the type of tensor '{min(missing)}'; export it again", code="E_MODEL_GRAPH"
        )
    return watched
