"""The data audit in sentences and tables, for the page, the terminal and the model card."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from weckd_edge.artifacts import (
    DataAudit,
    Estimate,
    FoldComparison,
    LabelIssueAudit,
    MaskAudit,
    MaskScore,
    Rate,
    SourceAudit,
    SplitLeaks,
)
from weckd_edge.core.words import NBSP, plural
from weckd_edge.report.numbers import EN_DASH, MINUS, interval, percent, points

PAIRS_SHOWN = 10
LABELS_SHOWN = 20

Row = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditSection:
    """One check of the data audit, in words.

    Attributes:
        title: Question that the check answers.
        finding: Result in a sentence or two.
        columns: Headings of the table.
        rows: Rows of the table; empty where there is no table.
    """

    title: str
    finding: str
    columns: Row = ()
    rows: tuple[Row, ...] = ()


def audit_sections(audits: DataAudit) -> tuple[AuditSection, ...]:
    """Return every check that was made, in words."""
    return tuple(_sections(audits))


def _sections(audits: DataAudit) -> Iterator[AuditSection]:
    if audits.published is not None:
        yield _leaks("Leaks of the published split", "the published split", audits.published)
    if audits.this_split is not None:
        yield _leaks("Leaks of this build's split", "this build's split", audits.this_split)
    if audits.folds is not None:
        yield _folds(audits.folds)
    if audits.masking is not None:
        yield _masking(audits.masking)
    if audits.fingerprints:
        yield _fingerprints(audits)
    yield _sources(audits.sources)
    if audits.label_issues is not None:
        yield _label_issues(audits.label_issues)


def _leaks(title: str, name: str, leaks: SplitLeaks) -> AuditSection:
    if leaks.near or leaks.grouped:
        finding = (
            f"Of {plural(leaks.held_out, 'held-out image')} of {name}, {leaks.copies} have the same pixels as an image of "
            f"another split, {leaks.near} look like one (copies included), and {leaks.grouped} share a group with one."
        )
        if leaks.grouped == leaks.copies == 0:
            finding += " There is no copy and no group in two splits; the look-alikes are in groups that differ."
    else:
        finding = (
            f"None found: none of {plural(leaks.held_out, 'held-out image')} copies, resembles or shares a group with an "
            "image of another split."
        )
    if any(pair.how == "features" for pair in leaks.pairs):
        finding += " The most similar pairs are listed to look at: if there are leaks, they are among these."
    how = {"pixels": "same pixels", "picture": "look alike", "features": "nearest by features"}
    shown = [pair for kind in how for pair in [p for p in leaks.pairs if p.how == kind][:PAIRS_SHOWN]]
    return AuditSection(
        title=title,
        finding=finding,
        columns=("held-out image", "similar image", "splits", "similarity", "found by", "label"),
        rows=tuple(
            (p.held_out, p.other, p.splits, f"{p.similarity:.3f}", how[p.how], "same" if p.same_label else "differs")
            for p in shown
        ),
    )


def folds_sentence(folds: FoldComparison) -> str:
    """Return a sentence on how much random folds overestimate the accuracy."""
    gap = folds.optimism
    size = f"{abs(gap.value) * 100:.1f}{NBSP}points (95{NBSP}% interval {_points(gap)})"
    if gap.low > 0:
        return (
            f"Random splits would overestimate the accuracy by {size}: "
            f"{percent(folds.by_image.value)} instead of {percent(folds.by_group.value)}."
        )
    if gap.high < 0:
        return f"Random splits give an accuracy {size} lower than splits by groups, which leaks cannot cause."
    return f"No overestimation by random splits was found: {points(gap.value)} (95{NBSP}% interval {_points(gap)})."


def _folds(folds: FoldComparison) -> AuditSection:
    return AuditSection(
        title="Random splits against splits by groups",
        finding=folds_sentence(folds)
        + f" Both use the same features and linear classifier, {folds.repeats} times {folds.folds} folds of "
        f"{folds.images:,} images.",
        columns=("folds of", "accuracy", f"95{NBSP}% interval"),
        rows=(
            ("single images", percent(folds.by_image.value), _fraction_rows(folds.by_image)),
            ("whole groups", percent(folds.by_group.value), _fraction_rows(folds.by_group)),
        ),
    )


@dataclass(frozen=True, slots=True)
class MaskingFinding:
    """What the masks show, in words.

    Attributes:
        text: The finding, followed by the numbers behind it.
        warns: Whether the surroundings predict the label, so that the camera may be what a network recognises.
    """

    text: str
    warns: bool = False

    @property
    def brief(self) -> str:
        """The first sentence of the finding."""
        return f"{self.text.split('. ')[0]}."


def masking_finding(audit: MaskAudit) -> MaskingFinding:
    """Return how well the surroundings of the centre predict the label, and the centre itself, in words."""
    whole = audit.rows[0].accuracy
    base = audit.majority
    above = whole.value - base
    if whole.low <= base:
        return MaskingFinding(
            f"Inconclusive: whole images give an accuracy of {percent(whole.value)}, no better than always predicting the "
            f"most common class ({percent(base)})."
        )
    given = [row for row in audit.rows if row.disc is None and row.shows == "surroundings"]
    discs = [row for row in audit.rows if row.disc is not None and row.shows == "surroundings"]
    telling = [row for row in discs if row.accuracy.low > base]
    applied = given or telling[-1:] or discs[-1:]
    if not applied:
        return MaskingFinding("No mask was applied.")
    outside = applied[0]
    where = "the given regions" if outside.disc is None else f"a centred disc ({percent(outside.disc, 0)} of the side)"
    kept = max(0.0, (outside.accuracy.value - base) / above)
    facts = (
        f"With {where} covered ({percent(outside.visible, 0)} of the image stays visible), the accuracy is "
        f"{percent(outside.accuracy.value)} ({interval(outside.accuracy)}); it is {percent(whole.value)} with whole images "
        f"and {percent(base)} when always predicting the most common class."
    )
    if outside.accuracy.low <= base:
        return MaskingFinding(f"The surroundings do not predict the label. {facts}")
    inside = next(row for row in audit.rows if row.shows == "centre" and row.disc == outside.disc)
    if inside.accuracy.low <= base:
        return MaskingFinding(
            "The surroundings predict the label and the centre does not: a network can recognise the camera instead. "
            f"{facts}",
            warns=True,
        )
    return MaskingFinding(
        f"The surroundings alone keep {percent(kept, 0)} of the gain of whole images over always predicting the most common "
        f"class. Unless they show part of the finding, this may be the camera. {facts}",
        warns=True,
    )


def _deployed_sentence(audit: MaskAudit) -> str:
    whole = audit.rows[0].deployed
    rows = [row for row in audit.rows if row.shows == "surroundings" and row.deployed is not None]
    if whole is None or audit.deployed_majority is None or not rows:
        return ""
    covered = rows[-1]
    if covered.deployed is None:
        return ""
    what = "the given regions" if covered.disc is None else f"a disc ({percent(covered.disc, 0)} of the side)"
    return (
        f" The trained network, which never saw a covered image, has a test accuracy of {percent(whole.value)}, and "
        f"{percent(covered.deployed.value)} with {what} covered (most common class: {percent(audit.deployed_majority)})."
    )


def _masking(audit: MaskAudit) -> AuditSection:
    return AuditSection(
        title="Centre against surroundings",
        finding=masking_finding(audit).text + _deployed_sentence(audit),
        columns=("visible part", "fraction of the image", "accuracy", "AUC", "trained network"),
        rows=tuple(
            (
                _shown(row),
                percent(row.visible, 0),
                f"{percent(row.accuracy.value)} ({interval(row.accuracy)})",
                _area(row.auc),
                f"{percent(row.deployed.value)} ({interval(row.deployed)})" if row.deployed else EN_DASH,
            )
            for row in audit.rows
        ),
    )


def _shown(row: MaskScore) -> str:
    if row.shows == "whole":
        return "whole image"
    if row.shows == "shape":
        return "outline of the given region"
    if row.disc is None:
        return "all but the given region" if row.shows == "surroundings" else "given region alone"
    disc = f"disc of {percent(row.disc, 0)} of the side"
    return f"all but a {disc}" if row.shows == "surroundings" else f"{disc} alone"


def _fingerprints(audits: DataAudit) -> AuditSection:
    base = audits.majority
    telling = [f for f in audits.fingerprints if f.accuracy.low > base]
    if telling:
        text = ", ".join(f"{f.name} {percent(f.accuracy.value)}" for f in telling)
        finding = (
            f"These properties predict the label better than always predicting the most common class ({percent(base)}): "
            f"{text}. Colour and file size may follow from the finding. Image size, compression and source cannot: where "
            "they predict the label, the classes come from different cameras."
        )
    else:
        finding = (
            "None found: no property predicts the label better than always predicting the most common class "
            f"({percent(base)})."
        )
    return AuditSection(
        title="Shortcuts: properties that should not predict the label",
        finding=finding,
        columns=("property", "inputs", "accuracy", "AUC"),
        rows=tuple(
            (f.name, f.features, f"{percent(f.accuracy.value)} ({interval(f.accuracy)})", _area(f.auc))
            for f in audits.fingerprints
        ),
    )


def _sources(audit: SourceAudit | None) -> AuditSection:
    title = "Sources left out of training"
    if audit is None:
        return AuditSection(
            title=title, finding="Not known: the data set names no sources of its images, such as sites or devices."
        )
    if len(audit.sources) < 2:
        return AuditSection(title=title, finding=f"Not known: the column '{audit.column}' names only one source.")
    both = [(s, s.left_out, s.seen) for s in audit.sources if s.left_out is not None and s.seen is not None]
    finding = f"Training leaves out each '{audit.column}' in turn."
    if both:
        source, left, seen = min(both, key=lambda item: item[1].value - item[2].value)
        finding += (
            f" The largest loss is for {source.source}: the accuracy is {percent(seen.value)} when training uses it too, "
            f"and {percent(left.value)} when it does not."
        )
    return AuditSection(
        title=title,
        finding=finding,
        columns=(
            "source",
            "images",
            "groups",
            "classes",
            "left out",
            "AUC",
            "used in training",
            "most common class",
            "note",
        ),
        rows=tuple(
            (
                s.source,
                f"{s.images:,}",
                f"{s.groups:,}",
                str(len(s.labels)),
                _rate(s.left_out),
                _area(s.auc),
                _rate(s.seen),
                percent(s.majority),
                s.note,
            )
            for s in audit.sources
        ),
    )


def _label_issues(audit: LabelIssueAudit) -> AuditSection:
    finding = (
        f"A classifier that has not seen the image's group confidently contradicts {plural(audit.found, 'label')} of "
        f"{audit.images:,}. The classifier may be wrong: look at the image before you change a label."
    )
    if not audit.found:
        finding = (
            "None found: a classifier that has not seen the image's group confidently contradicts none of "
            f"{audit.images:,} labels."
        )
    if audit.found > LABELS_SHOWN:
        finding += f" The {LABELS_SHOWN} most doubtful are listed."
    return AuditSection(
        title="Labels that may be wrong",
        finding=finding,
        columns=("image", "label", "predicted label", "probability of each"),
        rows=tuple(
            (s.path, s.label, s.predicted_label, f"{s.given_probability:.2f}, {s.predicted_probability:.2f}")
            for s in audit.label_issues[:LABELS_SHOWN]
        ),
    )


def _rate(rate: Rate | None) -> str:
    return EN_DASH if rate is None else f"{percent(rate.value)} ({interval(rate)})"


def _area(estimate: Estimate | None) -> str:
    return EN_DASH if estimate is None else f"{estimate.value:.3f} ({estimate.low:.3f}{EN_DASH}{estimate.high:.3f})"


def _fraction_rows(estimate: Estimate) -> str:
    return f"{estimate.low * 100:.1f}{EN_DASH}{estimate.high * 100:.1f}{NBSP}%"


def _points(estimate: Estimate) -> str:
    low, high = (f"{value * 100:.1f}".replace("-", MINUS) for value in (estimate.low, estimate.high))
    return f"{low} to {high}"


def about_data(audits: DataAudit) -> str:
    """Return a sentence on the audited images and their features."""
    return (
        f"{plural(audits.images, 'image')} in {plural(audits.groups, 'group')}, embedded by {audits.features}; linear "
        "classifiers on these features, by folds of whole groups."
    )
