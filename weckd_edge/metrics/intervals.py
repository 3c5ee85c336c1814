"""Rates with 95 % intervals that count groups.

The quantile of Student's t is worked out here, as a bundle's report is written again where no SciPy is installed. Wilson's
interval alone would not be worth statsmodels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Rate

Z_95 = 1.959963984540054
MIN_FREEDOM = 1.0


def wilson(correct: float, trials: float, z: float = Z_95) -> tuple[float, float]:
    """Return Wilson's score interval of a rate, within 0..1 (Wilson 1927, JASA 22:209).

    ``correct`` and ``trials`` may be fractional: an effective number of trials.
    """
    if trials <= 0:
        return 0.0, 1.0
    rate = correct / trials
    centre = rate + z * z / (2 * trials)
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def student_t_95(freedom: float) -> float:
    """Return the 97.5 % quantile of Student's t, to 1 % from 2 degrees of freedom on (Abramowitz and Stegun 26.7.5)."""
    z = Z_95
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def equal_groups(sizes: NDArray[Any]) -> float:
    """Return how many groups of equal size tell as much as groups of these sizes (Kish 1965, "Survey Sampling")."""
    total = float(sizes.sum())
    return total**2 / float((sizes.astype(np.float64) ** 2).sum()) if total else 0.0


def hidden_spread(sizes: NDArray[Any]) -> float:
    """Return the factor by which the variance of a mean is underestimated because large groups draw the mean to themselves.

    The CR2 correction (Bell and McCaffrey 2002, Survey Methodology 28:169) of a mean; ``k / (k - 1)`` for k equal groups.
    """
    fraction = np.minimum(sizes / sizes.sum(), 0.5)
    return float((fraction**2 / (1 - fraction)).sum() / (fraction**2).sum())


def few_groups_factor(sizes: NDArray[Any]) -> float:
    """Return the factor that raises a variance estimated between groups of these sizes, so that 1.96 holds.

    By what is hidden, and as Student's t takes the place of the normal quantile, with as many groups as would tell as much
    if all were equally large (Dean and Pagano 2015).
    """
    return hidden_spread(sizes) * t_factor(equal_groups(sizes) - 1)


def t_factor(freedom: float) -> float:
    """Return the factor that raises a variance so that the normal quantile gives Student's t interval."""
    return (student_t_95(max(freedom, MIN_FREEDOM)) / Z_95) ** 2


def design_effect(correct: NDArray[np.bool_], groups: Sequence[Hashable]) -> float:
    """Return the factor by which the variance of a rate grows because images of one group are alike (at least 1).

    The ratio of the cluster-robust variance of a mean (Cochran 1977, section 9A.2) to that of independent images, raised by
    ``few_groups_factor``. Exactly 1 where every group has one image.
    """
    images = len(correct)
    if not images:
        return 1.0
    _, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if sizes.max() == 1:
        return 1.0
    rate = float(correct.mean())
    equal = equal_groups(sizes)
    if rate in (0.0, 1.0):
        return images / equal
    if len(sizes) < 2:
        return float(images)
    totals = np.bincount(member, weights=correct - rate)
    clustered = float((totals**2).sum()) / images**2
    return max(1.0, clustered / (rate * (1 - rate) / images) * few_groups_factor(sizes))


def rate_by_group(correct: NDArray[np.bool_], groups: Sequence[Hashable]) -> Rate:
    """Return a rate with Wilson's interval on the effective number of images (Dean and Pagano 2015).

    How often such intervals hold the truth is measured by ``benchmarks/bench_intervals.py``.

    Args:
        correct: Whether each image is correct ``[N]``, N at least 1.
        groups: Group of each image ``[N]``. Where every image is correct (or none is), the correlation inside groups cannot
            be seen and is taken as complete.
    """
    images = len(correct)
    right = int(correct.sum())
    effect = design_effect(correct, groups)
    low, high = wilson(right / effect, images / effect)
    return Rate(
        value=right / images, low=low, high=high, correct=right, images=images, groups=len(set(groups)) if images else 0
    )


def images_to_decide(rate: Rate, limit: float) -> int | None:
    """Return how many more images would take a limit out of a rate's 95 % interval, at the same rate.

    Args:
        rate: Rate whose interval holds the limit; further images are taken to be grouped as its own are.
        limit: The limit, 0..1.

    Returns:
        None where no number would (the rate is the limit), or where the interval says nothing of how much images count.
    """
    if rate.images < 1 or rate.high - rate.low >= 1 or abs(rate.value - limit) < 1e-6:
        return None

    def bounds(trials: float) -> tuple[float, float]:
        return wilson(rate.value * trials, trials)

    def width(trials: float) -> float:
        low, high = bounds(trials)
        return high - low

    effective = _first_number(lambda trials: width(trials) <= rate.high - rate.low)
    needed = _first_number(lambda trials: not bounds(trials)[0] < limit < bounds(trials)[1])
    return max(1, math.ceil(rate.images * (needed / effective - 1)))


def _first_number(holds: Callable[[float], bool]) -> float:
    """Return, approximately, the smallest number from which on a condition holds."""
    low, high = 1e-3, 1.0
    while not holds(high):
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
