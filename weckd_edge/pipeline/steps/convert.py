"""Conversion for the target: the model that a processor runs; for a Jetson the recipe, and proof that it can be built."""

from __future__ import annotations

from weckd_edge.artifacts import BuiltModel, Precision
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.store import Stage, sha256_file
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import CalibrationSet, Student
from weckd_edge.pipeline.steps.layout import Part
from weckd_edge.pipeline.steps.verify import runners_here

FORM_FRAMES = 16
"""Number of training images on which another form of the graph is compared with it."""


def convert(ctx: BuildContext, student: Student, calibration: CalibrationSet) -> tuple[Part[BuiltModel], ...]:
    """Return the models that a device may run, and for a Jetson its recipe and the proof that it can be built.

    Raises:
        DataError: A calibration image cannot be read.
        ModelError: A builder refuses the graph.
    """
    if student.selection.models:
        return tuple(Part(model, student.folder) for model in student.selection.models)
    recipe, *proofs = (Part(stage.artifact, stage.folder) for stage in _tensorrt(ctx, student, calibration))
    return (recipe, *_of_graph(student), *proofs, *_torch_tensorrt(ctx, student))


def _of_graph(student: Student) -> list[Part[BuiltModel]]:
    """Return what runs the deployed graph on the device until its engine is built."""
    from weckd_edge.compile.backends.graph_model import record_graph

    precision: Precision = "int8" if student.selection.quantized is not None else "fp32"
    runners = runners_here(student.as_written)
    return [Part(record_graph(runner.model, runner.backend, precision), student.folder) for runner in runners]


def _tensorrt(ctx: BuildContext, student: Student, calibration: CalibrationSet) -> list[Stage[BuiltModel]]:
    """Write a Jetson's recipe, and build the graphs in it with every TensorRT of this host."""
    from weckd_edge.compile.backends import tensorrt_backend, tensorrt_rtx_backend
    from weckd_edge.compile.quantize.calibration_images import calibration_digest, calibration_inputs, choose_images

    chosen, onnx = student.selection, student.onnx
    # FP16 and FP32 are one graph: what is written down of it tells them apart.
    inputs = {"onnx": chosen.onnx.sha256, "precision": chosen.precision, "profile": ctx.profile}
    frames = choose_images(calibration.index, FORM_FRAMES, ctx.config.seed)
    recipe = ctx.step(
        "recipe-tensorrt",
        BuiltModel,
        key_of(
            {**inputs, "frames": calibration_digest(frames), "input": student.input},
            "weckd_edge.compile.backends.tensorrt_backend",
            "weckd_edge.compile.quantize.calibration_images",
        ),
        lambda folder: tensorrt_backend.prepare_recipe(
            chosen.onnx,
            onnx,
            ctx.profile,
            folder,
            calibration_inputs(calibration.root, frames, student.input),
            student.input,
            precision=chosen.precision,
        ),
    )
    stages = [recipe]
    for name, graph in tensorrt_backend.graphs_to_prove(onnx, recipe.artifact, recipe.folder).items():
        stages.append(
            ctx.step(
                f"preflight-tensorrt-rtx-{name}",
                BuiltModel,
                key_of({**inputs, "graph": sha256_file(graph)}, "weckd_edge.compile.backends.tensorrt_rtx_backend"),
                lambda folder, graph=graph: tensorrt_rtx_backend.preflight(  # type: ignore[misc]
                    graph, folder, precision=chosen.precision
                ),
            )
        )
    if tensorrt_backend.can_build_here():
        stages.append(
            ctx.step(
                "preflight-tensorrt",
                BuiltModel,
                key_of(
                    {**inputs, "recipe": recipe.artifact.files, "tensorrt": tensorrt_backend.tensorrt_version()},
                    "weckd_edge.compile.backends.tensorrt_backend",
                ),
                lambda folder: tensorrt_backend.preflight(onnx, recipe.folder, ctx.progress),
            )
        )
    return stages


def _torch_tensorrt(ctx: BuildContext, student: Student) -> tuple[Part[BuiltModel], ...]:
    """Build the network with torch-tensorrt, for a Jetson and where torch-tensorrt and a GPU are there."""
    from weckd_edge.compile.backends import torch_tensorrt_backend

    network = student.network
    if ctx.target != "jetson" or network.module is None or not torch_tensorrt_backend.can_build_here():
        return ()
    link, module = network.link.artifact, network.module()
    stage = ctx.step(
        "preflight-torch-tensorrt",
        BuiltModel,
        key_of({"link": link.network_sha256, "input": link.input}, "weckd_edge.compile.backends.torch_tensorrt_backend"),
        lambda _: torch_tensorrt_backend.preflight(module, link.input, link.weights.sha256),
    )
    return (Part(stage.artifact, stage.folder),)
