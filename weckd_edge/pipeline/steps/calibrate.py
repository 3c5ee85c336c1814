"""Calibration: a temperature is found on validation images and put inside the graph."""

from __future__ import annotations

from dataclasses import replace

from weckd_edge.artifacts import RecalibratedModel
from weckd_edge.core.fingerprint import key_of
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import Student
from weckd_edge.pipeline.steps.predict import predict


def calibrate(ctx: BuildContext, student: Student, images: SplitFrames) -> Student:
    """Return the student with a temperature, found on validation images, in its graph and in the model built from it.

    Raises:
        DataError: There is no validation image.
        ModelError: A backend refuses its model.
    """
    from weckd_edge.compile.verify.temperature import recalibrate

    before = student.deployed
    stage = ctx.step(
        f"calibrate-{student.name}",
        RecalibratedModel,
        key_of(
            {
                "deployed": [before.name, before.digest()],
                "onnx": student.selection.onnx.sha256,
                "models": student.selection.models,
                "images": [r.identity() for r in images.records],
                "processor": ctx.processor,
            },
            "weckd_edge.compile.verify.temperature",
            "weckd_edge.pipeline.steps.predict",
        ),
        lambda folder: recalibrate(
            student.selection,
            student.folder,
            before.name,
            predict(ctx, student.input, before, images),
            images.records,
            folder,
        ),
    )
    made = stage.artifact
    return replace(
        student,
        selection=replace(student.selection, onnx=made.onnx, models=made.models),
        folder=stage.folder,
        recalibration=made.recalibration,
        uncalibrated=before,
    )
