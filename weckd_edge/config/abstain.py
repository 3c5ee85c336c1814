"""How sure a prediction must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.config.base import check_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class AbstainConfig:
    """How sure a prediction must be.

    Attributes:
        risk: Largest part of the answered groups that may be answered wrongly, 0..1; the lowest threshold that keeps it is
            sought on validation images. None: none is sought.
        confidence: With which probability over draws of validation images it must hold, 0..1.
        unmet: Where no threshold keeps it, the build fails, or only says so.
    """

    risk: float | None = None
    confidence: float = 0.95
    unmet: Literal["fail", "report"] = "fail"

    def __post_init__(self) -> None:
        check_setting(
            self.risk is None or 0 < self.risk < 1, f"risk = {self.risk}: expected over 0 and under 1 (0.05 for 5 %)"
        )
        check_setting(0.5 <= self.confidence < 1, f"confidence = {self.confidence}: expected 0.5 up to under 1")
