"""Differences of two bundles in sentences and tables, for the terminal, Markdown and the page."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import BundleDiff, ChangedField, ComparedBundle, DataChange, Estimate, ImageChange, ResultChange
from weckd_edge.core.words import NBSP, plural
from weckd_edge.report.chapters.metrics import MetricsCell, MetricsRow, MetricsTable, metric_cell, outcomes
from weckd_edge.report.chapters.parity import mcnemar_text
from weckd_edge.report.numbers import EN_DASH, points

IMAGES_SHOWN = 20
PURPOSE = (
    "This list was read from the evidence of the two bundles. It is input for a change-control plan: it does not judge any "
    "change and makes no claim of compliance."
)

_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{52}\b")


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeSection:
    """One section of the comparison.

    Attributes:
        title: Title of the section.
        sentences: Sentences, in order.
        tables: Tables after the sentences.
    """

    title: str
    sentences: tuple[str, ...]
    tables: tuple[MetricsTable, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeText:
    """A whole comparison in words.

    Attributes:
        title: Names of the two bundles.
        purpose: Purpose of the text.
        warnings: Warnings that come first.
        sections: Sections: data, model, thresholds, results, settings, software, what was not compared.
    """

    title: str
    purpose: str
    warnings: tuple[str, ...]
    sections: tuple[ChangeSection, ...]


def change_text(change: BundleDiff) -> ChangeText:
    """Return a comparison in words."""
    sections = [
        _data(change.data),
        _field_rows("Model", change.model),
        _field_rows("Thresholds and limits", change.thresholds),
        _results(change.results),
        _field_rows("Metrics of each bundle on its own test images", change.own_results, _OWN),
        _field_rows("Settings of the build", change.settings),
        _field_rows("Software", change.software),
    ]
    if change.unknown:
        sections.append(ChangeSection(title="Not compared", sentences=tuple(_ended(line) for line in change.unknown)))
    return ChangeText(
        title=f"What changed: {_name(change.old)} to {_name(change.new)}",
        purpose=PURPOSE,
        warnings=tuple(_warnings(change)),
        sections=tuple(sections),
    )


_OWN = "Where the two sets of test images differ, the difference is not one of the models alone."


def _name(bundle: ComparedBundle) -> str:
    version = f", version {bundle.version}" if bundle.version else ""
    return f"{bundle.name} ({bundle.manifest_sha256[:12]}{version})"


def _warnings(change: BundleDiff) -> Iterator[str]:
    if change.old.synthetic or change.new.synthetic:
        which = "both bundles" if change.old.synthetic and change.new.synthetic else "one of the bundles"
        yield f"Synthetic data: the images of {which} are synthetic, and the results say nothing about real images."
    data = change.data
    if data is None:
        return
    if data.entered_training:
        yield (
            f"A leak between versions: {plural(len(data.entered_training), 'test image')} of the old bundle "
            f"{'is' if len(data.entered_training) == 1 else 'are'} used in training by the new one; the list is below."
        )
    if data.grouped_with_training:
        yield (
            f"{plural(data.grouped_with_training, 'further test image')} of the old bundle "
            f"{'shares' if data.grouped_with_training == 1 else 'share'} a group with a training image of the new one."
        )


def _data(data: DataChange | None) -> ChangeSection:
    if data is None:
        return ChangeSection(title="Data", sentences=("Not compared: the index of images of one bundle cannot be read.",))
    sentences = [
        f"Old: {plural(data.old_images, 'image')} in {plural(data.old_groups, 'group')}. New: "
        f"{plural(data.new_images, 'image')} in {plural(data.new_groups, 'group')}. {data.common:,} are in both, identified "
        "by their pixels.",
        f"Of these, {data.renamed:,} have another path and {data.regrouped:,} are grouped with other images.",
    ]
    numbers = [
        ("added", data.added),
        ("removed", data.removed),
        ("moved to another split", data.moved),
        ("with another label", data.relabelled),
        ("old test images now used in training", data.entered_training),
        ("old test images now used in validation", data.entered_validation),
    ]
    count = MetricsTable(
        title="Images",
        columns=("images", "number"),
        rows=tuple(
            MetricsRow(name=name, about="", cells=(MetricsCell(value=f"{len(found):,}"),)) for name, found in numbers
        ),
    )
    tables = [count]
    if data.moved:
        tables.append(_moves(data.moved))
    listed = (
        ("Old test images that are now used in training", data.entered_training, len(data.entered_training)),
        ("Images with another label", data.relabelled, IMAGES_SHOWN),
        ("Images that were removed", data.removed, IMAGES_SHOWN),
        ("Images that were added", data.added, IMAGES_SHOWN),
    )
    tables += [_images(title, found, maximum) for title, found, maximum in listed if found]
    return ChangeSection(title="Data", sentences=tuple(sentences), tables=tuple(tables))


def _moves(moved: Sequence[ImageChange]) -> MetricsTable:
    counts = Counter((one.old_split or "", one.new_split or "") for one in moved)
    rows = [
        MetricsRow(name=f"{a} to {b}", about="", cells=(MetricsCell(value=str(n)),)) for (a, b), n in sorted(counts.items())
    ]
    return MetricsTable(title="Moves between splits", columns=("split", "images"), rows=tuple(rows))


def _images(title: str, found: Sequence[ImageChange], maximum: int) -> MetricsTable:
    more = f" (the first {maximum} of {len(found)})" if len(found) > maximum else ""

    def cell(label: str | None, split: str | None) -> MetricsCell:
        return MetricsCell(value=", ".join(part for part in (label, split) if part) or EN_DASH)

    rows = [
        MetricsRow(name=one.path, about="", cells=(cell(one.old_label, one.old_split), cell(one.new_label, one.new_split)))
        for one in found[:maximum]
    ]
    return MetricsTable(title=f"{title}{more}", columns=("image", "old", "new"), rows=tuple(rows))


def _field_rows(title: str, changed: Sequence[ChangedField], about: str = "") -> ChangeSection:
    if not changed:
        return ChangeSection(title=title, sentences=("No difference in what both bundles record.",))
    rows = [MetricsRow(name=one.what, about="", cells=(_value(one.old), _value(one.new))) for one in changed]
    table = MetricsTable(title=f"{title}: differences", columns=("value", "old", "new"), rows=tuple(rows))
    return ChangeSection(title=title, sentences=(about,) if about else (), tables=(table,))


def _value(text: str | None) -> MetricsCell:
    return MetricsCell(value=EN_DASH if text is None else _DIGEST.sub(r"\1...", text))


def _results(results: ResultChange | None) -> ChangeSection:
    title = "Results on the common test images"
    if results is None:
        return ChangeSection(title=title, sentences=("Not compared; the reason is at the end, under “Not compared”.",))
    flips = results.flips.total
    left = ""
    if results.relabelled or results.foreign:
        left = (
            f"; {results.relabelled + results.foreign} more were left out: {results.relabelled} have another label, "
            f"{results.foreign} have a label that only one bundle knows"
        )
    changed = plural(flips.better + flips.worse + flips.other, "decision")
    sentences = [
        f"{plural(results.images, 'test image')} in {plural(results.groups, 'group')}, both as deployed{left}.",
        f"{changed} changed, {outcomes(flips)} ({mcnemar_text(results.flips.mcnemar_p)}).",
        *(_ended(note) for note in results.notes),
    ]
    return ChangeSection(title=title, sentences=tuple(sentences), tables=(_overall(results), _classes(results)))


def _overall(results: ResultChange) -> MetricsTable:
    kinds = (
        ("Accuracy", "accuracy"),
        ("Balanced accuracy", "balanced_accuracy"),
        ("Macro F1", "macro_f1"),
        ("Macro AUC", "macro_auc"),
    )
    rows = [
        MetricsRow(
            name=name,
            about="",
            cells=(
                metric_cell(getattr(results.old, key)),
                metric_cell(getattr(results.new, key)),
                _difference_row(getattr(results.difference, key)),
            ),
        )
        for name, key in kinds
    ]
    rows.append(
        MetricsRow(
            name="Images with a decision",
            about="by threshold and non-gradeable labels, without the input guard",
            cells=(
                metric_cell(results.old_coverage),
                metric_cell(results.new_coverage),
                _difference_row(results.coverage_difference),
            ),
        )
    )
    columns = ("metric", "old", "new", f"new minus old, 95{NBSP}% interval")
    return MetricsTable(title="All classes", columns=columns, rows=tuple(rows))


def _classes(results: ResultChange) -> MetricsTable:
    rows = []
    for old, new in zip(results.old.classes, results.new.classes, strict=True):
        if not new.images:
            continue
        flips = results.flips.classes[new.label]
        cells = (
            metric_cell(old.sensitivity),
            metric_cell(new.sensitivity),
            _difference_row(results.difference.sensitivity[new.label]),
            metric_cell(old.specificity),
            metric_cell(new.specificity),
            _difference_row(results.specificity[new.label]),
            MetricsCell(value=f"+{flips.better} \u2212{flips.worse}", interval=f"of {flips.images}"),
        )
        rows.append(MetricsRow(name=results.labels[new.label], about=plural(new.images, "image"), cells=cells))
    columns = (
        *("class", "sensitivity, old", "new", f"new minus old, 95{NBSP}% interval"),
        *("specificity, old", "new", f"new minus old, 95{NBSP}% interval", "flips: better, worse"),
    )
    return MetricsTable(title="Each class", columns=columns, rows=tuple(rows))


def _difference_row(estimate: Estimate | None) -> MetricsCell:
    if estimate is None:
        return MetricsCell(value=EN_DASH, interval="too few")
    return MetricsCell(value=points(estimate.value), interval=f"{estimate.low * 100:+.1f} to {estimate.high * 100:+.1f}")


def _ended(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}{'' if line.endswith('.') else '.'}"
