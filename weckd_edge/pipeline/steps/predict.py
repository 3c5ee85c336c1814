"""Decoded images and stored predictions: a build runs each pair of model and image once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.artifacts import HELD_OUT, DatasetIndex, FrameSpec, InputSpec
from weckd_edge.devices.images.split_frames import SplitFrames, decode_split
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.backends.table import find_backend
from weckd_edge.devices.runtime.stored_predictions import ModelRun, find_predictions, predict_once
from weckd_edge.metrics.calibration import apply_temperature

if TYPE_CHECKING:
    from weckd_edge.compile.verify.implementations import Implementation
    from weckd_edge.pipeline.context import BuildContext
    from weckd_edge.pipeline.networks import Student


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutFrames:
    """The decoded images of the held-out splits.

    Attributes:
        val: Validation images; everything is chosen by these.
        test: Test images; what was chosen is verified on these.
    """

    val: SplitFrames
    test: SplitFrames


def decode(ctx: BuildContext, index: DatasetIndex, spec: FrameSpec) -> HeldOutFrames:
    """Return the held-out images as camera frames.

    Raises:
        DataError: An image cannot be read.
    """
    val, test = (decode_split(ctx.workspace, index, split, ctx.root, spec, ctx.progress) for split in HELD_OUT)
    return HeldOutFrames(val=val, test=test)


def predict(
    ctx: BuildContext,
    spec: InputSpec,
    candidate: Implementation,
    images: SplitFrames,
    *,
    whole: SplitFrames | None = None,
) -> Probabilities:
    """Return what an implementation predicts of images ``[N, classes]``; it runs only where no prediction is stored.

    Args:
        ctx: The build.
        spec: The model's input.
        candidate: The implementation.
        images: The images.
        whole: Split that the images are a part of; its stored predictions are used where there are any.

    Raises:
        ModelError: The backend refuses the model, or the model fails on a frame.
    """
    from weckd_edge.compile.verify.implementations import predict_frames

    model = ModelRun(
        digest=candidate.digest(),
        input=spec,
        runtime=(
            candidate.backend,
            *(["as written"] if candidate.as_written else []),
            *(["float16"] if candidate.half else []),
            *ctx.processor,
        ),
        modules=("weckd_edge.compile.verify.implementations", find_backend(candidate.backend).module),
    )
    if whole is not None and (recorded := find_predictions(ctx.workspace, model, whole)) is not None:
        found: Probabilities = recorded[whole.rows(record.path for record in images.records)]
        return found
    return predict_once(ctx.workspace, model, images, lambda: predict_frames(candidate, images))


def predict_validation(ctx: BuildContext, student: Student, images: SplitFrames) -> Probabilities:
    """Return what a calibrated student predicts of the validation images ``[N, classes]``.

    A temperature only scales logits: the stored predictions without it are scaled, and no image is run again.
    """
    found = predict(ctx, student.input, student.uncalibrated or student.deployed, images)
    if student.recalibration is None or student.recalibration.temperature == 1.0:
        return found
    scaled: Probabilities = apply_temperature(found, student.recalibration.temperature).astype(np.float32)
    return scaled
