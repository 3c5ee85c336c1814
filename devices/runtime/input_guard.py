"""The input guard: features of a camera frame, and whether it is like the frames that the network was trained on.

Everything is counted in whole numbers on a grid of 64 x 64 pixels of the frame's crop, each with its four neighbours in the
frame itself, so that blur is seen. Then come sums, products, quotients and square roots of doubles in a fixed order. IEEE
754 rounds each of them in one way only, so that the C library gives the same numbers to the bit.

The score is the squared Mahalanobis distance from the training frames (Lee et al. 2018, arXiv 1807.03888), here of features
of the frame, not of the network: it costs little, runs before the network and is the same for every backend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from ctypes import CDLL
from dataclasses import astuple, dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import SCHEMA_VERSION, FrameGuard, FrameQuality, FrameSpec, crop_box
from weckd_edge.bundle.manifest_rules import MAX_DEPTH
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import BundleError
from weckd_edge.core.serialization import from_data, parse_json
from weckd_edge.devices.native.guard import CompiledGuard, GuardNumbers, GuardStatistics
from weckd_edge.devices.native.library import pixels_library

Floats = NDArray[np.float64]

GRID = 64
"""Number of points along each side of the grid."""

LAGS = (1, 2, 4, 8, 16)
"""Distances, in points of the grid, at which differences of luminance are taken."""

BINS = 8
"""Number of equal bins of the histogram of luminance."""

CELLS = 4
"""Number of cells along each side of the layout; a cell has 16 x 16 points."""

DARK = 16
"""Luminance under which a point counts as near black."""

BRIGHT = 250
"""Luminance from which on a point counts as near white."""

MIN_SIDE = 3
"""Shortest side of a crop, pixels; a shorter one has no point with four neighbours."""

FEATURES = 3 + 3 + 2 + 3 + 2 * len(LAGS) + BINS + CELLS**2 + 4
"""Number of features that describe a frame."""

COUNT = GRID * GRID
"""Number of points of the grid."""

MAX_BYTES = 1 << 20
"""Largest file of a guard, bytes."""

MAX_NUMBER = 1e30
"""Largest absolute value of a number in that file, so that no score overflows, whatever the frame."""

_TINY = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFeatures:
    """Features of one frame.

    Attributes:
        quality: Quality of the frame, as a user is told it.
        features: Features that the score is made of, float64 ``[FEATURES]``.
    """

    quality: FrameQuality
    features: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardDecision:
    """Decision of the guard on one frame.

    Attributes:
        code: Reason for refusing the frame: the first that holds of ``too_dark``, ``too_bright``, ``flat``, ``blurred`` and
            ``out_of_distribution``; None: the frame may be predicted.
        words: The reason in words; None where the frame may be predicted.
        quality: Quality of the frame.
        ood_score: Squared distance from the training frames, at least 0.
        whitened: Whitened features, float64 ``[FEATURES]``, whose squared length is the score; of two frames, the squared
            length of their difference says how unlike they are. Decisions that differ in it alone are equal.
    """

    code: str | None
    words: str | None
    quality: FrameQuality
    ood_score: float
    whitened: Floats = field(compare=False, repr=False)


def grid_positions(start: int, side: int) -> NDArray[np.int64]:
    """Return the grid's places along one axis of the frame ``[GRID]``, each with a neighbour on both sides in the crop.

    Args:
        start: First pixel of the crop.
        side: Side of the crop, pixels, at least ``MIN_SIDE``.
    """
    return start + 1 + (2 * np.arange(GRID) + 1) * (side - 2) // (2 * GRID)


@lru_cache(maxsize=8)
def _places(spec: FrameSpec) -> NDArray[np.int64]:
    """Return the places of pixels in the flat frame ``[5, GRID, GRID]``: the points, and above, below, left and right."""
    top, left, height, width = crop_box(spec)
    points = grid_positions(top, height)[:, None] * spec.width + grid_positions(left, width)
    return np.stack([points + step for step in (0, -spec.width, spec.width, -1, 1)])


def measure_frame(frame: NDArray[np.uint8], spec: FrameSpec) -> FrameFeatures:
    """Measure the features of one frame.

    Args:
        frame: uint8 ``[height, width, 3]`` or with a leading 1.
        spec: Size and crop of the frame; the crop has at least ``MIN_SIDE`` pixels a side.
    """
    library = pixels_library()
    if library is None:
        return _measure_by_numpy(frame, spec)
    numbers, features = _compiled_guard(library, spec).measure_all(frame.reshape(frame.shape[-3:]))
    return FrameFeatures(quality=_quality(numbers.judged), features=features)


@lru_cache(maxsize=8)
def _compiled_guard(library: CDLL, spec: FrameSpec) -> CompiledGuard:
    return CompiledGuard(library, crop_box(spec))


def _quality(numbers: Sequence[float]) -> FrameQuality:
    """Return the quality that the compiled library measured, behind the score."""
    _, sharpness, contrast, dark, bright = numbers
    return FrameQuality(sharpness=sharpness, contrast=contrast, dark_fraction=dark, bright_fraction=bright)


def _measure_by_numpy(frame: NDArray[np.uint8], spec: FrameSpec) -> FrameFeatures:
    pixels = frame.reshape(-1, 3).take(_places(spec), axis=0)
    light = luminance(pixels)
    y, up, down, before, after = light  # whole numbers in doubles: their sums stay far under 2^53 and are exact
    bend = 4 * y - up - down - before - after
    bent = bend * bend
    colours = pixels[0].reshape(COUNT, 3).T.astype(np.float64)
    red, green, blue = colours
    sums = [float(channel.sum()) for channel in colours]
    found = [total / COUNT for total in sums]
    found += [deviation(_squares(channel), total) for channel, total in zip(colours, sums, strict=True)]
    found.append(deviation(_squares(red - green), sums[0] - sums[1]))
    found.append(deviation(_squares(green - blue), sums[1] - sums[2]))
    found += [
        double_root(float(bent.sum()), COUNT),
        double_root(_squares(after - before), COUNT),
        double_root(_squares(down - up), COUNT),
    ]
    for lag in LAGS:
        pairs = GRID * (GRID - lag)
        found.append(double_root(_squares(y[:, lag:] - y[:, :-lag]), pairs))
        found.append(double_root(_squares(y[lag:] - y[:-lag]), pairs))
    levels = np.bincount(y.astype(np.int64).reshape(-1), minlength=256)
    found += [math.sqrt(level / COUNT) for level in levels.reshape(BINS, -1).sum(axis=1).tolist()]
    found += [total / (COUNT // CELLS**2) for total in _cells(y, CELLS)]
    found += [double_root(total, COUNT // 4) for total in _cells(bent, 2)]
    quality = FrameQuality(
        sharpness=deviation(float(bent.sum()), float(bend.sum())),
        contrast=deviation(_squares(y), float(y.sum())),
        dark_fraction=int(levels[:DARK].sum()) / COUNT,
        bright_fraction=int(levels[BRIGHT:].sum()) / COUNT,
    )
    return FrameFeatures(quality=quality, features=np.array(found))


def luminance(pixels: NDArray[np.uint8]) -> Floats:
    """Return the luminance, 0..255, of RGB ``[..., 3]``: Rec. 601's weights in 256ths, rounded to nearest."""
    red, green, blue = (pixels[..., channel].astype(np.int32) for channel in range(3))
    return ((77 * red + 150 * green + 29 * blue + 128) >> 8).astype(np.float64)


def deviation(squares: float, total: float) -> float:
    """Return the standard deviation of a grid of whole numbers from the sum of their squares and their sum."""
    return math.sqrt((squares * COUNT - total * total) / (COUNT * COUNT))


def double_root(squares: float, count: int) -> float:
    """Return the square root of the root mean square: energies of frames differ by factors, their roots by steps."""
    return math.sqrt(math.sqrt(squares / count))


def _squares(values: Floats) -> float:
    flat = values.reshape(-1)
    return float(flat @ flat)


def _cells(values: Floats, cells: int) -> list[float]:
    side = GRID // cells
    sums: list[float] = values.reshape(cells, side, cells, side).sum(axis=(1, 3)).reshape(-1).tolist()
    return sums


def distances(features: Floats, mean: Floats, whitening: Floats) -> Floats:
    """Return squared Mahalanobis distances ``[N]`` of features ``[N, D]``: squared lengths of what ``whiten`` returns."""
    return squared_lengths(whiten(features, mean, whitening))


def squared_lengths(rows: Floats) -> Floats:
    """Return the squared length of each row ``[N]`` of numbers ``[N, D]``, summed in the order of the columns."""
    total: Floats = np.add.accumulate(rows * rows, axis=1)[:, -1]
    return total


def whiten(features: Floats, mean: Floats, whitening: Floats) -> Floats:
    """Return whitened features ``[N, D]``.

    Every sum is made in the order of the columns, whatever the number of rows.

    Args:
        features: Features ``[N, D]``, one row a frame.
        mean: Mean of the training frames' features ``[D]``.
        whitening: Lower triangular matrix ``[D, D]``; its transpose times itself is the inverse covariance.
    """
    difference = features - mean
    white = np.zeros_like(difference)
    for column in range(features.shape[1]):
        white += difference[:, column, None] * whitening[:, column]
    return white


def open_guard(bundle: Bundle) -> OpenGuard | None:
    """Open the input guard of a bundle that was proved whole; None: it has none.

    Raises:
        BundleError: The guard's file is too large, or does not hold a guard.
    """
    ref = bundle.manifest.guard
    if ref is None:
        return None
    if ref.bytes > MAX_BYTES:
        raise BundleError(f"{ref.path}: expected at most {MAX_BYTES} bytes, found {ref.bytes}", code="E_BUNDLE_LIMIT")
    data = parse_json(bundle.read(ref), where=ref.path, error=BundleError, deepest=MAX_DEPTH)
    return OpenGuard(from_data(FrameGuard, data, where=ref.path, error=BundleError), bundle.manifest.input.frame)


class OpenGuard:
    """An input guard that is ready to check frames.

    Args:
        guard: Contents of ``guard/guard.json``.
        spec: Size and crop of the frames.

    Attributes:
        guard: Contents of ``guard/guard.json``.
        spec: Size and crop of the frames.
        statistics: Mean and whitening matrix, as arrays.

    Raises:
        BundleError: The guard's numbers do not fit together, or are not of this version.
    """

    def __init__(self, guard: FrameGuard, spec: FrameSpec) -> None:
        _, _, height, width = crop_box(spec)
        if min(height, width) < MIN_SIDE:
            raise BundleError(
                f"guard: expected a crop of at least {MIN_SIDE} pixels a side, got {height} x {width}",
                code="E_BUNDLE_GUARD",
            )
        shape = [len(row) for row in guard.whitening]
        if len(guard.mean) != FEATURES or shape != list(range(1, FEATURES + 1)):
            raise BundleError(
                f"guard: expected the mean of {FEATURES} features and a triangle as high, got {len(guard.mean)} and "
                f"{len(shape)} rows",
                code="E_BUNDLE_GUARD",
            )
        self.guard = guard
        self.spec = spec
        mean, whitening = np.array(guard.mean), np.zeros((FEATURES, FEATURES))
        for row, values in enumerate(guard.whitening):
            whitening[row, : row + 1] = values
        self.statistics = GuardStatistics(mean=mean, whitening=whitening)
        limits = (*astuple(guard.limits), guard.max_ood_score)
        if guard.schema_version != SCHEMA_VERSION:
            text = f"expected format {SCHEMA_VERSION}, found {guard.schema_version}; update weckd-edge"
            raise BundleError(f"guard: {text}", code="E_BUNDLE_NEWER")
        numbers = (*guard.mean, *(value for row in guard.whitening for value in row), *(b for b in limits if b is not None))
        if not all(abs(number) <= MAX_NUMBER for number in numbers):
            raise BundleError(
                f"guard: expected numbers within {MAX_NUMBER:g}, got one that is beyond, or no number",
                code="E_BUNDLE_GUARD",
            )
        library = pixels_library()
        self._compiled = None if library is None else CompiledGuard(library, crop_box(spec), self.statistics)

    def check(self, frame: NDArray[np.uint8]) -> GuardDecision:
        """Decide whether a frame, uint8 ``[height, width, 3]`` or with a leading 1, may be predicted."""
        if self._compiled is not None:
            return self.decide(self._compiled.measure(frame.reshape(frame.shape[-3:])))
        features = measure_frame(frame, self.spec)
        white = whiten(features.features[None], self.statistics.mean, self.statistics.whitening)
        return self._decide(features.quality, float(squared_lengths(white)[0]), white[0])

    def decide(self, numbers: GuardNumbers) -> GuardDecision:
        """Decide on a frame that the compiled library measured."""
        return self._decide(_quality(numbers.judged), numbers.judged[0], numbers.whitened)

    def _decide(self, quality: FrameQuality, score: float, white: Floats) -> GuardDecision:
        code, words = self._refuse(quality, score)
        return GuardDecision(code=code, words=words, quality=quality, ood_score=score, whitened=white)

    def limit_ratio(self, decision: GuardDecision) -> float:
        """Return how close a frame comes to being refused: 1 is at the nearest limit, more is over it."""
        limits, quality, maximum = self.guard.limits, decision.quality, self.guard.max_ood_score
        parts = [
            (decision.ood_score, maximum),
            (quality.dark_fraction, limits.max_dark_fraction),
            (quality.bright_fraction, limits.max_bright_fraction),
        ]
        if limits.min_contrast is not None:
            parts.append((limits.min_contrast, quality.contrast))
        if limits.min_sharpness is not None:
            parts.append((limits.min_sharpness, quality.sharpness))
        return max((got / max(limit, _TINY) for got, limit in parts if limit is not None), default=0.0)

    def _refuse(self, quality: FrameQuality, score: float) -> tuple[str | None, str | None]:
        limits = self.guard.limits
        if limits.max_dark_fraction is not None and quality.dark_fraction > limits.max_dark_fraction:
            text = f"{quality.dark_fraction:.0%} of the frame is near black, at most {limits.max_dark_fraction:.0%} is taken"
            return "too_dark", f"too dark: {text}; is the lens covered or the light off?"
        if limits.max_bright_fraction is not None and quality.bright_fraction > limits.max_bright_fraction:
            most = limits.max_bright_fraction
            text = f"{quality.bright_fraction:.0%} of the frame is near white, at most {most:.0%} is taken"
            return "too_bright", f"too bright: {text}"
        if limits.min_contrast is not None and quality.contrast < limits.min_contrast:
            text = f"{quality.contrast:.3g} grey levels, at least {limits.min_contrast:.3g} are needed"
            return "flat", f"too little contrast: {text}"
        if limits.min_sharpness is not None and quality.sharpness < limits.min_sharpness:
            text = f"{quality.sharpness:.3g} grey levels of fine detail, at least {limits.min_sharpness:.3g} are needed"
            return "blurred", f"blurred: {text}"
        maximum = self.guard.max_ood_score
        if maximum is not None and not score <= maximum:
            text = f"{score:.4g} away, at most {maximum:.4g} is taken"
            return "out_of_distribution", f"not like the frames it was trained on: {text}"
        return None, None
