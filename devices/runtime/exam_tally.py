"""The evidence of an examination's frames, summed in whole numbers, and the decision that it gives.

The C library sums the same numbers. Evidence is rounded to 65536ths once, so its sums are exact; what follows are
quotients, exponentials and one comparison of doubles in a fixed order.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import LARGEST_EVIDENCE, ONE, ExamRule, FrameWeights


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameEvidence:
    """What one counted frame adds.

    Attributes:
        rank: Sharpness or confidence, by the rule.
        weight: Weight of the frame, 0 to 255.
        evidence: Evidence for each label, 65536ths, at most 0.
    """

    rank: float
    weight: int
    evidence: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamProbabilities:
    """What an examination's frames say together.

    Attributes:
        probabilities: Probability of each label, 0..1; empty where there is no evidence.
        best: Index of the most probable label, the first of equals; None where there is no evidence.
        is_decided: Whether there are frames enough and the probability reaches the rule's threshold.
    """

    probabilities: tuple[float, ...]
    best: int | None
    is_decided: bool


class ExamTally:
    """Evidence of the frames that count, and what it says so far.

    Args:
        rule: How frames become a decision.
        classes: Number of labels.
        ends_early: Whether the examination may have seen enough before the rule's largest number of frames.

    Attributes:
        rule: How frames become a decision.
        counted: Number of frames that were added.
        is_complete: Whether the examination has seen enough: no later frame can, or by the rule is likely to, change the
            decision. Later frames then change nothing.
    """

    def __init__(self, rule: ExamRule, classes: int, *, ends_early: bool = True) -> None:
        self.rule = rule
        self._ends_early = ends_early
        self.counted = 0
        self.is_complete = False
        self._kept: list[FrameEvidence] = []  # only of a rule with `top_k`, the best first
        self._weight = 0
        self._sums = [0] * classes
        self._heaviest = 1 if rule.weights is None else max(max(row) for row in rule.weights.table)
        self._largest = ONE if rule.evidence == "vote" else LARGEST_EVIDENCE

    def add(self, probabilities: Sequence[float], sharpness: float | None) -> None:
        """Add a frame that counts; once the examination has seen enough, it changes nothing.

        Args:
            probabilities: Probability of each label, 0..1, as float32 holds it.
            sharpness: The guard's sharpness; None where the bundle has no guard: 0.
        """
        if self.is_complete:
            return
        self.counted += 1
        frame = frame_evidence(self.rule, probabilities, 0.0 if sharpness is None else sharpness)
        self._sum(frame, 1)
        if self.rule.top_k:
            self._kept.insert(bisect_right(self._kept, -frame.rank, key=lambda kept: -kept.rank), frame)
            if len(self._kept) > self.rule.top_k:
                self._sum(self._kept.pop(), -1)
        self.is_complete = self._has_seen_enough()

    def _sum(self, frame: FrameEvidence, sign: int) -> None:
        self._weight += sign * frame.weight
        for at, value in enumerate(frame.evidence):
            self._sums[at] += sign * frame.weight * value

    def probabilities(self) -> ExamProbabilities:
        """Return what the frames say so far."""
        return self._judge(self._sums, self._weight)

    @property
    def lead(self) -> int:
        """Lead of the most probable label over the next one in summed, weighted evidence, 65536ths, at least 0."""
        first, second = sorted((*self._sums, -(1 << 62)), reverse=True)[:2]
        return first - second

    def _judge(self, sums: Sequence[int], weight: int) -> ExamProbabilities:
        if not weight:
            return ExamProbabilities(probabilities=(), best=None, is_decided=False)
        best = sums.index(max(sums))
        parts = [math.exp(self.rule.scale * (float(value - sums[best]) / float(weight * ONE))) for value in sums]
        total = 0.0
        for part in parts:
            total += part
        probabilities = tuple(part / total for part in parts)
        is_decided = self.counted >= self.rule.min_frames and probabilities[best] >= self.rule.confidence_threshold
        return ExamProbabilities(probabilities=probabilities, best=best, is_decided=is_decided)

    def _has_seen_enough(self) -> bool:
        rule = self.rule
        if self.counted >= rule.max_frames:
            return True
        if not self._ends_early:
            return False
        found = self.probabilities()
        if found.best is None or not found.is_decided:
            return False
        if rule.stop_lead is not None and self.lead >= rule.stop_lead:
            return True
        return not rule.top_k and self._is_settled(found.best)

    def _is_settled(self, best: int) -> bool:
        """Return whether the decision stays even where every later frame speaks against it as much as one can."""
        left = (self.rule.max_frames - self.counted) * self._heaviest
        worst = [value - (left * self._largest if at == best else 0) for at, value in enumerate(self._sums)]
        found = self._judge(worst, self._weight + left)
        return found.best == best and found.is_decided


def frame_evidence(rule: ExamRule, probabilities: Sequence[float], sharpness: float) -> FrameEvidence:
    """Return what one frame adds under a rule.

    Args:
        rule: How frames become a decision.
        probabilities: Probability of each label, 0..1, as float32 holds it.
        sharpness: The guard's sharpness, grey levels.
    """
    most = max(probabilities)
    if rule.evidence == "vote":
        voted = list(probabilities).index(most)
        evidence = tuple(0 if at == voted else -ONE for at in range(len(probabilities)))
    else:
        evidence = tuple(_log(value) for value in probabilities)
    weight = 1
    if rule.weights is not None:
        row, column = bin_of(rule.weights, sharpness, most)
        weight = rule.weights.table[row][column]
    return FrameEvidence(rank=sharpness if rule.rank == "sharpness" else most, weight=weight, evidence=evidence)


def bin_of(weights: FrameWeights, sharpness: float, confidence: float) -> tuple[int, int]:
    """Return the row and the column of a frame's weight in the table: how many edges its two numbers reach."""
    return bisect_right(weights.sharpness_edges, sharpness), bisect_right(weights.confidence_edges, confidence)


def _log(probability: float) -> int:
    """Return the logarithm of a probability in 65536ths, rounded half to even, at least ``-LARGEST_EVIDENCE``."""
    if probability <= 0:
        return -LARGEST_EVIDENCE
    return min(0, max(-LARGEST_EVIDENCE, round(math.log(probability) * ONE)))
