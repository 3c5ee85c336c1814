"""The guard is fitted: which frames are too unlike the training frames, or too poor, to be answered."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from weckd_edge.artifacts import DatasetIndex, FrameSpec, GuardRecord, ImageRecord, Split, crop_box
from weckd_edge.config import GuardConfig
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.runtime.input_guard import LEAST_SIDE, look_at
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.train.input_guard.fit import LEAST_GROUPS, Looks, fit_guard, looks_of

MOST_FRAMES = 4000
"""Training and validation images that a guard is fitted on at most, each."""


def guard(ctx: BuildContext, spec: FrameSpec, index: DatasetIndex) -> Stage[GuardRecord]:
    """Return the frame guard: one for all links, as it looks at the frame alone.

    Args:
        ctx: The build.
        spec: Of the frames.
        index: The data set.

    Raises:
        DataError: An image cannot be read.
    """
    config = replace(ctx.config.guard, other_frames=())
    images = index.identity("train", "val")
    return ctx.step(
        "guard",
        GuardRecord,
        key_of(
            {"frame": spec, "guard": config, "images": images, "seed": ctx.config.seed},
            "weckd_edge.pipeline.steps.guard",
        ),
        lambda _: make_guard(index, ctx.root, spec, config, ctx.config.seed, ctx.progress),
    )


def make_guard(
    index: DatasetIndex, root: Path, spec: FrameSpec, config: GuardConfig, seed: int, progress: Progress
) -> GuardRecord:
    """Fit the guard on the training frames, and its bar on the validation frames as well.

    Args:
        index: The data set; labels are not used.
        root: Its folder.
        spec: Of the frames.
        config: What is asked.
        seed: Of the choice among more than ``MOST_FRAMES`` images.
        progress: Where to show it.

    Raises:
        DataError: An image cannot be read.
    """
    record = GuardRecord(guard=None, frames=0, groups=0, asked=config.refused, promised=0.0, note="")
    if not config.use:
        return replace(record, note="no guard was asked for")
    _, _, height, width = crop_box(spec)
    if min(height, width) < LEAST_SIDE:
        return replace(record, note=f"no guard: the frame is smaller than {LEAST_SIDE} pixels")
    train = [_some(index, split, seed) for split in ("train", "val")]
    with progress.task("guard", sum(map(len, train))) as task:
        looks = [_looks(records, root, spec, task.advance) for records in train]
    found = fit_guard(looks[0], looks[1], config)
    if found is None:
        groups = len(set(looks[0].groups))
        return replace(record, note=f"no guard: {groups} groups of training images, it takes at least {LEAST_GROUPS}")
    short = f"; {found.groups} groups cannot promise the {config.refused:.1%} that was asked"
    note = f"at most {found.promised:.1%} of familiar frames are refused{short if found.promised > config.refused else ''}"
    return GuardRecord(
        guard=found.guard,
        frames=len(looks[0].groups),
        groups=found.groups,
        asked=config.refused,
        promised=found.promised,
        note=note if found.guard.most_unfamiliar is not None else "quality alone is judged",
    )


def _some(index: DatasetIndex, split: Split, seed: int) -> Sequence[ImageRecord]:
    records: Sequence[ImageRecord] = index.split(split)
    if len(records) > MOST_FRAMES:
        records = sorted(random.Random(seed).sample(records, MOST_FRAMES), key=lambda record: record.path)
    return records


def _looks(records: Sequence[ImageRecord], root: Path, spec: FrameSpec, advance: Callable[[], None]) -> Looks:
    found = []
    for record in records:
        found.append(look_at(frame_from_file(root / record.path, spec), spec))
        advance()
    return looks_of(found, [record.group for record in records])
