"""What a build knows of its own "unable to analyze"."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.base import Rate
from weckd_edge.artifacts.guard import FrameGuard
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardRecord:
    """The frame guard and what it rests on.

    Attributes:
        guard: What ships; None: there is none.
        frames: How many frames it was fitted on.
        groups: How many groups its bar of unfamiliarity rests on.
        asked: Part of familiar frames that may be refused as unfamiliar.
        promised: Part of the frames of a new group that is refused for that at most; more than asked where there are too
            few groups.
        note: In words.
        schema_version: Of this record.
    """

    guard: FrameGuard | None
    frames: int
    groups: int
    asked: float
    promised: float
    note: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """How probabilities become a decision: from the settings, or from the threshold that was found, to the device.

    Attributes:
        abstain_below: The decision is "unable to analyze" where no probability reaches this; 0 never abstains.
        refuse_labels: The decision is "unable to analyze" where it would be one of these.
    """

    abstain_below: float = 0.0
    refuse_labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdRecord:
    """The threshold on the largest probability that was sought on validation images.

    Attributes:
        risk: Asked for: part of the answered groups that may be wrong.
        confidence: With which it must hold.
        chosen: The lowest threshold that keeps it; 0: every image may be answered; None: there is none.
        val_groups: Groups of validation images, answered or not.
        answered_groups: Of them, answered at the threshold, or where it came nearest; 0 where none could be.
        val_risk: Mean loss of those.
        p_value: Of the hypothesis that the risk is over what was asked.
        more_groups: How many more validation groups it would take, about as many of them wrong; None: none are needed, or
            no number would do.
    """

    risk: float
    confidence: float
    chosen: float | None
    val_groups: int
    answered_groups: int
    val_risk: float
    p_value: float
    more_groups: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FarKind:
    """Frames of one kind that should be refused.

    Attributes:
        name: What they are.
        frames: How many were looked at.
        score_auroc: Chance that one of them has a larger score than a test frame; 0.5 is chance.
        guard_auroc: The same for the whole guard: how far a frame is over the bar it comes nearest to.
        network_auroc: The same for the network's own doubt: one less its largest probability, without any guard.
        refused: Part of them that the guard refuses.
    """

    name: str
    frames: int
    score_auroc: float
    guard_auroc: float
    network_auroc: float
    refused: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CoveragePoint:
    """One point of the risk-coverage curve.

    Attributes:
        coverage: Part of the test images that is answered.
        risk: Part of those that is wrong.
    """

    coverage: float
    risk: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Abstention:
    """The file ``evidence/abstention.json``.

    Attributes:
        guard: See ``GuardRecord``; its numbers themselves are in ``guard/guard.json``.
        threshold: None where none was sought.
        operating_point: How the build decides: by the threshold of the settings, or by the one that was found.
        refused_test: Part of the test images that the guard refuses; None without one.
        refused_for: How many of them for what, by reason code.
        answered: Part of the test images that is answered at all: by guard, threshold and label.
        wrong: Part of the answered test images that is wrong; None where none is answered.
        group_risk: Mean over answered test groups of the part of their answered images that is wrong: what the threshold
            promises; None likewise.
        curve: Risk against coverage on the test images, surest first, by the network's probability alone.
        aurc: Area under that curve, 0..1.
        kinds: Frames that should be refused.
        schema_version: Of this record.
    """

    guard: GuardRecord
    threshold: ThresholdRecord | None
    operating_point: OperatingPoint
    refused_test: Rate | None
    refused_for: dict[str, int]
    answered: Rate
    wrong: Rate | None
    group_risk: float | None
    curve: tuple[CoveragePoint, ...]
    aurc: float
    kinds: tuple[FarKind, ...]
    schema_version: int = SCHEMA_VERSION
