"""The gates: every limit is compared with what the build measured."""

from __future__ import annotations

from dataclasses import replace

from weckd_edge.artifacts import LinkLatency
from weckd_edge.config import exam_settings
from weckd_edge.devices.gates.exams import evaluate_exams
from weckd_edge.devices.gates.gates import GateEvidence, evaluate_gates, evaluate_parity
from weckd_edge.devices.gates.slices import evaluate_slices
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.steps.abstain import evaluate_threshold
from weckd_edge.report import BundleContents
from weckd_edge.report.chapters.verdicts import loaded_bytes


def apply_gates(ctx: BuildContext, contents: BundleContents, latency: LinkLatency | None = None) -> BundleContents:
    """Return the contents with the gates' verdicts in the manifest; the bundle passes where no gate failed.

    Args:
        ctx: The build.
        contents: What was measured.
        latency: Latency of the deployed link on the device; None where nothing tells it but the build's own bench.
    """
    manifest = contents.manifest
    gates = (
        *evaluate_gates(
            ctx.limits,
            ctx.profile,
            GateEvidence(
                measurement=contents.measurement,
                verification=contents.verification,
                size_bytes=loaded_bytes(manifest),
                measured_on_device=ctx.on_device,
                predicted=latency,
            ),
            contents.dataset.labels,
        ),
        *(evaluate_slices(ctx.limits, contents.metrics.slices, contents.dataset.labels) if contents.metrics else ()),
        *evaluate_exams(ctx.limits, contents.exams, contents.dataset.labels),
        *evaluate_parity(contents.verification),
        *(evaluate_threshold(contents.abstention.threshold, ctx.config.abstain) if contents.abstention else ()),
        *(
            evaluate_threshold(
                contents.exams.choice.threshold,
                exam_settings(ctx.config),
                name="max_exam_group_error",
                of="validation examinations",
            )
            if contents.exams
            else ()
        ),
    )
    passed = all(gate.verdict != "FAIL" for gate in gates)
    return replace(contents, manifest=replace(manifest, gates=gates, passed=passed))
