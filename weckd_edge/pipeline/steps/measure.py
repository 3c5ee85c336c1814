"""Clinical metrics of the deployed model, by class and slice."""

from __future__ import annotations

from weckd_edge.artifacts import DatasetIndex, MetricsRecord, OperatingPoint, Verification
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
    operating_point: OperatingPoint,
) -> MetricsRecord:
    """Return metrics and prediction flips, from the stored predictions for the test images.

    Args:
        ctx: The build.
        student: The link that is deployed.
        teacher: The first link of the chain; None where that one is deployed.
        verification: Predictions for the test images.
        index: The data set.
        operating_point: What gives a decision: the confidence threshold and the non-gradeable labels.
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
                "labels": index.labels,
                "images": [[r.path, r.attributes] for r in index.images],
                "named_groups": index.named_groups,
                "report": ctx.config.report,
                "operating_point": operating_point,
                "names": names,
            },
            "weckd_edge.metrics",
        ),
        lambda _: measure_metrics(
            verification,
            index,
            ctx.config.report,
            operating_point=operating_point,
            names=names,
        ),
    ).artifact
