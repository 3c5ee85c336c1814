"""The input guard: which frames are not classified."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check, path_field

Bar = float | Literal["auto", "off"]
"""A bar of quality: a figure, found from the training frames, or none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardConfig:
    """The frame guard: which frames are refused before the network sees them.

    Attributes:
        use: Fit a guard and ship it.
        refused: Part of familiar frames that may be refused as unfamiliar, 0..1; 0: no frame is refused for that.
        least_sharpness: Grey levels, or ``auto``, or ``off``; see ``QualityFigures``, as for the next three.
        least_contrast: Grey levels.
        most_dark: Part of the frame, 0..1.
        most_bright: Part of the frame, 0..1.
        refuse_labels: Classes that are no answer: "unable to analyze" and the label, such as wax that covers the drum.
        other_frames: Folders of frames that should be refused, relative to the config file: how well they are is measured.
    """

    use: bool = True
    refused: float = 0.01
    least_sharpness: Bar = "auto"
    least_contrast: Bar = "auto"
    most_dark: Bar = "auto"
    most_bright: Bar = "auto"
    refuse_labels: tuple[str, ...] = ()
    other_frames: tuple[str, ...] = path_field(default=())

    def __post_init__(self) -> None:
        check(0 <= self.refused <= 0.5, f"refused = {self.refused}: expected 0 to 0.5 (0.01 for one frame in a hundred)")
        for name in ("least_sharpness", "least_contrast"):
            value = getattr(self, name)
            check(isinstance(value, str) or 0 <= value < math.inf, f"{name} = {value}: expected 0 or more, 'auto' or 'off'")
        for name in ("most_dark", "most_bright"):
            value = getattr(self, name)
            check(isinstance(value, str) or 0 <= value <= 1, f"{name} = {value}: expected 0 to 1, 'auto' or 'off'")
        check(all(self.other_frames), "other_frames: expected folders, found an empty text", code="E_CONFIG_VALUE")
        check(
            len(set(self.refuse_labels)) == len(self.refuse_labels),
            "refuse_labels: a label stands there twice",
            code="E_CONFIG_CONFLICT",
        )
