"""Images that a program holds as arrays, such as a camera's, become the frame that a model takes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameSpec
from weckd_edge.core.errors import ConfigError, ModelError, did_you_mean
from weckd_edge.devices.images.frames import frame_from_pixels

CHANNEL_ORDERS = ("rgb", "bgr")
"""Channel orders of arrays with three channels: red first, or blue first as OpenCV reads them."""


def frame_from_array(image: NDArray[np.uint8], spec: FrameSpec, *, colour: str = "rgb") -> NDArray[np.uint8]:
    """Scale an array of any size to the camera frame, in the same way as image files.

    Args:
        image: uint8 ``[H, W, 3]``, or grey ``[H, W]``, at most 8192 pixels a side; it is not changed.
        spec: Size of the camera frame.
        colour: Channel order of the array: ``rgb`` or ``bgr``.

    Returns:
        uint8 ``[1, height, width, 3]``, RGB, contiguous.

    Raises:
        ConfigError: The channel order is unknown.
        DataError: A side has more than 8192 pixels.
        ModelError: The array has another type or shape.
    """
    if colour not in CHANNEL_ORDERS:
        raise ConfigError(
            f"colour = {colour!r}: expected 'rgb' or 'bgr'{did_you_mean(str(colour), CHANNEL_ORDERS)}",
            code="E_CONFIG_CHOICE",
        )
    if not isinstance(image, np.ndarray):
        raise ModelError(
            f"expected a path or an array of uint8, found {type(image).__name__}; numpy.asarray makes an array of a picture",
            code="E_MODEL_FRAME",
        )
    is_grey = image.ndim == 2
    if image.dtype != np.uint8 or not (is_grey or (image.ndim == 3 and image.shape[2] == 3)) or 0 in image.shape:
        raise ModelError(
            f"expected an array of uint8 [H, W, 3] or [H, W], found {image.dtype} {list(image.shape)}; {_advice(image)}",
            code="E_MODEL_FRAME",
        )
    pixels = np.repeat(image[:, :, None], 3, axis=2) if is_grey else image[:, :, ::-1] if colour == "bgr" else image
    return frame_from_pixels(np.ascontiguousarray(pixels), spec)


def _advice(image: NDArray[np.generic]) -> str:
    if image.dtype != np.uint8:
        return "scale the values to 0..255 and convert them with astype(numpy.uint8)"
    if image.ndim == 4:
        return "give one image at a time, or all of them to predict_many"
    if image.ndim == 3 and image.shape[2] == 4:
        return "leave the fourth channel out"
    return "put rows first and channels last"
