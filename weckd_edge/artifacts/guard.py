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
        dark_share: Part of the points that are near black, 0..1.
        bright_share: Part of the points that are near white, 0..1.
    """

    sharpness: float
    contrast: float
    dark_share: float
    bright_share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityLimits:
    """What a frame must reach to be answered; None: nothing is asked.

    Attributes:
        least_sharpness: See ``FrameQuality``.
        least_contrast: See ``FrameQuality``.
        most_dark: Of ``dark_share``, at most.
        most_bright: Of ``bright_share``, at most.
    """

    least_sharpness: float | None = None
    least_contrast: float | None = None
    most_dark: float | None = None
    most_bright: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameGuard:
    """The file ``guard/guard.json``: limits, and what the training frames look like.

    Attributes:
        limits: Of quality.
        mean: Of the frames' features, ``D`` numbers in the order of ``devices/runtime/input_guard.py``.
        whitening: Lower triangle, row ``i`` with ``i + 1`` numbers: it turns a frame's distance from the mean into
            ``D`` numbers whose squares add up to the score.
        most_unfamiliar: Largest score that is answered; None: any.
        schema_version: Of this record.
    """

    bars: QualityLimits
    mean: tuple[float, ...]
    whitening: tuple[tuple[float, ...], ...]
    most_unfamiliar: float | None
    schema_version: int = SCHEMA_VERSION
