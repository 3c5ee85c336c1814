"""Examinations in sentences and tables: how the decision is made, and what it brings beside single frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import CalibrationMetrics, ExamEvidence, ExamOutcome, Metric
from weckd_edge.core.words import NBSP, plural
from weckd_edge.report.chapters.abstention import WORDS, early_stopping_sentences
from weckd_edge.report.chapters.metrics import MetricsCell, MetricsRow, MetricsTable, metric_cell
from weckd_edge.report.numbers import EN_DASH, percent, points

STRIPS = 8
"""Largest number of examinations that are shown frame by frame."""

_REASONS = WORDS | {"not_a_number": "without a number from the network", "non_gradeable_label": "of a non-gradeable class"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamsText:
    """Everything that a page shows of examinations.

    Attributes:
        sentences: How the decision is made and what it brings, a sentence each.
        tables: Tables, in order.
        shown: Examinations that are shown frame by frame.
        frames: Table of these examinations; None without any.
        notes: How the rule was found, and limits of the figures, in words.
    """

    sentences: tuple[str, ...]
    tables: tuple[MetricsTable, ...]
    shown: tuple[ExamOutcome, ...]
    frames: MetricsTable | None
    notes: tuple[str, ...]


def exams_text(found: ExamEvidence | None, labels: Sequence[str]) -> ExamsText | None:
    """Return what a page shows of examinations; None for a bundle without a record of them."""
    if found is None:
        return None
    tables = [_beside_frames(found, labels)]
    if len(found.curve) > 1:
        tables.append(_curve(found))
    if found.times:
        tables.append(_times(found))
    if found.slices:
        tables.append(
            MetricsTable(
                title="Examinations by slice",
                columns=("slice", "examinations", "decided rightly"),
                rows=tuple(
                    MetricsRow(
                        name=f"{one.column} {one.value}",
                        about="",
                        cells=(MetricsCell(value=f"{one.accuracy.images:,}"), _cell(one.accuracy)),
                    )
                    for one in found.slices
                ),
            )
        )
    if found.choice.candidates:
        tables.append(_candidates(found))
    shown = choose_shown(found.outcomes)
    return ExamsText(
        sentences=exam_sentences(found),
        tables=tuple(tables),
        shown=shown,
        frames=_frames(shown, labels) if shown else None,
        notes=tuple(_sentence(note) for note in (*found.notes, *found.choice.notes)),
    )


def exam_sentences(found: ExamEvidence) -> tuple[str, ...]:
    """Return sentences on how an examination is decided, and what that brings on the test split."""
    sentences = [f"An examination is decided by the {found.choice.name}.", *_threshold(found)]
    sentences.append(_frames_sentence(found))
    if found.accuracy is None or found.frame_accuracy is None:
        return (*sentences, "There is no test examination with a label and a frame that counts.")
    sentences.append(
        f"{percent(found.accuracy.value)}{_interval(found.accuracy)} of {plural(found.accuracy.images, 'test examination')} "
        f"in {plural(found.accuracy.groups, 'group')} are decided rightly; of the frames of an examination "
        f"{percent(found.frame_accuracy.value)}{_interval(found.frame_accuracy)} are, on average. {_gain(found)}"
    )
    if found.decided is not None:
        wrong = "" if found.wrong is None else f"; {percent(found.wrong.value)}{_interval(found.wrong)} of these are wrong"
        sentences.append(
            f"{percent(found.decided.value)}{_interval(found.decided)} of all test examinations get a decision{wrong}."
        )
    return tuple(sentences)


def brief_exam_sentence(found: ExamEvidence) -> str | None:
    """Return one line for a terminal; None where no examination has several frames."""
    if found.accuracy is None or found.frame_accuracy is None or all(len(one.uses) < 2 for one in found.outcomes):
        return None
    clusters = "" if found.named else " (clusters of near-identical frames stand for them)"
    return (
        f"Examinations{clusters}: {percent(found.accuracy.value)} decided rightly, {percent(found.frame_accuracy.value)} of "
        f"their frames on average. {_gain(found)}"
    )


def choose_shown(outcomes: Sequence[ExamOutcome]) -> tuple[ExamOutcome, ...]:
    """Return the examinations that are shown frame by frame: of several frames, the longest, up to half of them wrong."""
    several = sorted((one for one in outcomes if len(one.uses) > 1), key=lambda one: (-len(one.uses), one.exam))
    wrong = [one for one in several if one.is_decided and one.best != one.label]
    right = [one for one in several if one not in wrong]
    shown = wrong[: max(STRIPS // 2, STRIPS - len(right))]
    return (*shown, *right[: STRIPS - len(shown)])


def outcome_text(one: ExamOutcome, labels: Sequence[str]) -> str:
    """Return an examination's true label and decision in words."""
    truth = "non-gradeable" if one.label is None else labels[one.label]
    if not one.is_decided or one.best is None:
        return f"{truth}: unable to analyze"
    verdict = "right" if one.best == one.label else "wrong"
    return f"{truth}: {labels[one.best]} ({one.probability:.2f}), {verdict}"


def _gain(found: ExamEvidence) -> str:
    if found.gain is None:
        return "There are too few examinations for an interval of the difference."
    low, high = found.gain.low, found.gain.high
    if low > 0:
        finding = "examinations are decided better than their frames"
    elif high < 0:
        finding = "examinations are decided worse than their frames"
    else:
        finding = "no difference is shown"
    return (
        f"The difference is {points(found.gain.value)} (95{NBSP}% interval {points(low)} to {points(high)}, paired, by "
        f"groups): {finding}."
    )


def _threshold(found: ExamEvidence) -> list[str]:
    sought, below = found.choice.threshold, found.choice.rule.confidence_threshold
    if sought is None:
        return [f"A decision needs a probability of at least {below:g}."] if below else []
    limit = (
        f"at most {percent(sought.max_group_error)} of the decided groups wrong, with {percent(sought.confidence, 0)} "
        "confidence"
    )
    if sought.confidence_threshold is None:
        more = (
            f" About {plural(sought.more_groups, 'further group')} of validation examinations would be needed."
            if sought.more_groups
            else ""
        )
        return [f"No threshold keeps the limit of {limit}.{more}"]
    got = "" if found.group_error is None else f" On the test groups the error is {percent(found.group_error)}."
    needed = f"a probability of at least {below:g}" if below else "no threshold on its probability"
    return [
        f"A decision needs {needed}, found for the limit of {limit}, on {plural(sought.val_groups, 'group')} of validation "
        f"examinations.{got}",
        *early_stopping_sentences(sought),
    ]


def _frames_sentence(found: ExamEvidence) -> str:
    uses = found.frames_by_use
    reasons = ", ".join(f"{count} {_REASONS.get(code, code)}" for code, count in found.refused_by_reason.items())
    because = f" ({reasons})" if reasons else ""
    return (
        f"Of {plural(sum(uses.values()), 'frame')} in {plural(found.exams, 'test examination')}, {uses['counted']:,} count, "
        f"{uses['repeated']:,} repeat the last counted one, {uses['refused']:,} are refused{because}, and "
        f"{uses['not_needed']:,} came after enough was seen."
    )


def _beside_frames(found: ExamEvidence, labels: Sequence[str]) -> MetricsTable:
    gain = found.gain
    rows = [
        _row("accuracy of single frames", "accepted ones, mean over examinations", found.frame_accuracy),
        _row("accuracy of examinations", "the most probable label, whatever its probability", found.accuracy),
        MetricsRow(
            name="difference",
            about="paired, by groups",
            cells=(
                MetricsCell(value=EN_DASH)
                if gain is None
                else MetricsCell(value=points(gain.value), interval=f"{points(gain.low)} to {points(gain.high)}"),
            ),
        ),
        *(_row(f"sensitivity of {label}", "examinations", found.recall[at]) for at, label in enumerate(labels)),
        _row("with a decision", "all examinations", found.decided),
        _row("wrong decisions", "of those with a decision", found.wrong),
        _row("ended early", "enough was seen before the last frame", found.ended_early),
        _calibration("expected calibration error of single frames", found.frame_calibration),
        _calibration("expected calibration error of examinations", found.calibration),
    ]
    return MetricsTable(title="Frame by frame, and by examination", columns=("test split", "value"), rows=tuple(rows))


def _curve(found: ExamEvidence) -> MetricsTable:
    rows = tuple(
        MetricsRow(
            name="all" if point.frames is None else f"at most {point.frames}",
            about="",
            cells=(MetricsCell(value=f"{point.exams:,}"), _cell(point.accuracy)),
        )
        for point in found.curve
    )
    return MetricsTable(
        title="Accuracy of examinations by the number of frames that count",
        columns=("frames", "examinations with as many", "decided rightly"),
        rows=rows,
    )


def _times(found: ExamEvidence) -> MetricsTable:
    rows = tuple(
        MetricsRow(
            name=f"{point.seconds:g} s after the first frame",
            about=plural(point.decided.images, "examination"),
            cells=(_cell(point.decided), _cell(point.wrong)),
        )
        for point in found.times
    )
    return MetricsTable(
        title="Examinations with a decision by then", columns=("time", "with a decision", "of these wrong"), rows=rows
    )


def _candidates(found: ExamEvidence) -> MetricsTable:
    rows = tuple(
        MetricsRow(
            name=one.name,
            about="chosen" if one.name == found.choice.name else "",
            cells=(
                MetricsCell(value=f"{one.right:,}"),
                MetricsCell(value=f"{one.brier:.3f}"),
                MetricsCell(value=EN_DASH)
                if one.gain is None
                else MetricsCell(value=f"{one.gain.value:+.3f}", interval=f"{one.gain.low:+.3f} to {one.gain.high:+.3f}"),
            ),
        )
        for one in found.choice.candidates
    )
    return MetricsTable(
        title=f"Ways of joining frames, on {plural(found.choice.exams, 'validation examination')}",
        columns=("way", "decided rightly", "Brier score", "less than the first"),
        rows=rows,
    )


def _frames(shown: Sequence[ExamOutcome], labels: Sequence[str]) -> MetricsTable:
    rows = tuple(
        MetricsRow(
            name=f"{number}. {outcome_text(one, labels)}",
            about="",
            cells=tuple(MetricsCell(value=f"{one.uses.count(letter):,}") for letter in "crx-"),
        )
        for number, one in enumerate(shown, 1)
    )
    return MetricsTable(
        title="The same examinations as a table",
        columns=("examination", "counted", "repeated", "refused", "not needed"),
        rows=rows,
    )


def _row(name: str, about: str, metric: Metric | None) -> MetricsRow:
    of = "" if metric is None else f"; {plural(metric.images, 'examination')}, {plural(metric.groups, 'group')}"
    return MetricsRow(name=name, about=f"{about}{of}", cells=(_cell(metric),))


def _calibration(name: str, found: CalibrationMetrics | None) -> MetricsRow:
    if found is None:
        return MetricsRow(name=name, about="", cells=(MetricsCell(value=EN_DASH),))
    chance = found.ece_by_chance
    about = "" if chance is None else f"by chance alone {chance.value:.3f}"
    value = MetricsCell(value=f"{found.ece.value:.3f}", interval=f"{found.ece.low:.3f}{EN_DASH}{found.ece.high:.3f}")
    return MetricsRow(name=name, about=about, cells=(value,))


def _cell(metric: Metric | None) -> MetricsCell:
    if metric is not None and (metric.low is None or metric.high is None):
        return MetricsCell(value=percent(metric.value), interval="too few for an interval")
    return metric_cell(metric)


def _interval(metric: Metric) -> str:
    if metric.low is None or metric.high is None:
        return " (too few for an interval)"
    return f" (95{NBSP}% interval {percent(metric.low)} to {percent(metric.high)})"


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}."
