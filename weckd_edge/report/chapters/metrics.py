"""Clinical metrics in sentences and tables: each class, each slice, prediction flips, and limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import (
    Estimate,
    FlipCount,
    Flips,
    Metric,
    MetricDifferences,
    Metrics,
    MetricsRecord,
    Rate,
    SelectiveMetrics,
    Slice,
    Verification,
)
from weckd_edge.core.words import NBSP, plural
from weckd_edge.report.chapters.parity import mcnemar_text, p_value
from weckd_edge.report.numbers import EN_DASH, MINUS, interval, percent, points

OLD_BUNDLE = (
    "The evidence of this bundle has no metrics by class and slice, only accuracy and sensitivity. Build the bundle again "
    "to get them."
)

_SHOWN = 5
"""Number of classes without an interval that a sentence names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsCell:
    """One value of a table.

    Attributes:
        value: Value as text, such as ``93.1 %``; a dash where there is none.
        interval: 95 % interval as text, such as ``88.0-96.2 %``; empty where none is given.
    """

    value: str
    interval: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsRow:
    """One line of a table.

    Attributes:
        name: Name of the row.
        about: Details of the row, in small print.
        cells: Values, one for each column.
    """

    name: str
    about: str
    cells: tuple[MetricsCell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsTable:
    """A table of metrics.

    Attributes:
        title: Title of the table.
        columns: Headings; the first is that of the rows' names.
        rows: Rows of the table.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[MetricsRow, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricsText:
    """Everything that a page shows of the clinical metrics.

    Attributes:
        headline: Sentences on the worst class, the worst slice and the flips.
        tables: Tables, in order.
        flips: Table of the flips by class and slice; None for a bundle without metrics.
        notes: Limits of the metrics, in words.
    """

    headline: tuple[str, ...]
    tables: tuple[MetricsTable, ...]
    flips: MetricsTable | None
    notes: tuple[str, ...]


def metrics_text(record: MetricsRecord | None, labels: Sequence[str]) -> MetricsText:
    """Return the clinical metrics in words; None gives the text for a bundle without them."""
    if record is None:
        return MetricsText(headline=(), tables=(), flips=None, notes=(OLD_BUNDLE,))
    tables = [_overall(record), _classes("Each class against all others, as deployed", record.compiled, labels)]
    if record.prevalence is not None:
        tables.append(_at_prevalence(record, labels))
    if record.selective is not None:
        tables.append(_selective_table(record, labels))
    if record.slices:
        tables.append(_slices(record.slices, labels))
    return MetricsText(
        headline=headline(record, labels),
        tables=tuple(tables),
        flips=_flips(record.flips),
        notes=(*record.notes, *(f"{one.name}: {one.note}" for one in record.slices if one.note)),
    )


def recall_table(verification: Verification, labels: Sequence[str]) -> MetricsTable:
    """Return a table of each class's sensitivity, for a bundle without clinical metrics."""

    def cell(rate: Rate | None) -> MetricsCell:
        return (
            MetricsCell(value=EN_DASH) if rate is None else MetricsCell(value=percent(rate.value), interval=interval(rate))
        )

    pairs = zip(labels, verification.recall_fp32, verification.recall_compiled, strict=True)
    rows = tuple(
        MetricsRow(
            name=label,
            about=plural(after.images, "image") if after else "no test image",
            cells=(cell(before), cell(after)),
        )
        for label, before, after in pairs
    )
    return MetricsTable(title="Sensitivity of each class", columns=("class", "FP32", "as deployed"), rows=rows)


def headline(record: MetricsRecord, labels: Sequence[str]) -> tuple[str, ...]:
    """Return sentences on the worst class, the worst slice and the flips."""
    worst = (worst_class_sentence(record, labels), worst_slice(record))
    return (*(line for line in worst if line), *flip_sentences(record))


def worst_class_sentence(record: MetricsRecord, labels: Sequence[str]) -> str:
    """Return a sentence on the class with the lowest sensitivity, and on those with too few images to be judged."""
    unjudged = unjudged_classes(record, labels)
    also = f"; {unjudged}" if unjudged else ""
    if record.worst_class is None:
        return f"Worst class: not known{also}."
    metric = record.compiled.classes[record.worst_class].sensitivity
    return f"Worst class: {labels[record.worst_class]}, sensitivity {_text(metric)}{also}."


def unjudged_classes(record: MetricsRecord, labels: Sequence[str]) -> str:
    """Return the classes with too few test images or groups for an interval, the least found first; empty without any."""
    few = [c for c in record.compiled.classes if c.sensitivity is None or c.sensitivity.low is None]
    few.sort(key=lambda c: (c.found / c.images if c.images else 0.0, c.label))
    named = [f"{labels[c.label]} ({f'{c.found} of {c.images} found' if c.images else 'no test image'})" for c in few]
    more = f" and {len(few) - _SHOWN} more" if len(few) > _SHOWN else ""
    return f"not judged: {', '.join(named[:_SHOWN])}{more}" if few else ""


def worst_slice(record: MetricsRecord) -> str:
    """Return a sentence on the slice with the lowest accuracy; empty where the data has no slices."""
    if not record.slices:
        return ""
    small = sum(one.compiled is None for one in record.slices)
    unjudged = f"; {plural(small, 'slice')} too small for an interval" if small else ""
    if record.worst_slice is None:
        return f"Worst slice: not known{unjudged}."
    one = record.slices[record.worst_slice]
    accuracy = one.compiled.accuracy if one.compiled else None
    overall = percent(record.compiled.accuracy.value)
    return f"Worst slice: {one.name}, accuracy {_text(accuracy)}; {overall} on all test images{unjudged}."


def flip_sentences(record: MetricsRecord) -> tuple[str, ...]:
    """Return a sentence on how many decisions changed between each two implementations, with McNemar's p value.

    That of FP32 and the deployed model adds the difference of accuracy, whose interval counts the groups.
    """
    compiling = (record.fp32_name, record.compiled_name)
    return tuple(
        _flips_sentence(flips, record.difference.accuracy if (flips.before, flips.after) == compiling else None)
        for flips in record.flips
    )


def _flips_sentence(flips: Flips, accuracy: Estimate | None) -> str:
    total = flips.total
    changed = total.better + total.worse + total.other
    if not changed:
        return f"{flips.before} to {flips.after}: no decision changed."
    by_groups = ""
    if accuracy is not None:
        ends = f"{points(accuracy.low)} to {points(accuracy.high)}"
        by_groups = f"; difference of accuracy {points(accuracy.value)} (95{NBSP}% interval {ends}, paired, by groups)"
    return (
        f"{flips.before} to {flips.after}: {plural(changed, 'decision')} changed, {outcomes(total)} "
        f"({mcnemar_text(flips.mcnemar_p)}){by_groups}."
    )


def outcomes(count: FlipCount) -> str:
    """Return how many flips are for the better and for the worse, as text."""
    other = f", {count.other} wrong before and after" if count.other else ""
    return f"{count.better} for the better, {count.worse} for the worse{other}"


def _text(metric: Metric | None) -> str:
    cell = metric_cell(metric)
    return f"{cell.value} ({cell.interval})" if cell.interval else cell.value


def metric_cell(metric: Metric | None) -> MetricsCell:
    """Return a metric with its interval; a dash where it is None, the number of images where there is no interval."""
    if metric is None:
        return MetricsCell(value=EN_DASH)
    if metric.low is None or metric.high is None:
        return MetricsCell(value=percent(metric.value), interval=f"{metric.images}{NBSP}images, too few")
    return MetricsCell(
        value=percent(metric.value), interval=f"{metric.low * 100:.1f}{EN_DASH}{metric.high * 100:.1f}{NBSP}%"
    )


def _difference_cell(estimate: Estimate | None) -> MetricsCell:
    if estimate is None:
        return MetricsCell(value=EN_DASH)
    return MetricsCell(
        value=points(estimate.value), interval=f"{estimate.low * 100:+.1f} to {estimate.high * 100:+.1f}".replace("-", MINUS)
    )


def _overall(record: MetricsRecord) -> MetricsTable:
    kinds = (
        ("Accuracy", "correct decisions", "accuracy"),
        ("Balanced accuracy", "mean sensitivity of the classes", "balanced_accuracy"),
        ("Macro F1", "mean F1 score of the classes", "macro_f1"),
        ("Macro AUC", "mean of the classes, each against all others", "macro_auc"),
    )
    difference: MetricDifferences = record.difference
    rows = tuple(
        MetricsRow(
            name=name,
            about=about,
            cells=(
                metric_cell(getattr(record.fp32, key)),
                metric_cell(getattr(record.compiled, key)),
                _difference_cell(getattr(difference, key)),
            ),
        )
        for name, about, key in kinds
    )
    what = f"{plural(record.images, 'test image')} in {plural(record.groups, 'group')}"
    return MetricsTable(title=f"All classes, {what}", columns=("metric", "FP32", "as deployed", "difference"), rows=rows)


def _classes(title: str, metrics: Metrics, labels: Sequence[str]) -> MetricsTable:
    rows = tuple(
        MetricsRow(
            name=labels[c.label],
            about=plural(c.images, "image"),
            cells=tuple(metric_cell(f) for f in (c.sensitivity, c.specificity, c.ppv, c.npv, c.f1, c.auc)),
        )
        for c in metrics.classes
    )
    return MetricsTable(title=title, columns=("class", "sensitivity", "specificity", "PPV", "NPV", "F1", "AUC"), rows=rows)


def _at_prevalence(record: MetricsRecord, labels: Sequence[str]) -> MetricsTable:
    rows = tuple(
        MetricsRow(
            name=labels[c.label],
            about=f"prevalence {percent(fraction)}",
            cells=(metric_cell(c.ppv_at_prevalence), metric_cell(c.npv_at_prevalence)),
        )
        for c, fraction in zip(record.compiled.classes, record.prevalence or (), strict=True)
    )
    return MetricsTable(title="Predictive values at the stated prevalence", columns=("class", "PPV", "NPV"), rows=rows)


def _selective_table(record: MetricsRecord, labels: Sequence[str]) -> MetricsTable:
    decided = record.selective
    if decided is None:
        raise ValueError("expected metrics with an operating point")
    metrics = decided.metrics
    rows = [
        MetricsRow(
            name="all",
            about="accuracy of the decisions",
            cells=(metric_cell(decided.coverage), metric_cell(metrics.accuracy if metrics else None)),
        )
    ]
    rows += [
        MetricsRow(
            name=label,
            about="sensitivity among the decisions",
            cells=(
                metric_cell(decided.class_coverage[k]),
                metric_cell(metrics.classes[k].sensitivity if metrics else None),
            ),
        )
        for k, label in enumerate(labels)
    ]
    return MetricsTable(
        title=f"At the operating point: {selective_text(decided)}",
        columns=("class", "with a decision", "correct decisions"),
        rows=tuple(rows),
    )


def selective_text(decided: SelectiveMetrics) -> str:
    """Return what gives a decision: the threshold, and the classes that give none."""
    parts = [f"probability of at least {decided.confidence_threshold:g}"] if decided.confidence_threshold > 0 else []
    if decided.non_gradeable_labels:
        parts.append(f"no decision for {', '.join(decided.non_gradeable_labels)}")
    return "; ".join(parts)


def _slices(slices: Sequence[Slice], labels: Sequence[str]) -> MetricsTable:
    rows = []
    for one in slices:
        about = f"{plural(one.images, 'image')} in {plural(one.groups, 'group')}"
        if one.compiled is None or one.difference is None:
            few = MetricsCell(value=f"{one.right} of {one.images}", interval="too few for an interval")
            rest = MetricsCell(value=EN_DASH)
            rows.append(MetricsRow(name=one.name, about=about, cells=(few, rest, rest, rest)))
            continue
        known = [c for c in one.compiled.classes if c.sensitivity is not None and c.sensitivity.low is not None]
        worst = min(known, key=lambda c: c.sensitivity.value if c.sensitivity else 1.0, default=None)
        lowest = MetricsCell(value=EN_DASH)
        if worst is not None:
            cell = metric_cell(worst.sensitivity)
            lowest = MetricsCell(value=cell.value, interval=f"{labels[worst.label]}, {cell.interval}")
        rows.append(
            MetricsRow(
                name=one.name,
                about=about,
                cells=(
                    metric_cell(one.compiled.accuracy),
                    metric_cell(one.compiled.balanced_accuracy),
                    lowest,
                    _difference_cell(one.difference.accuracy),
                ),
            )
        )
    return MetricsTable(
        title="Slices, as deployed",
        columns=("slice", "accuracy", "balanced accuracy", "lowest sensitivity", "accuracy minus FP32"),
        rows=tuple(rows),
    )


def _flips(flips: Sequence[Flips]) -> MetricsTable:
    def counts(count: FlipCount) -> MetricsCell:
        changed = count.better + count.worse + count.other
        return MetricsCell(value=f"+{count.better} \u2212{count.worse}" if changed else "0", interval=f"of {count.images}")

    first = flips[0]
    rows = [MetricsRow(name="all", about="", cells=tuple(counts(f.total) for f in flips))]
    rows += [
        MetricsRow(name=one.of, about="class", cells=tuple(counts(f.classes[k]) for f in flips))
        for k, one in enumerate(first.classes)
    ]
    rows += [
        MetricsRow(name=one.of, about="slice", cells=tuple(counts(f.slices[k]) for f in flips))
        for k, one in enumerate(first.slices)
    ]
    rows.append(
        MetricsRow(
            name="McNemar p",
            about="images taken as independent",
            cells=tuple(MetricsCell(value=p_value(f.mcnemar_p)) for f in flips),
        )
    )
    return MetricsTable(
        title="Prediction flips: + for the better, \u2212 for the worse",
        columns=("images", *(f"{f.before} to {f.after}" for f in flips)),
        rows=tuple(rows),
    )
