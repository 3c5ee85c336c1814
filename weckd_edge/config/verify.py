"""Settings ``[verify]``: what verification compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig:
    """Verification beyond comparing predictions.

    Attributes:
        layers: Compare the int8 graph and the deployed model layer by layer: ``on-failure`` (where their predictions differ
            too much), or ``always``.
    """

    layers: Literal["on-failure", "always"] = "on-failure"
