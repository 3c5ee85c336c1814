"""Examinations: how the rule for their frames was chosen, and what it brings on the test split."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.abstention import ThresholdRecord
from weckd_edge.artifacts.base import Estimate
from weckd_edge.artifacts.exam import ExamRule
from weckd_edge.artifacts.metrics import Metric
from weckd_edge.artifacts.verification import CalibrationMetrics
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamCandidate:
    """A way of joining frames, tried on validation examinations that its numbers were not fitted on.

    Attributes:
        name: What it does, in words.
        brier: Brier score of its probabilities, 0..2, mean over groups; smaller is better.
        right: Number of examinations that it decides rightly.
        gain: Brier score of the plainest way less its own, with an interval that allows for the number of ways tried; None
            for the plainest way itself, and where there are too few groups.
    """

    name: str
    brier: float
    right: int
    gain: Estimate | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamChoice:
    """The rule of a bundle's examinations, and how it was found on the validation split.

    Attributes:
        rule: The rule.
        name: Way of joining frames that was chosen, in words.
        exams: Number of validation examinations with a label and a frame that counts.
        groups: Number of independent groups among them.
        several_frames: Number of examinations with more than one frame that counts.
        candidates: Ways that were tried, the plainest first; empty where none was compared.
        threshold: Search for the confidence threshold; None where no search was asked for.
        notes: How each part of the rule was found, or why it was left out, in words.
    """

    rule: ExamRule
    name: str
    exams: int
    groups: int
    several_frames: int
    candidates: tuple[ExamCandidate, ...]
    threshold: ThresholdRecord | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamCurvePoint:
    """Accuracy where no examination may count more than so many frames.

    Attributes:
        frames: Most frames of an examination; None: all of them.
        exams: Number of examinations that have as many; with fewer, all that an examination has are used.
        accuracy: Fraction of examinations that are decided rightly, mean over draws of their frames, in order; ``images``
            counts examinations.
    """

    frames: int | None
    exams: int
    accuracy: Metric


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamTimePoint:
    """Examinations that have ended so long after their first frame.

    Attributes:
        seconds: Time since the first frame, seconds.
        decided: Fraction of examinations that have a decision and have seen enough, or are over, by then; ``images`` counts
            examinations.
        wrong: Fraction of those decisions that is wrong; None where there is none.
    """

    seconds: float
    decided: Metric
    wrong: Metric | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamOutcome:
    """One test examination and its decision.

    Attributes:
        exam: Name of the examination, or of the group that stands for it.
        group: Group that it belongs to.
        label: True label index; None where all its frames are of non-gradeable classes, so that no decision is right.
        uses: What became of each frame in order, a letter each: ``c`` counted, ``r`` a repeat of the last counted one, ``x``
            refused, ``-`` not needed any more.
        accepted: Number of frames that guard and network accept, needed or not.
        frames_right: Number of accepted frames whose own most probable label is the examination's.
        best: Most probable label index; None where no frame counts.
        probability: Probability of that label, 0..1; 0 where no frame counts.
        is_decided: Whether there is a decision.
        seen_enough: Whether it ended before its last frame.
    """

    exam: str
    group: str
    label: int | None
    uses: str
    accepted: int
    frames_right: int
    best: int | None
    probability: float
    is_decided: bool
    seen_enough: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamSlice:
    """Accuracy of test examinations whose first frame has one value of one column.

    Attributes:
        column: Name of the column.
        value: Value of the column, or a band of numbers.
        accuracy: Fraction of examinations that are decided rightly; ``images`` counts examinations.
    """

    column: str
    value: str
    accuracy: Metric


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamEvidence:
    """The file ``evidence/exams.json``: the rule of examinations, and what it brings on the test split.

    Accuracies count the most probable label, whatever its probability, on examinations with a label and a frame that counts.
    In each ``Metric``, ``images`` counts examinations.

    Attributes:
        choice: The rule, and how it was found.
        named: Whether the data set names examinations or groups; otherwise clusters of near-identical frames stand for them.
        exams: Number of test examinations.
        left_out: Number of test examinations that were left out because their frames have several labels.
        without_frames: Number of test examinations without a frame that counts.
        frame_accuracy: Fraction of an examination's accepted frames whose own most probable label is right, mean over
            examinations; None where there is no examination.
        accuracy: Fraction of examinations that are decided rightly; None where there is none.
        gain: ``accuracy`` less ``frame_accuracy``, of the same examinations; None where there are too few of them.
        recall: Accuracy on the examinations of each class, in label order; None for a class without any.
        curve: Accuracy with so many frames, the fewest first.
        calibration: How well the probabilities of examinations match how often they are right; None where there is none.
        frame_calibration: How well the probabilities of single accepted frames match how often they are right; None where
            there is no frame.
        decided: Fraction of all test examinations with a decision; None where there is none.
        wrong: Fraction of those decisions that is wrong; None where there is none.
        group_error: Mean over the decided groups of the fraction of wrong decisions in the group, 0..1: the error that the
            threshold limits; None where there is no decision.
        times: What is decided by when; empty where frames carry no times.
        ended_early: Fraction of examinations that have seen enough before their last frame; None where there is none.
        frames_by_use: Number of test frames by what became of them: ``counted``, ``repeated``, ``refused`` and
            ``not_needed``.
        refused_by_reason: Number of refused test frames by reason code.
        slices: Accuracy by slice of the data.
        outcomes: Each test examination, sorted by name.
        notes: Limits of these figures, in words.
        schema_version: Schema version of this record.
    """

    choice: ExamChoice
    named: bool
    exams: int
    left_out: int
    without_frames: int
    frame_accuracy: Metric | None
    accuracy: Metric | None
    gain: Estimate | None
    recall: tuple[Metric | None, ...]
    curve: tuple[ExamCurvePoint, ...]
    calibration: CalibrationMetrics | None
    frame_calibration: CalibrationMetrics | None
    decided: Metric | None
    wrong: Metric | None
    group_error: float | None
    times: tuple[ExamTimePoint, ...]
    ended_early: Metric | None
    frames_by_use: dict[str, int]
    refused_by_reason: dict[str, int]
    slices: tuple[ExamSlice, ...]
    outcomes: tuple[ExamOutcome, ...]
    notes: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION
