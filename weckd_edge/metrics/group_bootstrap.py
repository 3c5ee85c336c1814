"""95 % intervals of values between 0 and 1, and of differences, for images that come in groups.

Rates (sensitivity, accuracy, predictive values) take Wilson's interval on the effective number of images. Other figures are
drawn again with whole groups; the variance of the draws says how many independent images would leave as much doubt, and
Wilson's interval is taken on that number. Areas under ROC curves, which lie near 1, take the interval on the logit scale
instead. Percentiles of the draws are not used: near 1 they leave out the truth far more often than one time in twenty
(``benchmarks/bench_intervals.py`` measures all of these).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Estimate
from weckd_edge.metrics.intervals import Z_95, equal_groups, few_groups_factor, hidden_spread, t_factor, wilson

Floats = NDArray[np.float64]

MIN_IMAGES = 10
MIN_GROUPS = 5
"""Smallest number of groups for which a value gets an interval."""

_NO_SPREAD = 1e-12


def group_sizes(member: NDArray[np.intp], mass: Floats) -> Floats:
    """Return the weight of each group that counts, from the weights of its images."""
    sizes: Floats = np.bincount(member, weights=mass).astype(np.float64)
    return sizes[sizes > 0]


def bounded(draws: Floats, sizes: Floats, *, logit: bool = False, factor: float | None = None) -> tuple[float, float]:
    """Return the 95 % interval of a value between 0 and 1.

    Args:
        draws: The value itself, then its value in each draw of groups ``[1 + B]``; NaN draws are left out.
        sizes: Weight of each group in the value.
        logit: Whether to take the interval on the logit scale.
        factor: Factor that raises the variance because there are few groups; None takes it from ``sizes``.
    """
    value, trials = float(draws[0]), effective_images(draws, sizes, factor)
    if not logit:
        return wilson(value * trials, trials)
    centre = value if 0 < value < 1 else (value * trials + 1) / (trials + 2)
    middle, half = math.log(centre / (1 - centre)), Z_95 / math.sqrt(trials * centre * (1 - centre))
    low, high = (1 / (1 + math.exp(-(middle + side * half))) for side in (-1, 1))
    return min(low, value), max(high, value)


def mean_factor(by_class: Floats, sizes: Sequence[Floats]) -> float:
    """Return the factor that raises the variance of a mean over classes, because each class has few groups.

    The degrees of freedom of a sum of variances (Satterthwaite 1946, Biometrics Bulletin 2:110).

    Args:
        by_class: Draws of each class's value ``[1 + B, classes]``.
        sizes: Weight of each group, for each class.
    """
    variances = np.array([_variance(draws) for draws in by_class.T]) + _NO_SPREAD
    freedom = np.array([max(equal_groups(of_class) - 1, 1.0) for of_class in sizes])
    hidden = np.array([hidden_spread(of_class) for of_class in sizes])
    together = variances.sum()
    return float((variances * hidden).sum() / together) * t_factor(float(together**2 / (variances**2 / freedom).sum()))


def effective_images(draws: Floats, sizes: Floats, factor: float | None = None) -> float:
    """Return the number of independent images that would leave as much uncertainty as the draws show.

    Where the draws show none, because every answer is right or wrong, images of a group are taken to count as one.
    """
    value, variance = float(draws[0]), _variance(draws)
    if variance < _NO_SPREAD or not 0 < value < 1:
        return max(equal_groups(sizes), 1.0)
    return value * (1 - value) / (variance * (few_groups_factor(sizes) if factor is None else factor))


def bootstrap_difference(before: Floats, after: Floats, factor: float, *, unseen: float = 0.0) -> Estimate | None:
    """Return how much a value changed between two implementations on the same images, by a paired bootstrap.

    Args:
        before: Draws of the first implementation's value ``[1 + B]``.
        after: Draws of the second implementation's value ``[1 + B]``, with the same groups.
        factor: Factor that raises the variance because there are few groups.
        unseen: Variance that is added because a flip that was not seen may still happen (``half_an_image``).
    """
    difference = after - before
    if not math.isfinite(float(difference[0])):
        return None
    value, half = float(difference[0]), Z_95 * math.sqrt(_variance(difference) * factor + unseen)
    return Estimate(value=value, low=max(-1.0, value - half), high=min(1.0, value + half))


def half_an_image(images: int) -> float:
    """Return the variance that half an image more on either side adds to a difference (Agresti and Min 2005)."""
    return 1 / (images + 2) ** 2


def _variance(draws: Floats) -> float:
    """Return the variance of the draws after the value itself, without those that are NaN."""
    again = draws[1:][np.isfinite(draws[1:])]
    return float(again.var()) if len(again) > 1 else 0.0


def has_enough_images(groups: int, images: int) -> bool:
    """Return whether a value over so many images and groups gets an interval."""
    return images >= MIN_IMAGES and groups >= MIN_GROUPS


def smaller_groups(sizes: Floats, others: Floats) -> Floats:
    """Return the set of groups that tells less, of the two behind a comparison of a class with the rest."""
    return min(sizes, others, key=lambda s: equal_groups(s) if len(s) else 0.0)


def as_mass(mask: NDArray[Any]) -> Floats:
    """Return a mask as weights of images."""
    return mask.astype(np.float64)
