"""The self-test: a few validation frames with the predictions that a device must give."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from weckd_edge.artifacts import GoldenSet
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import Student
from weckd_edge.pipeline.steps.predict import predict
from weckd_edge.pipeline.steps.verify import runners_here

if TYPE_CHECKING:
    from weckd_edge.compile.verify.implementations import Implementation


def choose_golden(ctx: BuildContext, student: Student, images: SplitFrames) -> Stage[GoldenSet]:
    """Return the validation frames on which implementations agree best, with the deployed model's predictions.

    Raises:
        DataError: There is no validation image.
        ModelError: A backend refuses its model.
    """
    from weckd_edge.compile.verify.golden import make_golden

    deployed, others = student.deployed, _other_implementations(student)
    return ctx.step(
        "golden",
        GoldenSet,
        key_of(
            {
                "deployed": [deployed.name, deployed.digest()],
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
    """Return the other implementations that a reader of the bundle may run in place of the deployed one."""
    from weckd_edge.compile.verify.implementations import Implementation

    as_written, deployed = student.as_written, student.deployed
    if as_written.backend == deployed.backend == "openvino":  # NNCF's IR: other backends run the graph in FP32
        return [Implementation(backend="onnxruntime", model=student.fp32_onnx, input=student.input, precision="fp32")]
    return [as_written] if deployed != as_written else runners_here(as_written)
