"""Which images make up each step: drawn from the seed and the epoch alone, so that a resumed run sees the same ones."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from weckd_edge.train.distill.augmentation import draw_views
from weckd_edge.train.distill.class_weights import step_weights
from weckd_edge.train.distill.task import Batch


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingImages:
    """What one link may see.

    Attributes:
        pixels: uint8 ``[N, R, R, 3]``, every training image.
        labels: int64 ``[N]``.
        labelled: Indices whose label the link may see (its share).
        unlabelled: Further indices it may see without their label; empty for none.
        unlabelled_per_labelled: How many of these a step shows beside each labelled image.
        class_weights: Weight of each class in the loss of the labels, float32 ``[classes]``; None weights all alike.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    labelled: NDArray[np.int64]
    unlabelled: NDArray[np.int64]
    unlabelled_per_labelled: float = 1.0
    class_weights: NDArray[np.float32] | None = None


def _endless(indices: NDArray[np.int64], rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(indices)


def _balanced(
    indices: NDArray[np.int64], labels: NDArray[np.int64], balance: float, rng: np.random.Generator
) -> Iterator[int]:
    """Yield labelled images, class by class: a class of ``n`` images is drawn in proportion to ``n ** (1 - balance)``.

    Inside a class every image comes once before any comes twice.
    """
    classes, counts = np.unique(labels[indices], return_counts=True)
    wanted = counts ** (1.0 - balance)
    streams = [_endless(indices[labels[indices] == c], rng) for c in classes]
    due = rng.random(len(classes))
    while True:
        # Each class runs up credit at its own rate; the one with the most is drawn: no class is ever bunched.
        due += wanted / wanted.sum()
        chosen = int(due.argmax())
        due[chosen] -= 1
        yield next(streams[chosen])


def batch_parts(feed: TrainingImages, batch: int) -> tuple[int, int]:
    """Return how many images of a step carry a label (the batch) and how many unlabelled ones come beside them."""
    return batch, max(1, round(batch * feed.unlabelled_per_labelled)) if len(feed.unlabelled) else 0


def epoch_batches(
    feed: TrainingImages,
    *,
    seed: int,
    epoch: int,
    steps: int,
    batch: int,
    augment: float,
    balance: float = 0.0,
    uses: int = 1,
) -> Iterator[Batch]:
    """Yield one epoch's batches: images of the share, and beside them, where there is a pool, images of that.

    With ``uses`` over 1 every view of an image comes that often within the epoch, each time among other images: what a
    teacher said of it the first time holds for the next.

    Args:
        feed: What may be seen.
        seed: Of the link.
        epoch: From 0.
        steps: Batches in the epoch.
        batch: Labelled images in a step.
        augment: Strength of the random views.
        balance: How far rare classes are shown as often as common ones, 0..1.
        uses: How often each view is shown.
    """
    rng = np.random.default_rng([seed, epoch])
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    with_label, from_unlabelled = batch_parts(feed, batch)
    labelled, unlabelled = _balanced(feed.labelled, feed.labels, balance, rng), _endless(feed.unlabelled, rng)
    shown, rows = with_label + from_unlabelled, math.ceil(steps / uses)
    drawn = np.array(
        [
            [next(labelled) for _ in range(with_label)] + [next(unlabelled) for _ in range(from_unlabelled)]
            for _ in range(rows)
        ]
    )
    views = draw_views(rows * shown, augment, generator)
    seeds = torch.randint(2**62, (steps,), generator=generator).tolist()
    labels = np.where(np.arange(shown) < with_label, feed.labels[drawn], -1)
    columns = np.arange(shown)
    for step in range(steps):
        if step % rows == 0:
            # Shuffled down each column, so that an image keeps its place in the batch and changes its companions.
            order = rng.permuted(np.tile(np.arange(rows)[:, None], shown), axis=0) if step else None
        row = np.full(shown, step) if order is None else order[step % rows]
        slots = torch.from_numpy(row * shown + columns)
        weights = None if feed.class_weights is None else step_weights(feed.class_weights, labels[row, columns])
        yield Batch(
            images=torch.from_numpy(feed.pixels[drawn[row, columns]]),
            labels=torch.from_numpy(labels[row, columns]),
            views=views.at(slots),
            slots=slots,
            epoch=epoch,
            labelled=with_label,
            seed=seeds[step],
            label_weights=None if weights is None else torch.from_numpy(weights),
        )
