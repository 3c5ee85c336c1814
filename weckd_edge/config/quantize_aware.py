"""Settings ``[quantize_aware]``: further training of a link under int8 rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check_setting, check_within


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeAwareConfig:
    """Quantization-aware distillation: further training of a link under int8 rounding.

    Attributes:
        epochs: Number of epochs, each as long as one of ``train``, 1 to 100,000.
        learning_rate: Peak learning rate, over 0 and under 1. It is small because the link is trained already, and AdamW's
            steps are this long however small the loss is.
        teacher: The link ``itself``, as it was without rounding, or its ``predecessor``.
        distill_weight: Weight of the teacher's term in the loss, 0..1; the rest is cross-entropy on the link's own labels.
        augment: Strength of the random views, 0..1.
    """

    epochs: int = 3
    learning_rate: float = 1e-5
    teacher: Literal["itself", "predecessor"] = "itself"
    distill_weight: float = 1.0
    augment: float = 0.5

    def __post_init__(self) -> None:
        check_within("epochs", self.epochs, 1, 100_000)
        check_setting(0 < self.learning_rate < 1, f"learning_rate = {self.learning_rate}: expected over 0 and under 1")
        for name in ("distill_weight", "augment"):
            check_setting(0 <= getattr(self, name) <= 1, f"{name} = {getattr(self, name)}: expected 0 to 1")
