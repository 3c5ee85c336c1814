"""Draw the images of each step from the seed and the epoch alone, so that a resumed run sees the same ones."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weckd_edge.config import TrainConfig
from weckd_edge.train.data.pixel_cache import CachedImages
from weckd_edge.train.distill.loop.augmentation import Pictures, draw_views
from weckd_edge.train.distill.loop.class_weights import step_weights
from weckd_edge.train.distill.loop.held_images import free_bytes, hold, send
from weckd_edge.train.distill.loop.task import Batch

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingImages:
    """Training images that one link may see.

    Attributes:
        images: Every training image, by the size of the networks that it is cached for.
        labels: Class of each image, int64 ``[N]``.
        labelled: Indices of its labelled subset, int64 ``[n]``.
        unlabelled: Indices of images it may see without their label, int64 ``[m]``; empty for none.
        unlabelled_per_labelled: Number of these that a step shows beside each labelled image.
        unlabelled_shares: How often each of these is drawn beside the others, ``[m]``, over 0; None draws all alike.
        class_weights: Weight of each class in the loss of the labels, float32 ``[classes]``; None weights all alike.
        device: Device that a batch's pictures lie on.
        held: Images that lie on the device as a whole, uint8 ``[N, R, R, 3]``, by the size of the networks; a batch of any
            others is read from their file.
    """

    images: Mapping[int, CachedImages]
    labels: NDArray[np.int64]
    labelled: NDArray[np.int64]
    unlabelled: NDArray[np.int64]
    unlabelled_per_labelled: float = 1.0
    unlabelled_shares: NDArray[np.float32] | None = None
    class_weights: NDArray[np.float32] | None = None
    device: torch.device = CPU
    held: Mapping[int, Tensor] = field(default_factory=dict)

    @property
    def is_held(self) -> bool:
        """Whether no batch waits for a copy of its images: a CPU reads them in place."""
        return self.device.type == "cpu" or self.held.keys() >= self.images.keys()

    def on(self, device: torch.device) -> TrainingImages:
        """Return the same images for a device, which holds as many of them as fit."""
        return replace(self, device=device, held=hold(self.images, device, free_bytes(device)))

    def pictures(self, indices: NDArray[np.int64]) -> dict[int, Pictures]:
        """Return some of the images, by the size of the networks that they are cached for."""
        return {size: self.pictures_for(size, indices) for size in self.images}

    def pictures_for(self, size: int, indices: NDArray[np.int64]) -> Pictures:
        """Return some of the images, as they are cached for networks of one size."""
        cached = self.images[size]
        if size in self.held:
            pixels = self.held[size][torch.from_numpy(indices).to(self.device, non_blocking=True)]
        else:
            pixels = send(torch.from_numpy(cached.pixels[indices]), self.device)
        return Pictures(pixels=pixels, span=cached.span)


def _endless(indices: NDArray[np.int64], rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.permutation(indices)


def _drawn_by_shares(indices: NDArray[np.int64], shares: NDArray[np.float32], rng: np.random.Generator) -> Iterator[int]:
    """Yield images in proportion to their shares."""
    chances = shares.astype(np.float64) / shares.sum(dtype=np.float64)
    while True:
        yield from rng.choice(indices, size=len(indices), p=chances)


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
        # Each class gains credit at its own rate, and the one with the most is drawn, so that no class comes in bunches.
        due += wanted / wanted.sum()
        chosen = int(due.argmax())
        due[chosen] -= 1
        yield next(streams[chosen])


def batch_parts(feed: TrainingImages, batch: int) -> tuple[int, int]:
    """Return a step's numbers of labelled images (the batch) and of unlabelled images beside them."""
    return batch, max(1, round(batch * feed.unlabelled_per_labelled)) if len(feed.unlabelled) else 0


def epoch_batches(feed: TrainingImages, config: TrainConfig, *, seed: int, epoch: int, uses: int = 1) -> Iterator[Batch]:
    """Yield one epoch's batches: images of the labelled subset, and beside them unlabelled ones, where there are any.

    With ``uses`` over 1 every view of an image comes that often within the epoch, each time among other images: what a
    teacher predicted of it the first time holds for the next.

    Args:
        feed: Images that may be seen.
        config: The training loop: steps, batch, augmentation and balance.
        seed: Seed of the link's training.
        epoch: Number of the epoch, from 0.
        uses: Number of times that each view is shown.
    """
    steps = config.steps_per_epoch
    rng = np.random.default_rng([seed, epoch])
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    with_label, from_unlabelled = batch_parts(feed, config.batch)
    labelled = _balanced(feed.labelled, feed.labels, config.balance, rng)
    unlabelled = (
        _endless(feed.unlabelled, rng)
        if feed.unlabelled_shares is None
        else _drawn_by_shares(feed.unlabelled, feed.unlabelled_shares, rng)
    )
    shown, rows = with_label + from_unlabelled, math.ceil(steps / uses)
    drawn = np.array(
        [
            [next(labelled) for _ in range(with_label)] + [next(unlabelled) for _ in range(from_unlabelled)]
            for _ in range(rows)
        ]
    )
    views = draw_views(rows * shown, config.augment, generator)
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
            pictures=feed.pictures(drawn[row, columns]),
            labels=torch.from_numpy(labels[row, columns]),
            views=views.at(slots),
            slots=slots,
            images=torch.from_numpy(drawn[row, columns]),
            epoch=epoch,
            labelled=with_label,
            seed=seeds[step],
            label_weights=None if weights is None else torch.from_numpy(weights),
        )
