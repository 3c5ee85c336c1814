"""limits, and the link that is deployed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.artifacts.base import Precision, Rate, Verdict
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One bar, what was reached, and the verdict.

    Attributes:
        name: Such as ``max_latency_p90_ms``.
        limit: The limit.
        value: The figure; None where it cannot be had here.
        verdict: INCONCLUSIVE where the figure was not measured on the device itself.
        reason: In words.
    """

    name: str
    limit: float
    value: float | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkLatency:
    """End-to-end latency of one link on the device that is built for, and how that is known.

    Attributes:
        label: ``measured`` on that device, ``predicted`` for it, or ``unknown``.
        p90_ns: 90th percentile where it was measured; where it was predicted, the median of undisturbed queries.
        low_ns: Lower end of the predicted 90 % interval.
        high_ns: Upper end.
        reason: Where the figure is from, or why there is none.
    """

    label: Literal["measured", "estimated", "unknown"]
    p90_ns: float | None
    low_ns: float | None
    high_ns: float | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkEvaluation:
    """One link as it would ship: quantized, compiled, and held against every limit, on images no training has seen.

    Attributes:
        name: Such as ``M2``.
        precision: The one its own search chose.
        backend: What answered and was timed.
        method: Name of the chosen trial.
        bytes: Size of what the device would load.
        val_accuracy: On the validation images, compiled: what the choice between links hangs on. Test images are shown to
            the link that is deployed alone.
        latency: On the device that is built for.
        build_machine_p90_ns: End-to-end latency on the machine that builds, 90th percentile.
        gates: The limits, accuracies on the validation images.
    """

    name: str
    precision: Precision
    backend: str
    method: str
    bytes: int
    val_accuracy: Rate
    latency: LinkLatency
    build_machine_p90_ns: int
    gates: tuple[Gate, ...]

    @property
    def passes(self) -> bool:
        """Whether no bar was missed; one that could not be judged is not missed."""
        return all(gate.verdict != "FAIL" for gate in self.gates)


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkSelection:
    """Which link ships and why.

    Attributes:
        chosen: Its name.
        reason: In a sentence.
        links: Every link that was weighed, largest first; empty where there was nothing to choose.
        advice: Where none passes: what is closest, and what to change.
        schema_version: Of this record.
    """

    chosen: str
    reason: str
    links: tuple[LinkEvaluation, ...] = ()
    advice: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
