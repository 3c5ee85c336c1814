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
        crop: ``center`` keeps the centred square of the frame; ``stretch`` keeps all of it and changes its proportions.
        resize: ``area`` averages all pixels of the frame that a pixel of the network's input covers, by covered area.
            ``diagonal`` averages two of them. ``bilinear`` suits networks that were trained elsewhere. None takes
            ``area`` for a chain that the build trains and ``bilinear`` for an imported model.
    """

    frame: tuple[int, int] | None = None
    crop: Literal["center", "stretch"] = "center"
    resize: Literal["area", "diagonal", "bilinear"] | None = None

    def __post_init__(self) -> None:
        if self.frame is not None:
            check_setting(
                all(16 <= side <= 8192 for side in self.frame),
                f"frame = {list(self.frame)}: expected 16 to 8192 pixels",
            )
