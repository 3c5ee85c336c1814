"""Camera frames of every format: their bytes, and the RGB that they stand for, from the words of the C header."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

RGB, BGR, GREY, NV12, YUYV = range(5)
"""Formats of ``weckd_format``."""

BYTES_A_PIXEL = {RGB: 3, BGR: 3, GREY: 1, NV12: 1, YUYV: 2}

MATRICES = (
    (76309, 16, 104597, -25675, -53279, 132201),
    (65536, 0, 91881, -22553, -46802, 116130),
    (76309, 16, 117489, -13975, -34925, 138438),
    (65536, 0, 103206, -12276, -30679, 121609),
)
"""By ``weckd_matrix``, in 65536ths: luma's gain, luma of black, Cr in red, Cb and Cr in green, Cb in blue."""


@dataclass(frozen=True, kw_only=True)
class CameraFrame:
    """A frame as a camera writes it.

    Attributes:
        layout: One of the formats.
        matrix: One of the matrices, by number.
        rows: Rows of the frame, or of its luma, with the bytes behind each ``[height, stride]``.
        chroma: Rows of pairs of Cb and Cr of NV12 ``[height / 2, chroma stride]``; empty otherwise.
        width: Width of the frame, pixels.
    """

    layout: int
    matrix: int
    rows: Bytes
    chroma: Bytes
    width: int

    @property
    def height(self) -> int:
        return len(self.rows)

    def rgb(self) -> Bytes:
        """Return the frame's pixels ``[height, width, 3]``."""
        row = self.rows[:, : self.width * BYTES_A_PIXEL[self.layout]]
        if self.layout in (RGB, BGR):
            pixels = row.reshape(self.height, self.width, 3)
            return pixels if self.layout == RGB else pixels[..., ::-1]
        if self.layout == GREY:
            return np.repeat(row[..., None], 3, axis=2)
        if self.layout == NV12:
            pairs = self.chroma[:, : self.width].reshape(-1, self.width // 2, 2).repeat(2, axis=0)
            return _rgb_of(row, pairs, self.matrix)
        both = row.reshape(self.height, self.width // 2, 4)
        return _rgb_of(both[..., ::2].reshape(self.height, self.width), both[..., 1::2], self.matrix)


def _rgb_of(luma: Bytes, pairs: Bytes, matrix: int) -> Bytes:
    gain, black, red, green_blue, green_red, blue = MATRICES[matrix]
    light = gain * (luma.astype(np.int64) - black)
    cb, cr = np.moveaxis(pairs.repeat(2, axis=1).astype(np.int64) - 128, 2, 0)
    sums = np.stack([light + red * cr, light + green_blue * cb + green_red * cr, light + blue * cb], axis=2)
    rgb: Bytes = ((sums + 32768) >> 16).clip(0, 255).astype(np.uint8)
    return rgb


def camera_frame(layout: int, height: int, width: int, *, matrix: int = 0, behind: int = 0, seed: int = 0) -> CameraFrame:
    """Draw a frame of which many values are at the ends of their range, with ``behind`` bytes behind each row."""
    random = np.random.default_rng([seed, layout, height, width])

    def drawn(rows: int, columns: int) -> Bytes:
        return random.integers(-120, 376, (rows, columns)).clip(0, 255).astype(np.uint8)

    stride = width * BYTES_A_PIXEL[layout] + behind
    chroma = drawn(height // 2, width + behind) if layout == NV12 else np.zeros((0, 0), np.uint8)
    return CameraFrame(layout=layout, matrix=matrix, rows=drawn(height, stride), chroma=chroma, width=width)
