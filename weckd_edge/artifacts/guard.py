"""The frame guard that travels in a bundle: which frames are not given to the network."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameQuality:
    """How good one frame is, counted on the guard's grid of points.

    Attributes:
        sharpness: Standard deviation of the Laplacian of the luminance, grey levels.
        contrast: Standard deviation of the luminance, grey levels.
        dark_fraction: Part of the points that are near black, 0..1.
        bright_fraction: Part of the points that are near white, 0..1.
    """

    sharpness: float
    contrast: float
    dark_fraction: float
    bright_fraction: float


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityLimits:
    """What a frame must reach to be answered; None: nothing is asked.

    Attributes:
        min_sharpness: See ``FrameQuality``.
        min_contrast: See ``FrameQuality``.
        max_dark_fraction: Of ``dark_fraction``, at most.
        max_bright_fraction: Of ``bright_fraction``, at most.
    """

    min_sharpness: float | None = None
    min_contrast: float | None = None
    max_dark_fraction: float | None = None
    max_bright_fraction: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameGuard:
    """The file ``guard/guard.json``: limits, and what the training frames look like.

    Attributes:
        limits: Of quality.
        mean: Of the frames' features, ``D`` numbers in the order of ``devices/runtime/input_guard.py``.
        whitening: Lower triangle, row ``i`` with ``i + 1`` numbers: it turns a frame's distance from the mean into
            ``D`` numbers whose squares add up to the score.
        max_ood_score: Largest score that is answered; None: any.
        schema_version: Of this record.
    """

    limits: QualityLimits
    mean: tuple[float, ...]
    whitening: tuple[tuple[float, ...], ...]
    max_ood_score: float | None
    schema_version: int = SCHEMA_VERSION
