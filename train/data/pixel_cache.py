"""Cache of decoded training images in one memory-mapped file, so that training never waits for a JPEG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from weckd_edge.artifacts import SCHEMA_VERSION, FileRef, FrameSpec
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import file_ref
from weckd_edge.devices.images.split_frames import frames_of, reserve
from weckd_edge.train.networks.preprocess import crop_and_resize


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelCache:
    """Cache of training images at one size.

    Attributes:
        file: Images as ``.npy``, uint8 ``[N, side, side, 3]``: the index's training images in order, then unlabelled ones.
        side: Side of the images, pixels.
        schema_version: Schema version of this record.
    """

    file: FileRef
    side: int
    schema_version: int = SCHEMA_VERSION


def build_cache(paths: Sequence[Path], spec: FrameSpec, side: int, folder: Path, progress: Progress) -> PixelCache:
    """Decode images into ``folder``, cropped as the graph will crop and resized as it will resize."""
    path = folder / "pixels.npy"
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(len(paths), side, side, 3))
    reserve(path)
    with progress.task("decode images", len(paths)) as task:
        for i, frame in enumerate(frames_of(paths, spec)):
            small = crop_and_resize(torch.tensor(frame), spec, (side, side))
            pixels[i] = small[0].permute(1, 2, 0).round().to(torch.uint8).numpy()
            task.advance()
    pixels.flush()
    del pixels
    return PixelCache(file=file_ref(folder, path), side=side)


def open_cache(cache: PixelCache, folder: Path) -> NDArray[np.uint8]:
    """Return the cached images ``[N, side, side, 3]``, read from disk as they are touched."""
    pixels: NDArray[np.uint8] = np.load(folder / cache.file.path, mmap_mode="r", allow_pickle=False)
    return pixels
