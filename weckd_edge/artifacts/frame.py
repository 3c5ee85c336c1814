"""The camera frame and the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Crop = Literal["center", "stretch"]
Resize = Literal["area", "diagonal", "bilinear"]

Colour = tuple[float, float, float]
"""One number for each colour channel: red, green, blue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameSpec:
    """The camera frame that a caller hands over, and the pixels of it that the network's input is made of.

    The frame is ``[1, height, width, 3]``, uint8, RGB, rows first. It is cropped to the centred square of side
    ``min(height, width)`` (``crop = "center"``) or left whole (``"stretch"``), and resized: inside the graph, or with
    ``area`` before it, by the front end (see ``devices/runtime/front_end.py``).

    ``resize = "area"``: each new pixel is the mean of all old ones that it covers, by covered area, in whole numbers (see
    ``devices/images/area_resize.py``). ``"diagonal"``: each new pixel is the mean of two old ones, on the diagonal of the
    part of the frame that it stands for (see ``diagonal_positions``), rounded to whole grey levels, halves to the even one.
    Both are exact in float32, so every implementation gives the same pixels. ``"bilinear"``: half-pixel centres, no
    antialiasing.

    Attributes:
        height: Height of the frame, pixels.
        width: Width of the frame, pixels.
        crop: Part of the frame that is used: ``center`` (the centred square) or ``stretch`` (all of it).
        resize: How the used part becomes the network's input: ``area``, ``diagonal`` or ``bilinear``.
    """

    height: int
    width: int
    crop: Crop
    resize: Resize = "bilinear"


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkInput:
    """The network's input, made of a resized frame: float32 ``[1, 3, size, size]``, ``(x / 255 - mean) / std`` per channel.

    Attributes:
        size: Side of the network's input, pixels.
        mean: Mean of each RGB channel, of values in 0..1.
        std: Standard deviation of each RGB channel, of values in 0..1.
    """

    size: int
    mean: Colour
    std: Colour


@dataclass(frozen=True, kw_only=True, slots=True)
class InputSpec:
    """The input of a model: the camera frame, and the network's input that is made of it.

    Attributes:
        frame: The camera frame.
        network: The network's input.
    """

    frame: FrameSpec
    network: NetworkInput

    @property
    def graph_takes_pixels(self) -> bool:
        """Whether the graph takes the resized pixels; otherwise it takes the frame, and crops and resizes it."""
        return self.frame.resize == "area"

    @property
    def frame_shape(self) -> tuple[int, int, int, int]:
        """Shape of a camera frame: ``(1, height, width, 3)``."""
        return 1, self.frame.height, self.frame.width, 3

    @property
    def graph_shape(self) -> tuple[int, int, int, int]:
        """Shape of the graph's input, uint8: that of the frame, or ``(1, size, size, 3)`` where it takes pixels."""
        return (1, self.network.size, self.network.size, 3) if self.graph_takes_pixels else self.frame_shape

    @property
    def graph_input_name(self) -> str:
        """Name of the graph's input: ``frame``, or ``pixels`` where it takes pixels."""
        return "pixels" if self.graph_takes_pixels else "frame"


def as_colour(values: Sequence[float]) -> Colour:
    """Return one number for each colour channel, from three numbers or from one for all channels.

    Raises:
        ValueError: There are neither three numbers nor one.
    """
    if len(values) not in (1, 3):
        raise ValueError(f"expected one number or three, got {len(values)}")
    red, green, blue = (float(value) for value in (values if len(values) == 3 else [*values] * 3))
    return red, green, blue


def crop_box(spec: FrameSpec) -> tuple[int, int, int, int]:
    """Return the part of a frame that is used: ``top, left, height, width`` in pixels."""
    if spec.crop == "stretch":
        return 0, 0, spec.height, spec.width
    side = min(spec.height, spec.width)
    return (spec.height - side) // 2, (spec.width - side) // 2, side, side


def diagonal_positions(source: int, target: int) -> tuple[tuple[int, int], ...]:
    """Return, along one axis, the pair of source pixels whose mean becomes each target pixel.

    New pixel ``i`` stands for the old ones from ``i * source / target`` on; they are the ones that hold the points at a
    quarter and at three quarters of that part. The first of the pair along both axes is one old pixel, the second of the
    pair along both axes the other.

    Args:
        source: Number of source pixels along the axis.
        target: Number of target pixels along the axis.
    """
    return tuple(((4 * i + 1) * source // (4 * target), (4 * i + 3) * source // (4 * target)) for i in range(target))
