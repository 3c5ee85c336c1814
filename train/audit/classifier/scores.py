"""Accuracy and AUC of scores, with 95 % intervals that count groups, not images."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Estimate, Rate
from weckd_edge.core.optional_imports import require
from weckd_edge.metrics.intervals import rate_by_group

Array = NDArray[np.float64]

RESAMPLES = 300
_SEED = 0


def score_accuracy(scores: Array, labels: NDArray[np.int64], groups: NDArray[np.int64]) -> Rate:
    """Return how often the highest of an image's scores ``[N, C]`` is that of its label."""
    return rate_by_group(scores.argmax(1) == labels, [str(group) for group in groups])


def majority(labels: NDArray[np.int64]) -> float:
    """Return the part of the images that the commonest class holds, 0..1."""
    return float(np.bincount(labels).max() / len(labels))


def auc(scores: Array, labels: NDArray[np.int64], groups: NDArray[np.int64]) -> Estimate | None:
    """Return the mean, over the classes present, of the area under the ROC curve of a class against the others.

    Args:
        scores: Scores of each image ``[N, C]``.
        labels: Class of each image ``[N]``.
        groups: Number of each image's group ``[N]``.

    Returns:
        The area with the interval of a bootstrap over groups, in which resamples that lack a class leave it out; None where
        there is one class alone.
    """
    classes = np.unique(labels)
    if len(classes) < 2:
        return None
    weights = np.concatenate([np.ones((1, len(labels))), _resampled(groups)])
    scored = classes[1:] if len(classes) == 2 else classes  # of two classes, one is enough
    found = np.stack([_area(scores[:, c], labels == c, weights) for c in scored])
    there = np.isfinite(found)
    count = there.sum(0)
    means = np.where(there, found, 0).sum(0) / np.maximum(count, 1)
    spread = means[1:][count[1:] > 0]
    low, high = np.percentile(spread, (2.5, 97.5)) if len(spread) else (0.0, 1.0)
    return Estimate(value=float(means[0]), low=float(low), high=float(high))


def _resampled(groups: NDArray[np.int64]) -> Array:
    """Return how often each image counts in each resample ``[R, N]``."""
    random = np.random.default_rng(_SEED)
    number = int(groups.max()) + 1
    present = np.flatnonzero(np.bincount(groups, minlength=number))
    drawn = random.multinomial(len(present), np.full(len(present), 1 / len(present)), RESAMPLES)
    of_group = np.zeros((RESAMPLES, number))
    of_group[:, present] = drawn
    result: Array = of_group[:, groups]
    return result


def _area(score: Array, positive: NDArray[np.bool_], weights: Array) -> Array:
    """Return the weighted Mann-Whitney statistic for every row of weights ``[R, N]``; ties count half."""
    order = np.argsort(score, kind="stable")
    ordered, hit = score[order], positive[order]
    negative = np.cumsum(np.pad(weights[:, order] * ~hit, ((0, 0), (1, 0))), axis=1)
    below = negative[:, np.searchsorted(ordered, ordered[hit], "left")]
    until = negative[:, np.searchsorted(ordered, ordered[hit], "right")]
    own = weights[:, order][:, hit]
    pairs = own.sum(1) * negative[:, -1]
    won: Array = (own * (below + until) / 2).sum(1)
    area: Array = np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)
    return area


def mean_by_group(values: Array, groups: NDArray[np.int64]) -> Estimate:
    """Return the mean of one value an image, with the interval of a bootstrap over groups."""
    number = int(groups.max()) + 1
    sums, sizes = np.bincount(groups, values, number), np.bincount(groups, minlength=number)
    random = np.random.default_rng(_SEED)
    drawn = random.integers(0, number, (2000, number)) if number < 2000 else random.integers(0, number, (500, number))
    means = sums[drawn].sum(1) / np.maximum(sizes[drawn].sum(1), 1)
    low, high = np.percentile(means, (2.5, 97.5))
    return Estimate(value=float(values.mean()), low=float(low), high=float(high))


def corrected_half_width(differences: Array, folds: int) -> float:
    """Return half the 95 % interval of a mean over repeated folds (Nadeau and Bengio 2003, Machine Learning 52:239).

    Trainings overlap, so that the variance over ``J`` folds is widened from ``1/J`` by test over training images.

    Args:
        differences: Difference of each fold and repeat ``[J]``.
        folds: Number of folds in one repeat.
    """
    count = len(differences)
    variance = (1 / count + 1 / (folds - 1)) * float(differences.var(ddof=1))
    quantile = float(require("scipy.stats", "work out an interval").t.ppf(0.975, count - 1))
    return quantile * math.sqrt(variance)
