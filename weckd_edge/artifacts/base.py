"""What every record is made of: files by their digest, rates with an interval, the words for splits and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCHEMA_VERSION = 1

Split = Literal["train", "val", "test"]
Verdict = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Target = Literal["cpu", "jetson"]
Precision = Literal["int8", "fp16", "fp32"]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRef:
    """A file below the artefact's folder.

    Attributes:
        path: Relative POSIX path.
        sha256: Digest of its bytes, hexadecimal.
        bytes: Size.
    """

    path: str
    sha256: str
    bytes: int


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
