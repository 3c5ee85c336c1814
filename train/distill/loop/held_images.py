"""Bring training images to the device that trains: as a whole where they fit, else batch by batch, ahead of their step.

A CPU reads them from their memory-mapped files where it needs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from weckd_edge.train.data.pixel_cache import CachedImages

T = TypeVar("T")

LARGEST_PART = 0.5
"""Largest part of the device's free memory that images may take; networks and their activations need the rest."""

PIECE = 256
"""Number of images that are copied at a time."""


def free_bytes(device: torch.device) -> int:
    """Return how many bytes of images a device may hold as a whole; a CPU none, as it reads the files in place."""
    return int(LARGEST_PART * torch.cuda.mem_get_info(device)[0]) if device.type == "cuda" else 0


def hold(images: Mapping[int, CachedImages], device: torch.device, room: int) -> dict[int, Tensor]:
    """Copy images to a device, those of small networks first, as far as they fit.

    Args:
        images: Images by the size of the networks that they are cached for.
        device: Device that trains.
        room: Number of bytes that all of them may take.

    Returns:
        Images that fit, uint8 ``[N, R, R, 3]``, by the size of the networks.
    """
    held = {}
    for size, cached in sorted(images.items()):
        if cached.pixels.nbytes <= room:
            room -= cached.pixels.nbytes
            held[size] = _copy(cached, device)
    return held


def _copy(cached: CachedImages, device: torch.device) -> Tensor:
    copied = torch.empty(cached.pixels.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(copied), PIECE):
        # In memory of its own: torch takes no file that may only be read.
        piece = np.array(cached.pixels[start : start + PIECE])
        copied[start : start + PIECE] = torch.from_numpy(piece)
    return copied


def send(values: Tensor, device: torch.device) -> Tensor:
    """Return values of the CPU's memory on a device; a GPU copies them from pinned memory while the program goes on."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values.to(device)


def made_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the same items; a thread makes the next one while one is used."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
