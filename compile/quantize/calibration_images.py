"""Choose the images that activation ranges are found on: training images alone, each proved by its pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import HELD_OUT, DatasetIndex, FrameSpec, ImageRecord, InputSpec
from weckd_edge.core.errors import DataError
from weckd_edge.core.store import digest_of
from weckd_edge.devices.images.decoding import decode
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.images.pixels import pixels_sha256
from weckd_edge.devices.runtime.front_end import FrontEnd


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationImages:
    """Images that activation ranges may be found on: the training images of a data set.

    Attributes:
        index: The data set.
        root: Folder that the index's paths start from.
        seed: Seed of the choice among them.
    """

    index: DatasetIndex
    root: Path
    seed: int

    def choose(self, count: int) -> tuple[ImageRecord, ...]:
        """Choose ``count`` training images, every class in its proportion."""
        return choose_images(self.index, count, self.seed)

    def inputs(self, chosen: Sequence[ImageRecord], spec: InputSpec) -> Iterator[NDArray[np.uint8]]:
        """Yield images as the graph takes them, uint8 ``[1, rows, columns, 3]``."""
        return calibration_inputs(self.root, chosen, spec)


def choose_images(index: DatasetIndex, count: int, seed: int) -> tuple[ImageRecord, ...]:
    """Choose training images, every class in its proportion.

    Args:
        index: The data set.
        count: Number of images; where there are fewer, all of them.
        seed: Seed of the choice.

    Returns:
        The images, sorted by path.
    """
    held_out = {record.pixels_sha256 for record in index.split(*HELD_OUT)}
    train = sorted((r for r in index.split("train") if r.pixels_sha256 not in held_out), key=lambda r: r.path)
    rng = np.random.default_rng([seed, len(train)])
    place = {record.path: float(at) for record, at in zip(train, rng.permutation(len(train)), strict=True)}
    by_class: dict[int, list[ImageRecord]] = {}
    for record in sorted(train, key=lambda r: place[r.path]):
        by_class.setdefault(record.label, []).append(record)
    # The k-th of n images of a class stands at (k + 1/2) / n: the first ones of this order hold every class in proportion.
    order = sorted(
        ((k + 0.5) / len(records), label, record) for label, records in by_class.items() for k, record in enumerate(records)
    )
    return tuple(sorted((record for _, _, record in order[:count]), key=lambda r: r.path))


def check_images(index: DatasetIndex, chosen: Sequence[ImageRecord]) -> None:
    """Refuse anything but training images of this data set: ranges fitted to test images would flatter the figures.

    Raises:
        DataError: An image is held out, copies a held-out one, or is not in the index; the message names the first.
    """
    known = {record.path: record for record in index.images}
    held_out = {record.pixels_sha256: record for record in index.split(*HELD_OUT)}
    if not chosen:
        raise DataError("calibration expects training images, got none; add training images", code="E_DATA_NO_IMAGES")
    for record in chosen:
        if known.get(record.path) != record:
            raise DataError(
                f"calibration: {record.path} is not an image of this data set's index; calibrate on its training images",
                code="E_DATA_CALIBRATION_SPLIT",
            )
        if record.pixels_sha256 in held_out:
            copied = held_out[record.pixels_sha256]
            what = (
                f"a {copied.split} image"
                if copied.path == record.path
                else f"a copy of the {copied.split} image {copied.path}"
            )
            raise DataError(
                f"calibration: {record.path} is {what}; calibrate on training images only", code="E_DATA_CALIBRATION_SPLIT"
            )


def calibration_digest(chosen: Sequence[ImageRecord]) -> str:
    """Return the digest of a calibration set, made of the sorted digests of its images' pixels."""
    return digest_of(sorted(record.pixels_sha256 for record in chosen))


def calibration_frames(root: Path, chosen: Sequence[ImageRecord], spec: FrameSpec) -> Iterator[NDArray[np.uint8]]:
    """Yield each image as a camera frame ``[1, height, width, 3]``.

    Raises:
        DataError: A file cannot be read, or its pixels are no longer those of the index.
    """
    for record in chosen:
        image = decode(root / record.path)
        if pixels_sha256(image) != record.pixels_sha256:
            raise DataError(
                f"calibration: {record.path} was changed since the data set was read; run the build again",
                code="E_DATA_CHANGED",
            )
        yield fit_to_frame(image, spec.height, spec.width)[None]


def calibration_inputs(root: Path, chosen: Sequence[ImageRecord], spec: InputSpec) -> Iterator[NDArray[np.uint8]]:
    """Yield each image as the graph takes it, ``[1, rows, columns, 3]``: the camera frame, or its resized pixels.

    Raises:
        DataError: A file cannot be read, or its pixels are no longer those of the index.
    """
    return map(FrontEnd(spec).pixels, calibration_frames(root, chosen, spec.frame))
