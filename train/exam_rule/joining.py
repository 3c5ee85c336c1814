"""Ways of joining the frames of an examination, and how their numbers are fitted: a scale, and learned weights.

Both are fitted by the negative log likelihood of the labels, and pulled towards "change nothing" where there are few groups:
the likelihood counts each group once, as it does for the temperature of single frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import MAX_WEIGHT, ONE, ExamRule, FrameWeights, Rank
from weckd_edge.config import ExamConfig
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.runtime.exam_tally import bin_of, frame_evidence
from weckd_edge.metrics.calibration import PRIOR_SD, fit_temperature
from weckd_edge.train.exam_rule.examinations import Floats, RecordedFrame, tally_of

VOTE_SCALE = 3.0
"""Factor of votes before it is fitted: where all frames agree, the label has a probability of 0.95 against one other."""

BINS = 3
"""Number of bins of sharpness, and of confidence, for learned weights."""

WEIGHTS_GROUPS = 30
"""Smallest number of groups on which weights are learned."""

RANKS: tuple[Rank, ...] = ("sharpness", "confidence")
"""What makes a frame better than another, in the order in which they are tried."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CountedExam:
    """An examination with a label and at least one frame that counts.

    Attributes:
        group: Group that it belongs to.
        label: True label index.
        frames: Frames that count, in order.
    """

    group: str
    label: int
    frames: tuple[RecordedFrame, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Joining:
    """A way of joining frames before its numbers are fitted.

    Attributes:
        name: What it does, in words.
        rule: The rule with a scale that was not fitted.
        learns: Whether the weights of its frames are learned.
    """

    name: str
    rule: ExamRule
    learns: bool = False


def ways_of(config: ExamConfig, base: ExamRule, exams: Sequence[CountedExam], *, has_guard: bool) -> list[Joining]:
    """Return the ways that the settings allow and that can differ on these examinations, the plainest first.

    Args:
        config: The settings of examinations.
        base: The rule's other numbers.
        exams: Validation examinations.
        has_guard: Whether the bundle has an input guard, which measures sharpness.
    """
    most = max((len(exam.frames) for exam in exams), default=0)
    ways = []
    if config.method in ("auto", "mean"):
        ways.append(Joining(name="mean of logits", rule=base))
    if config.method in ("auto", "top_k"):
        for rank in RANKS if config.rank == "auto" else (config.rank,):
            if rank == "sharpness" and not has_guard:
                continue
            for k in config.top_k:
                if k < most or config.method == "top_k":
                    name = f"mean of the logits of the {k} {'sharpest' if rank == 'sharpness' else 'most confident'} frames"
                    ways.append(Joining(name=name, rule=replace(base, top_k=k, rank=rank)))
    if config.method in ("auto", "vote"):
        ways.append(Joining(name="vote", rule=replace(base, evidence="vote", scale=VOTE_SCALE)))
    if config.method == "weights" or (config.method == "auto" and len({e.group for e in exams}) >= WEIGHTS_GROUPS):
        ways.append(Joining(name="weights learned from sharpness and confidence", rule=base, learns=True))
    return ways or [Joining(name="mean of logits", rule=base)]


def probabilities_of(rule: ExamRule, exams: Sequence[CountedExam], *, ends_early: bool = False) -> Floats:
    """Return the probabilities of examinations under a rule ``[N, classes]``; alike where their frames weigh nothing.

    Args:
        rule: The rule.
        exams: Examinations.
        ends_early: Whether frames after an examination has seen enough change nothing.
    """
    found = [tally_of(rule, exam.frames, ends_early=ends_early).probabilities().probabilities for exam in exams]
    classes = len(exams[0].frames[0].probabilities)
    return np.array([row or (1 / classes,) * classes for row in found])


def fit(way: Joining, exams: Sequence[CountedExam], *, has_guard: bool, ends_early: bool) -> ExamRule:
    """Return the rule of a way of joining with its numbers fitted on these examinations.

    Args:
        way: The way.
        exams: Examinations.
        has_guard: Whether the bundle has an input guard.
        ends_early: Whether frames after an examination has seen enough change nothing.

    Raises:
        MissingDependency: scipy is not installed.
    """
    rule = way.rule
    if way.learns:
        rule = replace(rule, weights=_fit_weights(exams, has_guard=has_guard))
    labels, groups = np.array([exam.label for exam in exams]), [exam.group for exam in exams]
    probabilities = probabilities_of(rule, exams, ends_early=ends_early)
    return replace(rule, scale=rule.scale / fit_temperature(probabilities, labels, groups).value)


def _fit_weights(exams: Sequence[CountedExam], *, has_guard: bool) -> FrameWeights:
    """Fit the weight of a frame by its bins of sharpness and confidence, pulled towards equal weights."""
    frames = [frame for exam in exams for frame in exam.frames]
    weights = FrameWeights(
        sharpness_edges=_edges([frame.sharpness or 0.0 for frame in frames]) if has_guard else (),
        confidence_edges=_edges([max(frame.probabilities) for frame in frames]),
        table=(),
    )
    rows, columns = len(weights.sharpness_edges) + 1, len(weights.confidence_edges) + 1
    sums, counts = _by_bin(exams, weights, rows, columns)
    labels = np.array([exam.label for exam in exams])
    groups = len({exam.group for exam in exams})

    def cost(numbers: NDArray[np.float64]) -> float:
        weight = np.exp(numbers[:-1])
        logits = np.exp(numbers[-1]) * np.einsum("nbc,b->nc", sums, weight) / (counts @ weight)[:, None]
        logits -= logits.max(axis=1, keepdims=True)
        log = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return float(-groups * log[np.arange(len(labels)), labels].mean() + (numbers**2).sum() / (2 * PRIOR_SD**2))

    optimize = require("scipy.optimize", "learn the weights of frames")
    found = np.exp(optimize.minimize(cost, np.zeros(rows * columns + 1), method="L-BFGS-B").x[:-1])
    table = np.rint(found / found.max() * MAX_WEIGHT).astype(int).reshape(rows, columns)
    return replace(weights, table=tuple(tuple(int(value) for value in row) for row in table))


def _edges(values: Sequence[float]) -> tuple[float, ...]:
    """Return the rising numbers that cut values into ``BINS`` bins of about as many."""
    inner = np.quantile(values, np.arange(1, BINS) / BINS)
    return tuple(sorted({float(edge) for edge in inner if edge > min(values)}))


def _by_bin(exams: Sequence[CountedExam], weights: FrameWeights, rows: int, columns: int) -> tuple[Floats, Floats]:
    """Return the summed evidence ``[N, bins, classes]`` and the number of frames ``[N, bins]`` of examinations by bin."""
    plain = ExamRule()
    classes = len(exams[0].frames[0].probabilities)
    sums, counts = np.zeros((len(exams), rows * columns, classes)), np.zeros((len(exams), rows * columns))
    for at, exam in enumerate(exams):
        for frame in exam.frames:
            row, column = bin_of(weights, frame.sharpness or 0.0, max(frame.probabilities))
            place = row * columns + column
            sums[at, place] += np.array(frame_evidence(plain, frame.probabilities, 0.0).evidence) / ONE
            counts[at, place] += 1
    return sums, counts
