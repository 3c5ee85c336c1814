"""The course of one examination under its rule, frame by frame, from recorded predictions."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts import ExamRule
from weckd_edge.devices.runtime.exam import FrameUse
from weckd_edge.devices.runtime.exam_tally import ExamTally
from weckd_edge.train.exam_rule.examinations import Examination, RecordedFrame, uses_of


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Course:
    """What an examination makes of its frames.

    Attributes:
        uses: What becomes of each frame, in order.
        countable: Frames that count where the examination does not end early.
        probabilities: Probability of each label, 0..1; empty where no frame counts.
        best: Most probable label index; None where no frame counts.
        is_decided: Whether there is a decision.
        ended_s: Time from its first frame to the one with which it has seen enough, or to its last, seconds; None where
            frames carry no times.
    """

    uses: tuple[FrameUse, ...]
    countable: tuple[RecordedFrame, ...]
    probabilities: tuple[float, ...]
    best: int | None
    is_decided: bool
    ended_s: float | None


def follow(rule: ExamRule, exam: Examination) -> Course:
    """Return the course of an examination under a rule, as the runtime takes it."""
    uses = uses_of(exam.frames, rule.duplicate_distance)
    tally = ExamTally(rule, len(exam.frames[0].probabilities))
    end = len(uses) - 1
    for at, (frame, use) in enumerate(zip(exam.frames, uses, strict=True)):
        if use == "counted":
            tally.add(frame.probabilities, frame.sharpness)
            if tally.is_complete:
                end = at
                break
    found = tally.probabilities()
    first_s, last_s = exam.frames[0].time_s, exam.frames[end].time_s
    return Course(
        uses=tuple(use if at <= end else "not_needed" for at, use in enumerate(uses)),
        countable=tuple(frame for frame, use in zip(exam.frames, uses, strict=True) if use == "counted"),
        probabilities=found.probabilities,
        best=found.best,
        is_decided=found.is_decided,
        ended_s=None if first_s is None or last_s is None else last_s - first_s,
    )
