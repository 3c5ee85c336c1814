"""What an image's pixels say of it: whether it looks like a mask, and whether there is anything to see."""

from __future__ import annotations

from collections.abc import Sequence

MIN_SIDE = 8
"""Pixels; of an image with a shorter side nobody can tell what it shows."""

_NEAR_LEVELS = 16
_TWO_LEVEL_FRACTION = 0.96
"""Of the pixels, so near to one of two grey levels. Of 589 images of ears, brains and blood cells, none reached 0.953; a
disc as JPEG of quality 75 has 0.98 at 40 x 30 pixels, and more where it is larger."""


def is_two_levels(histogram: Sequence[int]) -> bool:
    """Tell whether a picture has one or two grey levels, as masks do; a JPEG blurs each of them a little.

    Args:
        histogram: How many of its pixels have each of 256 grey levels.
    """
    count = list(histogram)
    pixels, held = sum(count), 0
    for _ in range(2):
        level = count.index(max(count))
        near = slice(max(0, level - _NEAR_LEVELS), level + _NEAR_LEVELS + 1)
        held += sum(count[near])
        count[near] = [0] * len(count[near])
    return held >= _TWO_LEVEL_FRACTION * pixels


def is_tiny(width: int, height: int) -> bool:
    """Tell whether an image has so few pixels that it shows nothing."""
    return min(width, height) < MIN_SIDE
