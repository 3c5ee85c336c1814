"""The limits that a build is held against."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weckd_edge.config.base import check_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class GateConfig:
    """limits that the build must clear; None takes the device profile's, and where that has none, nothing is asked.

    Attributes:
        latency_p90_ms: End-to-end latency, 90th percentile, at most.
        memory_mib: Peak resident memory, at most.
        size_mib: Size of what the device loads, at most.
        accuracy: Accuracy of the compiled artefact on the test split, at least (0..1).
        accuracy_drop: Accuracy lost between FP32 and the compiled artefact, at most (0..1).
        energy_mj: Energy of one frame above idle, at most, millijoule.
        recall: Sensitivity of the compiled artefact for the class it recognises worst, on the test split, at least (0..1).
        slice_accuracy: Accuracy of the compiled artefact in the slice it serves worst, on the test split, at least (0..1);
            see ``ReportConfig.slices``.
        slice_recall: Sensitivity in the slice and for the class where it is lowest, likewise.
        better_than_guessing: Whether predictions on the test split must be better than guessing, and than the best constant
            prediction; on where neither the build nor the device profile says ``false``.
    """

    latency_p90_ms: float | None = None
    memory_mib: float | None = None
    size_mib: float | None = None
    accuracy: float | None = None
    accuracy_drop: float | None = None
    energy_mj: float | None = None
    recall: float | None = None
    slice_accuracy: float | None = None
    slice_recall: float | None = None
    better_than_guessing: bool | None = None

    def __post_init__(self) -> None:
        for name in ("latency_p90_ms", "memory_mib", "size_mib", "energy_mj"):
            value = getattr(self, name)
            check_setting(value is None or 0 < value < math.inf, f"{name} = {value}: expected over 0")
        for name in ("accuracy", "accuracy_drop", "recall", "slice_accuracy", "slice_recall"):
            value = getattr(self, name)
            check_setting(value is None or 0 <= value <= 1, f"{name} = {value}: expected 0 to 1 (0.9 for 90 %)")
