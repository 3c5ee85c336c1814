"""Abstention ("unable to analyze"): the input guard, the confidence threshold, and their effect on test images."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.base import Rate
from weckd_edge.artifacts.guard import FrameGuard
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardRecord:
    """The input guard of a build, and the frames that it was fitted on.

    Attributes:
        guard: The guard that is deployed; None: the bundle has none.
        frames: Number of frames that the guard was fitted on.
        groups: Number of independent groups that the limit on the OOD score was set from.
        false_reject_rate: Requested fraction of in-distribution frames that the OOD score may reject, 0..1.
        false_reject_bound: Largest expected fraction of a new group's frames that is rejected, 0..1; above the requested
            rate where there are too few groups.
        note: How the limits were found, in words.
        schema_version: Schema version of this record.
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
    """How probabilities become a decision on the device.

    Attributes:
        confidence_threshold: Smallest largest-class probability that gives a decision, 0..1; below it the result is "unable
            to analyze". 0 never abstains.
        non_gradeable_labels: Classes whose prediction means "unable to analyze".
    """

    confidence_threshold: float = 0.0
    non_gradeable_labels: tuple[str, ...] = ()

    @property
    def abstains(self) -> bool:
        """Whether any prediction can end without a decision."""
        return self.confidence_threshold > 0 or bool(self.non_gradeable_labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdRecord:
    """The search for a confidence threshold on the validation images, and its result.

    Attributes:
        max_group_error: Requested limit: largest fraction of the decided groups whose decision may be wrong, 0..1.
        confidence: Requested probability with which the limit must hold, 0.5..1.
        confidence_threshold: Lowest threshold that keeps the limit, 0..1; 0: every image may be decided; None: no threshold
            keeps it.
        val_groups: Number of groups of validation images, decided or not.
        decided_groups: Number of groups with a decision at the threshold, or at the one that came nearest to the limit; 0
            where there was none.
        val_group_error: Mean error of the decided groups on the validation images, 0..1.
        p_value: P value of the hypothesis that the error exceeds the limit, 0..1; the limit holds where it is at most 1 -
            confidence.
        more_groups: Number of further validation groups that a decision would need, at the same error; None: none are
            needed, or no number would be enough.
        epoch_from_validation: Whether early stopping chose the network's epoch on the same validation images; the limit may
            then hold with less than the requested confidence.
    """

    max_group_error: float
    confidence: float
    confidence_threshold: float | None
    val_groups: int
    decided_groups: int
    val_group_error: float
    p_value: float
    more_groups: int | None = None
    epoch_from_validation: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class OodSet:
    """Frames of one out-of-distribution kind, and how well the guard tells them from test frames.

    Attributes:
        name: Name of the kind, such as ``noise`` or a folder's name.
        frames: Number of frames.
        score_auroc: AUROC of the OOD score against the test frames, 0..1; 0.5 is chance.
        guard_auroc: AUROC of the whole guard, 0..1; its score is how far a frame exceeds the limit it comes nearest to.
        network_auroc: AUROC of the network alone, 0..1; its score is 1 minus the largest probability.
        reject_rate: Fraction of the frames that the guard rejects, 0..1.
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
        coverage: Fraction of the test images with a decision, 0..1.
        risk: Fraction of those decisions that is wrong, 0..1.
    """

    coverage: float
    risk: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Abstention:
    """The file ``evidence/abstention.json``: when the bundle abstains, measured on the test split.

    Attributes:
        guard: How the input guard was fitted; its numbers are in ``guard/guard.json``.
        threshold: Search for the confidence threshold; None where no search was asked for.
        operating_point: Operating point of the bundle, from the settings or from the search.
        rejected_test: Fraction of the test images that the guard rejects; None without a guard.
        rejected_by_reason: Number of rejected test images by reason code.
        coverage: Fraction of the test images with a decision, after guard, threshold and non-gradeable labels.
        selective_error: Fraction of the decisions on test images that is wrong; None where there is no decision.
        group_error: Mean over the decided test groups of the fraction of wrong decisions in the group, 0..1: the error that
            the threshold limits; None where there is no decision.
        curve: Risk-coverage curve on the test images, by the network's largest probability alone, most confident first.
        aurc: Area under the risk-coverage curve, 0..1; smaller is better.
        ood_sets: Results on frames that should be rejected, one entry for each kind.
        schema_version: Schema version of this record.
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
