"""Abstention: the probability threshold is found, and its effect, the guard's and that of refused labels are measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import (
    Abstention,
    CoveragePoint,
    DatasetIndex,
    FrameSpec,
    Gate,
    GuardRecord,
    OodSet,
    OperatingPoint,
    Prediction,
    ThresholdRecord,
    Verification,
)
from weckd_edge.config import AbstainConfig, BuildConfig, ExamConfig, GuardConfig, stops_early
from weckd_edge.core.errors import ConfigError, did_you_mean
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage
from weckd_edge.devices.runtime.input_guard import GuardDecision, OpenGuard
from weckd_edge.metrics.intervals import rate_by_group
from weckd_edge.metrics.selective import aurc, auroc, find_threshold, group_losses, risk_coverage
from weckd_edge.pipeline.steps.predict import HeldOutFrames, predict_validation
from weckd_edge.train.input_guard.ood_frames import every_nth, ood_frames, ood_stamps

if TYPE_CHECKING:
    from weckd_edge.pipeline.context import BuildContext
    from weckd_edge.pipeline.networks import Predictor, Student

CURVE_POINTS = 100
"""Largest number of points of the risk-coverage curve."""


def abstain(
    ctx: BuildContext,
    student: Student,
    verification: Stage[Verification],
    guard: Stage[GuardRecord],
    frames: HeldOutFrames,
    index: DatasetIndex,
) -> Abstention:
    """Return the operating point, and how often the deployed model abstains and errs there.

    Raises:
        DataError: A folder of frames that should be rejected is not there, or holds no image.
    """
    deployed = student.deployed

    def evaluate(_: Path) -> Abstention:
        with closing(deployed.open()) as runner:
            inputs = AbstentionInputs(
                frames=frames,
                labels=index.labels,
                synthetic=index.synthetic,
                spec=student.input.frame,
                config=ctx.config,
                validation=None
                if ctx.config.abstain.max_group_error is None
                else predict_validation(ctx, student, frames.val),
                predictions=verification.artifact.predictions,
                predict=runner.run,
            )
            return evaluate_abstention(inputs, guard.artifact, ctx.progress)

    return ctx.step(
        "abstention",
        Abstention,
        key_of(
            {
                "guard": guard.artifact,
                "verification": verification.artifact,
                "deployed": [deployed.name, deployed.digest()],
                "recalibration": student.recalibration,
                "images": [[one.path, *one.identity()] for one in (*frames.val.records, *frames.test.records)],
                "processor": ctx.processor,
                "synthetic": index.synthetic,
                "labels": index.labels,
                "others": ood_stamps(ctx.config.guard.ood_dirs) if guard.artifact.guard is not None else [],
                "refuse": ctx.config.guard.non_gradeable_labels,
                "abstain": ctx.config.abstain,
                "stops_early": stops_early(ctx.config),
                "seed": ctx.config.seed,
            },
            "weckd_edge.pipeline.steps.abstain",
        ),
        evaluate,
    ).artifact


def check_labels(config: GuardConfig, labels: Sequence[str]) -> None:
    """Refuse non-gradeable labels that the data set does not have, or that are all it has.

    Raises:
        ConfigError: A label is unknown, or no label is left to decide for.
    """
    for label in config.non_gradeable_labels:
        if label not in labels:
            raise ConfigError(
                f"guard.non_gradeable_labels: the data set has no label '{label}'{did_you_mean(label, labels)}",
                code="E_CONFIG_CLASSES",
            )
    if labels and set(config.non_gradeable_labels) == set(labels):
        raise ConfigError(
            "guard.non_gradeable_labels: names every label, so that no frame would get a decision; leave one out",
            code="E_CONFIG_CLASSES",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AbstentionInputs:
    """Images, predictions and settings that abstention is measured with.

    Attributes:
        frames: The held-out images.
        labels: Class names.
        synthetic: Whether the images of the data set are synthetic.
        spec: Size and crop of the camera frame.
        config: The build's settings.
        validation: Predictions of the deployed model for the validation images, ``[N, classes]``; None where no threshold is
            sought.
        predictions: Predictions of the deployed model for the test images.
        predict: The deployed model, a function from one frame ``[1, H, W, 3]`` to probabilities.
    """

    frames: HeldOutFrames
    labels: tuple[str, ...]
    synthetic: bool
    spec: FrameSpec
    config: BuildConfig
    validation: NDArray[Any] | None
    predictions: tuple[Prediction, ...]
    predict: Predictor


def operating_point(config: BuildConfig) -> OperatingPoint:
    """Return the operating point that the settings name."""
    return OperatingPoint(
        confidence_threshold=config.abstain.threshold, non_gradeable_labels=config.guard.non_gradeable_labels
    )


def evaluate_abstention(inputs: AbstentionInputs, record: GuardRecord, progress: Progress) -> Abstention:
    """Find the threshold on validation images, then measure abstention on test images and on out-of-distribution frames."""
    guard = OpenGuard(record.guard, inputs.spec) if record.guard is not None else None
    labels, point = inputs.labels, operating_point(inputs.config)
    with progress.task("abstention", 3) as task:
        threshold = _threshold(inputs, guard)
        if threshold is not None:
            point = replace(point, confidence_threshold=threshold.confidence_threshold or 0.0)
        task.advance()
        decisions = [guard.check(frame) if guard is not None else None for frame in inputs.frames.test]
        task.advance()
        probabilities = np.array([p.compiled for p in inputs.predictions], np.float64)
        groups = [p.group for p in inputs.predictions]
        confidence, likeliest = probabilities.max(axis=1), probabilities.argmax(axis=1)
        wrong = likeliest != np.array([p.label for p in inputs.predictions])
        passed = np.array([decision is None or decision.code is None for decision in decisions])
        decided = passed & (confidence >= point.confidence_threshold)
        decided &= np.array([labels[k] not in point.non_gradeable_labels for k in likeliest])
        kept = [group for group, is_decided in zip(groups, decided, strict=True) if is_decided]
        _, member = np.unique(np.asarray(groups), return_inverse=True)
        losses = group_losses(decided, wrong, member, int(member.max()) + 1)
        seen = [decision for decision in decisions if decision is not None]
        kinds = tuple(_kinds(inputs, guard, seen, confidence, progress)) if guard is not None else ()
        task.advance()
    return Abstention(
        guard=replace(record, guard=None),
        threshold=threshold,
        operating_point=point,
        rejected_test=rate_by_group(~passed, groups) if guard is not None else None,
        rejected_by_reason=dict(Counter(s.code for s in decisions if s is not None and s.code is not None)),
        coverage=rate_by_group(decided, groups),
        selective_error=rate_by_group(wrong[decided], kept) if kept else None,
        group_error=float(losses.mean()) if kept else None,
        curve=_curve(confidence, wrong),
        aurc=aurc(confidence, wrong),
        ood_sets=kinds,
    )


def _threshold(inputs: AbstentionInputs, guard: OpenGuard | None) -> ThresholdRecord | None:
    config: AbstainConfig = inputs.config.abstain
    if config.max_group_error is None or inputs.validation is None:
        return None
    images = inputs.frames.val
    confidence, wrong, groups = [], [], []
    for record, frame, prediction in zip(images.records, images, inputs.validation, strict=True):
        if guard is not None and guard.check(frame).code is not None:
            continue
        best = int(prediction.argmax())
        if inputs.labels[best] in inputs.config.guard.non_gradeable_labels:
            continue
        confidence.append(float(prediction[best]))
        wrong.append(best != record.label)
        groups.append(record.group)
    total = len(set(images.groups))
    found = find_threshold(
        np.array(confidence),
        np.array(wrong, bool),
        groups,
        risk=config.max_group_error,
        certainty=config.confidence,
        all_groups=total,
    )
    return replace(found, epoch_from_validation=stops_early(inputs.config))


def evaluate_threshold(
    threshold: ThresholdRecord | None,
    config: AbstainConfig | ExamConfig,
    *,
    name: str = "max_group_error",
    of: str = "validation images",
) -> tuple[Gate, ...]:
    """Return the gate on the risk at the threshold; empty where the settings set no risk.

    Args:
        threshold: The search for the threshold.
        config: Settings of the search.
        name: Name of the gate.
        of: What the threshold was found on, in words.
    """
    if threshold is None:
        return ()
    if threshold.confidence_threshold is not None:
        text = f"{threshold.val_group_error:.1%} of {threshold.decided_groups} validation groups with a decision were wrong"
        reason = (
            f"no decision under a probability of {threshold.confidence_threshold:g}: {text} (p = {threshold.p_value:.2g})"
        )
        return (
            Gate(
                name=name,
                limit=threshold.max_group_error,
                value=threshold.val_group_error,
                verdict="PASS",
                reason=reason,
            ),
        )
    more = threshold.more_groups
    hint = (
        f"about {more} more groups of {of} might show it (there are {threshold.val_groups})"
        if more is not None
        else f"{threshold.val_group_error:.1%} of the {threshold.decided_groups} surest groups are wrong; train longer"
    )
    reason = f"no threshold keeps the risk with {threshold.confidence:.0%} confidence; {hint}"
    verdict = "FAIL" if config.on_failure == "fail" else "INCONCLUSIVE"
    return (Gate(name=name, limit=threshold.max_group_error, value=None, verdict=verdict, reason=reason),)  # type: ignore[arg-type]


def _curve(confidence: NDArray[np.float64], wrong: NDArray[np.bool_]) -> tuple[CoveragePoint, ...]:
    coverage, risk = risk_coverage(confidence, wrong)
    shown = np.unique(np.linspace(0, len(coverage) - 1, CURVE_POINTS).round().astype(int))
    return tuple(CoveragePoint(coverage=float(coverage[k]), risk=float(risk[k])) for k in shown)


def _kinds(
    inputs: AbstentionInputs,
    guard: OpenGuard,
    familiar: Sequence[GuardDecision],
    confidence: NDArray[np.float64],
    progress: Progress,
) -> Iterator[OodSet]:
    scores = np.array([decision.ood_score for decision in familiar])
    limit_ratios = np.array([guard.limit_ratio(decision) for decision in familiar])
    images = inputs.frames.test
    in_order = sorted(range(len(images)), key=lambda row: images.records[row].path)
    real = [frame[0] for frame in images.take(in_order[every_nth(len(images))])]
    kinds = ood_frames(
        inputs.spec,
        real,
        seed=inputs.config.seed,
        phantoms=not inputs.synthetic,
        folders=inputs.config.guard.ood_dirs,
        progress=progress,
    )
    for name, frames in kinds:
        seen, uncertainties = [], []
        for frame in frames:
            seen.append(guard.check(frame))
            uncertainties.append(1 - float(np.nanmax(inputs.predict(np.ascontiguousarray(frame[None])))))
        if seen:
            yield OodSet(
                name=name,
                frames=len(seen),
                score_auroc=auroc(scores, np.array([decision.ood_score for decision in seen])),
                guard_auroc=auroc(limit_ratios, np.array([guard.limit_ratio(decision) for decision in seen])),
                network_auroc=auroc(1 - confidence, np.array(uncertainties)),
                reject_rate=sum(decision.code is not None for decision in seen) / len(seen),
            )
