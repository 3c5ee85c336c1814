"""Paired comparison of two models on the same images: metrics, differences, flips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weckd_edge.artifacts import Estimate, Flips, Metric, MetricDifferences, Metrics
from weckd_edge.metrics.classification import compare_metrics, fraction_of, measure_images
from weckd_edge.metrics.counts import Bools, Floats, Predictions, draw_weights, group_numbers
from weckd_edge.metrics.group_bootstrap import as_mass, bootstrap_difference, group_sizes, half_an_image, has_enough_images
from weckd_edge.metrics.intervals import few_groups_factor
from weckd_edge.metrics.prediction_flips import count_flips


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedComparison:
    """Metrics of two models on the same images, with their differences.

    Attributes:
        before: Metrics of the first model.
        after: Metrics of the second model.
        difference: Second minus first.
        specificity: Second minus first specificity of each class, in label order; None where there are too few images or
            groups.
        flips: Decisions that changed.
        before_coverage: Fraction of images that the first model decides.
        after_coverage: Fraction of images that the second model decides.
        coverage_difference: Second minus first coverage; None where there are too few images or groups.
    """

    before: Metrics
    after: Metrics
    difference: MetricDifferences
    specificity: tuple[Estimate | None, ...]
    flips: Flips
    before_coverage: Metric
    after_coverage: Metric
    coverage_difference: Estimate | None


def compare_predictions(
    before: Predictions, after: Predictions, *, decided: tuple[Bools, Bools], labels: Sequence[str], seed: int
) -> PairedComparison:
    """Compare two models on the same images, by a paired bootstrap over groups.

    Args:
        before: Predictions of the first model on N images, N at least 1.
        after: Predictions of the second model on the same images in the same order, with the same groups.
        decided: Whether each model decides each image ``[N]``, first and second model.
        labels: Class names.
        seed: Seed of the bootstrap.

    Raises:
        MissingDependency: scipy is not installed.
    """
    weights = draw_weights(after.groups, seed)
    first, first_drawn = measure_images(before, weights)
    second, second_drawn = measure_images(after, weights)
    everyone = np.ones(len(after.truth), dtype=bool)
    fractions = [fraction_of(mask, everyone, after.member) for mask in decided]
    if fractions[0] is None or fractions[1] is None:
        raise ValueError("no image to compare on")
    return PairedComparison(
        before=first,
        after=second,
        difference=compare_metrics(first_drawn, second_drawn, after),
        flips=count_flips(("old", "new"), before.decided, after.decided, after.truth, labels, ()),
        before_coverage=fractions[0],
        after_coverage=fractions[1],
        specificity=tuple(
            _rate_difference(before.decided != label, after.decided != label, after.truth != label, after, weights)
            for label in range(after.classes)
        ),
        coverage_difference=_rate_difference(*decided, everyone, after, weights),
    )


def compare_rates(before: Bools | Floats, after: Bools | Floats, groups: Sequence[str], *, seed: int) -> Estimate | None:
    """Return how much more often a second model is right than a first, by a paired bootstrap over groups.

    Args:
        before: Whether the first model is right on each image ``[N]``, or how often, 0..1.
        after: Whether the second model is right on each image ``[N]``, or how often, 0..1.
        groups: Group of each image.
        seed: Seed of the bootstrap.

    Returns:
        None where there are too few images or groups for an interval.
    """
    member = group_numbers(groups)
    sizes = group_sizes(member, np.ones(len(member)))
    if not has_enough_images(len(sizes), len(member)):
        return None
    weights = draw_weights(len(sizes), seed)
    drawn = [weights @ np.bincount(member, weights=right) / (weights @ sizes) for right in (before, after)]
    return bootstrap_difference(drawn[0], drawn[1], few_groups_factor(sizes), unseen=half_an_image(len(member)))


def _rate_difference(
    before: Bools, after: Bools, among: Bools, predictions: Predictions, weights: Floats
) -> Estimate | None:
    """Return how much a share of some images differs: second less first; None where there are too few of them."""
    sizes = group_sizes(predictions.member, as_mass(among))
    if not has_enough_images(len(sizes), int(among.sum())):
        return None
    images = weights @ _by_group(among, predictions)
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = [weights @ _by_group(mask & among, predictions) / images for mask in (before, after)]
    return bootstrap_difference(drawn[0], drawn[1], few_groups_factor(sizes), unseen=half_an_image(int(among.sum())))


def _by_group(mask: Bools, predictions: Predictions) -> Floats:
    return np.bincount(predictions.member, weights=mask, minlength=predictions.groups).astype(np.float64)
