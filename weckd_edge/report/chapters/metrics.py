"""Clinical figures in words and rows: each class, each slice, what compiling changed, and what cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import (
    Differences,
    Estimate,
    Figure,
    Figures,
    FlipCount,
    Flips,
    Performance,
    Rate,
    Slice,
    Verification,
)
from weckd_edge.core.words import NBSP, plural
from weckd_edge.report.chapters.parity import SURE, p_value
from weckd_edge.report.numbers import EN_DASH, MINUS, interval, percent, points

OLD_BUNDLE = (
    "This bundle was made before figures by class and slice were kept; build it again to have them. "
    "Accuracy and sensitivity are all there is."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One figure of a table.

    Attributes:
        value: Such as ``93.1 %``; a dash where there is none.
        interval: Such as ``88.0-96.2 %``; empty where none is given.
    """

    value: str
    interval: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        name: What it is about.
        about: More of it, in small print.
        cells: One a column.
    """

    name: str
    about: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table.

    Attributes:
        title: What it shows.
        columns: Heads; the first is that of the rows' names.
        rows: Its lines.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PerformanceText:
    """Everything a page shows of a performance record.

    Attributes:
        headline: The worst class, the worst slice and the flips, a sentence each.
        tables: In order.
        flips: Decisions that changed, by class and slice; None of an old bundle.
        notes: What cannot be told, and why.
    """

    headline: tuple[str, ...]
    tables: tuple[Table, ...]
    flips: Table | None
    notes: tuple[str, ...]


def performance_text(performance: Performance | None, labels: Sequence[str]) -> PerformanceText:
    """Word a performance record; None: of a bundle that was made before there were any."""
    if performance is None:
        return PerformanceText(headline=(), tables=(), flips=None, notes=(OLD_BUNDLE,))
    tables = [_overall(performance), _classes("Each class against the rest, as it ships", performance.compiled, labels)]
    if performance.prevalence is not None:
        tables.append(_at_prevalence(performance, labels))
    if performance.selective is not None:
        tables.append(_answered(performance, labels))
    if performance.slices:
        tables.append(_slices(performance.slices, labels))
    return PerformanceText(
        headline=headline(performance, labels),
        tables=tuple(tables),
        flips=_flips(performance.flips),
        notes=(*performance.notes, *(f"{one.name}: {one.note}" for one in performance.slices if one.note)),
    )


def recall_table(verification: Verification, labels: Sequence[str]) -> Table:
    """Return the sensitivity of each class, for a bundle that kept nothing more."""

    def cell(rate: Rate | None) -> Cell:
        return Cell(value=EN_DASH) if rate is None else Cell(value=percent(rate.value), interval=interval(rate))

    pairs = zip(labels, verification.recall_fp32, verification.recall_compiled, strict=True)
    rows = tuple(
        Row(
            name=label,
            about=plural(after.images, "image") if after else "no test image",
            cells=(cell(before), cell(after)),
        )
        for label, before, after in pairs
    )
    return Table(title="Sensitivity of each class", columns=("class", "FP32", "as it ships"), rows=rows)


def headline(performance: Performance, labels: Sequence[str]) -> tuple[str, ...]:
    """Name the class and the slice that are served worst, and what compiling changed."""
    worst = (worst_class(performance, labels), worst_slice(performance))
    return (*(line for line in worst if line), *(flips_sentence(flips) for flips in performance.flips))


def worst_class(performance: Performance, labels: Sequence[str]) -> str:
    """Name the class that is found least often; empty where no class has enough images."""
    if performance.worst_class is None:
        return ""
    figure = performance.compiled.classes[performance.worst_class].sensitivity
    return f"Worst class: {labels[performance.worst_class]}, sensitivity {_text(figure)}."


def worst_slice(performance: Performance) -> str:
    """Name the slice with the lowest accuracy; empty where the data has no slices."""
    if not performance.slices:
        return ""
    small = sum(one.compiled is None for one in performance.slices)
    unjudged = f"; {plural(small, 'slice')} too small to judge" if small else ""
    if performance.worst_slice is None:
        return f"Worst slice: none can be named{unjudged}."
    one = performance.slices[performance.worst_slice]
    accuracy = one.compiled.accuracy if one.compiled else None
    overall = percent(performance.compiled.accuracy.value)
    return f"Worst slice: {one.name}, accuracy {_text(accuracy)}, {overall} over all{unjudged}."


def flips_sentence(flips: Flips) -> str:
    """Say how many decisions changed between two implementations, and whether that can be chance."""
    total = flips.total
    changed = total.better + total.worse + total.other
    if not changed:
        return f"{flips.before} to {flips.after}: no decision changed."
    sure = "no difference that could not be chance" if flips.mcnemar_p >= SURE else "a difference"
    return (
        f"{flips.before} to {flips.after}: {plural(changed, 'decision')} changed, {total.better} to the better, "
        f"{total.worse} to the worse (McNemar p{NBSP}={NBSP}{p_value(flips.mcnemar_p)}: {sure})."
    )


def _text(figure: Figure | None) -> str:
    cell = figure_cell(figure)
    return f"{cell.value} ({cell.interval})" if cell.interval else cell.value


def figure_cell(figure: Figure | None) -> Cell:
    """Return a figure with its interval; a dash where there is none, the number of images where they are too few for one."""
    if figure is None:
        return Cell(value=EN_DASH)
    if figure.low is None or figure.high is None:
        return Cell(value=percent(figure.value), interval=f"of{NBSP}{figure.images}, too few")
    return Cell(value=percent(figure.value), interval=f"{figure.low * 100:.1f}{EN_DASH}{figure.high * 100:.1f}{NBSP}%")


def _apart(estimate: Estimate | None) -> Cell:
    if estimate is None:
        return Cell(value=EN_DASH)
    return Cell(
        value=points(estimate.value), interval=f"{estimate.low * 100:+.1f} to {estimate.high * 100:+.1f}".replace("-", MINUS)
    )


def _overall(performance: Performance) -> Table:
    kinds = (
        ("Accuracy", "right decisions", "accuracy"),
        ("Balanced accuracy", "mean sensitivity of the classes", "balanced_accuracy"),
        ("Macro F1", "mean of the classes", "macro_f1"),
        ("Macro AUC", "mean of the classes, each against the rest", "macro_auc"),
    )
    difference: Differences = performance.difference
    rows = tuple(
        Row(
            name=name,
            about=about,
            cells=(
                figure_cell(getattr(performance.fp32, key)),
                figure_cell(getattr(performance.compiled, key)),
                _apart(getattr(difference, key)),
            ),
        )
        for name, about, key in kinds
    )
    what = f"{plural(performance.images, 'test image')} in {plural(performance.groups, 'group')}"
    return Table(title=f"All classes, {what}", columns=("figure", "FP32", "as it ships", "difference"), rows=rows)


def _classes(title: str, figures: Figures, labels: Sequence[str]) -> Table:
    rows = tuple(
        Row(
            name=labels[c.label],
            about=plural(c.images, "image"),
            cells=tuple(figure_cell(f) for f in (c.sensitivity, c.specificity, c.ppv, c.npv, c.f1, c.auc)),
        )
        for c in figures.classes
    )
    return Table(title=title, columns=("class", "sensitivity", "specificity", "PPV", "NPV", "F1", "AUC"), rows=rows)


def _at_prevalence(performance: Performance, labels: Sequence[str]) -> Table:
    rows = tuple(
        Row(
            name=labels[c.label],
            about=f"{percent(share)} of all",
            cells=(figure_cell(c.ppv_at_prevalence), figure_cell(c.npv_at_prevalence)),
        )
        for c, share in zip(performance.compiled.classes, performance.prevalence or (), strict=True)
    )
    return Table(title="Predictive values at the stated prevalence", columns=("class", "PPV", "NPV"), rows=rows)


def _answered(performance: Performance, labels: Sequence[str]) -> Table:
    answered = performance.selective
    if answered is None:
        raise ValueError("nothing abstains")
    figures = answered.figures
    rows = [
        Row(
            name="all",
            about="accuracy among answered",
            cells=(figure_cell(answered.coverage), figure_cell(figures.accuracy if figures else None)),
        )
    ]
    rows += [
        Row(
            name=label,
            about="sensitivity among answered",
            cells=(
                figure_cell(answered.class_coverage[k]),
                figure_cell(figures.classes[k].sensitivity if figures else None),
            ),
        )
        for k, label in enumerate(labels)
    ]
    return Table(
        title=f"Where it answers: a probability of at least {answered.confidence_threshold:g}",
        columns=("class", "answered", "right among answered"),
        rows=tuple(rows),
    )


def _slices(slices: Sequence[Slice], labels: Sequence[str]) -> Table:
    rows = []
    for one in slices:
        about = f"{plural(one.images, 'image')} in {plural(one.groups, 'group')}"
        if one.compiled is None or one.difference is None:
            few = Cell(value=f"{one.right} of {one.images}", interval="too few for an interval")
            rest = Cell(value=EN_DASH)
            rows.append(Row(name=one.name, about=about, cells=(few, rest, rest, rest)))
            continue
        known = [c for c in one.compiled.classes if c.sensitivity is not None and c.sensitivity.low is not None]
        worst = min(known, key=lambda c: c.sensitivity.value if c.sensitivity else 1.0, default=None)
        lowest = Cell(value=EN_DASH)
        if worst is not None:
            cell = figure_cell(worst.sensitivity)
            lowest = Cell(value=cell.value, interval=f"{labels[worst.label]}, {cell.interval}")
        rows.append(
            Row(
                name=one.name,
                about=about,
                cells=(
                    figure_cell(one.compiled.accuracy),
                    figure_cell(one.compiled.balanced_accuracy),
                    lowest,
                    _apart(one.difference.accuracy),
                ),
            )
        )
    return Table(
        title="Slices, as it ships",
        columns=("slice", "accuracy", "balanced accuracy", "lowest sensitivity", "accuracy, less FP32"),
        rows=tuple(rows),
    )


def _flips(flips: Sequence[Flips]) -> Table:
    def counts(count: FlipCount) -> Cell:
        changed = count.better + count.worse + count.other
        return Cell(value=f"+{count.better} \u2212{count.worse}" if changed else "0", interval=f"of {count.images}")

    first = flips[0]
    rows = [Row(name="all", about="", cells=tuple(counts(f.total) for f in flips))]
    rows += [
        Row(name=one.of, about="class", cells=tuple(counts(f.classes[k]) for f in flips))
        for k, one in enumerate(first.classes)
    ]
    rows += [
        Row(name=one.of, about="slice", cells=tuple(counts(f.slices[k]) for f in flips))
        for k, one in enumerate(first.slices)
    ]
    rows.append(Row(name="McNemar's exact p", about="", cells=tuple(Cell(value=p_value(f.mcnemar_p)) for f in flips)))
    return Table(
        title="Decisions that compression changed: + to the better, \u2212 to the worse",
        columns=("among", *(f"{f.before} to {f.after}" for f in flips)),
        rows=tuple(rows),
    )
