"""Settings ``[guard]``: the input guard, which rejects frames before the network sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check_setting, path_field

QualityLimit = float | Literal["auto", "off"]
"""A limit on image quality: a number, found from the training frames (``auto``), or none (``off``)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuardConfig:
    """Input guard: which frames it rejects before the network sees them.

    Attributes:
        enabled: Fit an input guard and put it into the bundle.
        false_reject_rate: Fraction of in-distribution frames that the OOD score may reject, 0..0.5; 0 rejects no frame by
            its OOD score.
        min_sharpness: Smallest standard deviation of the Laplacian, grey levels, or ``auto`` (found from the training
            frames), or ``off``.
        min_contrast: Smallest standard deviation of the luminance, grey levels, or ``auto`` (found from the training
            frames), or ``off``.
        max_dark_fraction: Largest fraction of near-black points, 0..1, or ``auto`` (found from the training frames), or
            ``off``.
        max_bright_fraction: Largest fraction of near-white points, 0..1, or ``auto`` (found from the training frames), or
            ``off``.
        non_gradeable_labels: Classes whose prediction means "unable to analyze", such as wax that covers the drum.
        ood_dirs: Folders of frames that the guard should reject, relative to the configuration file; the build measures
            how many it rejects.
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
            "non_gradeable_labels: duplicate label; name each once",
            code="E_CONFIG_CONFLICT",
        )
