"""Images that a program holds as arrays, such as a camera's, become the frame that a model takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameSpec
from weckd_edge.devices.images.camera_frames import Region, camera_frame, rgb_of
from weckd_edge.devices.images.frames import frame_from_pixels


def frame_from_array(
    image: NDArray[np.uint8],
    spec: FrameSpec,
    *,
    colour: str = "rgb",
    matrix: str = "bt601_limited",
    region: Region | None = None,
    chroma: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Resize an array of any size to the camera frame, in the same way as image files.

    Args:
        image: uint8: RGB or BGR ``[H, W, 3]``, grey ``[H, W]``, YUYV ``[H, W, 2]``, NV12 ``[H * 3 / 2, W]``, or its luma
            ``[H, W]`` with ``chroma``; at most 8192 pixels a side. It is not changed.
        spec: Size of the camera frame.
        colour: Order of the array's values: ``rgb``, ``bgr``, ``grey``, ``nv12`` or ``yuyv``.
        matrix: Matrix of NV12 and YUYV: ``bt601_limited``, ``bt601_full``, ``bt709_limited`` or ``bt709_full``.
        region: Part of the array that is used, ``left, top, width, height`` in pixels; None: all of it.
        chroma: Chroma of NV12, uint8 ``[H / 2, W]`` or ``[H / 2, W / 2, 2]``.

    Returns:
        uint8 ``[1, height, width, 3]``, RGB, contiguous.

    Raises:
        ConfigError: The order of the values or the matrix is unknown.
        ModelError: The array has another type or shape, a side is too long or odd, or the region lies outside.
    """
    found = camera_frame(image, colour=colour, matrix=matrix, region=region, chroma=chroma)
    return frame_from_pixels(rgb_of(found), spec)
