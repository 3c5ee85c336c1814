"""What verification compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig:
    """What verification does beyond comparing predictions.

    Attributes:
        layers: Compare the int8 graph and the deployed model layer by layer: where their predictions differ too much
            (``on-failure``), or ``always``.
    """

    layers: Literal["on-failure", "always"] = "on-failure"
