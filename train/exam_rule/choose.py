"""Choose the rule of examinations on the validation split.

The plainest way, the mean of logits, is kept unless another one is better by more than chance: by the Brier score on
examinations that its numbers were not fitted on, with an interval over groups that allows for how many ways were tried
(Bonferroni), and without being right less often. With 20 examinations that takes an advantage in nearly each of them, so a
build then gets the plainest way, and its record says why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Estimate, ExamCandidate, ExamChoice, ExamRule, ThresholdRecord
from weckd_edge.config import ExamConfig
from weckd_edge.core.optional_imports import require
from weckd_edge.metrics.calibration import apply_temperature, brier
from weckd_edge.metrics.counts import group_numbers
from weckd_edge.metrics.selective import find_threshold
from weckd_edge.train.exam_rule.early_end import find_stop_lead
from weckd_edge.train.exam_rule.examinations import Examination, Floats, counted_frames
from weckd_edge.train.exam_rule.joining import CountedExam, Joining, fit, probabilities_of, ways_of
from weckd_edge.train.exam_rule.repeats import find_duplicate_distance

FOLDS = 5
MIN_GROUPS = 10
"""Smallest number of groups on which ways of joining frames are compared."""


def choose_rule(exams: Sequence[Examination], config: ExamConfig, seed: int, *, has_guard: bool) -> ExamChoice:
    """Choose the rule of examinations.

    Args:
        exams: Validation examinations; empty where there is no validation image.
        config: The settings of examinations.
        seed: Seed of the folds.
        has_guard: Whether the bundle has an input guard.

    Raises:
        MissingDependency: scipy is not installed.
    """
    distance, repeats = find_duplicate_distance(exams, config, seed)
    base = ExamRule(duplicate_distance=distance, max_frames=config.max_frames)
    counted = count_exams(exams, distance)
    groups, several = len({exam.group for exam in counted}), sum(len(exam.frames) > 1 for exam in counted)
    # Without a threshold an examination ends as soon as its label is settled, whatever the scale; with one it goes on.
    ends_early = config.max_group_error is None and not config.threshold
    ways = ways_of(config, base, counted, has_guard=has_guard)
    chosen, candidates = ways[0], tuple[ExamCandidate, ...]()
    if len(ways) > 1 and groups >= MIN_GROUPS and several:
        candidates, at = _compare(ways, counted, seed, has_guard=has_guard, ends_early=ends_early)
        chosen, why = ways[at], _why(candidates, at, groups)
    elif len(ways) > 1:
        why = (
            f"{chosen.name}, the plainest way: ways of joining frames are compared on {MIN_GROUPS} groups of validation "
            f"examinations, some of them of several frames, and there are {groups}, {several} examinations of several frames"
        )
    else:
        why = f"{chosen.name}: no other way was to be tried"
        if config.method == "top_k" and not chosen.rule.top_k:
            why = f"{chosen.name}: without an input guard, no frame has a sharpness to be ranked by"
    rule = replace(
        fit(chosen, counted, has_guard=has_guard, ends_early=ends_early) if counted else chosen.rule,
        min_frames=config.min_frames,
    )
    threshold = _find_threshold(rule, exams, config)
    found = config.threshold if threshold is None else threshold.confidence_threshold
    rule = replace(rule, confidence_threshold=found or 0.0)
    lead, early = find_stop_lead(rule, counted, config)
    return ExamChoice(
        rule=replace(rule, stop_lead=lead),
        name=chosen.name,
        exams=len(counted),
        groups=groups,
        several_frames=several,
        candidates=candidates,
        threshold=threshold,
        notes=(why, repeats, early),
    )


def count_exams(exams: Sequence[Examination], duplicate_distance: float | None) -> list[CountedExam]:
    """Return the examinations that have a label and a frame that counts, with those frames."""
    found = [(exam, tuple(counted_frames(exam, duplicate_distance))) for exam in exams]
    return [
        CountedExam(group=exam.group, label=exam.label, frames=frames)
        for exam, frames in found
        if exam.label is not None and frames
    ]


def _compare(
    ways: Sequence[Joining], exams: Sequence[CountedExam], seed: int, *, has_guard: bool, ends_early: bool
) -> tuple[tuple[ExamCandidate, ...], int]:
    """Return every way with its score on examinations that it was not fitted on, and the place of the one to take."""
    labels = np.array([exam.label for exam in exams])
    member = group_numbers([exam.group for exam in exams])
    held = [_held_out(way, exams, member, seed, has_guard=has_guard, ends_early=ends_early) for way in ways]
    scores = [_by_group(brier(found, labels), member) for found in held]
    right = [int((found.argmax(axis=1) == labels).sum()) for found in held]
    gains = [None, *(_gain(scores[0] - score, len(ways) - 1) for score in scores[1:])]
    candidates = tuple(
        ExamCandidate(name=way.name, brier=float(score.mean()), right=count, gain=gain)
        for way, score, count, gain in zip(ways, scores, right, gains, strict=True)
    )
    better = [at for at, gain in enumerate(gains) if gain is not None and gain.low > 0 and right[at] >= right[0]]
    return candidates, min(better, key=lambda at: candidates[at].brier, default=0)


def _held_out(
    way: Joining, exams: Sequence[CountedExam], member: NDArray[np.intp], seed: int, *, has_guard: bool, ends_early: bool
) -> Floats:
    """Return probabilities of examinations ``[N, classes]``, each by a rule that was fitted without its group."""
    fold_of = np.random.default_rng(seed).permutation(int(member.max()) + 1) % FOLDS
    found = np.zeros((len(exams), len(exams[0].frames[0].probabilities)))
    plain = None if way.learns else probabilities_of(way.rule, exams, ends_early=ends_early)
    for fold in range(FOLDS):
        held = np.flatnonzero(fold_of[member] == fold)
        others = [exams[at] for at in np.flatnonzero(fold_of[member] != fold).tolist()]
        rule = fit(way, others, has_guard=has_guard, ends_early=ends_early)
        if plain is None:
            found[held] = probabilities_of(rule, [exams[at] for at in held.tolist()], ends_early=ends_early)
        else:
            found[held] = apply_temperature(plain[held], way.rule.scale / rule.scale)
    return found


def _by_group(values: Floats, member: NDArray[np.intp]) -> Floats:
    return np.bincount(member, weights=values) / np.bincount(member)


def _gain(differences: Floats, tests: int) -> Estimate:
    """Return the mean of independent differences with an interval by Student's t that holds for several of them together."""
    count = len(differences)
    quantile = require("scipy.stats", "compare ways of joining frames").t.ppf(1 - 0.025 / tests, count - 1)
    mean, half = float(differences.mean()), float(quantile) * float(differences.std(ddof=1)) / math.sqrt(count)
    return Estimate(value=mean, low=mean - half, high=mean + half)


def _why(candidates: Sequence[ExamCandidate], at: int, groups: int) -> str:
    tried = f"{len(candidates)} ways were tried on {groups} groups of validation examinations"
    if at:
        return f"{candidates[at].name}: {tried}, and it is better than the {candidates[0].name} by more than chance"
    return f"{candidates[0].name}, the plainest way: {tried}, and no other is better by more than chance"


def _find_threshold(rule: ExamRule, exams: Sequence[Examination], config: ExamConfig) -> ThresholdRecord | None:
    """Search the threshold by the decisions that all frames give; an examination without a label is decided wrongly."""
    if config.max_group_error is None:
        return None
    found = [
        (exam, tuple(frames))
        for exam in exams
        if len(frames := counted_frames(exam, rule.duplicate_distance)) >= max(1, rule.min_frames)
    ]
    joined = [CountedExam(group=exam.group, label=-1 if exam.label is None else exam.label, frames=f) for exam, f in found]
    probabilities = probabilities_of(rule, joined) if joined else np.zeros((0, 1))
    return find_threshold(
        probabilities.max(axis=1),
        probabilities.argmax(axis=1) != np.array([exam.label for exam in joined]),
        [exam.group for exam in joined],
        risk=config.max_group_error,
        certainty=config.confidence,
        all_groups=len({exam.group for exam in exams}),
    )
