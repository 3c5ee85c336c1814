"""The self-test: a few validation frames with the predictions that a device must give."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from weckd_edge.artifacts import BuiltModel, GoldenSet, Precision
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import Student
from weckd_edge.pipeline.steps.predict import predict
from weckd_edge.pipeline.steps.verify import runners_here

if TYPE_CHECKING:
    from weckd_edge.compile.verify.golden import GoldenGraph


def choose_golden(ctx: BuildContext, student: Student, images: SplitFrames) -> Stage[GoldenSet]:
    """Return the validation frames on which implementations agree best, with the predictions of every model of the bundle.

    Raises:
        DataError: There is no validation image.
        ModelError: A backend refuses its model.
    """
    from weckd_edge.compile.verify.golden import make_golden

    graphs = _graphs(student)
    return ctx.step(
        "golden",
        GoldenSet,
        key_of(
            {
                "graphs": [[list(g.tests), [[run.name, run.digest()] for run in g.implementations]] for g in graphs],
                "frames": ctx.config.selftest.frames,
                "input": student.input,
                "images": [r.identity(files=True) for r in images.records],
                "processor": ctx.processor,
            },
            "weckd_edge.compile.verify.golden",
            "weckd_edge.pipeline.steps.predict",
        ),
        lambda folder: make_golden(
            images, ctx.config.selftest.frames, graphs, partial(predict, ctx, student.input, whole=images), folder
        ),
    )


def _graphs(student: Student) -> list[GoldenGraph]:
    """Return the graphs of a bundle with the models that run them, the deployed one's first."""
    from weckd_edge.compile.verify.golden import MIN_HALF_TOLERANCE, MIN_TENSORRT_TOLERANCE, MIN_TOLERANCE, GoldenGraph

    selection, as_written = student.selection, student.as_written
    if not selection.models:
        runners = runners_here(as_written)
        recipe = ("tensorrt", selection.precision, MIN_TENSORRT_TOLERANCE)
        precision: Precision = "int8" if selection.quantized is not None else "fp32"
        tests = [recipe, *((runner.backend, precision, MIN_TOLERANCE) for runner in runners)]
        return [GoldenGraph(tests=tests, implementations=[as_written, *runners])]
    groups: dict[tuple[str, bool], list[BuiltModel]] = {}
    for model in selection.models:  # of one source, NNCF's int8 and what runs the FP32 graph itself predict otherwise
        groups.setdefault((model.source_sha256, model.precision == "int8"), []).append(model)
    here = student.runs_here
    graphs: list[GoldenGraph] = []
    for models in groups.values():
        runs = [student.implementation(model) for model in models if model in here]
        graphs.append(
            GoldenGraph(
                tests=[(m.backend, m.precision, MIN_HALF_TOLERANCE if m.half else MIN_TOLERANCE) for m in models],
                implementations=[*runs, *([] if graphs or as_written in runs else [as_written])],
            )
        )
    return graphs
