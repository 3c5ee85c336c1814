"""Image files as camera frames: uint8 RGB, upright, rows first, resized to cover the frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import DataNote, FrameSpec
from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.decoding import decoded_image, read_image_file
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.images.pixels import Pixels


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Framed:
    """An image as a camera frame.

    Attributes:
        frame: uint8 ``[1, height, width, 3]``, contiguous.
        notes: Remarks on the image, such as that it is nearly of one colour.
    """

    frame: Pixels
    notes: tuple[DataNote, ...]


def frame_from_file(path: Path, spec: FrameSpec) -> Pixels:
    """Read an image file as the camera frame a model expects.

    Returns:
        uint8 ``[1, height, width, 3]``, contiguous, as every runner takes it.

    Raises:
        DataError: The file cannot be read as an image.
    """
    try:
        return frame_of(read_image_file(path), spec).frame
    except DataError as err:
        raise DataError(f"{path}: {err}", code=err.code) from err


def frame_of(data: bytes, spec: FrameSpec) -> Framed:
    """Decode an image file's bytes to the camera frame a model expects, with remarks on the whole image.

    Raises:
        DataError: The bytes cannot be read as an image; the message is a short reason that does not name the file.
    """
    with decoded_image(data) as found:
        return Framed(frame=frame_from_pixels(found.pixels, spec), notes=found.notes)


def frame_from_pixels(image: Pixels, spec: FrameSpec) -> Pixels:
    """Bring decoded pixels to the camera frame a model expects.

    Args:
        image: uint8 ``[H, W, 3]``, RGB, at most 8192 pixels a side.
        spec: Size of the camera frame.

    Returns:
        uint8 ``[1, height, width, 3]``, contiguous.

    Raises:
        DataError: A side has more than 8192 pixels.
    """
    return np.ascontiguousarray(fit_to_frame(image, spec.height, spec.width)[None])
