"""What verification compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig:
    """What verification does beyond comparing answers.

    Attributes:
        layers: When the int8 graph and the deployed model are compared layer by layer: if they differ too much, or always.
    """

    layers: Literal["on-failure", "always"] = "on-failure"
