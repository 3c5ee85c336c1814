"""The self-test: a few real frames with the predictions that a device must give."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from weckd_edge.artifacts import GoldenFrames
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import Student
from weckd_edge.pipeline.steps.predict import predict
from weckd_edge.pipeline.steps.verify import runners_here

if TYPE_CHECKING:
    from weckd_edge.compile.verify.implementations import Implementation


def choose_golden(ctx: BuildContext, student: Student, images: SplitFrames) -> Stage[GoldenFrames]:
    """Return validation frames on which implementations agree best, with the predictions of what is deployed.

    Raises:
        DataError: There is no validation image.
        ModelError: A backend refuses its model.
    """
    from weckd_edge.compile.verify.golden import make_golden

    deployed, others = student.deployed, _other_implementations(student)
    return ctx.step(
        "golden",
        GoldenFrames,
        key_of(
            {
                "shipped": [deployed.name, deployed.digest()],
                "others": [other.name for other in others],
                "frames": ctx.config.selftest.frames,
                "input": student.input,
                "images": [r.identity(files=True) for r in images.records],
            },
            "weckd_edge.compile.verify.golden",
            "weckd_edge.pipeline.steps.predict",
        ),
        lambda folder: make_golden(
            images,
            ctx.config.selftest.frames,
            deployed,
            others,
            partial(predict, ctx, student.input, whole=images),
            folder,
        ),
    )


def _other_implementations(student: Student) -> list[Implementation]:
    """Return what else answers the golden frames: what a bundle's reader may run in place of what is deployed."""
    from weckd_edge.compile.verify.implementations import Implementation

    as_written, deployed = student.as_written, student.deployed
    if as_written.backend == deployed.backend == "openvino":  # NNCF's IR: what other backends run is the graph in FP32
        return [Implementation(backend="onnxruntime", model=student.fp32_onnx, precision="fp32")]
    return [as_written] if deployed != as_written else runners_here(as_written)
