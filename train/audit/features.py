"""Compute the features of every image once, whole and under every mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from weckd_edge.artifacts import ImageRecord, InputSpec
from weckd_edge.core.progress import Progress
from weckd_edge.devices.images.split_frames import frames_of
from weckd_edge.train.audit.embeddings import Embedder
from weckd_edge.train.audit.masking.masks import Region, RegionOf
from weckd_edge.train.networks.preprocess import crop_and_resize

BATCH = 32

Features = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Mask:
    """One way to cover pictures.

    Attributes:
        shows: Visible part: the ``surroundings``, the ``centre``, or the ``shape`` of the centre alone.
        disc: Diameter of a central disc, in parts of the picture's side; None for a mask or box of each image.
        region: Region of the centre: one for all images, or a function that returns each image's own.
    """

    shows: Literal["surroundings", "centre", "shape"]
    disc: float | None
    region: Region | RegionOf

    def inside(self, record: ImageRecord) -> Region:
        """Return the region of one image's frame."""
        return self.region if isinstance(self.region, np.ndarray) else self.region(record)

    def shown(self, record: ImageRecord) -> Region:
        """Return the region that is shown of one image's frame; for ``shape`` the shape, which is described itself."""
        inside = self.inside(record)
        return ~inside if self.shows == "surroundings" else inside


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EmbeddedImages:
    """Features of a data set's images.

    Attributes:
        whole: Features of all images ``[N, D]``.
        masked: Features ``[M, D]`` for each mask, of the images that were covered, in order.
        visible: Mean part of the picture that each mask leaves, 0..1.
    """

    whole: Features
    masked: tuple[Features, ...]
    visible: tuple[float, ...]


def embed_images(
    embedder: Embedder,
    root: Path,
    records: Sequence[ImageRecord],
    covered: NDArray[np.bool_],
    masks: Sequence[Mask],
    progress: Progress,
) -> EmbeddedImages:
    """Compute the features of images, in batches, each decoded once.

    Args:
        embedder: Source of the features.
        root: The data set's folder.
        records: Images.
        covered: Whether each image is also described under every mask ``[N]``.
        masks: Masks, in order.
        progress: Receiver of the progress.
    """
    shown_as = embedder.input
    whole: list[Tensor] = []
    masked: list[list[Tensor]] = [[] for _ in masks]
    visible = np.zeros(len(masks))
    constant = [None if callable(mask.region) else _squeeze(mask.shown(records[0])[None], shown_as)[0] for mask in masks]
    frames = frames_of([root / record.path for record in records], shown_as.frame)
    with progress.task("describe images", len(records)) as task:
        for start in range(0, len(records), BATCH):
            block = records[start : start + BATCH]
            pictures = crop_and_resize(
                torch.from_numpy(np.concatenate([next(frames) for _ in block])), shown_as.frame, shown_as.network.size
            )
            whole.append(embedder.describe(pictures))
            chosen = np.flatnonzero(covered[start : start + BATCH])
            if len(chosen):
                shown = pictures[torch.from_numpy(chosen)]
                for n, mask in enumerate(masks):
                    keep = constant[n]
                    if keep is None:
                        keep = _squeeze(np.stack([mask.shown(block[int(i)]) for i in chosen]), shown_as)[:, None]
                    visible[n] += float(keep.mean()) * len(chosen)
                    if mask.shows == "shape":
                        masked[n].append(embedder.describe((255 * keep).expand(-1, 3, -1, -1)))
                    else:
                        masked[n].append(embedder.describe(shown, keep))
            task.advance(len(block))
    return EmbeddedImages(
        whole=torch.cat(whole).numpy(),
        masked=tuple(torch.cat(parts).numpy() for parts in masked) if covered.any() else (),
        visible=tuple(visible / max(int(covered.sum()), 1)),
    )


def _squeeze(regions: NDArray[np.bool_], shown_as: InputSpec) -> Tensor:
    """Return regions of frames ``[B, H, W]`` as the network's pixels see them ``[B, S, S]``, 0 or 1."""
    frames = torch.from_numpy(np.repeat(regions[..., None].astype(np.uint8) * 255, 3, axis=3))
    return (crop_and_resize(frames, shown_as.frame, shown_as.network.size)[:, 0] >= 128).float()
