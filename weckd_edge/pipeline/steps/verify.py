"""Verification: the deployed model is compared with the trained network, on test images."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from weckd_edge.artifacts import Verification
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.optional_imports import is_installed
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.table import is_computed_as_written
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import Student, TrainedNetwork
from weckd_edge.pipeline.steps.predict import predict
from weckd_edge.pipeline.steps.write_bundle import ReportImages

if TYPE_CHECKING:
    from weckd_edge.compile.verify.implementations import Implementation


def verify(ctx: BuildContext, student: Student, teacher: TrainedNetwork | None, images: SplitFrames) -> Stage[Verification]:
    """Compare the predictions of every implementation of the deployed link for the test images.

    Args:
        ctx: The build.
        student: The link that is deployed.
        teacher: The first link of the chain, whose predictions are recorded too; None where that one is deployed.
        images: The test images.

    Raises:
        DataError: The data set has no test image.
        ModelError: A backend refuses its model.
    """
    from weckd_edge.compile.verify.parity import Implementations, TrainedPredictions
    from weckd_edge.compile.verify.parity import verify as compare_all

    network, as_written, deployed = student.network, student.as_written, student.deployed
    listed = [student.implementation(model) for model in student.runs_here] or runners_here(as_written)
    others = _of_same_graph(student) if student.selection.models else listed
    return ctx.step(
        "verify",
        Verification,
        key_of(
            {
                "link": network.link.artifact.network_sha256,
                "fp32": student.exported.artifact.onnx.sha256,
                "deployed": [deployed.name, deployed.digest()],
                "others": [other.name for other in others],
                "listed": [[model.name, model.digest()] for model in listed],
                "images": [[r.path, *r.identity()] for r in images.records],
                "recalibration": student.recalibration,
                "teacher": teacher.link.artifact.network_sha256 if teacher else None,
                "layers": ctx.config.verify.layers,
                "processor": ctx.processor,
            },
            "weckd_edge.compile.verify.parity",
            "weckd_edge.pipeline.steps.predict",
            *network.modules,
        ),
        lambda folder: compare_all(
            TrainedPredictions(
                probabilities=network.predict(images),
                name=network.name_in_reports,
                teacher=teacher.predict(images) if teacher else None,
            ),
            Implementations(
                exported=exported_candidates(ctx, student),
                quantized=as_written,
                deployed=deployed,
                others=others,
                listed=listed,
                recalibration=student.recalibration,
                uncalibrated=student.uncalibrated,
            ),
            images,
            student.exported.artifact.labels,
            partial(predict, ctx, student.input),
            layers=ctx.config.verify.layers,
        ),
    )


def _of_same_graph(student: Student) -> list[Implementation]:
    """Return the other listed models that run the deployed model's graph in its precision."""
    first = student.selection.models[0]
    same = [m for m in student.runs_here if (m.source_sha256, m.precision) == (first.source_sha256, first.precision)]
    return [student.implementation(model) for model in same if model is not first]


def images_for_report(ctx: BuildContext, student: Student, images: SplitFrames) -> ReportImages:
    """Return the test images with the stored predictions of every backend here."""
    deployed = student.deployed
    return ReportImages(
        test=images,
        predicted={
            candidate.backend: predict(ctx, student.input, candidate, images)
            for candidate in (runners_here(deployed) if deployed.reference else [deployed])
        },
    )


def exported_candidates(ctx: BuildContext, student: Student) -> list[Implementation]:
    """Return the implementations of the exported graph that must match the trained network."""
    from weckd_edge.compile.verify.implementations import Implementation

    onnx = student.fp32_onnx
    if student.exported.artifact.quantized:  # imported in int8: the exported graph must predict as the imported file does
        return [Implementation(backend="onnxruntime", model=onnx, input=student.input, precision="int8", reference=True)]
    backends = ["onnxruntime", *(["openvino"] if ctx.target == "cpu" else [])]
    return [Implementation(backend=name, model=onnx, input=student.input, precision="fp32") for name in backends]


def runners_here(as_written: Implementation) -> list[Implementation]:
    """Return the implementations that run a graph on this machine, in their fastest way that is right here.

    Where the device builds its own, they show how far implementations of the graph differ.
    """
    return [
        replace(as_written, backend=name, reference=is_computed_as_written(name, as_written.model))
        for name in ("onnxruntime", "openvino")
        if is_installed(name)
    ]
