"""The input guard: which frames are not classified."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check_setting, path_field

QualityLimit = float | Literal["auto", "off"]
"""A bar of quality: a figure, found from the training frames, or none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardConfig:
    """The frame guard: which frames are refused before the network sees them.

    Attributes:
        enabled: Fit a guard and ship it.
        false_reject_rate: Part of familiar frames that may be refused as unfamiliar, 0..1; 0: no frame is refused for that.
        min_sharpness: Grey levels, or ``auto``, or ``off``; see ``FrameQuality``, as for the next three.
        min_contrast: Grey levels.
        max_dark_fraction: Part of the frame, 0..1.
        max_bright_fraction: Part of the frame, 0..1.
        non_gradeable_labels: Classes that are no answer: "unable to analyze" and the label, such as wax that covers the drum.
        ood_dirs: Folders of frames that should be refused, relative to the config file: how well they are is measured.
    """

    enabled: bool = True
    false_reject_rate: float = 0.01
    min_sharpness: QualityLimit = "auto"
    min_contrast: QualityLimit = "auto"
    max_dark_fraction: QualityLimit = "auto"
    max_bright_fraction: QualityLimit = "auto"
    non_gradeable_labels: tuple[str, ...] = ()
    ood_dirs: tuple[str, ...] = path_field(default=())

    def __post_init__(self) -> None:
        check_setting(
            0 <= self.false_reject_rate <= 0.5,
            f"false_reject_rate = {self.false_reject_rate}: expected 0 to 0.5 (0.01 for one frame in a hundred)",
        )
        for name in ("min_sharpness", "min_contrast"):
            value = getattr(self, name)
            check_setting(
                isinstance(value, str) or 0 <= value < math.inf, f"{name} = {value}: expected 0 or more, 'auto' or 'off'"
            )
        for name in ("max_dark_fraction", "max_bright_fraction"):
            value = getattr(self, name)
            check_setting(isinstance(value, str) or 0 <= value <= 1, f"{name} = {value}: expected 0 to 1, 'auto' or 'off'")
        check_setting(all(self.ood_dirs), "ood_dirs: expected folders, found an empty text", code="E_CONFIG_VALUE")
        check_setting(
            len(set(self.non_gradeable_labels)) == len(self.non_gradeable_labels),
            "non_gradeable_labels: a label stands there twice",
            code="E_CONFIG_CONFLICT",
        )
