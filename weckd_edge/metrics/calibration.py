"""Calibration error, temperature scaling, and McNemar's test of two classifiers.

Temperature scaling divides the logits by one number, so that no decision changes (Guo et al. 2017, ICML, "On Calibration of
Modern Neural Networks").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import CalibrationMetrics, Estimate, ReliabilityBin
from weckd_edge.core.optional_imports import require

Floats = NDArray[np.float64]

BINS = 15
RESAMPLES = 1000
MIN_GROUPS = 10
"""Smallest number of independent groups for which a temperature is fitted."""

FEW_GROUPS = 50
"""Number of independent groups below which the report says that the temperature was pulled towards 1."""

PRIOR_SD = 0.5
"""Spread of the normal prior on a temperature's logarithm: before an image is seen, 95 % of temperatures are taken to lie
between 0.37 and 2.7. The likelihood counts each group once, so with many groups the prior does not matter."""

_LOG_RANGE = math.log(20.0)
_SMALLEST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, kw_only=True, slots=True)
class Temperature:
    """A fitted temperature and how it was found.

    Attributes:
        value: Divisor of the logits; 1 changes nothing.
        unshrunk: Temperature that fits the images best, without the prior.
        nll_before: Mean negative log likelihood of the labels without the temperature, nats.
        nll_after: Mean negative log likelihood of the labels with the temperature, nats; never larger than ``nll_before``.
        note: How the temperature was found and how far to trust it, in words.
    """

    value: float
    unshrunk: float
    nll_before: float
    nll_after: float
    note: str


def apply_temperature(probabilities: NDArray[Any], temperature: float) -> Floats:
    """Return softmax(logits / temperature) for probabilities ``[N, classes]`` = softmax(logits)."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), _SMALLEST)) / temperature
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    scaled: Floats = raised / raised.sum(axis=1, keepdims=True)
    return scaled


def nll(probabilities: NDArray[Any], labels: NDArray[Any]) -> Floats:
    """Return each image's negative log likelihood ``[N]``, nats; probabilities count as at least float32's smallest."""
    taken: Floats = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.maximum(taken, _SMALLEST))


def brier(probabilities: NDArray[Any], labels: NDArray[Any]) -> Floats:
    """Return each image's Brier score ``[N]``: squared distance to the one-hot label, 0..2."""
    wanted = np.eye(probabilities.shape[1])[labels]
    distance: Floats = ((probabilities.astype(np.float64) - wanted) ** 2).sum(axis=1)
    return distance


def fit_temperature(probabilities: NDArray[Any], labels: NDArray[Any], groups: Sequence[str]) -> Temperature:
    """Fit the temperature that makes the labels most likely, pulled towards 1 where there are few groups.

    Args:
        probabilities: Predictions of the deployed model ``[N, classes]`` on images that it was not trained on.
        labels: True label indices ``[N]``.
        groups: Group of each image ``[N]``; images of a group are alike and together count as one.

    Raises:
        MissingDependency: scipy is not installed.
    """
    count = len(set(groups))
    if count < MIN_GROUPS:
        before = float(nll(probabilities, labels).mean()) if len(labels) else 0.0
        note = f"left at 1: a temperature needs {MIN_GROUPS} independent groups of validation images, found {count}"
        return Temperature(value=1.0, unshrunk=1.0, nll_before=before, nll_after=before, note=note)

    def mean_nll(log_temperature: float) -> float:
        return float(nll(apply_temperature(probabilities, math.exp(log_temperature)), labels).mean())

    best = _minimum(mean_nll)
    pulled = _minimum(lambda log: count * mean_nll(log) + log * log / (2 * PRIOR_SD**2))
    before, after = mean_nll(0.0), mean_nll(pulled)
    unshrunk = math.exp(best)
    if not after < before:
        note = "left at 1: no temperature raises the likelihood of the validation labels"
        return Temperature(value=1.0, unshrunk=unshrunk, nll_before=before, nll_after=before, note=note)
    few = (
        f"pulled towards 1 from {unshrunk:.3g}, the best fit, because there are few validation images "
        f"({count} independent groups)"
    )
    note = few if count < FEW_GROUPS else f"fitted on {len(labels)} validation images in {count} groups"
    return Temperature(value=math.exp(pulled), unshrunk=unshrunk, nll_before=before, nll_after=after, note=note)


def _minimum(cost: Callable[[float], float]) -> float:
    """Return where a smooth function of a temperature's logarithm is smallest, by a coarse grid, then Brent's method."""
    optimize = require("scipy.optimize", "recalibrate probabilities")
    grid = np.linspace(-_LOG_RANGE, _LOG_RANGE, 61)
    at = int(np.argmin([cost(float(point)) for point in grid]))
    bounds = (float(grid[max(at - 1, 0)]), float(grid[min(at + 1, len(grid) - 1)]))
    return float(optimize.minimize_scalar(cost, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)


def calibration_metrics(
    probabilities: NDArray[Any], labels: NDArray[Any], groups: Sequence[str], *, seed: int = 0
) -> CalibrationMetrics:
    """Return calibration errors and scores with percentile intervals of a bootstrap over groups.

    A calibration error can only grow by resampling, so its interval leans upward; it always holds the value itself.

    Args:
        probabilities: Predictions ``[N, classes]``, N at least 1.
        labels: True label indices ``[N]``.
        groups: Group of each image ``[N]``; groups are drawn whole.
        seed: Seed of the bootstrap.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    names, member = np.unique(np.asarray(groups), return_inverse=True)
    width_bin = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    content_bin = np.empty(len(labels), dtype=int)
    content_bin[np.argsort(confidence, kind="stable")] = np.arange(len(labels)) * min(BINS, len(labels)) // len(labels)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), RESAMPLES)
    weights = np.vstack([np.ones(len(names)), draws])

    def sums(values: Floats, bins: NDArray[np.int64]) -> Floats:
        """Sum values by draw and bin: ``[1 + RESAMPLES, BINS]``."""
        cells = np.zeros((len(names), BINS))
        np.add.at(cells, (member, bins), values)
        found: Floats = weights @ cells
        return found

    def mean(values: Floats) -> Floats:
        found: Floats = sums(values, width_bin).sum(axis=1) / sums(np.ones(len(labels)), width_bin).sum(axis=1)
        return found

    images = sums(np.ones(len(labels)), width_bin).sum(axis=1)
    gap = np.abs(sums(confidence - right, width_bin)).sum(axis=1) / images
    return CalibrationMetrics(
        ece=_estimate(gap),
        rms_debiased=_estimate(_rms_debiased(sums, confidence, right, content_bin)),
        brier=_estimate(mean(brier(probabilities, labels))),
        nll=_estimate(mean(nll(probabilities, labels))),
        bins=tuple(_bin(confidence[width_bin == k], right[width_bin == k]) for k in range(BINS)),
        ece_by_chance=_ece_by_chance(confidence, width_bin, np.random.default_rng(seed)),
    )


def _ece_by_chance(confidence: Floats, bins: NDArray[np.int64], random: np.random.Generator) -> Estimate:
    """Return the calibration error that perfectly calibrated predictions on so few images have by chance."""
    gap = np.zeros(RESAMPLES)
    for held in (confidence[bins == k] for k in range(BINS)):
        right = (random.random((RESAMPLES, len(held)), dtype=np.float32) < held).sum(axis=1)
        gap += np.abs(right - held.sum()) / len(confidence)
    low, high = (float(q) for q in np.quantile(gap, (0.025, 0.975)))
    return Estimate(value=float(gap.mean()), low=low, high=high)


def _rms_debiased(sums: Callable[..., Floats], confidence: Floats, right: Floats, bins: NDArray[np.int64]) -> Floats:
    images = sums(np.ones(len(right)), bins)
    filled = np.maximum(images, 1)
    accuracy = sums(right, bins) / filled
    gap = sums(confidence, bins) / filled - accuracy
    chance = accuracy * (1 - accuracy) / np.maximum(images - 1, 1)
    squared = (images * (gap**2 - chance)).sum(axis=1) / images.sum(axis=1)
    root: Floats = np.sqrt(np.maximum(squared, 0.0))
    return root


def _estimate(draws: Floats) -> Estimate:
    value, low, high = float(draws[0]), *(float(q) for q in np.quantile(draws[1:], (0.025, 0.975)))
    return Estimate(value=value, low=min(low, value), high=max(high, value))


def _bin(confidence: Floats, right: Floats) -> ReliabilityBin:
    if not len(right):
        return ReliabilityBin(images=0, confidence=0.0, accuracy=0.0)
    return ReliabilityBin(images=len(right), confidence=float(confidence.mean()), accuracy=float(right.mean()))


def mcnemar(a_right: NDArray[np.bool_], b_right: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Count the frames that only one of two classifiers predicts correctly, and test whether the split is chance.

    Returns:
        Number of frames that only a predicts correctly, number that only b does, and the two-sided p value of McNemar's
        exact test (McNemar 1947, Psychometrika 12:153): a binomial test of one half on these frames; 1 without any.

    Raises:
        MissingDependency: scipy is not installed.
    """
    stats = require("scipy.stats", "compare two classifiers")
    only_a, only_b = int((a_right & ~b_right).sum()), int((b_right & ~a_right).sum())
    if only_a + only_b == 0:
        return 0, 0, 1.0
    return only_a, only_b, float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)
