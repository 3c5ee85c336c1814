"""Cache of decoded training images in memory-mapped files, one for each size of network, so that training waits for no JPEG.

With ``area``, a network's pixel is the mean of the part of the image that it covers. Random views put network pixels where a
device puts none, so the cache holds such means at ``PLACES`` places along each network pixel: a view that lies between two
places takes the means of both, and sees what a device would see of the turned or shifted image. The means at whole network
pixels are the device's, to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from weckd_edge.artifacts import SCHEMA_VERSION, FileRef, FrameSpec
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import file_ref
from weckd_edge.devices.images.split_frames import frames_of, reserve
from weckd_edge.train.networks.preprocess import crop_and_resize

PLACES = 2
"""Number of means along each network pixel."""

MAX_BYTES = 4 << 30
"""Size of all files from which on there is only one mean for each network pixel, bytes: they are read at random places."""

MARGIN = 1.15
"""Factor of the pictures' side over the network's with any resize but ``area``, so that zoomed views stay sharp."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CachedFile:
    """Cached images for the networks of one size.

    Attributes:
        size: Side of the networks' input, pixels.
        span: Part of the image's side that the pixels cover from the first one's edge to the last one's, each as long as the
            distance to the next.
        file: Images as ``.npy``, uint8 ``[N, R, R, 3]``: the index's training images in order, then unlabelled ones.
    """

    size: int
    span: float
    file: FileRef


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelCache:
    """Cache of training images.

    Attributes:
        files: Cached images for each size of network.
        schema_version: Schema version of this record.
    """

    files: tuple[CachedFile, ...]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CachedImages:
    """Opened cache for the networks of one size.

    Attributes:
        pixels: Images, uint8 ``[N, R, R, 3]``, read from disk as they are touched.
        span: Part of the image's side that the pixels cover.
    """

    pixels: NDArray[np.uint8]
    span: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CachePlan:
    """How images are cached for the networks of some sizes.

    Attributes:
        spec: Frame that the images are fitted to, with its crop and resize.
        sizes: Sides of the networks' inputs, pixels, each once.
        places: Number of means along each network pixel, with ``area``.
    """

    spec: FrameSpec
    sizes: tuple[int, ...]
    places: int

    def side(self, size: int) -> int:
        """Return the side of the pictures for networks of one size, pixels."""
        return self.places * (size - 1) + 1 if self.spec.resize == "area" else round(MARGIN * size)

    def span(self, size: int) -> float:
        """Return the part of the image's side that the pictures for networks of one size cover."""
        return self.side(size) / (self.places * size) if self.spec.resize == "area" else 1.0

    def picture(self, frame: Tensor, size: int) -> Tensor:
        """Return the picture of a frame ``[1, H, W, 3]`` for networks of one size, uint8 ``[R, R, 3]``."""
        if self.spec.resize == "area":
            fine = crop_and_resize(frame, self.spec, (self.places * size, self.places * size))
            means = F.avg_pool2d(fine, self.places, stride=1)
            means[:, :, :: self.places, :: self.places] = crop_and_resize(frame, self.spec, (size, size))
        else:
            means = crop_and_resize(frame, self.spec, (self.side(size), self.side(size)))
        return means[0].permute(1, 2, 0).round().to(torch.uint8)


def plan_cache(images: int, spec: FrameSpec, sizes: Sequence[int]) -> CachePlan:
    """Return how a number of images is cached for networks of these sizes, as finely as ``MAX_BYTES`` lets it be."""
    distinct = tuple(sorted(set(sizes)))
    fine = CachePlan(spec=spec, sizes=distinct, places=PLACES)
    total = 3 * images * sum(fine.side(size) ** 2 for size in distinct)
    return fine if total <= MAX_BYTES else CachePlan(spec=spec, sizes=distinct, places=1)


def build_cache(paths: Sequence[Path], plan: CachePlan, folder: Path, progress: Progress) -> PixelCache:
    """Decode images into ``folder``, cropped and resized as the device will do it."""
    files = {size: folder / f"pixels-{size}.npy" for size in plan.sizes}
    pictures = {}
    for size, path in files.items():
        shape = (len(paths), plan.side(size), plan.side(size), 3)
        pictures[size] = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        reserve(path)
    with progress.task("decode images", len(paths)) as task:
        for i, frame in enumerate(frames_of(paths, plan.spec)):
            decoded = torch.tensor(frame)
            for size, pixels in pictures.items():
                pixels[i] = plan.picture(decoded, size).numpy()
            task.advance()
    for pixels in pictures.values():
        pixels.flush()
    pictures.clear()
    return PixelCache(
        files=tuple(CachedFile(size=size, span=plan.span(size), file=file_ref(folder, path)) for size, path in files.items())
    )


def open_cache(cache: PixelCache, folder: Path) -> dict[int, CachedImages]:
    """Return the cached images by the size of the networks that they are for."""
    return {
        file.size: CachedImages(pixels=np.load(folder / file.file.path, mmap_mode="r", allow_pickle=False), span=file.span)
        for file in cache.files
    }
