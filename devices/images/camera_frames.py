"""Frames as cameras give them: RGB, BGR, grey, NV12 or YUYV, of any size, with a region of interest.

RGB is made of luma and chroma in whole numbers, in 65536ths, rounded to nearest and clipped; each pixel takes the chroma of
its block (NV12: 2 x 2 pixels, YUYV: 2 x 1) as it is. The C library does the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.bounds import MAX_SIDE
from weckd_edge.core.errors import ConfigError, ModelError, did_you_mean

Pixels = NDArray[np.uint8]

Colour = Literal["rgb", "bgr", "grey", "nv12", "yuyv"]
"""Order of an array's values: red first; blue first as OpenCV reads images; grey; luma and chroma as cameras send them."""

Matrix = Literal["bt601_limited", "bt601_full", "bt709_limited", "bt709_full"]
"""Matrix and range by which RGB is made of luma and chroma; most cameras send ``bt601_limited``."""

COLOURS: tuple[str, ...] = get_args(Colour)
"""Orders of values, as the C library counts them."""

MATRICES: tuple[str, ...] = get_args(Matrix)
"""Matrices, as the C library counts them."""

FACTORS = {
    "bt601_limited": (76309, 16, 104597, -25675, -53279, 132201),
    "bt601_full": (65536, 0, 91881, -22553, -46802, 116130),
    "bt709_limited": (76309, 16, 117489, -13975, -34925, 138438),
    "bt709_full": (65536, 0, 103206, -12276, -30679, 121609),
}
"""Factors of each matrix, times 65536: luma's gain and offset, then Cr into red, Cb and Cr into green, Cb into blue."""

Region = tuple[int, int, int, int]
"""Part of a frame that is used: ``left, top, width, height`` in pixels."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CameraFrame:
    """A frame of a camera, whose geometry was checked.

    Attributes:
        pixels: Values, uint8, of any strides: RGB and BGR ``[H, W, 3]``, grey and the luma of NV12 ``[H, W]``, YUYV
            ``[H, W, 2]``.
        colour: Order of the values.
        region: Part of the frame that is used.
        matrix: Matrix of NV12 and YUYV.
        chroma: Pairs of Cb and Cr of NV12, uint8 ``[H / 2, W / 2, 2]``; None for other orders.
    """

    pixels: Pixels
    colour: Colour
    region: Region
    matrix: Matrix
    chroma: Pixels | None


def camera_frame(
    image: NDArray[np.uint8],
    *,
    colour: str = "rgb",
    matrix: str = "bt601_limited",
    region: Region | None = None,
    chroma: NDArray[np.uint8] | None = None,
) -> CameraFrame:
    """Check an array, and describe it as a camera's frame. No pixel is copied.

    Args:
        image: uint8: RGB or BGR ``[H, W, 3]``, grey ``[H, W]``, YUYV ``[H, W, 2]``; NV12 as one array ``[H * 3 / 2, W]``, or
            its luma ``[H, W]`` with ``chroma`` beside it. At most 8192 pixels a side.
        colour: Order of the array's values; an array ``[H, W]`` is grey whether it says ``rgb``, ``bgr`` or ``grey``.
        matrix: Matrix of NV12 and YUYV.
        region: Part of the frame that is used, ``left, top, width, height`` in pixels; None: all of it.
        chroma: Chroma of NV12, uint8 ``[H / 2, W]`` or ``[H / 2, W / 2, 2]``.

    Raises:
        ConfigError: The order of the values or the matrix is unknown.
        ModelError: The array has another type or shape, a side is too long or odd, or the region lies outside.
    """
    _check_name("colour", colour, COLOURS)
    _check_name("matrix", matrix, MATRICES)
    _check_array(image)
    if colour in ("rgb", "bgr") and image.ndim == 2:
        colour = "grey"
    if chroma is not None and colour != "nv12":
        raise _wrong(f"chroma beside colour = {colour!r}: only nv12 has a plane of its own for it", "E_MODEL_FRAME")
    channels = {"rgb": 3, "bgr": 3, "yuyv": 2}.get(colour)
    if image.ndim != (2 if channels is None else 3) or (channels is not None and image.shape[2] != channels):
        shape = "[H, W]" if channels is None else f"[H, W, {channels}]"
        raise _wrong(f"expected uint8 {shape} for {colour}, found {list(image.shape)}; {_advice(image)}", "E_MODEL_FRAME")
    pairs = None
    if colour == "nv12":
        image, pairs = _planes(image, chroma)
    height, width = image.shape[:2]
    if 0 in image.shape or max(height, width) > MAX_SIDE:
        raise _geometry(f"{width} x {height} pixels; a side has 1 to {MAX_SIDE}")
    if (colour == "nv12" and height % 2) or (colour in ("nv12", "yuyv") and width % 2):
        raise _geometry(f"{width} x {height} pixels of {colour}, whose chroma covers blocks; expected even sides")
    return CameraFrame(
        pixels=image,
        colour=colour,  # type: ignore[arg-type]
        region=_region(region, height, width, colour),
        matrix=matrix,  # type: ignore[arg-type]
        chroma=pairs,
    )


def _check_name(option: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        expected = ", ".join(repr(one) for one in known)
        raise ConfigError(
            f"{option} = {name!r}: expected {expected}{did_you_mean(str(name), known)}", code="E_CONFIG_CHOICE"
        )


def _check_array(image: object) -> None:
    if not isinstance(image, np.ndarray):
        text = f"expected a path or an array of uint8, found {type(image).__name__}"
        raise _wrong(f"{text}; numpy.asarray makes an array of a picture", "E_MODEL_FRAME")
    if image.dtype != np.uint8:
        raise _wrong(
            f"expected an array of uint8, found {image.dtype} {list(image.shape)}; {_advice(image)}", "E_MODEL_FRAME"
        )


def _wrong(text: str, code: str) -> ModelError:
    return ModelError(text, code=code)


def _geometry(text: str) -> ModelError:
    return ModelError(f"frame: {text}", code="E_MODEL_FRAME_GEOMETRY")


def _advice(image: NDArray[np.generic]) -> str:
    if image.dtype != np.uint8:
        return "scale the values to 0..255 and convert them with astype(numpy.uint8)"
    if image.ndim == 4:
        return "give one image at a time, or all of them to predict_many"
    if image.ndim == 3 and image.shape[2] == 4:
        return "leave the fourth channel out"
    return "put rows first and channels last"


def _planes(image: Pixels, chroma: NDArray[np.uint8] | None) -> tuple[Pixels, Pixels]:
    """Return the luma ``[H, W]`` and the chroma ``[H / 2, W / 2, 2]`` of an NV12 frame."""
    height, width = image.shape
    if chroma is None:
        height = height * 2 // 3
        image, chroma = image[:height], image[height:]
    _check_array(chroma)
    if width % 2 or height % 2 or chroma.shape not in ((height // 2, width), (height // 2, width // 2, 2)):
        raise _geometry(
            f"NV12 of {width} x {height} pixels with a chroma plane {list(chroma.shape)}; expected even sides and chroma "
            f"[{height // 2}, {width}]"
        )
    return image, chroma if chroma.ndim == 3 else chroma.reshape(height // 2, width // 2, 2)


def _region(region: Region | None, height: int, width: int, colour: str) -> Region:
    if region is None:
        return 0, 0, width, height
    if len(region) != 4 or not all(isinstance(side, int | np.integer) for side in region):
        raise _geometry(f"a region {region}; expected left, top, width, height in whole pixels")
    left, top, wide, high = (int(side) for side in region)
    if min(left, top) < 0 or min(wide, high) < 1 or left + wide > width or top + high > height:
        raise _geometry(f"the region {region} is empty or leaves the {width} x {height} pixels")
    if (colour in ("nv12", "yuyv") and (left % 2 or wide % 2)) or (colour == "nv12" and (top % 2 or high % 2)):
        raise _geometry(f"the region {region} of {colour}, whose chroma covers blocks; expected even numbers")
    return left, top, wide, high


def rgb_of(frame: CameraFrame) -> Pixels:
    """Return the region of a frame as RGB, uint8 ``[height, width, 3]``; it may share the frame's memory."""
    left, top, width, height = frame.region
    part = frame.pixels[top : top + height, left : left + width]
    if frame.colour == "rgb":
        return part
    if frame.colour == "bgr":
        return part[..., ::-1]
    if frame.colour == "grey":
        return np.repeat(part[..., None], 3, axis=2)
    if frame.chroma is not None:
        pairs = frame.chroma[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2]
        return _rgb(part, np.repeat(np.repeat(pairs, 2, axis=0), 2, axis=1), frame.matrix)
    pairs = np.stack([part[:, ::2, 1], part[:, 1::2, 1]], axis=-1)
    return _rgb(part[..., 0], np.repeat(pairs, 2, axis=1), frame.matrix)


def _rgb(luma: Pixels, chroma: Pixels, matrix: Matrix) -> Pixels:
    """Return the RGB of luma ``[H, W]`` and of Cb and Cr for each pixel ``[H, W, 2]``."""
    gain, offset, red_cr, green_cb, green_cr, blue_cb = FACTORS[matrix]
    light = gain * (luma.astype(np.int32) - offset)
    blue, red = (chroma[..., channel].astype(np.int32) - 128 for channel in range(2))
    sums = np.stack([light + red_cr * red, light + green_cb * blue + green_cr * red, light + blue_cb * blue], axis=-1)
    return ((sums + 32768) >> 16).clip(0, 255).astype(np.uint8)
