"""Settings ``[abstain]``: the confidence that a decision needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class AbstainConfig:
    """Abstention: a threshold on the largest probability, below which the model makes no decision.

    Attributes:
        threshold: The model abstains where no probability reaches this, 0 up to (not including) 1; 0 never abstains.
        max_group_error: Largest fraction of the decided groups whose decision may be wrong, over 0 and under 1. The build
            finds the lowest threshold that keeps it on the validation images. None searches for no threshold.
        confidence: Probability, over draws of validation images, with which the limit must hold, 0.5 up to (not including)
            1.
        on_failure: What happens when no threshold keeps the limit: ``fail`` the build, or only ``report`` it.
    """

    threshold: float = 0.0
    max_group_error: float | None = None
    confidence: float = 0.95
    on_failure: Literal["fail", "report"] = "fail"

    def __post_init__(self) -> None:
        check_setting(0 <= self.threshold < 1, f"threshold = {self.threshold}: expected 0 up to under 1")
        check_setting(
            self.max_group_error is None or 0 < self.max_group_error < 1,
            f"max_group_error = {self.max_group_error}: expected over 0 and under 1 (0.05 for 5 %)",
        )
        check_setting(
            self.max_group_error is None or self.threshold == 0,
            "threshold and max_group_error contradict each other: the one sets the threshold, the other finds it; keep one",
            code="E_CONFIG_CONFLICT",
        )
        check_setting(0.5 <= self.confidence < 1, f"confidence = {self.confidence}: expected 0.5 up to under 1")
