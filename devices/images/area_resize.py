"""Resize by area: each new pixel is the mean of the old ones that it covers, by covered area, in whole numbers.

Along an axis of ``S`` old and ``N`` new pixels, lengths are counted in units of ``1 / N`` of an old pixel. Old pixel ``j``
lies from ``j * N`` to ``(j + 1) * N``; new pixel ``i`` covers what lies from ``i * S`` to ``(i + 1) * S``. Its weights are
whole numbers that sum to 128. With ``e`` the length that is covered up to the end of an old pixel, all of them up to there
weigh ``(128 * e + S // 2) // S`` together; an old pixel's weight is the difference to the one before. Where a new pixel
covers over 128 old ones, some of them have the weight 0. With ``down`` the weights of the rows and ``across`` those of the
columns, colour by colour:

    new = (sum of (down * across * value) + 8192) >> 14

It is rounded once. Sums over rows alone are at most 32,640, which 16 bits hold, and all sums stay below 2**22: float32 gives
the same bytes in any order of the sums. An axis that keeps its length keeps its pixels. Enlarging follows the same rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from weckd_edge.devices.native import library

TOTAL = 128
"""Sum of the weights of one new pixel along one axis."""

SHIFT = 14
"""Bits by which the rounded sum over rows and columns is shifted down to grey levels."""

HALF = 1 << (SHIFT - 1)
"""What is added to a sum before it is shifted down, so that it is rounded."""

BAND = 8
"""Number of new pixels of one matrix product; more would mostly multiply zeros, fewer would be slower one by one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AreaWeights:
    """Weights of one axis.

    Attributes:
        first: First old pixel that each new one covers ``[N]``, int64.
        weights: Weight of that old pixel and of those behind it ``[N, taps]``, int32; each row sums to 128. A row of fewer
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
        ValueError: A number is under 1.
    """
    if min(source, target) < 1:
        raise ValueError(f"{source} to {target} pixels: expected at least 1 each")
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
        ValueError: A side is empty.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    if min(*pixels.shape[:2], height, width) < 1:
        raise ValueError(f"{list(pixels.shape[:2])} to {[height, width]} pixels: expected at least 1 each")
    compiled = library.pixels_library()
    if compiled is not None and pixels.shape[2] == 3:
        return library.resize(compiled, pixels, height, width)
    return resize_by_numpy(pixels, height, width)


def resize_by_numpy(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize a picture by area with NumPy alone, to the bytes that ``resize_area`` gives; no side is empty."""
    rows, columns, channels = pixels.shape
    downs, acrosses = _bands(rows, height, 1), _bands(columns, width, channels)
    values = pixels.reshape(rows, columns * channels)
    sums = np.empty((height, columns * channels), np.float32)
    for new, old, matrix in downs:
        np.matmul(matrix, values[old].astype(np.float32), out=sums[new])
    levels = np.empty((height, width * channels), np.float32)
    for new, old, matrix in acrosses:
        np.matmul(sums[:, old], matrix.T, out=levels[:, new])
    levels += HALF
    levels *= 1 / (1 << SHIFT)
    return levels.astype(np.uint8).reshape(height, width, channels)


@lru_cache(maxsize=64)
def _bands(source: int, target: int, channels: int) -> tuple[tuple[slice, slice, NDArray[np.float32]], ...]:
    """Return an axis as matrix products, exact in float32: slices of the new and of the old values, and the weights.

    Values of one axis are its pixels' channels, one after the other.
    """
    axis, bands = area_weights(source, target), []
    for start in range(0, target, BAND):
        first, weights = axis.first[start : start + BAND], axis.weights[start : start + BAND]
        old, count = int(first[0]), len(first)
        end = min(source, int(first[-1]) + weights.shape[1])
        part = AreaWeights(first=first - old, weights=weights).matrix(end - old)
        matrix = np.zeros((count * channels, (end - old) * channels), np.float32)
        for channel in range(channels):
            matrix[channel::channels, channel::channels] = part
        new = slice(start * channels, (start + count) * channels)
        bands.append((new, slice(old * channels, end * channels), matrix))
    return tuple(bands)
