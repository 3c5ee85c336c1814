"""Attribution map by occlusion: parts of the frame are covered, and the change of the prediction is measured.

The deployed model itself is run, through its own runner: there is no gradient and no training framework. Occlusion
sensitivity is by Zeiler and Fergus (2014), "Visualizing and Understanding Convolutional Networks", arXiv 1311.2901. Each
pixel takes the weighted mean over all covers that touch it, as in Petsiuk et al. (2018), RISE, arXiv 1806.07421.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.devices.runtime.backends.base import Frame, Probabilities, Runner

Box = tuple[int, int, int, int]
"""A part of a frame: top, left, height, width, pixels."""

Fill = Literal["mean", "blur"]
"""Filling of a cover: the part's mean colour, or the part itself, blurred."""

_SURE = 1e-6
"""Smallest distance of a probability from 0 and 1 before its logarithm is taken."""

_BLUR = 0.08
"""Radius of the blur, as a fraction of the shorter side."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OcclusionSettings:
    """Covers of an occlusion map.

    Attributes:
        patch: Side of a cover as a fraction of the shorter side of the part that is looked at, 0..1. Covers fade out in
            their outer half.
        stride: Distance of two covers as a fraction of that side, 0..1.
        fill: Filling of a cover: the part's mean colour, or the part itself, blurred until only colour and light are left.
    """

    patch: float = 0.35
    stride: float = 0.07
    fill: Fill = "mean"

    def __post_init__(self) -> None:
        if not 0 < self.stride <= self.patch <= 1:
            raise ConfigError(
                f"expected 0 < stride <= patch <= 1, got stride {self.stride:g}, patch {self.patch:g}", code="E_CONFIG_RANGE"
            )
        if self.fill not in ("mean", "blur"):
            raise ConfigError(f"expected fill 'mean' or 'blur', got '{self.fill}'", code="E_CONFIG_CHOICE")


@dataclass(frozen=True, kw_only=True, slots=True)
class AttributionMap:
    """Evidence of every part of a frame for one label.

    Attributes:
        label: Index of the label.
        probability: Probability of the label for the uncovered frame.
        box: Part of the frame that was looked at.
        map: float32 ``[H, W]`` of the whole frame, 0 outside the box: fall of the label's log-odds where a pixel is covered,
            nats. A negative value speaks against the label.
        covering: Covers that were used.
        queries: Number of queries of the model.
    """

    label: int
    probability: float
    box: Box
    map: NDArray[np.float32]
    covering: OcclusionSettings
    queries: int

    @property
    def crop(self) -> NDArray[np.float32]:
        """Map of the box alone, ``[height, width]``."""
        top, left, height, width = self.box
        return self.map[top : top + height, left : left + width]


def map_attribution(
    runner: Runner,
    frame: Frame,
    label: int,
    *,
    box: Box | None = None,
    covering: OcclusionSettings | None = None,
    predicted: Probabilities | None = None,
) -> AttributionMap:
    """Cover one part of a frame after another, and map by how much a label's log-odds fall.

    Args:
        runner: The open model.
        frame: uint8 ``[1, H, W, 3]``, contiguous; it is not changed.
        label: Index of the label.
        box: Part that the model looks at; None is the whole frame.
        covering: Covers; None is ``OcclusionSettings()``, some 220 queries.
        predicted: Probabilities of the uncovered frame where they are known; None runs the model.

    Raises:
        ModelError: There is no such label, or the model gives no number.
    """
    covering = covering or OcclusionSettings()
    top, left, height, width = box = box or (0, 0, frame.shape[1], frame.shape[2])
    work = np.array(frame)
    view = work[0, top : top + height, left : left + width]
    crop = view.copy()
    to_fill = cover_of(crop, covering.fill).astype(np.float32) - crop
    side = min(height, width)
    rows = _windows(height, side, covering)
    columns = _windows(width, side, covering)
    probability = _of_label(runner.run(work) if predicted is None else predicted, label)
    falls = np.empty((len(rows), len(columns)), np.float32)
    for i, row in enumerate(rows):
        high = _support(row)
        for j, column in enumerate(columns):
            wide = _support(column)
            weight = np.outer(row[high], column[wide])[..., None]
            view[high, wide] = np.rint(crop[high, wide] + weight * to_fill[high, wide])
            falls[i, j] = _log_odds(probability) - _log_odds(probability_of(runner, work, label))
            view[high, wide] = crop[high, wide]
    found = np.zeros(frame.shape[1:3], np.float32)
    weights = np.outer(rows.sum(0), columns.sum(0))
    found[top : top + height, left : left + width] = rows.T @ falls @ columns / np.maximum(weights, 1e-6)
    return AttributionMap(
        label=label, probability=probability, box=box, map=found, covering=covering, queries=falls.size + 1
    )


def cover_of(crop: NDArray[np.uint8], fill: Fill) -> NDArray[np.uint8]:
    """Return the filling of the covers of a part of a frame, uint8 ``[height, width, 3]``."""
    if fill == "mean":
        colour = np.rint(crop.reshape(-1, 3).mean(0)).astype(np.uint8)
        return np.broadcast_to(colour, crop.shape)
    radius = _BLUR * min(crop.shape[:2])
    return np.array(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(radius)), dtype=np.uint8)


def probability_of(runner: Runner, frame: Frame, label: int) -> float:
    """Return the probability of one label, 0..1.

    Raises:
        ModelError: There is no such label, or the prediction is no number.
    """
    return _of_label(runner.run(frame), label)


def _of_label(output: Probabilities, label: int) -> float:
    if not 0 <= label < len(output):
        raise ModelError(f"expected a label from 0 to {len(output) - 1}, got {label}", code="E_MODEL_OUTPUT")
    value = float(output[label])
    if not np.isfinite(value):
        raise ModelError("the model gave no number, so that its evidence cannot be mapped", code="E_MODEL_NOT_FINITE")
    return value


def _windows(length: int, side: int, covering: OcclusionSettings) -> NDArray[np.float32]:
    """Return the covers along one axis, ``[covers, length]``: 1 in the inner half, then a raised cosine down to 0."""
    count = max(2, round(length / (covering.stride * side)) + 1)
    centres = np.linspace(0, length, count)[:, None]
    half = max(covering.patch * side, 2.0) / 2
    away = np.clip(2 * np.abs(np.arange(length)[None] + 0.5 - centres) / half - 1, 0, 1)
    return (0.5 + 0.5 * np.cos(np.pi * away)).astype(np.float32)


def _support(window: NDArray[np.float32]) -> slice:
    inside = np.flatnonzero(window > 1e-3)
    return slice(int(inside[0]), int(inside[-1]) + 1)


def _log_odds(probability: float) -> float:
    held = min(max(probability, _SURE), 1 - _SURE)
    return float(np.log(held / (1 - held)))
