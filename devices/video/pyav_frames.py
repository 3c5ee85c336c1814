"""Pictures as PyAV decodes them, as frames of a camera: upright, and with their own values where the front end takes them.

Luma and chroma stay what the decoder made of them. Planes of 4:2:0 become NV12, of 4:2:2 YUYV: NumPy interleaves the two
planes of chroma, exactly, and luma of NV12 is not copied. FFmpeg's own conversions of 640 x 480 pixels, to NV12 and RGB,
took four times as long and more. Other formats, such as 10 bits or 4:4:4, are made RGB by FFmpeg.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.devices.images.camera_frames import CameraFrame, Matrix, camera_frame, rgb_of
from weckd_edge.devices.images.pixels import STORED

Pixels = NDArray[np.uint8]

HD_LINES = 720
"""Height from which on luma and chroma of a file that names no matrix are Rec. 709's, pixels, as players take them."""

_ROUNDED_BILINEAR = 0x2 | 0x2000 | 0x40000
"""FFmpeg's flags (``SWS_BILINEAR``, ``SWS_FULL_CHR_H_INT``, ``SWS_ACCURATE_RND``) for a conversion to RGB that is rounded:
without them one of subsampled chroma is up to two levels too dark."""

_FULL_RANGE = 2
_BT709, _UNSPECIFIED, _BT601 = 1, 2, (5, 6)
"""FFmpeg's numbers of matrices (``AVColorSpace``)."""

_UPRIGHT = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}
"""Orientation whose view of the stored pixels is upright, by the EXIF orientation that they are stored in."""

_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
"""EXIF orientation by the signs of a display matrix."""


class UprightFrames:
    """What makes camera frames of one stream's pictures.

    Args:
        hd_is_bt709: Whether a picture of ``HD_LINES`` or more that names no matrix is taken for Rec. 709, as in files; a
            camera's is Rec. 601.
    """

    def __init__(self, *, hd_is_bt709: bool) -> None:
        self._hd_is_bt709 = hd_is_bt709
        self._rotation: int | None = None
        self._orientation = 1

    def frame_of(self, picture: Any) -> CameraFrame:
        """Return a decoded picture, PyAV's ``VideoFrame``, as an upright frame, which may share the picture's memory.

        Raises:
            ModelError: A side has more pixels than a frame may have.
        """
        frame = _stored_frame(picture, self._hd_is_bt709)
        if picture.rotation != self._rotation:
            # A picture that was asked for its whole matrix refers to itself, and is freed by the garbage collector alone.
            self._rotation, self._orientation = picture.rotation, _orientation(picture)
        return frame if self._orientation == 1 else _turned(frame, self._orientation)


def _stored_frame(picture: Any, hd_is_bt709: bool) -> CameraFrame:
    name = picture.format.name
    layout, matrix = _LAYOUTS.get(name), _matrix(picture, hd_is_bt709)
    is_even = picture.width % 2 == 0 and (picture.height % 2 == 0 or name not in _HALVED_ROWS)
    is_plain = all(plane.line_size > 0 for plane in picture.planes)  # rows may be stored from the last to the first
    if layout is None or matrix is None or not is_even or not is_plain:
        rgb = picture.reformat(
            format="rgb24", src_colorspace=_FFMPEG_MATRIX.get(matrix or ""), interpolation=_ROUNDED_BILINEAR
        )
        return camera_frame(_packed(rgb, 3))
    return layout(picture, matrix)


def _matrix(picture: Any, hd_is_bt709: bool) -> Matrix | None:
    """Return matrix and range of a picture's luma and chroma; None: the front end has no such matrix."""
    is_full = picture.format.name.startswith("yuvj") or picture.color_range == _FULL_RANGE
    if picture.colorspace == _BT709 or (
        picture.colorspace == _UNSPECIFIED and hd_is_bt709 and picture.height >= HD_LINES and not is_full
    ):
        return "bt709_full" if is_full else "bt709_limited"
    if picture.colorspace in (0, _UNSPECIFIED, 3, *_BT601):  # 0 and 3 say nothing either
        return "bt601_full" if is_full else "bt601_limited"
    return None


_FFMPEG_MATRIX = {"bt709_limited": "ITU709", "bt709_full": "ITU709", "bt601_limited": "ITU601", "bt601_full": "ITU601"}


def _plane(picture: Any, number: int) -> Pixels:
    """Return one plane of a picture, bytes ``[height, width]``, without the padding of its rows."""
    plane = picture.planes[number]
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]


def _packed(picture: Any, values: int) -> Pixels:
    """Return a picture of one plane with several values a pixel, ``[height, width, values]``."""
    plane = picture.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: picture.height, : picture.width * values].reshape(picture.height, picture.width, values)


def _nv12(picture: Any, matrix: Matrix) -> CameraFrame:
    plane = picture.planes[1]
    rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    chroma = rows[: picture.height // 2, : picture.width].reshape(picture.height // 2, picture.width // 2, 2)
    return camera_frame(_plane(picture, 0), colour="nv12", matrix=matrix, chroma=chroma)


def _planes_420(picture: Any, matrix: Matrix) -> CameraFrame:
    pairs = _plane(picture, 2).astype("<u2")  # Cr is each pair's second byte; words take half the time of single bytes
    pairs <<= 8
    pairs |= _plane(picture, 1)
    chroma = pairs.view(np.uint8).reshape(*pairs.shape, 2)
    return camera_frame(_plane(picture, 0), colour="nv12", matrix=matrix, chroma=chroma)


def _planes_422(picture: Any, matrix: Matrix) -> CameraFrame:
    pixels = np.empty((picture.height, picture.width, 2), np.uint8)
    pixels[..., 0], pixels[:, ::2, 1], pixels[:, 1::2, 1] = (_plane(picture, number) for number in range(3))
    return camera_frame(pixels, colour="yuyv", matrix=matrix)


def _yuyv(picture: Any, matrix: Matrix) -> CameraFrame:
    return camera_frame(_packed(picture, 2), colour="yuyv", matrix=matrix)


def _rgb(picture: Any, matrix: Matrix) -> CameraFrame:
    return camera_frame(_packed(picture, 3), colour="rgb")


def _bgr(picture: Any, matrix: Matrix) -> CameraFrame:
    return camera_frame(_packed(picture, 3), colour="bgr")


_HALVED_ROWS = ("yuv420p", "yuvj420p", "nv12")

_LAYOUTS: dict[str, Callable[[Any, Matrix], CameraFrame]] = {
    "nv12": _nv12,
    "yuv420p": _planes_420,
    "yuvj420p": _planes_420,
    "yuv422p": _planes_422,
    "yuvj422p": _planes_422,
    "yuyv422": _yuyv,
    "rgb24": _rgb,
    "bgr24": _bgr,
}
"""How a picture of each of FFmpeg's formats becomes a frame without a conversion of its values."""


def _orientation(picture: Any) -> int:
    """Return the EXIF orientation that a picture is stored in, by its display matrix; 1 where it is slanted or missing."""
    data = next((bytes(one) for one in picture.side_data if one.type.name == "DISPLAYMATRIX"), b"")
    if len(data) < 20:
        return 1
    right, down, _, right_of_down, down_of_down = struct.unpack("=5i", data[:20])
    signs = tuple((value > 0) - (value < 0) for value in (right, down, right_of_down, down_of_down))
    return _ORIENTATIONS.get(signs, 1)


def _turned(frame: CameraFrame, orientation: int) -> CameraFrame:
    view = STORED[_UPRIGHT[orientation]]
    if frame.colour == "yuyv":  # its chroma covers two pixels of a row: turned, it would cover two of a column
        frame = camera_frame(rgb_of(frame))
    if frame.chroma is None:
        return camera_frame(view(frame.pixels), colour=frame.colour)
    return camera_frame(view(frame.pixels[..., None])[..., 0], colour="nv12", matrix=frame.matrix, chroma=view(frame.chroma))
