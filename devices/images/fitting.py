"""Pixels of any size become those of a frame: their largest centred box of its proportions, resized by area."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.bounds import MAX_SIDE
from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.area_resize import resize_area

Pixels = NDArray[np.uint8]


def cover_box(rows: int, columns: int, height: int, width: int) -> tuple[int, int, int, int]:
    """Return the largest centred box of a frame's proportions in an image: ``top, left, height, width`` in whole pixels.

    Args:
        rows: Height of the image, pixels.
        columns: Width of the image, pixels.
        height: Height of the frame, pixels.
        width: Width of the frame, pixels.
    """
    high = min(rows, max(1, (2 * height * columns + width) // (2 * width)))
    wide = min(columns, max(1, (2 * width * rows + height) // (2 * height)))
    return (rows - high) // 2, (columns - wide) // 2, high, wide


def fit_to_frame(image: Pixels, height: int, width: int) -> Pixels:
    """Bring an image to a frame's size: its largest centred box of the frame's proportions, resized by area.

    Args:
        image: uint8 ``[H, W, 3]``, at most ``MAX_SIDE`` pixels a side.
        height: Height of the frame, pixels.
        width: Width of the frame, pixels.

    Returns:
        uint8 ``[height, width, 3]``; the very same array where the size is right already.

    Raises:
        DataError: A side of the image or of the frame is longer than ``MAX_SIDE``.
    """
    rows, columns = image.shape[:2]
    if max(rows, columns, height, width) > MAX_SIDE:
        raise DataError(
            f"{columns} x {rows} pixels for {width} x {height}; a side may have {MAX_SIDE}", code="E_DATA_IMAGE_LIMIT"
        )
    if (rows, columns) == (height, width):
        return image
    top, left, high, wide = cover_box(rows, columns, height, width)
    return resize_area(image[top : top + high, left : left + wide], height, width)
