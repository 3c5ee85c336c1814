"""The whole record of metrics: by class, by slice, flips, and their limits in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import (
    DatasetIndex,
    Flips,
    Labels,
    MetricDifferences,
    Metrics,
    MetricsRecord,
    OperatingPoint,
    Prediction,
    SelectiveMetrics,
    Slice,
    Verification,
)
from weckd_edge.config import ReportConfig
from weckd_edge.metrics.classification import compare_metrics, fraction_of, measure_images
from weckd_edge.metrics.counts import Bools, Floats, Predictions, draw_weights, group_numbers
from weckd_edge.metrics.group_bootstrap import MIN_GROUPS, MIN_IMAGES, has_enough_images
from weckd_edge.metrics.prediction_flips import count_flips, flipped_frames
from weckd_edge.metrics.slices import SliceCut, cut_slices

Pair = tuple[Metrics, Metrics, MetricDifferences]


def measure_metrics(
    verification: Verification,
    index: DatasetIndex,
    config: ReportConfig,
    *,
    operating_point: OperatingPoint = OperatingPoint(),  # noqa: B008 - it is frozen
    names: tuple[str | None, str, str] = (None, "fp32", "compiled"),
) -> MetricsRecord:
    """Return the clinical metrics of the deployed model, from the predictions that verification kept.

    Args:
        verification: Verification with the predictions of every test image.
        index: Data set: columns, groups and class names.
        config: Settings of slices, bands and prevalences.
        operating_point: What gives a decision: the confidence threshold and the non-gradeable labels.
        names: Names of the teacher (None without one), of FP32 and of the deployed model.

    Raises:
        MissingDependency: scipy is not installed.
    """
    predictions, labels = verification.predictions, index.labels
    prevalence = stated_prevalence(config, labels)
    fp32, compiled = _to_predictions(predictions)
    before, after, difference = _pair(fp32, compiled, prevalence, index.seed)
    cuts, notes = cut_slices(config, index)
    slices = _slices(cuts, predictions, index, prevalence)
    return MetricsRecord(
        teacher_name=names[0],
        fp32_name=names[1],
        compiled_name=names[2],
        images=len(predictions),
        groups=compiled.groups,
        fp32=before,
        compiled=after,
        difference=difference,
        selective=_selective_metrics(compiled, operating_point, labels, prevalence, index.seed)
        if operating_point.abstains
        else None,
        prevalence=None if prevalence is None else tuple(float(part) for part in prevalence),
        slices=slices,
        worst_class=find_worst_class(after),
        worst_slice=_worst_slice(slices),
        flips=_flips(predictions, labels, names, cuts, slices),
        frames=flipped_frames(predictions),
        notes=(*_metric_warnings(index, after, labels), *notes),
    )


def measure_slices(verification: Verification, index: DatasetIndex, config: ReportConfig) -> tuple[Slice, ...]:
    """Return the metrics of every slice alone, for limits that a link must meet before it is selected."""
    cuts, _ = cut_slices(config, index)
    return _slices(cuts, verification.predictions, index, None)


def find_worst_class(metrics: Metrics) -> int | None:
    """Return the label index of the class with the lowest sensitivity, among those with an interval."""
    known = [(c.sensitivity.value, c.label) for c in metrics.classes if c.sensitivity and c.sensitivity.low is not None]
    return min(known)[1] if known else None


def _worst_slice(slices: Sequence[Slice]) -> int | None:
    known = [(one.compiled.accuracy.value, at) for at, one in enumerate(slices) if one.compiled is not None]
    return min(known)[1] if known else None


def _to_predictions(predictions: Sequence[Prediction]) -> tuple[Predictions, Predictions]:
    truth = np.array([p.label for p in predictions], dtype=np.intp)
    member = group_numbers([p.group for p in predictions])
    return (
        Predictions(truth, np.array([p.fp32 for p in predictions], dtype=np.float64), member),
        Predictions(truth, np.array([p.compiled for p in predictions], dtype=np.float64), member),
    )


def _pair(fp32: Predictions, compiled: Predictions, prevalence: Floats | None, seed: int) -> Pair:
    weights = draw_weights(compiled.groups, seed)
    before, before_drawn = measure_images(fp32, weights, prevalence)
    after, after_drawn = measure_images(compiled, weights, prevalence)
    return before, after, compare_metrics(before_drawn, after_drawn, compiled)


def _slices(
    cuts: Sequence[SliceCut], predictions: Sequence[Prediction], index: DatasetIndex, prevalence: Floats | None
) -> tuple[Slice, ...]:
    found = []
    for cut in cuts:
        inside = [p for p in predictions if p.path in cut.paths]
        found.append(_slice(cut, inside, index, prevalence))
    return tuple(found)


def _slice(cut: SliceCut, inside: Sequence[Prediction], index: DatasetIndex, prevalence: Floats | None) -> Slice:
    classes, groups = len(index.labels), len({p.group for p in inside})
    truth = np.array([p.label for p in inside], dtype=np.intp)
    right = np.array([int(np.argmax(p.compiled)) == p.label for p in inside], dtype=bool)
    counts = np.bincount(truth, minlength=classes)
    known = has_enough_images(groups, len(inside))
    pair = _pair(*_to_predictions(inside), prevalence, index.seed) if known else None
    return Slice(
        column=cut.column,
        value=cut.value,
        images=len(inside),
        groups=groups,
        right_fp32=sum(int(np.argmax(p.fp32)) == p.label for p in inside),
        right=int(right.sum()),
        class_images=tuple(int(number) for number in counts),
        class_found=tuple(int(number) for number in np.bincount(truth[right], minlength=classes)),
        fp32=pair[0] if pair else None,
        compiled=pair[1] if pair else None,
        difference=pair[2] if pair else None,
        note=_slice_note(counts, groups, pair, index.labels),
    )


def _slice_note(counts: NDArray[np.intp], groups: int, pair: Pair | None, labels: Sequence[str]) -> str | None:
    if not counts.sum():
        return "no test image"
    if pair is None:
        return (
            f"{counts.sum()} images in {groups} groups: too few for an interval, which needs {MIN_IMAGES} images in "
            f"{MIN_GROUPS} groups"
        )
    warnings = [
        f"no image of {', '.join(labels[c.label] for c in pair[1].classes if not c.images)}"
        if any(not c.images for c in pair[1].classes)
        else "",
        ", ".join(_few(c.label, c.images, labels) for c in pair[1].classes if c.images and _is_few(c.sensitivity)),
    ]
    return "; ".join(part for part in warnings if part) or None


def _is_few(metric: object) -> bool:
    return getattr(metric, "low", None) is None


def _few(label: int, images: int, labels: Sequence[str]) -> str:
    return f"too few images or groups of {labels[label]} for an interval ({images})"


def _selective_metrics(
    compiled: Predictions, point: OperatingPoint, labels: Labels, prevalence: Floats | None, seed: int
) -> SelectiveMetrics:
    given = compiled.decided_by(point.confidence_threshold, labels.indices(point.non_gradeable_labels))
    everyone = np.ones(len(given), dtype=bool)
    coverage = fraction_of(given, everyone, compiled.member)
    if coverage is None:
        raise ValueError("no test image")
    metrics = None
    if given.any():
        decided = compiled.of(given)
        metrics, _ = measure_images(decided, draw_weights(decided.groups, seed), prevalence)
    return SelectiveMetrics(
        confidence_threshold=point.confidence_threshold,
        non_gradeable_labels=point.non_gradeable_labels,
        coverage=coverage,
        class_coverage=tuple(
            fraction_of(given, compiled.truth == label, compiled.member) for label in range(compiled.classes)
        ),
        metrics=metrics,
    )


def stated_prevalence(config: ReportConfig, labels: Sequence[str]) -> Floats | None:
    """Return the prevalence of each class that the settings state, in label order; None where they state none."""
    if not config.prevalence:
        return None
    stated = {entry.label: entry.fraction for entry in config.prevalence}
    return np.array([stated[label] for label in labels])


def _flips(
    predictions: Sequence[Prediction],
    labels: Sequence[str],
    names: tuple[str | None, str, str],
    cuts: Sequence[SliceCut],
    slices: Sequence[Slice],
) -> tuple[Flips, ...]:
    truth = np.array([p.label for p in predictions], dtype=np.intp)
    inside: list[tuple[str, Bools]] = [
        (one.name, np.array([p.path in cut.paths for p in predictions], dtype=bool))
        for cut, one in zip(cuts, slices, strict=True)
    ]
    fp32 = np.array([np.argmax(p.fp32) for p in predictions], dtype=np.intp)
    compiled = np.array([np.argmax(p.compiled) for p in predictions], dtype=np.intp)
    pairs = [((names[1], fp32), (names[2], compiled))]
    taught = [p.teacher for p in predictions if p.teacher is not None]
    if names[0] is not None and len(taught) == len(predictions):
        teacher = (names[0], np.array([np.argmax(prediction) for prediction in taught], dtype=np.intp))
        pairs = [(teacher, (names[1], fp32)), *pairs, (teacher, (names[2], compiled))]
    return tuple(count_flips((a[0], b[0]), a[1], b[1], truth, labels, inside) for a, b in pairs)


def _metric_warnings(index: DatasetIndex, metrics: Metrics, labels: Sequence[str]) -> list[str]:
    notes = []
    if index.named_groups == 0:
        notes.append(
            "the data set names no groups (patients, exams): groups are only clusters of near-identical images, so images "
            "of one patient may lie in training and test, and intervals may be too narrow"
        )
    elif index.named_groups is not None and index.named_groups < len(index.images):
        notes.append(
            f"{len(index.images) - index.named_groups} of {len(index.images)} images name no group (patient, exam); each of "
            "them was taken as a group of its own or with near-identical images, so intervals may be too narrow"
        )
    absent = [labels[c.label] for c in metrics.classes if not c.images]
    if absent:
        notes.append(f"the test split has no image of {', '.join(absent)}: nothing is known of it")
    notes += [
        f"{labels[c.label]}: {_few(c.label, c.images, labels)}"
        for c in metrics.classes
        if c.images and _is_few(c.sensitivity)
    ]
    return notes
