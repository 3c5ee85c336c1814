"""What every record is made of: rates with an interval, the words for splits and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
HELD_OUT: tuple[Split, Split] = ("val", "test")
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Target = Literal["cpu", "jetson"]
Precision = Literal["int8", "fp16", "fp32"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A share of images with its 95 % interval, which counts groups rather than images where groups are correlated.

    Attributes:
        value: ``correct / images``.
        low: Lower bound.
        high: Upper bound.
        correct: Images answered correctly.
        images: Images in all.
        groups: Independent groups among them.
    """

    value: float
    low: float
    high: float
    correct: int
    images: int
    groups: int
