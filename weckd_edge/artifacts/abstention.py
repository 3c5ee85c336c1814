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
        guard: What is deployed; None: there is none.
        frames: How many frames it was fitted on.
        groups: How many groups its limit of unfamiliarity rests on.
        false_reject_rate: Requested fraction of in-distribution frames that the OOD score may reject, 0..1.
        false_reject_bound: Largest expected fraction of a new group's frames that is rejected; over the requested rate where
            there are too few groups.
        note: In words.
        schema_version: Of this record.
    """

    guard: FrameGuard | None
    frames: int
    groups: int
    false_reject_rate: float
    false_reject_bound: float
    note: str
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class OperatingPoint:
    """How probabilities become a decision: from the settings, or from the threshold that was found, to the device.

    Attributes:
        confidence_threshold: The decision is "unable to analyze" where no probability reaches this; 0 never abstains.
        non_gradeable_labels: The decision is "unable to analyze" where it would be one of these.
    """

    confidence_threshold: float = 0.0
    non_gradeable_labels: tuple[str, ...] = ()

    @property
    def abstains(self) -> bool:
        """Whether any prediction can end without a decision."""
        return self.confidence_threshold > 0 or bool(self.non_gradeable_labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdRecord:
    """The threshold on the largest probability that was sought on validation images.

    Attributes:
        max_group_error: Asked for: part of the answered groups that may be wrong.
        confidence: With which it must hold.
        confidence_threshold: The lowest threshold that keeps it; 0: every image may be answered; None: there is none.
        val_groups: Groups of validation images, answered or not.
        decided_groups: Of them, answered at the threshold, or where it came nearest; 0 where none could be.
        val_group_error: Mean loss of those.
        p_value: Of the hypothesis that the risk is over what was asked.
        more_groups: How many more validation groups it would take, about as many of them wrong; None: none are needed, or
            no number would do.
    """

    max_group_error: float
    confidence: float
    confidence_threshold: float | None
    val_groups: int
    decided_groups: int
    val_group_error: float
    p_value: float
    more_groups: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OodSet:
    """Frames of one kind that should be refused.

    Attributes:
        name: What they are.
        frames: How many were looked at.
        score_auroc: Chance that one of them has a larger score than a test frame; 0.5 is chance.
        guard_auroc: The same for the whole guard: how far a frame is over the limit it comes nearest to.
        network_auroc: The same for the network's own doubt: one less its largest probability, without any guard.
        reject_rate: Part of them that the guard refuses.
    """

    name: str
    frames: int
    score_auroc: float
    guard_auroc: float
    network_auroc: float
    reject_rate: float


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
        rejected_test: Part of the test images that the guard refuses; None without one.
        rejected_by_reason: How many of them for what, by reason code.
        coverage: Part of the test images that is answered at all: by guard, threshold and label.
        selective_error: Part of the answered test images that is wrong; None where none is answered.
        group_error: Mean over answered test groups of the part of their answered images that is wrong: what the threshold
            promises; None likewise.
        curve: Risk against coverage on the test images, surest first, by the network's probability alone.
        aurc: Area under that curve, 0..1.
        ood_sets: Frames that should be refused.
        schema_version: Of this record.
    """

    guard: GuardRecord
    threshold: ThresholdRecord | None
    operating_point: OperatingPoint
    rejected_test: Rate | None
    rejected_by_reason: dict[str, int]
    coverage: Rate
    selective_error: Rate | None
    group_error: float | None
    curve: tuple[CoveragePoint, ...]
    aurc: float
    ood_sets: tuple[OodSet, ...]
    schema_version: int = SCHEMA_VERSION
