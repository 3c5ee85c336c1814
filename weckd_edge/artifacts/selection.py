"""Gates with their verdicts, and the selection of the deployed link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from weckd_edge.artifacts.base import Precision, Rate, Verdict
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One gate: a limit, the value that was reached, and the verdict.

    Attributes:
        name: Name of the gate, such as ``max_latency_p90_ms``; its end names the unit.
        limit: Limit that the value is checked against.
        value: Value that was reached; None where it cannot be had here.
        verdict: ``PASS``, ``FAIL``, or ``INCONCLUSIVE`` where the value was not measured on the device itself.
        reason: Reason for the verdict, in words.
    """

    name: str
    limit: float
    value: float | None
    verdict: Verdict
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkLatency:
    """End-to-end latency of one link on the device that the bundle is built for, and where it comes from.

    Attributes:
        label: Origin: ``measured`` on that device, ``estimated`` for it, or ``unknown``.
        p90_ns: 90th percentile where it was measured, the median of undisturbed queries where it was estimated, nanoseconds.
        low_ns: Lower end of the estimate's 90 % interval, nanoseconds.
        high_ns: Upper end of the estimate's 90 % interval, nanoseconds.
        reason: Source of the latency, or why there is none.
    """

    label: Literal["measured", "estimated", "unknown"]
    p90_ns: float | None
    low_ns: float | None
    high_ns: float | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkEvaluation:
    """One link as it would be deployed: quantized, compiled, and checked against every limit on validation images.

    Attributes:
        name: Name of the link, such as ``M2``.
        precision: Precision that its own quantization step chose.
        backend: Backend that predicted and was timed.
        method: Name of the chosen quantization trial.
        bytes: Size of the files that the device would load, bytes.
        val_accuracy: Compiled accuracy on the validation images, which the selection uses. Only the deployed link sees test
            images.
        latency: End-to-end latency on the device that the bundle is built for.
        build_machine_p90_ns: 90th percentile of the end-to-end latency on the build machine, nanoseconds.
        gates: Verdict on every limit, with accuracies on the validation images.
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
        """Whether no limit is missed; a limit that cannot be judged counts as met."""
        return all(gate.verdict != "FAIL" for gate in self.gates)


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkSelection:
    """The file ``evidence/link_selection.json``: which link is deployed and why.

    Attributes:
        chosen: Name of the deployed link.
        reason: Reason for the selection, in a sentence.
        links: Every link that was evaluated, largest first; empty where there was nothing to choose.
        advice: Closest link and what to change, where no link meets every limit.
        schema_version: Schema version of this record.
    """

    chosen: str
    reason: str
    links: tuple[LinkEvaluation, ...] = ()
    advice: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION
