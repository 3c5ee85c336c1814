"""Metrics of predictions, each with its value, its interval, and the images and groups behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import ClassMetrics, Estimate, Metric, MetricDifferences, Metrics
from weckd_edge.metrics.counts import (
    Bools,
    BootstrapDraws,
    Floats,
    Predictions,
    draw_metrics,
    draw_weights,
    group_numbers,
)
from weckd_edge.metrics.group_bootstrap import (
    as_mass,
    bootstrap_difference,
    bounded,
    group_sizes,
    half_an_image,
    has_enough_images,
    mean_factor,
    smaller_groups,
)
from weckd_edge.metrics.intervals import few_groups_factor, rate_by_group
from weckd_edge.metrics.predictive_values import predictive_values


def measure_images(
    predictions: Predictions, weights: Floats, prevalence: Floats | None = None
) -> tuple[Metrics, BootstrapDraws]:
    """Return the metrics of predictions on at least one image, and their bootstrap draws for comparisons.

    Args:
        predictions: Predictions of N images.
        weights: Weightings of the groups ``[B, groups]``, as ``draw_weights`` makes them; the first counts each group once.
        prevalence: Prevalence of each class ``[classes]``, in label order; predictive values at it are None where a class
            has no image.
    """
    truth, decided, member = predictions.truth, predictions.decided, predictions.member
    counts = np.bincount(truth, minlength=predictions.classes)
    drawn = draw_metrics(predictions, weights)
    stated = predictive_values(predictions, prevalence) if prevalence is not None and (counts > 0).all() else None
    classes = tuple(
        _class_metrics(label, predictions, drawn, stated[label] if stated else (None, None))
        for label in range(predictions.classes)
    )

    present = np.flatnonzero(counts)
    by_class = [group_sizes(member, as_mass(truth == label)) for label in present]
    all_groups = group_sizes(member, 1.0 / counts[truth])

    def macro(draws: Floats, each: Floats, *, logit: bool = False) -> Metric:
        known = has_enough_images(min(len(sizes) for sizes in by_class), int(counts[present].min()))
        factor = mean_factor(each[:, present], by_class)
        ends = bounded(draws, all_groups, logit=logit, factor=factor) if known else (None, None)
        return Metric(value=float(draws[0]), low=ends[0], high=ends[1], images=len(member), groups=predictions.groups)

    if not math.isfinite(drawn.macro_auc[0]):
        macro_auc = None
    elif len(present) == 2 and predictions.classes == 2:
        macro_auc = classes[0].auc  # both classes have the same curve
    else:
        macro_auc = macro(drawn.macro_auc, drawn.auc, logit=True)
    return Metrics(
        accuracy=_rate(decided == truth, member),
        balanced_accuracy=macro(drawn.balanced_accuracy, drawn.sensitivity),
        macro_f1=macro(drawn.macro_f1, drawn.f1),
        macro_auc=macro_auc,
        classes=classes,
    ), drawn


def compare_metrics(before: BootstrapDraws, after: BootstrapDraws, predictions: Predictions) -> MetricDifferences:
    """Return the metrics of the deployed model minus those of FP32, from draws with the same weights."""
    member, counts = predictions.member, np.bincount(predictions.truth, minlength=predictions.classes)
    present = np.flatnonzero(counts)
    by_class = {int(label): group_sizes(member, as_mass(predictions.truth == label)) for label in present}
    everyone = group_sizes(member, np.ones(len(member)))
    known = has_enough_images(min(len(sizes) for sizes in by_class.values()), int(counts[present].min()))
    unseen = sum(half_an_image(int(counts[label])) for label in present) / len(present) ** 2

    def macro(name: str, each: str, added: float) -> Estimate | None:
        difference = (getattr(after, each) - getattr(before, each))[:, present]
        factor = mean_factor(difference, list(by_class.values()))
        return bootstrap_difference(getattr(before, name), getattr(after, name), factor, unseen=added) if known else None

    def one(label: int) -> Estimate | None:
        sizes = by_class.get(label)
        if sizes is None or not has_enough_images(len(sizes), int(counts[label])):
            return None
        draws = before.sensitivity[:, label], after.sensitivity[:, label]
        return bootstrap_difference(*draws, few_groups_factor(sizes), unseen=half_an_image(int(counts[label])))

    accuracy = bootstrap_difference(
        before.accuracy, after.accuracy, few_groups_factor(everyone), unseen=half_an_image(len(member))
    )
    return MetricDifferences(
        accuracy=accuracy if has_enough_images(len(everyone), len(member)) else None,
        balanced_accuracy=macro("balanced_accuracy", "sensitivity", unseen),
        macro_f1=macro("macro_f1", "f1", unseen),
        macro_auc=macro("macro_auc", "auc", 0.0),
        sensitivity=tuple(one(label) for label in range(predictions.classes)),
    )


def fraction_of(mask: Bools, among: Bools, member: NDArray[np.intp]) -> Metric | None:
    """Return the fraction of the images of ``among`` that are in ``mask`` too; None where ``among`` is empty."""
    return _rate(mask[among], member[among]) if among.any() else None


def mean_of(values: Floats, groups: Sequence[str], *, seed: int) -> Metric:
    """Return the mean of values between 0 and 1, N of them at least 1, with its interval by a bootstrap over groups.

    Args:
        values: A value for each image or examination ``[N]``, 0..1.
        groups: Group of each of them.
        seed: Seed of the bootstrap.
    """
    member = group_numbers(groups)
    sizes = group_sizes(member, np.ones(len(member)))
    weights = draw_weights(len(sizes), seed)
    draws = weights @ np.bincount(member, weights=values) / (weights @ sizes)
    known = has_enough_images(len(sizes), len(member))
    low, high = bounded(draws, sizes) if known else (None, None)
    return Metric(value=float(draws[0]), low=low, high=high, images=len(member), groups=len(sizes))


def _class_metrics(
    label: int, predictions: Predictions, drawn: BootstrapDraws, stated: tuple[Estimate | None, Estimate | None]
) -> ClassMetrics:
    member = predictions.member
    of_it, predicted = predictions.truth == label, predictions.decided == label
    there, others = group_sizes(member, as_mass(of_it)), group_sizes(member, as_mass(~of_it))
    known = has_enough_images(min(len(there), len(others)), int(min(of_it.sum(), (~of_it).sum())))

    def against_rest(found: Estimate | None) -> Metric | None:
        if found is None:
            return None
        ends = (found.low, found.high) if known else (None, None)
        return Metric(value=found.value, low=ends[0], high=ends[1], images=len(member), groups=predictions.groups)

    auc = drawn.auc[:, label]
    area = None
    if math.isfinite(auc[0]):
        low, high = bounded(auc, smaller_groups(there, others), logit=True)
        area = Estimate(value=float(auc[0]), low=low, high=high)
    either = of_it | predicted
    return ClassMetrics(
        label=label,
        images=int(of_it.sum()),
        found=int((of_it & predicted).sum()),
        sensitivity=fraction_of(predicted, of_it, member),
        specificity=fraction_of(~predicted, ~of_it, member),
        ppv=fraction_of(of_it, predicted, member),
        npv=fraction_of(~of_it, ~predicted, member),
        f1=_metric(drawn.f1[:, label], member, as_mass(either), minimum=int(either.sum())) if of_it.any() else None,
        auc=against_rest(area),
        ppv_at_prevalence=against_rest(stated[0]),
        npv_at_prevalence=against_rest(stated[1]),
    )


def _rate(correct: Bools, member: NDArray[np.intp]) -> Metric:
    found = rate_by_group(correct, member.tolist())
    known = has_enough_images(found.groups, found.images)
    return Metric(
        value=found.value,
        low=found.low if known else None,
        high=found.high if known else None,
        images=found.images,
        groups=found.groups,
    )


def _metric(draws: Floats, member: NDArray[np.intp], mass: Floats, *, minimum: int, logit: bool = False) -> Metric:
    sizes = group_sizes(member, mass)
    ends = bounded(draws, sizes, logit=logit) if has_enough_images(len(sizes), minimum) else (None, None)
    return Metric(value=float(draws[0]), low=ends[0], high=ends[1], images=int((mass > 0).sum()), groups=len(sizes))
