"""Resize by an antialiased filter, as Pillow does it and torchvision and timm with it: bilinear and bicubic.

Along an axis of ``S`` old and ``N`` new pixels, new pixel ``i`` lies at ``(i + 0.5) * S / N``. Where the axis shrinks, the
filter is stretched by ``S / N``, so that every old pixel counts. The weights of a new pixel sum to 1 but for their
rounding to 22 bits behind the point. The columns of the picture come first, then its rows; after each, values are cut to
0..255 and rounded to whole grey levels, halves up. So the result is Pillow's to the bit, in float64 and, with weights that
are taken apart, in float32 (``compile/export/filter_form.py``).

Pillow 13 takes the rows of a picture first where its height loses over twice as many pixels as its width, which older ones
never do. That holds for stretched frames, and for frames over twice as high as wide; they follow the older ones here.

An imported network's input is the middle of the scaled frame: rows and columns of the two matrices say which of the scaled
frame's pixels are made at all.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameSpec, crop_box

Floats = NDArray[np.float64]


def _triangle(x: Floats) -> Floats:
    found: Floats = np.maximum(1 - np.abs(x), 0)
    return found


def _cubic(x: Floats) -> Floats:
    """Return Keys' cubic with a = -0.5 (IEEE Trans. ASSP 29(6), 1981)."""
    x = np.abs(x)
    found: Floats = np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0))
    return found


UNIT = 1 << 22
"""Weight of 1 in the whole numbers that Pillow computes with."""

FILTERS: dict[str, tuple[float, Callable[[Floats], Floats]]] = {
    "antialiased_bilinear": (1.0, _triangle),
    "antialiased_bicubic": (2.0, _cubic),
}
"""Half of the width, in new pixels of a shrunk axis, and the function of each filter, by its name as a frame's resize."""


@lru_cache(maxsize=64)
def filter_weights(kind: str, source: int, target: int) -> Floats:
    """Return the weight of each old pixel in each new one ``[target, source]``, in whole multiples of 2**-22.

    Args:
        kind: Name of the filter.
        source: Number of old pixels, at least 1.
        target: Number of new pixels, at least 1.
    """
    reach, function = FILTERS[kind]
    if source == target:
        return np.eye(source)
    stretched = max(source / target, 1.0)
    middles = (np.arange(target)[:, None] + 0.5) * (source / target)
    old = np.arange(source)[None]
    first = np.maximum((middles - reach * stretched + 0.5).astype(np.int64), 0)
    end = np.minimum((middles + reach * stretched + 0.5).astype(np.int64), source)
    weights = function((old - middles + 0.5) / stretched) * ((first <= old) & (old < end))
    weights /= weights.sum(axis=1, keepdims=True)
    weights = np.trunc(weights * UNIT + np.copysign(0.5, weights)) / UNIT
    weights.setflags(write=False)
    return weights


@lru_cache(maxsize=16)
def filter_axes(spec: FrameSpec, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """Return the weights of the frame's rows in each row of the network's input, and those of its columns.

    Args:
        spec: Frame whose ``resize`` is one of ``FILTERS``.
        size: Height and width of the network's input, pixels.

    Returns:
        Float64 ``[size[0], spec.height]`` and ``[size[1], spec.width]``.
    """
    frame = (spec.height, spec.width)
    if spec.scaled_size is not None:
        whole = (filter_weights(spec.resize, old, new) for old, new in zip(frame, spec.scaled_size, strict=True))
        # The middle of an odd rest is torchvision's, halves to the even number.
        starts = (round((new - kept) / 2) for new, kept in zip(spec.scaled_size, size, strict=True))
        rows, columns = (axis[at : at + kept] for axis, at, kept in zip(whole, starts, size, strict=True))
        return rows, columns
    top, left, height, width = crop_box(spec)
    axes = []
    for before, kept, side, new in zip((top, left), (height, width), frame, size, strict=True):
        axes.append(np.pad(filter_weights(spec.resize, kept, new), ((0, 0), (before, side - before - kept))))
    return axes[0], axes[1]
