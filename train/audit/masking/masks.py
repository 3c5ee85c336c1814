"""Regions of a frame that hold the evidence of a label: a centred disc, a box, or a mask of each image's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameSpec, ImageRecord, crop_box
from weckd_edge.core.errors import DataError
from weckd_edge.core.store import digest_of
from weckd_edge.devices.images.decoding import decode
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.train.data.listing import stamp, walk_files

Region = NDArray[np.bool_]
"""Region of a frame ``[height, width]``, True inside."""

RegionOf = Callable[[ImageRecord], Region]

_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif", ".jpg", ".jpeg")


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """Rectangle in an image's own pixels; ``right`` and ``bottom`` lie just outside."""

    left: int
    top: int
    right: int
    bottom: int


def disc(spec: FrameSpec, part: float) -> Region:
    """Return a disc in the middle of the part of a frame that the network sees.

    Args:
        spec: Frame with its crop; where the frame is stretched, the disc is an ellipse.
        part: Diameter, in parts of the picture's side, 0..1.
    """
    top, left, height, width = crop_box(spec)
    rows = (np.arange(spec.height) + 0.5 - top) / height * 2 - 1
    columns = (np.arange(spec.width) + 0.5 - left) / width * 2 - 1
    inside: Region = rows[:, None] ** 2 + columns[None, :] ** 2 <= part**2
    return inside


def regions_of_boxes(boxes: Mapping[str, Box], spec: FrameSpec) -> RegionOf:
    """Return a function from an image's record to its box as a region of its frame."""

    def region(record: ImageRecord) -> Region:
        box = boxes[record.path]
        picture = np.zeros((record.height, record.width), np.bool_)
        picture[box.top : box.bottom, box.left : box.right] = True
        if not picture.any():
            raise DataError(
                f"{record.path}: its box ({box.left} {box.top} {box.right} {box.bottom}) holds nothing of an image of "
                f"{record.width} x {record.height} pixels; expected left top right bottom",
                code="E_DATA_BOX",
            )
        return _as_frame(picture, spec)

    return region


def find_masks(folder: Path, records: tuple[ImageRecord, ...]) -> dict[str, Path]:
    """Return the masks of those images that have one, by image path; a mask has that path, with any picture's suffix.

    Raises:
        DataError: The folder does not exist, or holds no mask.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: expected a folder of masks (audit.masks), found none", code="E_DATA_MASKS")
    found = {}
    for record in records:
        stem = folder / PurePosixPath(record.path)
        for suffix in dict.fromkeys((*_SUFFIXES, stem.suffix)):
            if stem.with_suffix(suffix).is_file():
                found[record.path] = stem.with_suffix(suffix)
                break
    if not found:
        such = PurePosixPath(records[0].path).with_suffix(".png")
        raise DataError(f"{folder}: expected a mask for each image, such as {such}, found none", code="E_DATA_MASKS")
    return found


def masks_fingerprint(folder: str | None) -> str | None:
    """Return a digest that changes when a mask is added, removed, renamed or written (by its size and time)."""
    if folder is None or not Path(folder).is_dir():
        return None
    return digest_of([stamp(Path(folder), file.relative_to(folder).as_posix()) for file in walk_files(Path(folder))])


def unusable_masks(files: Mapping[str, Path], records: Sequence[ImageRecord]) -> dict[str, str]:
    """Return the reason why a mask cannot be used, by the image's path; images without a mask are passed over."""
    bad = {}
    for record in records:
        if record.path in files:
            try:
                _read_mask(files[record.path], record)
            except DataError as err:
                bad[record.path] = str(err)
    return bad


def regions_of_files(files: Mapping[str, Path], spec: FrameSpec) -> RegionOf:
    """Return a function from an image's record to its mask as a region of its frame; pixels over black are inside."""

    def region(record: ImageRecord) -> Region:
        return _as_frame(_read_mask(files[record.path], record), spec)

    return region


def _read_mask(file: Path, record: ImageRecord) -> Region:
    picture: Region = decode(file).max(2) > 0
    if picture.shape != (record.height, record.width):
        raise DataError(
            f"{file}: expected a mask of {record.width} x {record.height} pixels, as its image has, got "
            f"{picture.shape[1]} x {picture.shape[0]}",
            code="E_DATA_MASKS",
        )
    return picture


def _as_frame(picture: Region, spec: FrameSpec) -> Region:
    grey = np.repeat(picture[:, :, None].astype(np.uint8) * 255, 3, axis=2)
    inside: Region = fit_to_frame(grey, spec.height, spec.width)[:, :, 0] >= 128
    return inside
