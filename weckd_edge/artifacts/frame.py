"""The camera frame and the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Crop = Literal["center", "stretch"]
Resize = Literal["area", "bilinear", "antialiased_bilinear", "antialiased_bicubic"]
Takes = Literal["pixels", "frame"]
"""What a graph takes: the resized pixels, or the camera frame, which it crops and resizes itself."""

Colour = tuple[float, float, float]
"""One number for each colour channel: red, green, blue."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameSpec:
    """The camera frame that a caller hands over, and the pixels of it that the network's input is made of.

    The frame is ``[1, height, width, 3]``, uint8, RGB, rows first. It is cropped to the centred square of side
    ``min(height, width)`` (``crop = "center"``) or left whole (``"stretch"``), and resized: inside the graph, or with
    ``area`` before it, by the front end (see ``devices/runtime/front_end.py``). ``crop_size`` names another centred part: an
    imported network's input may show less than the square, or have other proportions.

    ``resize = "area"``: each new pixel is the mean of all old ones that it covers, by covered area, in whole numbers (see
    ``devices/images/area_resize.py``), exact in float32, so every implementation gives the same pixels.
    ``"antialiased_bilinear"`` and ``"antialiased_bicubic"``: Pillow's filters, with which torchvision and timm make the
    pixels that networks are trained on (see ``devices/images/filters.py``). ``"bilinear"``: half-pixel centres, no
    antialiasing, as OpenCV and Keras resize.

    Attributes:
        height: Height of the frame, pixels.
        width: Width of the frame, pixels.
        crop: Part of the frame that is used: ``center`` (the centred square) or ``stretch`` (all of it).
        resize: How the used part becomes the network's input: ``area``, ``bilinear``, ``antialiased_bilinear``
            or ``antialiased_bicubic``.
        crop_size: Height and width of the centred part of the frame that is used, pixels; None: as ``crop`` says.
        scaled_size: Height and width that the whole frame is scaled to, pixels, where the network's input is the middle of
            that; None: the used part alone is resized.
    """

    height: int
    width: int
    crop: Crop
    resize: Resize = "bilinear"
    crop_size: tuple[int, int] | None = None
    scaled_size: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkInput:
    """The network's input, made of a resized frame.

    It is float32 ``[1, 3, height, width]``, ``(x / 255 - mean) / std`` per channel.

    Attributes:
        height: Height of the network's input, pixels.
        width: Width of the network's input, pixels; links of a chain are square.
        mean: Mean of each RGB channel, of values in 0..1.
        std: Standard deviation of each RGB channel, of values in 0..1.
    """

    height: int
    width: int
    mean: Colour
    std: Colour

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width, pixels."""
        return self.height, self.width

    @property
    def side(self) -> int:
        """Return the longer side, pixels; a link of a chain has only one."""
        return max(self.height, self.width)

    @property
    def size_text(self) -> str:
        """Return the side of a square input as text, or width and height."""
        return f"{self.width}" if self.height == self.width else f"{self.width} x {self.height}"


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
        """Shape of the graph's input, uint8: that of the frame, or ``(1, rows, columns, 3)`` where it takes pixels."""
        return self.shape_of(self.graph_input_name)

    @property
    def graph_input_name(self) -> Takes:
        """Name of the graph's input: ``frame``, or ``pixels`` where it takes pixels."""
        return "pixels" if self.graph_takes_pixels else "frame"

    def shape_of(self, taken: Takes) -> tuple[int, int, int, int]:
        """Return the shape of what a graph takes, which may be another graph than the bundle's."""
        return (1, *self.network.size, 3) if taken == "pixels" else self.frame_shape


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
    side = min(spec.height, spec.width)
    height, width = spec.crop_size or ((spec.height, spec.width) if spec.crop == "stretch" else (side, side))
    return (spec.height - height) // 2, (spec.width - width) // 2, height, width
