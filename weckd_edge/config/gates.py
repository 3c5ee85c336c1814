"""Settings ``[gates]``: the limits that a build must meet."""

from __future__ import annotations

import math
from dataclasses import dataclass

from weckd_edge.config.base import check_setting


@dataclass(frozen=True, kw_only=True, slots=True)
class GateConfig:
    """Limits that a build must meet. None takes the device profile's limit; where that is None too, nothing is checked.

    Attributes:
        max_latency_p90_ms: Largest end-to-end latency, 90th percentile, milliseconds, over 0.
        max_memory_mib: Largest peak resident memory, MiB, over 0.
        max_size_mib: Largest size of the files that the device loads, MiB, over 0.
        min_accuracy: Smallest test accuracy of the compiled model, 0..1.
        max_accuracy_drop: Largest loss of test accuracy between FP32 and the compiled model, 0..1.
        max_energy_mj: Largest energy of one frame above idle, millijoules, over 0.
        min_per_class_recall: Smallest test recall of the compiled model for any class, 0..1.
        min_exam_accuracy: Smallest fraction of test examinations that are decided rightly, 0..1.
        min_exam_recall: Smallest fraction of the test examinations of any class that are decided rightly, 0..1.
        min_slice_accuracy: Smallest test accuracy of the compiled model in any slice, 0..1; ``report.slices`` names the
            slices.
        min_slice_recall: Smallest test recall of the compiled model for any class in any slice, 0..1.
        better_than_chance: Whether test predictions must be better than guessing. Where they are, but no better than always
            predicting one class, the reason says so. On unless the build or the device profile says ``false``.
    """

    max_latency_p90_ms: float | None = None
    max_memory_mib: float | None = None
    max_size_mib: float | None = None
    min_accuracy: float | None = None
    max_accuracy_drop: float | None = None
    max_energy_mj: float | None = None
    min_per_class_recall: float | None = None
    min_exam_accuracy: float | None = None
    min_exam_recall: float | None = None
    min_slice_accuracy: float | None = None
    min_slice_recall: float | None = None
    better_than_chance: bool | None = None

    def __post_init__(self) -> None:
        for name in ("max_latency_p90_ms", "max_memory_mib", "max_size_mib", "max_energy_mj"):
            value = getattr(self, name)
            check_setting(value is None or 0 < value < math.inf, f"{name} = {value}: expected over 0")
        for name in (
            "min_accuracy",
            "max_accuracy_drop",
            "min_per_class_recall",
            "min_exam_accuracy",
            "min_exam_recall",
            "min_slice_accuracy",
            "min_slice_recall",
        ):
            value = getattr(self, name)
            check_setting(value is None or 0 <= value <= 1, f"{name} = {value}: expected 0 to 1 (0.9 for 90 %)")
