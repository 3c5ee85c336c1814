"""How a link is made small, checked and timed, and which one ships."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from weckd_edge.bounds import MOST_THREADS
from weckd_edge.config.base import check, check_within

MOST_QUERIES = 10_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class QuantizeConfig:
    """Which precisions are tried, and what one may cost. The fastest within the bars ships.

    Attributes:
        precision: ``auto`` tries int8, float16 and float32; the others leave no choice.
        method: How activation ranges are found: see ``weckd_edge.compile.ranges``. ``auto`` takes the one whose answers on
            the validation images stay closest.
        images: How many training images to calibrate on.
        accuracy_drop: Accuracy on the validation images that may be lost against FP32, 0..1; never less than one image.
        accuracy_kept: Part of FP32's accuracy that must be kept, 0..1 (MLPerf asks for 0.99).
        recall_drop: Sensitivity that any class may lose, 0..1; never less than one image.
        float_layers: Where int8 as a whole breaks a bar, at most so many of the layers it hurts most stay in floating point.
        aware: Whether the last link is also trained a little further under int8 rounding (``quantize_aware``):
            ``when-needed`` does so where int8 as a whole breaks a bar.
        nncf: Also try NNCF's own int8, where it is installed and the target is a processor.
    """

    precision: Literal["auto", "int8", "fp16", "fp32"] = "auto"
    method: Literal["auto", "minmax", "percentile", "entropy", "mse"] = "auto"
    images: int = 128
    accuracy_drop: float = 0.005
    accuracy_kept: float = 0.99
    recall_drop: float = 0.02
    float_layers: int = 8
    aware: Literal["never", "when-needed", "always"] = "when-needed"
    nncf: bool = True

    def __post_init__(self) -> None:
        check_within("images", self.images, 8, 1_000_000)
        check_within("float_layers", self.float_layers, 0, 10_000)
        for name in ("accuracy_drop", "accuracy_kept", "recall_drop"):
            value = getattr(self, name)
            check(0 <= value <= 1, f"{name} = {value}: expected 0 to 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class GateConfig:
    """Bars that the build must clear; None takes the device profile's, and where that has none, nothing is asked.

    Attributes:
        latency_p90_ms: Frame to answer, 90th percentile, at most.
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
            check(value is None or 0 < value < math.inf, f"{name} = {value}: expected over 0")
        for name in ("accuracy", "accuracy_drop", "recall", "slice_accuracy", "slice_recall"):
            value = getattr(self, name)
            check(value is None or 0 <= value <= 1, f"{name} = {value}: expected 0 to 1 (0.9 for 90 %)")


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchConfig:
    """The latency run of a build.

    Attributes:
        queries: How many frames, one after another.
        warmup: How many before those, not counted.
        threads: Processor threads the model may use.
    """

    queries: int = 1024
    warmup: int = 50
    threads: int = 1

    def __post_init__(self) -> None:
        check(self.queries >= 64, f"queries = {self.queries}: a 90th percentile needs at least 64")
        check_within("queries", self.queries, 64, MOST_QUERIES)
        check_within("warmup", self.warmup, 0, MOST_QUERIES)
        check_within("threads", self.threads, 1, MOST_THREADS)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShipConfig:
    """Which link of the chain ships.

    Attributes:
        link: ``smallest``: every link is quantized, compiled, timed and held against the bars on validation images, and the
            smallest that misses none ships. Else ``last``, or a link's name such as ``M2``, and no other is compiled.
        queries: Frames on which each link is timed for that.
        measurements: What ``weckd-edge predict --calibrate`` wrote on the device, relative to the config file: where the
            build does not run on the device, latencies are predicted from it.
    """

    link: str = "smallest"
    queries: int = 256
    measurements: str | None = None

    def __post_init__(self) -> None:
        named = self.link[:1] == "M" and self.link[1:].isdecimal() and len(self.link) <= 4
        check(named or self.link in ("smallest", "last"), f"link = '{self.link}': expected smallest, last, or such as M2")
        check(self.queries >= 64, f"queries = {self.queries}: a 90th percentile needs at least 64")
        check_within("queries", self.queries, 64, MOST_QUERIES)


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifyConfig:
    """What verification does beyond comparing answers.

    Attributes:
        layers: Compare the int8 graph and what ships layer by layer: where their answers differ too much, or always.
    """

    layers: Literal["on-failure", "always"] = "on-failure"


@dataclass(frozen=True, kw_only=True, slots=True)
class SelftestConfig:
    """The golden frames inside the bundle.

    Attributes:
        frames: How many validation images travel in the bundle, with the answers they must give. They are real images: where
            none may leave the clinic, build from images that may.
    """

    frames: int = 8

    def __post_init__(self) -> None:
        check(1 <= self.frames <= 64, f"frames = {self.frames}: expected 1 to 64 golden frames")
