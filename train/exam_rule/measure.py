"""What the rule of examinations brings on the test split, beside single frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import (
    CalibrationMetrics,
    DatasetIndex,
    ExamChoice,
    ExamCurvePoint,
    ExamEvidence,
    ExamOutcome,
    ExamSlice,
    ExamTimePoint,
    Metric,
)
from weckd_edge.devices.runtime.exam import FrameUse
from weckd_edge.metrics.calibration import calibration_metrics
from weckd_edge.metrics.classification import fraction_of, mean_of
from weckd_edge.metrics.counts import Bools, Floats, group_numbers
from weckd_edge.metrics.group_bootstrap import MIN_GROUPS, MIN_IMAGES, has_enough_images
from weckd_edge.metrics.paired import compare_rates
from weckd_edge.metrics.selective import group_losses
from weckd_edge.metrics.slices import SliceCut
from weckd_edge.train.exam_rule.course import Course, follow
from weckd_edge.train.exam_rule.examinations import Examination, Examinations, RecordedFrame, tally_of

FRAMES = (1, 2, 3, 5, 10)
"""Numbers of frames of the curve."""

DRAWS = 20
"""Number of draws of an examination's frames for a point of the curve."""

SECONDS = (1.0, 2.0, 5.0)
"""Times after the first frame for which decisions are counted, seconds."""

LETTERS: dict[FrameUse, str] = {"counted": "c", "repeated": "r", "refused": "x", "not_needed": "-"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Judged:
    """Examinations with a label and a frame that counts.

    Attributes:
        exams: The examinations, with what became of their frames.
        groups: Group of each of them.
        labels: True label index of each ``[N]``.
        right: Whether the most probable label of each is the true one ``[N]``.
    """

    exams: list[tuple[Examination, Course]]
    groups: list[str]
    labels: NDArray[np.int64]
    right: Bools


def measure_exams(
    found: Examinations, choice: ExamChoice, index: DatasetIndex, cuts: Sequence[SliceCut], *, seed: int
) -> ExamEvidence:
    """Return what a rule brings on test examinations.

    Args:
        found: Test examinations.
        choice: The rule, and how it was found.
        index: The data set.
        cuts: Slices of the data set.
        seed: Seed of the bootstraps and of the curve's draws.
    """
    courses = [(exam, follow(choice.rule, exam)) for exam in found.exams]
    judged = _judge(courses)
    uses = Counter(use for _, course in courses for use in course.uses)
    decided = [(exam, course) for exam, course in courses if course.is_decided]
    wrong = np.array([course.best != exam.label for exam, course in decided], bool)
    reasons = Counter(
        frame.code
        for exam, course in courses
        for frame, use in zip(exam.frames, course.uses, strict=True)
        if use == "refused" and frame.code is not None
    )
    frames = _accepted(judged)
    some = len(judged.exams) > 0
    return ExamEvidence(
        choice=choice,
        named=index.named_groups != 0,
        exams=len(courses),
        left_out=found.left_out,
        without_frames=sum(course.best is None for _, course in courses),
        frame_accuracy=mean_of(frames, judged.groups, seed=seed) if some else None,
        accuracy=_rate(judged.right, judged.groups),
        gain=compare_rates(frames, judged.right, judged.groups, seed=seed) if some else None,
        recall=tuple(_rate_among(judged, judged.labels == label) for label in range(len(index.labels))),
        curve=_curve(judged, choice, seed),
        calibration=_calibration(judged, seed),
        frame_calibration=_frame_calibration(judged, seed),
        decided=_rate(np.array([course.is_decided for _, course in courses], bool), [exam.group for exam, _ in courses]),
        wrong=_rate(wrong, [exam.group for exam, _ in decided]),
        group_error=_group_error(wrong, [exam.group for exam, _ in decided]),
        times=_times(courses, choice),
        ended_early=_rate(
            np.array(["not_needed" in course.uses for _, course in courses], bool), [exam.group for exam, _ in courses]
        ),
        frames_by_use={use: uses[use] for use in LETTERS},
        refused_by_reason=dict(sorted(reasons.items())),
        slices=_slices(judged, cuts),
        outcomes=tuple(_outcome(exam, course) for exam, course in courses),
        notes=_notes(courses, judged, found.left_out, index),
    )


def _judge(courses: Sequence[tuple[Examination, Course]]) -> _Judged:
    exams = [(exam, course) for exam, course in courses if exam.label is not None and course.best is not None]
    return _Judged(
        exams=exams,
        groups=[exam.group for exam, _ in exams],
        labels=np.array([exam.label for exam, _ in exams], np.int64),
        right=np.array([course.best == exam.label for exam, course in exams], bool),
    )


def _accepted(judged: _Judged) -> Floats:
    """Return the fraction of each examination's accepted frames that are right by themselves ``[N]``."""
    return np.array(
        [np.mean([frame.best == exam.label for frame in exam.frames if frame.code is None]) for exam, _ in judged.exams]
    )


def _rate(mask: Bools, groups: Sequence[str]) -> Metric | None:
    return fraction_of(mask, np.ones(len(mask), bool), group_numbers(groups)) if len(mask) else None


def _rate_among(judged: _Judged, among: Bools) -> Metric | None:
    return _rate(judged.right[among], [group for group, one in zip(judged.groups, among, strict=True) if one])


def _curve(judged: _Judged, choice: ExamChoice, seed: int) -> tuple[ExamCurvePoint, ...]:
    """Return the accuracy with so many frames, drawn from those that count where no examination ends early."""
    if not judged.exams:
        return ()
    draw = np.random.default_rng(seed)
    most = max(len(course.countable) for _, course in judged.exams)
    points = []
    for k in (*(k for k in FRAMES if k < most), None):
        values = [
            np.mean([_is_right(choice, exam, frames) for frames in _drawn(course.countable, k, draw)])
            for exam, course in judged.exams
        ]
        points.append(
            ExamCurvePoint(
                frames=k,
                exams=sum(len(course.countable) >= (k or 1) for _, course in judged.exams),
                accuracy=mean_of(np.array(values, np.float64), judged.groups, seed=seed),
            )
        )
    return tuple(points)


def _drawn(frames: Sequence[RecordedFrame], k: int | None, draw: np.random.Generator) -> list[list[RecordedFrame]]:
    if k is None or len(frames) <= k:
        return [list(frames)]
    return [[frames[at] for at in sorted(draw.choice(len(frames), k, replace=False))] for _ in range(DRAWS)]


def _is_right(choice: ExamChoice, exam: Examination, frames: Sequence[RecordedFrame]) -> bool:
    return tally_of(choice.rule, frames, ends_early=True).probabilities().best == exam.label


def _calibration(judged: _Judged, seed: int) -> CalibrationMetrics | None:
    if not judged.exams:
        return None
    probabilities = np.array([course.probabilities for _, course in judged.exams])
    return calibration_metrics(probabilities, judged.labels, judged.groups, seed=seed)


def _frame_calibration(judged: _Judged, seed: int) -> CalibrationMetrics | None:
    frames = [(frame, exam) for exam, _ in judged.exams for frame in exam.frames if frame.code is None]
    if not frames:
        return None
    return calibration_metrics(
        np.array([frame.probabilities for frame, _ in frames]),
        np.array([exam.label for _, exam in frames], np.int64),
        [exam.group for _, exam in frames],
        seed=seed,
    )


def _group_error(wrong: Bools, groups: Sequence[str]) -> float | None:
    if not len(wrong):
        return None
    member = group_numbers(groups).astype(np.int64)
    return float(group_losses(np.ones(len(wrong), bool), wrong, member, int(member.max()) + 1).mean())


def _times(courses: Sequence[tuple[Examination, Course]], choice: ExamChoice) -> tuple[ExamTimePoint, ...]:
    timed = [(exam, course) for exam, course in courses if all(frame.time_s is not None for frame in exam.frames)]
    if not timed:
        return ()
    groups = [exam.group for exam, _ in timed]
    points = []
    for seconds in SECONDS:
        then = [course.is_decided and course.ended_s is not None and course.ended_s <= seconds for _, course in timed]
        decided = _rate(np.array(then, bool), groups)
        some = [(exam, course) for (exam, course), is_there in zip(timed, then, strict=True) if is_there]
        wrong = _rate(np.array([course.best != exam.label for exam, course in some], bool), [exam.group for exam, _ in some])
        if decided is not None:
            points.append(ExamTimePoint(seconds=seconds, decided=decided, wrong=wrong))
    return tuple(points)


def _slices(judged: _Judged, cuts: Sequence[SliceCut]) -> tuple[ExamSlice, ...]:
    found = []
    for cut in cuts:
        inside = np.array([exam.frames[0].path in cut.paths for exam, _ in judged.exams], bool)
        accuracy = _rate_among(judged, inside)
        if accuracy is not None:
            found.append(ExamSlice(column=cut.column, value=cut.value, accuracy=accuracy))
    return tuple(found)


def _outcome(exam: Examination, course: Course) -> ExamOutcome:
    accepted = [frame.best == exam.label for frame in exam.frames if frame.code is None]
    return ExamOutcome(
        exam=exam.name,
        group=exam.group,
        label=exam.label,
        uses="".join(LETTERS[use] for use in course.uses),
        accepted=len(accepted),
        frames_right=sum(accepted),
        best=course.best,
        probability=max(course.probabilities, default=0.0),
        is_decided=course.is_decided,
        seen_enough="not_needed" in course.uses,
    )


def _notes(
    courses: Sequence[tuple[Examination, Course]], judged: _Judged, left_out: int, index: DatasetIndex
) -> tuple[str, ...]:
    notes = []
    if index.named_groups == 0:
        notes.append(
            "the data set names no examinations: clusters of near-identical frames stand for them, which are not patients "
            "and lack the blurred and dark frames of a real examination"
        )
    elif all(record.exam is None for record in index.images):
        notes.append("the data set has no column of examinations: each group stands for one")
    if left_out:
        notes.append(f"{left_out} test examinations were left out, because their frames have several labels")
    if courses and all(len(exam.frames) == 1 for exam, _ in courses):
        notes.append("each test examination is a single frame, so that its decision is the frame's")
    if not has_enough_images(len(set(judged.groups)), len(judged.exams)):
        notes.append(
            f"too few test examinations for an interval: {len(judged.exams)} in {len(set(judged.groups))} groups, and it "
            f"takes {MIN_IMAGES} in {MIN_GROUPS}"
        )
    return tuple(notes)
