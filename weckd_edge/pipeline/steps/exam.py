"""Examinations: the rule for their frames is chosen on validation examinations and measured on test ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import DatasetIndex, ExamEvidence, GuardRecord, OperatingPoint, Verification
from weckd_edge.config import exam_settings, stops_early
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.store import Stage
from weckd_edge.devices.runtime.input_guard import OpenGuard
from weckd_edge.metrics.slices import cut_slices
from weckd_edge.pipeline.steps.predict import HeldOutFrames, predict_validation
from weckd_edge.train.exam_rule.choose import choose_rule
from weckd_edge.train.exam_rule.examinations import gather
from weckd_edge.train.exam_rule.measure import measure_exams

if TYPE_CHECKING:
    from weckd_edge.pipeline.context import BuildContext
    from weckd_edge.pipeline.networks import Student


def exam(
    ctx: BuildContext,
    student: Student,
    verification: Stage[Verification],
    guard: Stage[GuardRecord],
    frames: HeldOutFrames,
    index: DatasetIndex,
    operating_point: OperatingPoint,
) -> ExamEvidence:
    """Return the rule of examinations, and what it brings: from stored predictions, so that no frame is predicted again.

    Args:
        ctx: The build.
        student: The link that is deployed.
        verification: Predictions for the test images.
        guard: The input guard.
        frames: The held-out images.
        index: The data set.
        operating_point: Classes that give no decision.
    """
    record, config = guard.artifact, exam_settings(ctx.config)
    non_gradeable = index.labels.indices(operating_point.non_gradeable_labels)

    def evaluate(_: Path) -> ExamEvidence:
        open_guard = None if record.guard is None else OpenGuard(record.guard, student.input.frame)
        validation = gather(frames.val, predict_validation(ctx, student, frames.val), open_guard, non_gradeable)
        predicted = np.array([one.compiled for one in verification.artifact.predictions], np.float32)
        cuts, _notes = cut_slices(ctx.config.report, index)
        choice = choose_rule(validation.exams, config, ctx.config.seed, has_guard=open_guard is not None)
        if choice.threshold is not None:
            threshold = replace(choice.threshold, epoch_from_validation=stops_early(ctx.config))
            choice = replace(choice, threshold=threshold)
        test = gather(frames.test, predicted, open_guard, non_gradeable)
        return measure_exams(test, choice, index, cuts, seed=ctx.config.seed)

    found = ctx.step(
        "exam",
        ExamEvidence,
        key_of(
            {
                "guard": record,
                "verification": verification.artifact,
                "deployed": [student.deployed.name, student.deployed.digest()],
                "recalibration": student.recalibration,
                "processor": ctx.processor,
                "images": [[one.path, one.examination, one.time_s, *one.identity()] for one in index.split("val", "test")],
                "attributes": [[one.path, one.attributes] for one in index.images],
                "named_groups": index.named_groups,
                "report": ctx.config.report,
                "exam": config,
                "stops_early": stops_early(ctx.config),
                "labels": index.labels,
                "refuse": operating_point.non_gradeable_labels,
                "seed": ctx.config.seed,
            },
            "weckd_edge.pipeline.steps.exam",
        ),
        evaluate,
    ).artifact
    ctx.progress.note(f"an examination is decided by the {found.choice.name}")
    return found
