"""The distance at which two frames count once.

Two conditions bound it. Frames of different groups, which nobody would call repeats, must almost never lie as close. And the
decision about validation examinations must stay what it is where every frame counts, in as many of them as is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from weckd_edge.artifacts import ExamRule
from weckd_edge.config import ExamConfig
from weckd_edge.train.exam_rule.examinations import Examination, Floats, counted_frames, tally_of

MAX_PAIRED = 2000
"""Largest number of frames of which all pairs are compared."""

HALVINGS = 12
"""Number of times that the distance is halved before every frame counts."""


def find_duplicate_distance(exams: Sequence[Examination], config: ExamConfig, seed: int) -> tuple[float | None, str]:
    """Return the largest squared distance of a repeat, or None where every frame counts; and why, in words.

    Args:
        exams: Validation examinations.
        config: The settings of examinations.
        seed: Seed of the choice among more than ``MAX_PAIRED`` frames.
    """
    if config.max_repeat_share == 0:
        return None, "every frame counts, as the settings ask"
    accepted = [(frame.whitened, exam.group) for exam in exams for frame in exam.frames if frame.code is None]
    seen = [(white, group) for white, group in accepted if white is not None]
    if not seen:
        return None, "every frame counts: without an input guard, or an accepted frame, no repeat is known"
    bound = _largest_apart(seen, config.max_repeat_share, seed)
    if bound is None:
        return None, (
            f"every frame counts: {len(seen)} validation frames are too few to know a distance at which only "
            f"{config.max_repeat_share:.2%} of pairs of different groups lie as close"
        )
    rule = ExamRule(max_frames=config.max_frames)
    counting = [(exam, frames) for exam in exams if len(frames := counted_frames(exam, None)) > 1]
    if not counting:
        return bound, "no validation examination has several frames that count, so none shows what leaving repeats out does"
    decisions = [tally_of(rule, frames).probabilities().best for _, frames in counting]
    for halving in range(HALVINGS):
        distance = bound / 2**halving
        others = [tally_of(rule, counted_frames(exam, distance)).probabilities().best for exam, _ in counting]
        changed = sum(a != b for a, b in zip(decisions, others, strict=True))
        if changed <= (1 - config.agreement) * len(counting):
            return distance, (
                f"a frame repeats the last counted one within a squared distance of {distance:.3g}: the decisions about "
                f"{len(counting) - changed} of {len(counting)} validation examinations stay as they are"
            )
    return None, "every frame counts: at each distance too many decisions about validation examinations would change"


def _largest_apart(seen: Sequence[tuple[Floats, str]], share: float, seed: int) -> float | None:
    """Return the largest squared distance that at most this share of pairs of different groups do not exceed."""
    if len(seen) > MAX_PAIRED:
        chosen = np.random.default_rng(seed).choice(len(seen), MAX_PAIRED, replace=False)
        seen = [seen[at] for at in sorted(chosen)]
    white = np.stack([one for one, _ in seen])
    _, group = np.unique([name for _, name in seen], return_inverse=True)
    lengths = (white * white).sum(axis=1)
    apart = np.maximum(lengths[:, None] + lengths - 2 * (white @ white.T), 0.0)
    pairs = np.sort(apart[np.triu(group[:, None] != group, 1)])
    count = int(share * len(pairs))
    return float(pairs[count - 1]) if count else None
