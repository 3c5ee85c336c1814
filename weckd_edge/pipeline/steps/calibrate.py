"""A temperature is found on validation images and put inside the graph, so that probabilities mean what they say."""

from __future__ import annotations

from dataclasses import replace

from weckd_edge.artifacts import DatasetIndex, RecalibratedModel
from weckd_edge.core.fingerprint import key_of
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import Student


def calibrate(ctx: BuildContext, student: Student, index: DatasetIndex) -> Student:
    """Return the student with the temperature inside its graph and what is built of it.

    Raises:
        DataError: There is no validation image, or one cannot be read.
        ModelError: A backend refuses its model.
    """
    from weckd_edge.compile.verify.temperature import recalibrate

    before = student.shipped
    stage = ctx.step(
        "calibrate",
        RecalibratedModel,
        key_of(
            {
                "shipped": [before.name, before.model.parent.name],
                "onnx": student.selection.onnx.sha256,
                "images": index.identity("val"),
            },
            "weckd_edge.compile.verify.temperature",
        ),
        lambda folder: recalibrate(
            student.selection, student.folder, before, index, ctx.root, student.input.frame, folder, ctx.progress
        ),
    )
    made = stage.artifact
    return replace(
        student,
        selection=replace(student.selection, onnx=made.onnx, built=made.built),
        folder=stage.folder,
        recalibration=made.recalibration,
        uncalibrated=before,
    )
