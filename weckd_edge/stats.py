"""Rates and their 95 % intervals, counted by groups."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Rate

Z_95 = 1.959963984540054


def wilson(correct: float, trials: float, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval of a rate (Wilson 1927, JASA 22:209), within 0..1.

    ``correct`` and ``trials`` may be fractional: an effective number of trials.
    """
    if trials <= 0:
        return 0.0, 1.0
    rate = correct / trials
    centre = rate + z * z / (2 * trials)
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def design_effect(correct: NDArray[np.bool_], groups: Sequence[str]) -> float:
    """Return by how much the variance of a rate grows because images of one group are alike (at least 1).

    The ratio of the cluster-robust variance of a mean (Cochran 1977, section 9A.2) to that of independent images.
    """
    images = len(correct)
    rate = float(correct.mean())
    if images < 2 or rate in (0.0, 1.0):
        sizes = np.unique(np.asarray(groups), return_counts=True)[1]
        return max(1.0, float((sizes**2).sum() / max(images, 1)))
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    totals = np.bincount(member, weights=correct - rate)
    count = len(totals)
    if count < 2:
        return float(images)
    clustered = count / (count - 1) * float((totals**2).sum()) / images**2
    return max(1.0, clustered / (rate * (1 - rate) / images))


def rate_by_group(correct: NDArray[np.bool_], groups: Sequence[str]) -> Rate:
    """Return a rate with Wilson's interval on the effective number of images (Dean and Pagano 2015).

    Args:
        correct: One truth value an image, shape ``[N]``, N at least 1.
        groups: The group of each image. Where every answer is right (or wrong) the correlation inside groups cannot be
            seen and is taken as complete.
    """
    images = len(correct)
    right = int(correct.sum())
    effect = design_effect(correct, groups)
    low, high = wilson(right / effect, images / effect)
    return Rate(
        value=right / images, low=low, high=high, correct=right, images=images, groups=len(set(groups)) if images else 0
    )


def images_to_decide(rate: Rate, bar: float) -> int | None:
    """Return how many more images would take a bar out of a rate's 95 % interval, if as large a share of them is right.

    Args:
        rate: With an interval that holds the bar; images of a group count together as they did in it.
        bar: 0..1.

    Returns:
        None where no number would (the rate is the bar), or where the interval says nothing of how much images count.
    """
    if rate.images < 1 or rate.high - rate.low >= 1 or abs(rate.value - bar) < 1e-6:
        return None

    def bounds(trials: float) -> tuple[float, float]:
        return wilson(rate.value * trials, trials)

    def width(trials: float) -> float:
        low, high = bounds(trials)
        return high - low

    effective = _first(lambda trials: width(trials) <= rate.high - rate.low)
    needed = _first(lambda trials: not bounds(trials)[0] < bar < bounds(trials)[1])
    return max(1, math.ceil(rate.images * (needed / effective - 1)))


def _first(holds: Callable[[float], bool]) -> float:
    """Return about the smallest number from which on something holds that holds for ever after."""
    low, high = 1e-3, 1.0
    while not holds(high):
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
