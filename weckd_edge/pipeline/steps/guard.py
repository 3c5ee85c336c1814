"""The input guard is fitted: it rejects frames that are unlike the training frames, or of too poor quality."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import DatasetIndex, FrameSpec, GuardRecord, ImageRecord, crop_box
from weckd_edge.config import GuardConfig
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.input_guard import MIN_SIDE, measure_frame
from weckd_edge.train.input_guard.fit import MIN_GROUPS, FeatureSet, fit_guard, stack_features

if TYPE_CHECKING:
    from weckd_edge.pipeline.context import BuildContext

T = TypeVar("T")

MAX_FRAMES = 4000
"""Largest number of training images, and of validation images, that a guard is fitted on."""


def guard(ctx: BuildContext, spec: FrameSpec, index: DatasetIndex, images: SplitFrames) -> Stage[GuardRecord]:
    """Return the input guard: one for all links, as it looks at the frame alone.

    Args:
        ctx: The build.
        spec: Size and crop of the camera frame.
        index: The data set.
        images: The validation images.

    Raises:
        DataError: A training image cannot be read.
    """
    config = replace(ctx.config.guard, ood_dirs=())
    return ctx.step(
        "guard",
        GuardRecord,
        key_of(
            {"frame": spec, "guard": config, "images": index.identity("train", "val"), "seed": ctx.config.seed},
            "weckd_edge.pipeline.steps.guard",
        ),
        lambda _: make_guard(
            index.split("train"), ctx.root, images, spec, config, seed=ctx.config.seed, progress=ctx.progress
        ),
    )


def make_guard(
    records: Sequence[ImageRecord],
    root: Path,
    images: SplitFrames,
    spec: FrameSpec,
    config: GuardConfig,
    *,
    seed: int,
    progress: Progress,
) -> GuardRecord:
    """Fit the guard on the training frames, and its limit on the validation frames as well.

    Args:
        records: The training images; labels are not used.
        root: Folder that image paths are relative to.
        images: The validation images.
        spec: Size and crop of the camera frame.
        config: The ``[guard]`` settings.
        seed: Seed of the choice among more than ``MAX_FRAMES`` images.
        progress: Receiver of the progress.

    Raises:
        DataError: A training image cannot be read.
    """
    record = GuardRecord(
        guard=None, frames=0, groups=0, false_reject_rate=config.false_reject_rate, false_reject_bound=0.0, note=""
    )
    if not config.enabled:
        return replace(record, note="no guard: the settings switch it off")
    _, _, height, width = crop_box(spec)
    if min(height, width) < MIN_SIDE:
        return replace(record, note=f"no guard: the frame is smaller than {MIN_SIDE} pixels")
    train = _some(records, seed)
    rows = _some(range(len(images)), seed)
    val = [images.records[row] for row in rows]
    with progress.task("guard", len(train) + len(val)) as task:
        features = [
            _measure_frames(train, (frame_from_file(root / record.path, spec) for record in train), spec, task.advance),
            _measure_frames(val, (images.frame(row) for row in rows), spec, task.advance),
        ]
    found = fit_guard(features[0], features[1], config)
    if found is None:
        groups = len(set(features[0].groups))
        return replace(record, note=f"no guard: {groups} groups of training images, at least {MIN_GROUPS} are needed")
    short = f"; {found.groups} groups are too few to promise {config.false_reject_rate:.1%}, as the settings ask"
    more = short if found.false_reject_bound > config.false_reject_rate else ""
    note = f"at most {found.false_reject_bound:.1%} of frames like the training frames are rejected{more}"
    return GuardRecord(
        guard=found.guard,
        frames=len(features[0].groups),
        groups=found.groups,
        false_reject_rate=config.false_reject_rate,
        false_reject_bound=found.false_reject_bound,
        note=note if found.guard.max_ood_score is not None else "only the quality of a frame is checked",
    )


def _some(items: Sequence[T], seed: int) -> list[T]:
    """Return up to ``MAX_FRAMES`` items, chosen at random, in their order."""
    if len(items) <= MAX_FRAMES:
        return list(items)
    return [items[at] for at in sorted(random.Random(seed).sample(range(len(items)), MAX_FRAMES))]


def _measure_frames(
    records: Sequence[ImageRecord],
    frames: Iterable[NDArray[np.uint8]],
    spec: FrameSpec,
    advance: Callable[[], None],
) -> FeatureSet:
    found = []
    for frame in frames:
        found.append(measure_frame(frame, spec))
        advance()
    return stack_features(found, [record.group for record in records])
