"""Clinical figures of what is deployed, by class and slice."""

from __future__ import annotations

from weckd_edge.artifacts import DatasetIndex, MetricsRecord, Verification
from weckd_edge.core.fingerprint import key_of
from weckd_edge.metrics import measure_metrics
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import Student, TrainedNetwork


def measure(
    ctx: BuildContext,
    student: Student,
    teacher: TrainedNetwork | None,
    verification: Verification,
    index: DatasetIndex,
    confidence_threshold: float,
) -> MetricsRecord:
    """Return figures and flips, from answers to test images that were recorded.

    Args:
        ctx: The build.
        student: What is deployed.
        teacher: As for ``verify``.
        verification: the predictions.
        index: The data set.
        confidence_threshold: No decision under this probability.
    """
    network = student.network
    names = (
        f"{teacher.name} {teacher.name_in_reports}" if teacher else None,
        f"{network.name} {network.name_in_reports}",
        f"{network.name} {student.deployed.name}",
    )
    return ctx.step(
        "metrics",
        MetricsRecord,
        key_of(
            {
                "verification": verification,
                "images": [[r.path, r.attributes] for r in index.images],
                "named_groups": index.named_groups,
                "report": ctx.config.report,
                "confidence_threshold": confidence_threshold,
                "names": names,
            },
            "weckd_edge.metrics",
        ),
        lambda _: measure_metrics(
            verification, index, ctx.config.report, confidence_threshold=confidence_threshold, names=names
        ),
    ).artifact
