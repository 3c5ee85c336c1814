"""How a camera frame reaches the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class InputConfig:
    """The camera frame the graph will be fed with.

    Attributes:
        frame: ``[height, width]`` in pixels; None takes the commonest size in the data set.
        crop: Keep the centred square of the frame, or stretch the whole of it.
        resize: ``diagonal`` means two of the frame's pixels into one of the network's, in a fraction of the time of
            ``bilinear``, which suits networks that were trained elsewhere. None takes ``diagonal`` for what a build trains
            and ``bilinear`` for an imported network.
    """

    frame: tuple[int, int] | None = None
    crop: Literal["center", "stretch"] = "center"
    resize: Literal["diagonal", "bilinear"] | None = None

    def __post_init__(self) -> None:
        if self.frame is not None:
            check_setting(
                all(16 <= side <= 8192 for side in self.frame),
                f"frame = {list(self.frame)}: expected 16 to 8192 pixels",
            )
