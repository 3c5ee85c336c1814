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
SUSPECTS_SHOWN = 20

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
        yield _leaks("Does the published split leak?", "the published split", audits.published)
    if audits.this_split is not None:
        yield _leaks("Does this build's split leak?", "this build's split", audits.this_split)
    if audits.folds is not None:
        yield _folds(audits.folds)
    if audits.masking is not None:
        yield _masking(audits.masking)
    if audits.fingerprints:
        yield _fingerprints(audits)
    yield _sources(audits.sources)
    if audits.label_issues is not None:
        yield _suspects(audits.label_issues)


def _leaks(title: str, name: str, leaks: SplitLeaks) -> AuditSection:
    if leaks.near or leaks.grouped:
        finding = (
            f"Of {plural(leaks.held_out, 'held-out image')} of {name}, {leaks.copies} hold the very pixels of an image of "
            f"another split, {leaks.near} look like one (copies among them), and {leaks.grouped} share a group with one."
        )
        if leaks.grouped == leaks.copies == 0:
            finding += " No copy and no group is cut; the look-alikes lie in groups that were kept apart on purpose."
    else:
        finding = f"No: of {plural(leaks.held_out, 'held-out image')} none copies, resembles or is grouped with another's."
    if any(pair.how == "features" for pair in leaks.pairs):
        finding += " The nearest pairs are listed for you to look at: they are the likeliest leaks if there are any."
    how = {"pixels": "the same pixels", "picture": "look alike", "features": "nearest by features"}
    shown = [pair for kind in how for pair in [p for p in leaks.pairs if p.how == kind][:PAIRS_SHOWN]]
    return AuditSection(
        title=title,
        finding=finding,
        columns=("held out", "and", "splits", "similarity", "how", "label"),
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
            f"Random splits would have flattered this by {size}: "
            f"{percent(folds.by_image.value)} instead of {percent(folds.by_group.value)}."
        )
    if gap.high < 0:
        return f"Random splits come out {size} lower than splits by groups, which is not what leaks do."
    return f"Random splits are not shown to flatter: {points(gap.value)} (95{NBSP}% interval {_points(gap)})."


def _folds(folds: FoldComparison) -> AuditSection:
    return AuditSection(
        title="Would random splits have flattered?",
        finding=folds_sentence(folds)
        + f" The same features and linear classifier, {folds.repeats} times {folds.folds} folds of {folds.images:,} images.",
        columns=("folds of", "accuracy", f"95{NBSP}% interval"),
        rows=(
            ("single images", percent(folds.by_image.value), _fraction_rows(folds.by_image)),
            ("whole groups", percent(folds.by_group.value), _fraction_rows(folds.by_group)),
        ),
    )


def masking_sentence(audit: MaskAudit) -> str:
    """Say whether the label is told by the centre, by what is around it, or by both."""
    whole = audit.rows[0].accuracy
    base = audit.majority
    above = whole.value - base
    if whole.low <= base:
        return (
            f"Nothing can be told from the masks: whole pictures give {percent(whole.value)}, no better than the "
            f"commonest class ({percent(base)})."
        )
    given = [row for row in audit.rows if row.disc is None and row.shows == "surroundings"]
    discs = [row for row in audit.rows if row.disc is not None and row.shows == "surroundings"]
    text = [row for row in discs if row.accuracy.low > base]
    applied = given or text[-1:] or discs[-1:]
    if not applied:
        return "No mask was applied."
    outside = applied[0]
    where = "the given regions" if outside.disc is None else f"a centred disc of {percent(outside.disc, 0)} of the side"
    kept = max(0.0, (outside.accuracy.value - base) / above)
    facts = (
        f"With {where} covered ({percent(outside.visible, 0)} of the picture is left), {percent(outside.accuracy.value)} "
        f"({interval(outside.accuracy)}) are answered right; {percent(whole.value)} with whole pictures, {percent(base)} by "
        "the commonest class alone."
    )
    if outside.accuracy.low <= base:
        return f"The surroundings do not tell the label. {facts}"
    inside = next(row for row in audit.rows if row.shows == "centre" and row.disc == outside.disc)
    if inside.accuracy.low <= base:
        return f"The label is told by the surroundings, and not by the centre: a network can read the camera. {facts}"
    return (
        f"The surroundings alone keep {percent(kept, 0)} of what whole pictures tell beyond the commonest class. Unless "
        f"what they show is part of the finding, that much may be the camera. {facts}"
    )


def _deployed_sentence(audit: MaskAudit) -> str:
    whole = audit.rows[0].deployed
    rows = [row for row in audit.rows if row.shows == "surroundings" and row.deployed is not None]
    if whole is None or audit.deployed_majority is None or not rows:
        return ""
    covered = rows[-1]
    if covered.deployed is None:
        return ""
    what = "the given regions" if covered.disc is None else f"a disc of {percent(covered.disc, 0)} of the side"
    return (
        f" The trained network, which never saw a covered picture, answers {percent(whole.value)} of the test images right, "
        f"and {percent(covered.deployed.value)} with {what} covered ({percent(audit.deployed_majority)}: commonest class)."
    )


def _masking(audit: MaskAudit) -> AuditSection:
    return AuditSection(
        title="Does the label lie in the centre, or around it?",
        finding=masking_sentence(audit) + _deployed_sentence(audit),
        columns=("shown", "of the picture", "accuracy", "AUC", "trained network"),
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
        return "all of it"
    if row.shows == "shape":
        return "the outline of the given region alone"
    if row.disc is None:
        return "all but the given region" if row.shows == "surroundings" else "the given region alone"
    disc = f"a disc of {percent(row.disc, 0)} of the side"
    return f"all but {disc}" if row.shows == "surroundings" else f"{disc} alone"


def _fingerprints(audits: DataAudit) -> AuditSection:
    base = audits.majority
    telling = [f for f in audits.fingerprints if f.accuracy.low > base]
    if telling:
        text = ", ".join(f"{f.name} {percent(f.accuracy.value)}" for f in telling)
        finding = (
            f"Some tell the label better than the commonest class ({percent(base)}): {text}. Colour and file size may "
            "follow from the finding; image size, compression and source cannot: where they tell the label, classes come "
            "from different cameras."
        )
    else:
        finding = f"No: none of them tells the label better than the commonest class ({percent(base)})."
    return AuditSection(
        title="Do things tell the label that should not matter?",
        finding=finding,
        columns=("from", "that is", "accuracy", "AUC"),
        rows=tuple(
            (f.name, f.features, f"{percent(f.accuracy.value)} ({interval(f.accuracy)})", _area(f.auc))
            for f in audits.fingerprints
        ),
    )


def _sources(audit: SourceAudit | None) -> AuditSection:
    title = "How is a source answered that was not trained on?"
    if audit is None:
        return AuditSection(title=title, finding="Not known: the data set names no source of its images (a site, a device).")
    if len(audit.sources) < 2:
        return AuditSection(title=title, finding=f"Not known: the column '{audit.column}' names one source alone.")
    both = [(s, s.left_out, s.seen) for s in audit.sources if s.left_out is not None and s.seen is not None]
    finding = f"Each '{audit.column}' is left out of the training in turn."
    if both:
        source, left, seen = min(both, key=lambda item: item[1].value - item[2].value)
        finding += f" The largest loss: {source.source}, {percent(seen.value)} (trained on too) to {percent(left.value)}."
    return AuditSection(
        title=title,
        finding=finding,
        columns=("source", "images", "groups", "classes", "left out", "AUC", "trained on too", "commonest class", "note"),
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


def _suspects(audit: LabelIssueAudit) -> AuditSection:
    finding = (
        f"{plural(audit.found, 'label')} of {audit.images:,} {'is' if audit.found == 1 else 'are'} surely contradicted by a "
        "classifier that has not seen the image's group. It may be the classifier that errs: look before you change a label."
    )
    if not audit.found:
        finding = f"No label of {audit.images:,} is surely contradicted by a classifier that has not seen the image's group."
    if audit.found > SUSPECTS_SHOWN:
        finding += f" The {SUSPECTS_SHOWN} most doubtful:"
    return AuditSection(
        title="Which labels may be wrong?",
        finding=finding,
        columns=("image", "label", "likelier", "probability of each"),
        rows=tuple(
            (s.path, s.label, s.predicted_label, f"{s.given_probability:.2f}, {s.predicted_probability:.2f}")
            for s in audit.label_issues[:SUSPECTS_SHOWN]
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
        f"{plural(audits.images, 'image')} in {plural(audits.groups, 'group')}, described by {audits.features}; linear "
        "classifiers on that, by folds of whole groups."
    )
