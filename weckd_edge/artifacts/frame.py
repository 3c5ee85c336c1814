"""The frame a network is given, and which of its pixels are taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Colour = tuple[float, float, float]
"""One number for each colour channel: red, green, blue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputContract:
    """What a caller hands over: one camera frame, and how the graph itself turns it into the network's input.

    The frame is ``[1, frame_height, frame_width, 3]``, uint8, RGB, rows first. Inside the graph it is cropped to the
    centred square of side ``min(frame_height, frame_width)`` (``crop = "center"``) or left whole (``"stretch"``), resized
    to ``input_size`` squared, and normalised: ``(x / 255 - mean) / std`` per channel.

    ``resize = "diagonal"``: each new pixel is the mean of two old ones, on the diagonal of the part of the frame that it
    stands for (see ``diagonal_positions``), rounded to whole grey levels, halves to the even one. All of it is exact in
    float32, so every implementation gives the same pixels. ``"bilinear"``: half-pixel centres, no antialiasing.

    Attributes:
        frame_height: Pixels.
        frame_width: Pixels.
        crop: What is kept of the frame.
        input_size: Side of the network's input, pixels.
        mean: Per RGB channel, of values in 0..1.
        std: Per RGB channel, of values in 0..1.
        resize: How the network's input is made from the frame's pixels.
    """

    frame_height: int
    frame_width: int
    crop: Literal["center", "stretch"]
    input_size: int
    mean: Colour
    std: Colour
    resize: Literal["diagonal", "bilinear"] = "bilinear"


def as_colour(values: Sequence[float]) -> Colour:
    """Return one number for each colour channel, from three numbers or from one that the channels share.

    Raises:
        ValueError: There are neither three numbers nor one.
    """
    if len(values) not in (1, 3):
        raise ValueError(f"expected one number or three, got {len(values)}")
    red, green, blue = (float(value) for value in (values if len(values) == 3 else [*values] * 3))
    return red, green, blue


def crop_box(contract: InputContract) -> tuple[int, int, int, int]:
    """Return what a contract keeps of its frame: ``top, left, height, width`` in pixels."""
    height, width = contract.frame_height, contract.frame_width
    if contract.crop == "stretch":
        return 0, 0, height, width
    side = min(height, width)
    return (height - side) // 2, (width - side) // 2, side, side


def diagonal_positions(source: int, target: int) -> tuple[tuple[int, int], ...]:
    """Return the two old pixels, along one axis, whose mean is each new pixel.

    New pixel ``i`` stands for the old ones from ``i * source / target`` on; they are the ones that hold the points at a
    quarter and at three quarters of that part. The first of the pair along both axes is one old pixel, the second of the
    pair along both axes the other.

    Args:
        source: Old pixels along the axis.
        target: New ones.
    """
    return tuple(((4 * i + 1) * source // (4 * target), (4 * i + 3) * source // (4 * target)) for i in range(target))
