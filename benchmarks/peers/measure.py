"""The measurements, the same for all peers: predictions of test images, latency on one core, memory, size on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from peers.job import Frame, Predict
from PIL import Image, ImageOps

CAMERA = (480, 640)
"""Height and width of a camera's frame, pixels."""
SIZES = ("own size", "640x480")
WARM_UP = 20
"""Number of predictions before the first one that is timed, and of those before the memory is read."""
DIFFERENT = 16
"""Number of test images that are timed in turn."""


def test_images(data: Path) -> list[str]:
    """Return the paths of the test images below ``test/``, sorted."""
    return sorted(str(path.relative_to(data / "test")) for path in (data / "test").glob("*/*"))


def read_frame(path: Path) -> Frame:
    """Return an image file as a camera gives its frames: decoded, upright, uint8 RGB ``[H, W, 3]``."""
    with Image.open(path) as image:
        return np.array(ImageOps.exif_transpose(image).convert("RGB"), dtype=np.uint8)


def camera_frame(frame: Frame) -> Frame:
    """Return a frame of ``CAMERA``'s size."""
    height, width = CAMERA
    return np.array(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)


def frames_of(data: Path, size: str) -> list[Frame]:
    """Return the first test images as frames of a size of ``SIZES``, spread over the classes."""
    names = test_images(data)
    step = max(1, len(names) // DIFFERENT)
    frames = [read_frame(data / "test" / name) for name in names[::step][:DIFFERENT]]
    return frames if size == "own size" else [camera_frame(frame) for frame in frames]


def predict_all(predict: Predict, data: Path) -> Iterator[list[float]]:
    """Yield the probabilities of each test image, in the order of ``test_images``."""
    for name in test_images(data):
        yield [float(value) for value in predict(read_frame(data / "test" / name))]


def time_frames(predict: Predict, frames: Sequence[Frame], count: int) -> list[int]:
    """Return the time that each of ``count`` predictions took, nanoseconds; some before them are not timed."""
    for at in range(WARM_UP):
        predict(frames[at % len(frames)])
    taken = []
    for at in range(count):
        frame = frames[at % len(frames)]
        start = time.perf_counter_ns()
        predict(frame)
        taken.append(time.perf_counter_ns() - start)
    return taken


def memory() -> tuple[int, int]:
    """Return this process's resident memory and the largest that it had, bytes."""
    found = {}
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found[name] = 1024 * int(value.split()[0])
    return found["VmRSS"], found["VmHWM"]


def size_on_disk(path: Path) -> int:
    """Return the size of a file, or of all files in a folder, bytes."""
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file() and not one.is_symlink())


def pin(cores: int) -> None:
    """Keep this process on its last ``cores`` cores; libraries that are imported later start that many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])
