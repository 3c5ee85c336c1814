"""Which precisions are tried, and what one may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check_setting, check_within


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeConfig:
    """Which precisions are tried, and what one may cost. The fastest within the limits ships.

    Attributes:
        precision: ``auto`` tries int8, float16 and float32; the others leave no choice.
        method: How activation ranges are found: see ``weckd_edge.compile.quantize.ranges``. ``auto`` takes the one whose
            answers on the validation images stay closest.
        images: How many training images to calibrate on.
        max_accuracy_drop: Accuracy on the validation images that may be lost against FP32, 0..1; never less than one image.
        min_relative_accuracy: Part of FP32's accuracy that must be kept, 0..1 (MLPerf asks for 0.99).
        max_recall_drop: Sensitivity that any class may lose, 0..1; never less than one image.
        max_float_layers: Where int8 as a whole breaks a limit, at most so many of the layers it hurts most stay in float.
        qat: Whether the last link is also trained a little further under int8 rounding (``quantize_aware``):
            ``when-needed`` does so where int8 as a whole breaks a limit.
        nncf: Also try NNCF's own int8, where it is installed and the target is a processor.
    """

    precision: Literal["auto", "int8", "fp16", "fp32"] = "auto"
    method: Literal["auto", "minmax", "percentile", "entropy", "mse"] = "auto"
    images: int = 128
    max_accuracy_drop: float = 0.005
    min_relative_accuracy: float = 0.99
    max_recall_drop: float = 0.02
    max_float_layers: int = 8
    qat: Literal["never", "when-needed", "always"] = "when-needed"
    nncf: bool = True

    def __post_init__(self) -> None:
        check_within("images", self.images, 8, 1_000_000)
        check_within("max_float_layers", self.max_float_layers, 0, 10_000)
        for name in ("max_accuracy_drop", "min_relative_accuracy", "max_recall_drop"):
            value = getattr(self, name)
            check_setting(0 <= value <= 1, f"{name} = {value}: expected 0 to 1")
