"""Types that every record uses: a rate with its interval, the splits, the verdicts."""

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
    """A fraction of images with its 95 % interval; where images of a group are correlated, the interval counts groups.

    Attributes:
        value: ``correct / images``, 0..1.
        low: Lower end of the 95 % interval, 0..1.
        high: Upper end of the 95 % interval, 0..1.
        correct: Number of images that count, such as those predicted correctly.
        images: Number of images.
        groups: Number of independent groups among the images.
    """

    value: float
    low: float
    high: float
    correct: int
    images: int
    groups: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A value with its 95 % interval, which counts groups."""

    value: float
    low: float
    high: float
