"""Settings ``[quantize]``: which precisions are tried, and how much accuracy quantization may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check_setting, check_within


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeConfig:
    """Quantization: the precisions that are tried, and the accuracy they may cost. The fastest within the limits is chosen.

    Attributes:
        precision: ``auto`` tries int8, fp16 and fp32; another value tries that precision alone.
        method: How activation ranges are estimated. ``auto`` takes the method whose predictions on the validation images
            stay closest to FP32.
        images: Number of training images for range estimation, 8 to 1,000,000.
        max_accuracy_drop: Largest loss of validation accuracy against FP32, 0..1; one image may always be lost.
        min_relative_accuracy: Smallest validation accuracy as a fraction of FP32's, 0..1 (MLPerf asks for 0.99).
        max_recall_drop: Largest loss of validation recall of any class, 0..1; one image may always be lost.
        max_float_layers: Largest number of layers that are kept in floating point, most sensitive first, where all-int8
            exceeds a limit; 0 to 10,000.
        qat: Whether a link that is compiled is also trained further under int8 rounding (``quantize_aware``): ``never``,
            ``always``, or ``when-needed`` (all-int8 exceeds a limit). Under a launcher of several processes it is not.
        nncf: Try NNCF's own int8 as well, where NNCF is installed and the target is ``cpu``.
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
