"""Compare the FP16 form of a graph with the graph it was made from, on frames, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import load_graph
from weckd_edge.compile.quantize.fp16_form import LARGEST_HALF
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.runtime.backends.table import open_runner

HEADROOM = 4.0
"""Factor by which values on the tried frames must stay under the largest FP16 number, as other frames will come."""

HALF_TOLERANCE = 0.1
"""Largest 95th percentile, over frames, of a probability's difference between the FP16 form and its graph.

It is the same as between any two implementations of one int8 graph, as FP16 also rounds some values the other way.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class HalfCheck:
    """Comparison of the FP16 form with the graph it was made from, on the same frames, by ONNX Runtime.

    Attributes:
        frames: Number of frames.
        max_abs: Largest difference of a probability.
        p95_abs: 95th percentile, over frames, of a frame's largest difference of a probability.
        flips: Number of frames whose decision differs.
        largest: Largest absolute value of any tensor that the FP16 form holds in FP16.
        largest_tensor: Name of that tensor.
    """

    frames: int
    max_abs: float
    p95_abs: float
    flips: int
    largest: float
    largest_tensor: str


def check_half(plain: Path, half: Path, frames: Iterable[NDArray[np.uint8]]) -> HalfCheck:
    """Compare the FP16 form with the graph it was made from.

    Args:
        plain: Path of the graph.
        half: Path of its FP16 form.
        frames: Frames as the graphs take them, uint8; at least one.

    Raises:
        ModelError: A value comes too near the end of FP16, or the predictions differ by more than ``HALF_TOLERANCE``.
    """
    seen = list(frames)
    if not seen:
        raise ModelError("expected frames to compare the FP16 form on, got none", code="E_MODEL_FRAME")
    tensor, largest = _largest(plain, half, seen)
    if not largest <= LARGEST_HALF / HEADROOM:
        raise ModelError(
            f"FP16 would overflow: tensor '{tensor}' reaches {largest:.4g} of {LARGEST_HALF:g}, and a factor {HEADROOM:g} "
            "is kept free for other frames; train with batch norm or weight decay, or choose another network",
            code="E_MODEL_FP16",
        )
    one, other = _run_frames(plain, seen), _run_frames(half, seen)
    per_frame = np.abs(one.astype(np.float64) - other).max(axis=1)
    found = HalfCheck(
        frames=len(seen),
        max_abs=float(per_frame.max()),
        p95_abs=float(np.quantile(per_frame, 0.95)),
        flips=int((one.argmax(axis=1) != other.argmax(axis=1)).sum()),
        largest=largest,
        largest_tensor=tensor,
    )
    if not found.p95_abs <= HALF_TOLERANCE:
        raise ModelError(
            f"the FP16 form differs from the graph it was made from by {found.p95_abs:.3f} in a probability (95th "
            f"percentile of {len(seen)} frames), allowed is {HALF_TOLERANCE:g}; the network amplifies rounding",
            code="E_MODEL_FP16",
        )
    return found


def _largest(plain: Path, half: Path, frames: list[NDArray[np.uint8]]) -> tuple[str, float]:
    """Return the tensor with the largest absolute value among those that the FP16 form holds in FP16, and that value."""
    onnx, ort = require("onnx", "look into a graph"), require("onnxruntime", "look into a graph")
    in_half = {
        value.name
        for value in load_graph(half).graph.value_info
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT16
    }
    model = onnx.shape_inference.infer_shapes(load_graph(plain))
    watched = [value for value in model.graph.value_info if value.name in in_half]
    model.graph.output.extend(watched)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in watched]
    tensor, largest = "", 0.0
    for frame in frames:
        for name, value in zip(names, session.run(names, {session.get_inputs()[0].name: frame}), strict=True):
            reach = float(np.abs(value).max())
            if not reach <= largest:
                tensor, largest = name, reach
    return tensor, largest


def _run_frames(model: Path, frames: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    runner = open_runner("onnxruntime", model, reference=True)
    try:
        return np.stack([runner.run(np.ascontiguousarray(frame)) for frame in frames])
    finally:
        runner.close()
