"""The limits that a build is held against."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weckd_edge.config.base import check_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class GateConfig:
    """limits that the build must clear; None takes the device profile's, and where that has none, nothing is asked.

    Attributes:
        max_latency_p90_ms: End-to-end latency, 90th percentile, at most.
        max_memory_mib: Peak resident memory, at most.
        max_size_mib: Size of what the device loads, at most.
        min_accuracy: Accuracy of the compiled artefact on the test split, at least (0..1).
        max_accuracy_drop: Accuracy lost between FP32 and the compiled artefact, at most (0..1).
        max_energy_mj: Energy of one frame above idle, at most, millijoule.
        min_per_class_recall: Sensitivity of the compiled artefact for the class it recognises worst, on the test split, at least (0..1).
        min_slice_accuracy: Accuracy of the compiled artefact in the slice it serves worst, on the test split, at least (0..1);
            see ``ReportConfig.slices``.
        min_slice_recall: Sensitivity in the slice and for the class where it is lowest, likewise.
        better_than_chance: Whether predictions on the test split must be better than guessing, and than the best constant
            prediction; on where neither the build nor the device profile says ``false``.
    """

    max_latency_p90_ms: float | None = None
    max_memory_mib: float | None = None
    max_size_mib: float | None = None
    min_accuracy: float | None = None
    max_accuracy_drop: float | None = None
    max_energy_mj: float | None = None
    min_per_class_recall: float | None = None
    min_slice_accuracy: float | None = None
    min_slice_recall: float | None = None
    better_than_chance: bool | None = None

    def __post_init__(self) -> None:
        for name in ("max_latency_p90_ms", "max_memory_mib", "max_size_mib", "max_energy_mj"):
            value = getattr(self, name)
            check_setting(value is None or 0 < value < math.inf, f"{name} = {value}: expected over 0")
        for name in ("min_accuracy", "max_accuracy_drop", "min_per_class_recall", "min_slice_accuracy", "min_slice_recall"):
            value = getattr(self, name)
            check_setting(value is None or 0 <= value <= 1, f"{name} = {value}: expected 0 to 1 (0.9 for 90 %)")
