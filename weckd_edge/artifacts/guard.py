"""The input guard in a bundle: limits on image quality and on the OOD score."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameQuality:
    """Image quality of one frame, measured on the guard's grid of points.

    Attributes:
        sharpness: Standard deviation of the Laplacian of the luminance, grey levels.
        contrast: Standard deviation of the luminance, grey levels.
        dark_fraction: Fraction of the points that are near black, 0..1.
        bright_fraction: Fraction of the points that are near white, 0..1.
    """

    sharpness: float
    contrast: float
    dark_fraction: float
    bright_fraction: float


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityLimits:
    """Limits on image quality; the guard rejects a frame beyond one of them. None: no limit.

    Attributes:
        min_sharpness: Smallest accepted sharpness, grey levels.
        min_contrast: Smallest accepted contrast, grey levels.
        max_dark_fraction: Largest accepted fraction of near-black points, 0..1.
        max_bright_fraction: Largest accepted fraction of near-white points, 0..1.
    """

    min_sharpness: float | None = None
    min_contrast: float | None = None
    max_dark_fraction: float | None = None
    max_bright_fraction: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameGuard:
    """The file ``guard/guard.json``: limits on image quality, and the distribution of the training frames' features.

    Attributes:
        limits: Limits on image quality.
        mean: Mean of the training frames' features: ``D`` numbers in the order of ``devices/runtime/input_guard.py``.
        whitening: Whitening matrix ``[D, D]``, its lower triangle alone: row ``i`` has ``i + 1`` numbers. The OOD score is
            the squared length of the whitened distance from the mean.
        max_ood_score: Largest accepted OOD score; None: no limit.
        schema_version: Schema version of this record.
    """

    limits: QualityLimits
    mean: tuple[float, ...]
    whitening: tuple[tuple[float, ...], ...]
    max_ood_score: float | None
    schema_version: int = SCHEMA_VERSION
