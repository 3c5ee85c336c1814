"""How the frames of an examination become one decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.core.bounds import MAX_FRAMES

Evidence = Literal["log_probability", "vote"]
"""What a frame says of each label: the logarithm of its probability, or a vote for the most probable one."""

Rank = Literal["sharpness", "confidence"]
"""What makes one frame better than another: the guard's sharpness, or its largest probability."""

LARGEST_EVIDENCE = 16 << 16
"""Most that one frame says against a label, in 65536ths: the logarithm of a probability of 1e-7."""

ONE = 1 << 16
"""One unit of evidence. Evidence is counted in whole numbers, so that its sums are exact and have no order."""

MAX_WEIGHT = 255
MAX_EDGES = 7
"""Largest number of edges along each side of the table of weights."""

MAX_SCALE = 1000.0
"""Largest factor between the mean evidence and the logits."""

MAX_STOP_LEAD = MAX_FRAMES * MAX_WEIGHT * LARGEST_EVIDENCE
"""Largest lead that the frames of an examination can give a label, in 65536ths."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameWeights:
    """Weight of a frame by its sharpness and its confidence, learned on validation images.

    Attributes:
        sharpness_edges: Rising limits of sharpness, grey levels, ``S`` numbers; a frame is in the bin above those that it
            reaches.
        confidence_edges: Rising limits of the largest probability, 0..1, ``C`` numbers.
        table: Weights, 0 to 255, ``[S + 1][C + 1]``.
    """

    sharpness_edges: tuple[float, ...]
    confidence_edges: tuple[float, ...]
    table: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamRule:
    """How the frames of one examination become one decision, or "unable to analyze".

    A frame that the input guard refuses, whose prediction is no number, or whose most probable label is non-gradeable, is
    no evidence. One that is nearly the last counted frame over again is not counted either, and the network does not run.
    Once the examination has seen enough, later frames change nothing.

    Attributes:
        evidence: What a counted frame says of each label.
        top_k: Number of frames, the best ones by ``rank``, that the decision rests on; 0: all counted frames.
        rank: What makes a frame better than another; of equal ones the earlier is.
        weights: Weight of a frame; None: all weigh the same.
        scale: Factor between the mean evidence and the logits of the decision, over 0, at most 1000.
        duplicate_distance: Largest squared distance between a frame and the last counted one, in the guard's whitened
            features, at which the two count once; None: every frame counts.
        min_frames: Fewest counted frames of a decision, at least 1.
        max_frames: Number of counted frames after which the examination has seen enough, at most 65535.
        stop_lead: Lead of the most probable label over the next one in summed, weighted evidence, in 65536ths, at which the
            examination has seen enough; None: only where no later frame can change the decision.
        confidence_threshold: Smallest largest-class probability of a decision, 0..1.
    """

    evidence: Evidence = "log_probability"
    top_k: int = 0
    rank: Rank = "sharpness"
    weights: FrameWeights | None = None
    scale: float = 1.0
    duplicate_distance: float | None = None
    min_frames: int = 1
    max_frames: int = 1024
    stop_lead: int | None = None
    confidence_threshold: float = 0.0
