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
        check_threshold(self.threshold or None, self.max_group_error, self.confidence)


def check_threshold(threshold: float | None, max_group_error: float | None, confidence: float) -> None:
    """Refuse settings of a confidence threshold that contradict each other or are out of range.

    Args:
        threshold: The threshold; None: there is none of its own.
        max_group_error: Largest error that a search for the threshold keeps; None: there is no search.
        confidence: Probability with which it must hold.

    Raises:
        ConfigError: One is out of range, or both are set.
    """
    check_setting(threshold is None or 0 <= threshold < 1, f"threshold = {threshold}: expected 0 up to under 1")
    check_setting(
        max_group_error is None or 0 < max_group_error < 1,
        f"max_group_error = {max_group_error}: expected over 0 and under 1 (0.05 for 5 %)",
    )
    check_setting(
        max_group_error is None or threshold is None,
        "threshold and max_group_error contradict each other: the one sets the threshold, the other finds it; keep one",
        code="E_CONFIG_CONFLICT",
    )
    check_setting(0.5 <= confidence < 1, f"confidence = {confidence}: expected 0.5 up to under 1")
