"""Settings ``[input]``: the camera frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class InputConfig:
    """The camera frame, and how the network's input is made of it.

    Attributes:
        frame: Size of the frame, ``[height, width]``, 16 to 8192 pixels. None takes the most common size in the data set.
        crop: ``center`` keeps the centred part of the frame that has the proportions of the network's input, a square for a
            chain; ``stretch`` keeps all of the frame and changes its proportions. None takes what an imported model's file
            says, else ``center``.
        crop_pct: Part of the resized frame that the centred crop keeps along each axis, over 0 and at most 1, as timm means
            it: 0.875 resizes a frame to 256 pixels and keeps the middle 224. For imported models alone. None takes what
            the model's file says, else 1.
        resize: ``area`` averages all pixels of the frame that a pixel of the network's input covers, by covered area.
            ``antialiased_bilinear`` and ``antialiased_bicubic`` are the filters of Pillow, torchvision and timm;
            ``bilinear`` reads four pixels of the frame, as OpenCV and Keras do. None takes ``area`` for a chain that the
            build trains; for an imported model what its file says, else ``antialiased_bilinear``.
    """

    frame: tuple[int, int] | None = None
    crop: Literal["center", "stretch"] | None = None
    crop_pct: float | None = None
    resize: Literal["area", "bilinear", "antialiased_bilinear", "antialiased_bicubic"] | None = None

    def __post_init__(self) -> None:
        if self.crop_pct is not None:
            check_setting(
                0 < self.crop_pct <= 1,
                f"crop_pct = {self.crop_pct:g}: expected a part over 0 and at most 1, such as 0.875 for 224 pixels of 256",
            )
        if self.frame is not None:
            check_setting(
                all(16 <= side <= 8192 for side in self.frame),
                f"frame = {list(self.frame)}: expected 16 to 8192 pixels",
            )
