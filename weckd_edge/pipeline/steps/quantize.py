"""A link gets its precision: candidates are made, compared on validation images, and timed."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from weckd_edge.artifacts import ExportedModel, PrecisionSelection
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.store import Stage
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.machine.detect import needs_half_range
from weckd_edge.pipeline.context import BuildContext
from weckd_edge.pipeline.networks import CalibrationSet, Student, TrainedNetwork
from weckd_edge.pipeline.steps.export import export
from weckd_edge.pipeline.steps.predict import predict

if TYPE_CHECKING:
    from weckd_edge.compile.quantize.candidates.base import FloatNetwork


def quantize(
    ctx: BuildContext,
    network: TrainedNetwork,
    exported: Stage[ExportedModel],
    images: SplitFrames,
    calibration: CalibrationSet,
) -> Student:
    """Choose a link's precision on validation images, and make the graph of that precision.

    Raises:
        DataError: A calibration image cannot be read.
        ModelError: No candidate could be made in the precision that the settings name.
    """
    from weckd_edge.compile.quantize.calibration_images import CalibrationImages
    from weckd_edge.compile.quantize.candidates.base import Deployment, FloatNetwork
    from weckd_edge.compile.quantize.candidates.evaluate import Evaluation
    from weckd_edge.compile.quantize.select_precision import Selector

    config, half_range = ctx.config, needs_half_range(ctx.profile, ctx.machine)
    stage = ctx.step(
        f"quantize-{network.name}",
        PrecisionSelection,
        key_of(
            {
                "onnx": exported.artifact.onnx.sha256,
                "labels": exported.artifact.labels,
                "quantize": config.quantize,
                "aware": [config.quantize_aware, network.int8_training],
                "images": [r.identity() for r in images.records],
                "calibration": calibration.index.identity("train"),
                "seed": config.seed,
                "target": ctx.target,
                "threads": config.bench.threads,
                "reduce_range": half_range,
                "processor": ctx.processor if ctx.target == "cpu" else None,
            },
            "weckd_edge.compile.quantize.select_precision",
            "weckd_edge.pipeline.steps.export",
            "weckd_edge.pipeline.steps.predict",
            *network.modules,
            *(["weckd_edge.train.quantize_aware.finetune"] if network.train_for_int8 else []),
        ),
        lambda folder: Selector(
            FloatNetwork(
                exported=exported.artifact,
                folder=exported.folder,
                train_for_int8=partial(_trained_for_int8, ctx, network.train_for_int8) if network.train_for_int8 else None,
            ),
            CalibrationImages(index=calibration.index, root=calibration.root, seed=config.seed),
            Evaluation(
                images=images, labels=exported.artifact.labels, predict=partial(predict, ctx, exported.artifact.input)
            ),
            config.quantize,
            Deployment(target=ctx.target, host=ctx.machine.host, threads=config.bench.threads, reduce_range=half_range),
            folder,
            ctx.progress,
        ).run(),
    )
    return Student(network=network, exported=exported, selection=stage.artifact, folder=stage.folder)


def _trained_for_int8(ctx: BuildContext, train: Callable[[], TrainedNetwork]) -> FloatNetwork:
    from weckd_edge.compile.quantize.candidates.base import FloatNetwork

    network = train()
    made = export(ctx, network)
    return FloatNetwork(exported=made.artifact, folder=made.folder, int8_link=network.link.artifact)
