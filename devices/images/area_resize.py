"""Resize by area: each new pixel is the mean of the old ones that it covers, by covered area, in whole numbers.

Along an axis of ``S`` old and ``N`` new pixels, lengths are counted in units of ``1 / N`` of an old pixel. Old pixel ``j``
lies from ``j * N`` to ``(j + 1) * N``; new pixel ``i`` covers what lies from ``i * S`` to ``(i + 1) * S``. Its weights are
whole numbers that sum to 2048. With ``e`` the length that is covered up to the end of an old pixel, all of them up to there
weigh ``(2048 * e + S // 2) // S`` together; an old pixel's weight is the difference to the one before. The rows of the
picture come first, then its columns, colour by colour:

    t = (sum of (weight * value) over rows + 128) >> 8
    new = (sum of (weight * t) over columns + 8192) >> 14

``t`` counts eighths of a grey level and is at most 2040. Weights and values so have at most 11 significant bits, and sums
stay below 2**23: float32 gives the same bytes in any order of the sums. So do matrix products of TF32 or of float16 that sum
in float32. An axis that keeps its length keeps its pixels. Enlarging follows the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

TOTAL = 2048
"""Sum of the weights of one new pixel along one axis."""

EIGHTHS = 8
"""Value of one grey level between the two passes."""


ROWS_SHIFT, COLUMNS_SHIFT = 8, 14
"""Bits by which the rounded sums of the two passes are shifted down: rows to eighths, columns to grey levels."""

ROWS_HALF, COLUMNS_HALF = 1 << (ROWS_SHIFT - 1), 1 << (COLUMNS_SHIFT - 1)
"""What is added to a sum before it is shifted down, so that it is rounded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AreaWeights:
    """Weights of one axis.

    Attributes:
        first: First old pixel that each new one covers ``[N]``, int64.
        weights: Weight of that old pixel and of those behind it ``[N, taps]``, int32; each row sums to 2048. A row of fewer
            pixels ends in zeros, whose pixels may lie outside the picture.
    """

    first: NDArray[np.int64]
    weights: NDArray[np.int32]

    def places(self, source: int) -> NDArray[np.int64]:
        """Return the old pixel of each weight ``[N, taps]``; one that would lie outside is the last of the ``source``."""
        places: NDArray[np.int64] = self.first[:, None] + np.arange(self.weights.shape[1])
        return places.clip(max=source - 1)

    def matrix(self, source: int) -> NDArray[np.int32]:
        """Return the weight of each of ``source`` old pixels in each new one ``[N, source]``."""
        matrix = np.zeros((len(self.first), source), np.int32)
        np.add.at(matrix, (np.arange(len(self.first))[:, None], self.places(source)), self.weights)
        return matrix


@lru_cache(maxsize=64)
def area_weights(source: int, target: int) -> AreaWeights:
    """Return the weights of an axis that is resized by area.

    Args:
        source: Number of old pixels, at least 1.
        target: Number of new pixels, at least 1.

    Raises:
        ValueError: A number is under 1, or an old pixel would get no weight: there are over 2048 for each new one.
    """
    if min(source, target) < 1 or source > TOTAL * target:
        raise ValueError(
            f"{source} to {target} pixels: expected at least 1 each, and at most {TOTAL} old ones for each new one"
        )
    start = np.arange(target, dtype=np.int64) * source
    first = start // target
    taps = int(((start + source - 1) // target - first).max()) + 1
    ends = (first[:, None] + np.arange(1, taps + 1)) * target - start[:, None]
    together = (TOTAL * ends.clip(max=source) + source // 2) // source
    weights = np.diff(together, axis=1, prepend=0).astype(np.int32)
    first.setflags(write=False)
    weights.setflags(write=False)
    return AreaWeights(first=first, weights=weights)


def resize_area(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize a picture by area.

    Args:
        pixels: The picture, uint8 ``[H, W, channels]``; any strides.
        height: Height of the result, pixels.
        width: Width of the result, pixels.

    Returns:
        uint8 ``[height, width, channels]``; a picture of this size already is returned as it is.

    Raises:
        ValueError: A side is empty, or over 2048 times as long as the result's.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    rows = _weighted_sums(pixels.astype(np.int32), height)
    columns = _weighted_sums(((rows + ROWS_HALF) >> ROWS_SHIFT).swapaxes(0, 1), width)
    resized: NDArray[np.uint8] = ((columns + COLUMNS_HALF) >> COLUMNS_SHIFT).astype(np.uint8).swapaxes(0, 1)
    return np.ascontiguousarray(resized)


def _weighted_sums(values: NDArray[np.int32], target: int) -> NDArray[np.int32]:
    """Return the weighted sums along the first axis ``[target, ...]`` of values ``[S, ...]``, times 2048."""
    axis, source = area_weights(len(values), target), len(values)
    sums = np.zeros((target, *values.shape[1:]), np.int32)
    for places, weights in zip(axis.places(source).T, axis.weights.T, strict=True):
        sums += values[places] * weights.reshape(-1, *[1] * (values.ndim - 1))
    return sums
