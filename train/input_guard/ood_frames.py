"""Make frames that a guard should reject, to evaluate it: drawn ones, spoiled real ones, and images of named folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from weckd_edge.artifacts import FrameSpec
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import Progress
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.images.frames import frame_from_file
from weckd_edge.devices.runtime.predict import find_images
from weckd_edge.train.data.listing import stamp

Frame = NDArray[np.uint8]

KIND_FRAMES = 48
"""Most frames of each kind."""


def ood_frames(
    spec: FrameSpec,
    real: Sequence[Frame],
    *,
    seed: int,
    phantoms: bool,
    folders: Sequence[str] = (),
    progress: Progress,
) -> Iterator[tuple[str, Iterator[Frame]]]:
    """Yield kinds of frames that should be rejected, each with its frames, uint8 ``[H, W, 3]``.

    Args:
        spec: Size and crop of the frames.
        real: Test frames to be spoiled, as ``every_nth`` takes them.
        seed: Seed of the drawn frames.
        phantoms: Whether drawn ears are a kind of their own, other than the data set's frames.
        folders: Folders of images of other kinds.
        progress: Receiver of notes on files that cannot be read.
    """
    height, width = spec.height, spec.width
    draw = np.random.default_rng(seed)
    yield "noise", (draw.integers(0, 256, (height, width, 3), np.uint8) for _ in range(KIND_FRAMES))
    yield (
        "one grey",
        (np.full((height, width, 3), level, np.uint8) for level in np.linspace(0, 255, KIND_FRAMES).astype(int)),
    )
    yield "covered lens", (_covered(draw, height, width) for _ in range(KIND_FRAMES))
    if phantoms:
        yield "synthetic images", _phantoms(height, width)
    yield "heavy blur", (_blurred(frame) for frame in real)
    yield "under-exposed", ((frame * 0.15).astype(np.uint8) for frame in real)
    yield "over-exposed", (np.minimum(frame * 3.0, 255).astype(np.uint8) for frame in real)
    for folder in folders:
        files = find_images([Path(folder)])
        step = max(1, len(files) // (4 * KIND_FRAMES))
        yield Path(folder).name, _readable(files[::step][: 4 * KIND_FRAMES], spec, progress)


def ood_stamps(folders: Sequence[str]) -> list[list[tuple[str, int, int]]]:
    """Return path, size in bytes and time in ns of each image of these folders, which change where it was written.

    Args:
        folders: Folders of images, as ``ood_frames`` takes them.

    Raises:
        DataError: A folder is not there, or holds no image.
    """
    named = [Path(folder) for folder in folders]
    return [[stamp(one.parent, file.relative_to(one.parent).as_posix()) for file in find_images([one])] for one in named]


def every_nth(count: int) -> slice:
    """Return the slice of ``count`` test frames that are spoiled: at most ``KIND_FRAMES``, spread over all."""
    step = max(1, count // KIND_FRAMES)
    return slice(0, step * KIND_FRAMES, step)


def _readable(files: Sequence[Path], spec: FrameSpec, progress: Progress) -> Iterator[Frame]:
    """Yield the frames of the files that can be read, and note the others."""
    for file in files:
        try:
            frame = frame_from_file(file, spec)[0]
        except DataError as err:
            progress.warn(f"a frame that should be refused is left out: {err}")
        else:
            yield frame


def _covered(draw: np.random.Generator, height: int, width: int) -> Frame:
    """Return a near black frame with a sensor's noise."""
    frame = draw.normal(draw.uniform(0, 12, 3), draw.uniform(0.5, 4), (height, width, 3))
    return np.asarray(np.clip(frame, 0, 255), np.uint8)


def _blurred(frame: Frame) -> Frame:
    """Return a frame as out of focus as a fiftieth of its height."""
    return np.array(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(min(frame.shape[:2]) / 50)))


def _phantoms(height: int, width: int) -> Iterator[Frame]:
    from weckd_edge.train.data.synth.draw import draw_frame
    from weckd_edge.train.data.synth.ear import CLASSES, make_ear

    for number in range(KIND_FRAMES):
        ear = make_ear(CLASSES[number % len(CLASSES)], np.random.default_rng([7, number]))
        drawn = draw_frame(ear, max(32, height), max(32, width), np.random.default_rng([7, number, 0]))
        yield fit_to_frame(drawn, height, width)
