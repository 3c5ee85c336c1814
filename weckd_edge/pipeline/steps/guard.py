"""The guard is fitted: which frames are too unlike the training frames, or too poor, to be answered."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import DatasetIndex, GuardRecord, ImageRecord, InputContract, crop_box
from weckd_edge.config import GuardConfig
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.input_guard import MIN_SIDE, measure_frame
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.train.input_guard.fit import MIN_GROUPS, FeatureSet, fit_guard, stack_features

T = TypeVar("T")

MAX_FRAMES = 4000
"""Training and validation images that a guard is fitted on at most, each."""


def guard(ctx: BuildContext, contract: InputContract, index: DatasetIndex, images: SplitFrames) -> Stage[GuardRecord]:
    """Return the frame guard: one for all links, as it looks at the frame alone.

    Args:
        ctx: The build.
        contract: Of any link; what is done with the frame behind the guard does not count.
        index: The data set.
        images: Its validation images.

    Raises:
        DataError: A training image cannot be read.
    """
    contract = replace(contract, input_size=1, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    config = replace(ctx.config.guard, other_frames=())
    seen = [[r.pixels_sha256, r.split, r.group] for r in index.images if r.split != "test"]
    return ctx.step(
        "guard",
        GuardRecord,
        key_of(
            {"input": contract, "guard": config, "images": seen, "seed": ctx.config.seed},
            "weckd_edge.pipeline.steps.guard",
        ),
        lambda _: make_guard(index.images, ctx.root, images, contract, config, seed=ctx.config.seed, progress=ctx.progress),
    )


def make_guard(
    records: Sequence[ImageRecord],
    root: Path,
    images: SplitFrames,
    contract: InputContract,
    config: GuardConfig,
    *,
    seed: int,
    progress: Progress,
) -> GuardRecord:
    """Fit the guard on the training frames, and its limit on the validation frames as well.

    Args:
        records: Images of the data set, of which those for training are decoded; labels are not used.
        root: Its folder.
        images: The validation images.
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
    train = _some([record for record in records if record.split == "train"], seed)
    rows = _some(range(len(images)), seed)
    val = [images.records[row] for row in rows]
    with progress.task("guard", len(train) + len(val)) as task:
        features = [
            _measure_frames(
                train, (frame_from_file(root / record.path, contract) for record in train), contract, task.advance
            ),
            _measure_frames(val, (images.frame(row) for row in rows), contract, task.advance),
        ]
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


def _some(items: Sequence[T], seed: int) -> list[T]:
    """Return ``MAX_FRAMES`` items at most, in their order."""
    if len(items) <= MAX_FRAMES:
        return list(items)
    return [items[at] for at in sorted(random.Random(seed).sample(range(len(items)), MAX_FRAMES))]


def _measure_frames(
    records: Sequence[ImageRecord],
    frames: Iterable[NDArray[np.uint8]],
    contract: InputContract,
    advance: Callable[[], None],
) -> FeatureSet:
    found = []
    for frame in frames:
        found.append(measure_frame(frame, contract))
        advance()
    return stack_features(found, [record.group for record in records])
