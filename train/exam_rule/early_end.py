"""The lead at which an examination ends early, because it is likely that no later frame changes its decision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import ONE, ExamRule
from weckd_edge.config import ExamConfig
from weckd_edge.devices.runtime.exam_tally import ExamTally
from weckd_edge.train.exam_rule.joining import CountedExam

GRID = 200
"""Largest number of leads that are tried."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Course:
    """What an examination says after each of its frames.

    Attributes:
        leads: Lead of the most probable label ``[n]``, 65536ths; -1 where there is no decision yet.
        best: Most probable label ``[n]``.
        decided: Whether there is a decision after all frames.
    """

    leads: NDArray[np.float64]
    best: NDArray[np.int64]
    decided: bool


def find_stop_lead(rule: ExamRule, exams: Sequence[CountedExam], config: ExamConfig) -> tuple[int | None, str]:
    """Return the smallest lead that keeps the decision in as many examinations as is asked for, or None; and why, in words.

    Args:
        rule: The rule without a lead.
        exams: Validation examinations; those of several frames are used.
        config: The settings of examinations.
    """
    if not config.stop_early:
        return None, "an examination ends early only where no later frame can change its decision, as the settings ask"
    several = [exam for exam in exams if len(exam.frames) > 1]
    groups, needed = len({exam.group for exam in several}), math.ceil(1 / (1 - config.agreement) - 1e-9)
    if groups < needed:
        return None, (
            f"an examination ends early only where no later frame can change its decision: to know a lead that keeps "
            f"{config.agreement:.0%} of the decisions takes {needed} groups with several frames, and there are {groups}"
        )
    courses = [_course(rule, exam) for exam in several]
    leads = np.unique(np.concatenate([course.leads for course in courses]))
    leads = leads[leads >= 0]
    if not len(leads):
        return None, "no validation examination has a decision that could come early"
    found: tuple[int, int] | None = None
    for lead in np.unique(np.quantile(leads, np.linspace(0, 1, GRID), method="higher"))[::-1]:
        kept = sum(_keeps(course, lead) for course in courses)
        if kept < config.agreement * len(courses):
            break
        found = int(lead), kept
    if found is None:
        return None, "no lead keeps the decision in as many validation examinations as is asked for"
    return found[0], (
        f"an examination ends at a lead of {found[0] / ONE:.3g}, which keeps the decision in {found[1]} of "
        f"{len(courses)} validation examinations of several frames"
    )


def _course(rule: ExamRule, exam: CountedExam) -> _Course:
    tally = ExamTally(rule, len(exam.frames[0].probabilities))
    leads, best = [], []
    for frame in exam.frames:
        tally.add(frame.probabilities, frame.sharpness)
        found = tally.probabilities()
        leads.append(float(tally.lead) if found.is_decided else -1.0)
        best.append(-1 if found.best is None else found.best)
    return _Course(leads=np.array(leads), best=np.array(best), decided=leads[-1] >= 0)


def _keeps(course: _Course, lead: float) -> bool:
    """Return whether ending at a lead gives the decision that all frames give."""
    reached = np.flatnonzero(course.leads >= lead)
    return not len(reached) or (course.decided and bool(course.best[reached[0]] == course.best[-1]))
