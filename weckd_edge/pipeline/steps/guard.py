"""The stages behind "unable to analyze": the guard from the training frames, the threshold, and what both are worth."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from weckd_edge.artifacts import (
    Abstention,
    CoveragePoint,
    DatasetIndex,
    Gate,
    GuardRecord,
    ImageRecord,
    InputContract,
    OodSet,
    Prediction,
    ThresholdRecord,
    crop_box,
)
from weckd_edge.config import AbstainConfig, BuildConfig, GuardConfig
from weckd_edge.core.errors import ConfigError, DataError, did_you_mean
from weckd_edge.core.progress import Progress
from weckd_edge.devices.images.frames import fit_to_frame, frame_from_file
from weckd_edge.devices.runtime.input_guard import MIN_SIDE, GuardDecision, OpenGuard, measure_frame
from weckd_edge.devices.runtime.predict import find_images
from weckd_edge.metrics.intervals import rate_by_group
from weckd_edge.metrics.selective import aurc, auroc, find_threshold, group_losses, risk_coverage
from weckd_edge.train.input_guard.fit import MIN_GROUPS, FeatureSet, fit_guard, stack_features

Frame = NDArray[np.uint8]
Predictor = Callable[[Frame], NDArray[np.float32]]

MAX_FRAMES = 4000
"""Training and validation images that a guard is fitted on at most, each."""

KIND_FRAMES = 48
"""Of each kind that should be refused."""

CURVE_POINTS = 100


def check_labels(config: GuardConfig, labels: Sequence[str]) -> None:
    """Refuse a configuration whose refused labels are none of the data set's.

    Raises:
        ConfigError: It names the label.
    """
    for label in config.refuse_labels:
        if label not in labels:
            raise ConfigError(f"guard.refuse_labels: the data set has no label '{label}'{did_you_mean(label, labels)}")
    if labels and set(config.refuse_labels) == set(labels):
        raise ConfigError("guard.refuse_labels: every label is refused, so that no frame would ever be answered")


def make_guard(
    index: DatasetIndex, root: Path, contract: InputContract, config: GuardConfig, seed: int, progress: Progress
) -> GuardRecord:
    """Fit the guard on the training frames, and its limit on the validation frames as well.

    Args:
        index: The data set; labels are not used.
        root: Its folder.
        contract: Of the frames.
        config: What is asked.
        seed: Of the choice among more than ``MAX_FRAMES`` images.
        progress: Where to show it.

    Raises:
        DataError: An image cannot be read.
    """
    record = GuardRecord(guard=None, frames=0, groups=0, asked=config.refused, promised=0.0, note="")
    if not config.use:
        return replace(record, note="no guard was asked for")
    _, _, height, width = crop_box(contract)
    if min(height, width) < MIN_SIDE:
        return replace(record, note=f"no guard: the frame is smaller than {MIN_SIDE} pixels")
    train = [_some(index, split, seed) for split in ("train", "val")]
    with progress.task("guard", sum(map(len, train))) as task:
        features = [_measure_frames(records, root, contract, task.advance) for records in train]
    found = fit_guard(features[0], features[1], config)
    if found is None:
        groups = len(set(features[0].groups))
        return replace(record, note=f"no guard: {groups} groups of training images, it takes at least {MIN_GROUPS}")
    short = f"; {found.groups} groups cannot promise the {config.refused:.1%} that was asked"
    note = f"at most {found.promised:.1%} of familiar frames are refused{short if found.promised > config.refused else ''}"
    return GuardRecord(
        guard=found.guard,
        frames=len(features[0].groups),
        groups=found.groups,
        asked=config.refused,
        promised=found.promised,
        note=note if found.guard.most_unfamiliar is not None else "quality alone is judged",
    )


def _some(index: DatasetIndex, split: str, seed: int) -> list[ImageRecord]:
    records = [record for record in index.images if record.split == split]
    if len(records) > MAX_FRAMES:
        records = sorted(random.Random(seed).sample(records, MAX_FRAMES), key=lambda record: record.path)
    return records


def _measure_frames(
    records: Sequence[ImageRecord], root: Path, contract: InputContract, advance: Callable[[], None]
) -> FeatureSet:
    found = []
    for record in records:
        found.append(measure_frame(frame_from_file(root / record.path, contract), contract))
        advance()
    return stack_features(found, [record.group for record in records])


@dataclass(frozen=True, kw_only=True, slots=True)
class AbstentionInputs:
    """What "unable to analyze" is judged on.

    Attributes:
        index: The data set.
        root: Its folder.
        contract: Of the frames.
        config: The build's.
        predictions: Of the test images, as shipped.
        predict: What is deployed: one frame ``[1, H, W, 3]`` to probabilities.
    """

    index: DatasetIndex
    root: Path
    contract: InputContract
    config: BuildConfig
    predictions: tuple[Prediction, ...]
    predict: Predictor


def evaluate_abstention(inputs: AbstentionInputs, record: GuardRecord, progress: Progress) -> Abstention:
    """Seek the threshold on validation images, and say on test images and on frames of other kinds what all gates do.

    Raises:
        DataError: An image cannot be read.
    """
    guard = OpenGuard(record.guard, inputs.contract) if record.guard is not None else None
    labels, non_gradeable = inputs.index.labels, inputs.config.guard.refuse_labels
    with progress.task("abstention", 3) as task:
        threshold = _threshold(inputs, guard)
        below = inputs.config.abstain_below if threshold is None else threshold.chosen or 0.0
        task.advance()
        frames = (frame_from_file(inputs.root / p.path, inputs.contract)[0] for p in inputs.predictions)
        decisions = [guard.check(frame) if guard is not None else None for frame in frames]
        task.advance()
        probabilities = np.array([p.compiled for p in inputs.predictions], np.float64)
        groups = [p.group for p in inputs.predictions]
        confidence, likeliest = probabilities.max(axis=1), probabilities.argmax(axis=1)
        wrong = likeliest != np.array([p.label for p in inputs.predictions])
        passed = np.array([decision is None or decision.code is None for decision in decisions])
        decided = passed & (confidence >= below) & np.array([labels[k] not in non_gradeable for k in likeliest])
        kept = [group for group, is_decided in zip(groups, decided, strict=True) if is_decided]
        _, member = np.unique(np.asarray(groups), return_inverse=True)
        losses = group_losses(decided, wrong, member, int(member.max()) + 1)
        seen = [decision for decision in decisions if decision is not None]
        kinds = tuple(_kinds(inputs, guard, seen, confidence, progress)) if guard is not None else ()
        task.advance()
    return Abstention(
        guard=replace(record, guard=None),
        threshold=threshold,
        abstain_below=below,
        refuse_labels=non_gradeable,
        refused_test=rate_by_group(~passed, groups) if guard is not None else None,
        refused_for=dict(Counter(s.code for s in decisions if s is not None and s.code is not None)),
        answered=rate_by_group(decided, groups),
        wrong=rate_by_group(wrong[decided], kept) if kept else None,
        group_risk=float(losses.mean()) if kept else None,
        curve=_curve(confidence, wrong),
        aurc=aurc(confidence, wrong),
        kinds=kinds,
    )


def _threshold(inputs: AbstentionInputs, guard: OpenGuard | None) -> ThresholdRecord | None:
    config: AbstainConfig = inputs.config.abstain
    if config.risk is None:
        return None
    records = [record for record in inputs.index.images if record.split == "val"]
    confidence, wrong, groups = [], [], []
    for record in records:
        frame = frame_from_file(inputs.root / record.path, inputs.contract)
        if guard is not None and guard.check(frame).code is not None:
            continue
        predict = inputs.predict(np.ascontiguousarray(frame))
        best = int(predict.argmax())
        if inputs.index.labels[best] in inputs.config.guard.refuse_labels:
            continue
        confidence.append(float(predict[best]))
        wrong.append(best != record.label)
        groups.append(record.group)
    total = len({record.group for record in records})
    found = find_threshold(
        np.array(confidence), np.array(wrong, bool), groups, risk=config.risk, level=1 - config.confidence, all_groups=total
    )
    return ThresholdRecord(
        risk=config.risk,
        confidence=config.confidence,
        chosen=found.value,
        val_groups=total,
        answered_groups=found.groups,
        val_risk=found.risk,
        p_value=found.p_value,
        more_groups=found.more_groups,
    )


def evaluate_threshold(threshold: ThresholdRecord | None, config: AbstainConfig) -> tuple[Gate, ...]:
    """Judge whether a threshold keeps the risk that was asked for; empty where none was."""
    if threshold is None:
        return ()
    if threshold.chosen is not None:
        text = f"{threshold.val_risk:.1%} of {threshold.answered_groups} answered validation groups were wrong"
        reason = f"no decision under a probability of {threshold.chosen:g}: {text} (p = {threshold.p_value:.2g})"
        return (Gate(name="abstain_risk", bar=threshold.risk, got=threshold.val_risk, verdict="PASS", reason=reason),)
    more = threshold.more_groups
    hint = (
        f"about {more} more groups of validation images might show it (there are {threshold.val_groups})"
        if more is not None
        else f"of the surest {threshold.answered_groups} groups {threshold.val_risk:.1%} are wrong; train longer or ask less"
    )
    reason = f"no threshold keeps the risk with {threshold.confidence:.0%} confidence; {hint}"
    verdict = "FAIL" if config.unmet == "fail" else "INCONCLUSIVE"
    return (Gate(name="abstain_risk", bar=threshold.risk, got=None, verdict=verdict, reason=reason),)  # type: ignore[arg-type]


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
    scores = np.array([decision.unfamiliarity for decision in familiar])
    strains = np.array([guard.limit_ratio(decision) for decision in familiar])
    for name, frames in ood_frames(inputs, progress):
        seen, doubt = [], []
        for frame in frames:
            seen.append(guard.check(frame))
            doubt.append(1 - float(np.nanmax(inputs.predict(np.ascontiguousarray(frame[None])))))
        if seen:
            yield OodSet(
                name=name,
                frames=len(seen),
                score_auroc=auroc(scores, np.array([decision.unfamiliarity for decision in seen])),
                guard_auroc=auroc(strains, np.array([guard.limit_ratio(decision) for decision in seen])),
                network_auroc=auroc(1 - confidence, np.array(doubt)),
                refused=sum(decision.code is not None for decision in seen) / len(seen),
            )


def ood_frames(inputs: AbstentionInputs, progress: Progress) -> Iterator[tuple[str, Iterator[Frame]]]:
    """Yield kinds of frames that should be refused: drawn ones, spoiled test frames, and folders that are named."""
    height, width = inputs.contract.frame_height, inputs.contract.frame_width
    draw = np.random.default_rng(inputs.config.seed)
    paths = sorted(inputs.predictions, key=lambda p: p.path)
    step = max(1, len(paths) // KIND_FRAMES)
    real = [frame_from_file(inputs.root / p.path, inputs.contract)[0] for p in paths[::step][:KIND_FRAMES]]
    yield "noise", (draw.integers(0, 256, (height, width, 3), np.uint8) for _ in range(KIND_FRAMES))
    yield (
        "one grey",
        (np.full((height, width, 3), level, np.uint8) for level in np.linspace(0, 255, KIND_FRAMES).astype(int)),
    )
    yield "covered lens", (_covered(draw, height, width) for _ in range(KIND_FRAMES))
    if not inputs.index.synthetic:
        yield "drawn phantoms", _phantoms(height, width)
    yield "heavy blur", (_blurred(frame) for frame in real)
    yield "under-exposed", ((frame * 0.15).astype(np.uint8) for frame in real)
    yield "over-exposed", (np.minimum(frame * 3.0, 255).astype(np.uint8) for frame in real)
    for folder in inputs.config.guard.other_frames:
        files = find_images([Path(folder)])
        step = max(1, len(files) // (4 * KIND_FRAMES))
        yield Path(folder).name, _readable(files[::step][: 4 * KIND_FRAMES], inputs.contract, progress)


def _readable(files: Sequence[Path], contract: InputContract, progress: Progress) -> Iterator[Frame]:
    """Yield the frames of those files that can be read, and name the others."""
    for file in files:
        try:
            frame = frame_from_file(file, contract)[0]
        except DataError as err:
            progress.note(f"a frame that should be refused is left out: {err}")
        else:
            yield frame


def _covered(draw: np.random.Generator, height: int, width: int) -> Frame:
    """Return a near black frame with a sensor's noise."""
    frame = draw.normal(draw.uniform(0, 12, 3), draw.uniform(0.5, 4), (height, width, 3))
    return np.asarray(np.clip(frame, 0, 255), np.uint8)


def _blurred(frame: Frame) -> Frame:
    """Return a frame as out of focus as a fiftieth of its height."""
    return np.array(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(min(frame.shape[:2]) / 50)))


def _phantoms(height: int, width: int) -> Iterator[Frame]:
    from weckd_edge.train.data.synth.draw import CLASSES, draw_frame, make_ear

    for number in range(KIND_FRAMES):
        ear = make_ear(CLASSES[number % len(CLASSES)], np.random.default_rng([7, number]))
        drawn = draw_frame(ear, max(32, height), max(32, width), np.random.default_rng([7, number, 0]))
        yield fit_to_frame(drawn, height, width)
