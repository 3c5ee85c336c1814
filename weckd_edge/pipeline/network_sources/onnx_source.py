"""An imported ONNX classifier: ONNX Runtime runs it, and its graph is wrapped in the preprocessing of the frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import DatasetIndex, ExportedModel, InputSpec, Link, NetworkInput, network_digest
from weckd_edge.devices.images.split_frames import SplitFrames, decode_split
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.stored_predictions import ModelRun
from weckd_edge.pipeline.network_sources.base import (
    UNKNOWN_TRAINING_IMAGES,
    ImportedModel,
    Run,
    measure_accuracy,
    prepare_input,
)

if TYPE_CHECKING:
    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.compile.importing.network import OnnxNetwork
    from weckd_edge.pipeline.context import BuildContext
    from weckd_edge.pipeline.networks import Predictor

SAMPLES = 16
"""Number of validation images on which the imported file and the graph made of it must predict alike."""


@dataclass(kw_only=True, slots=True)
class OnnxSource:
    """An ONNX classifier that another tool wrote."""

    network: OnnxNetwork
    labels: tuple[str, ...] | None
    former: DatasetIndex | None = None
    trained_name: str = "imported onnx fp32"

    @property
    def doubts(self) -> tuple[str, ...]:
        return self.network.doubts

    @property
    def takes_bytes(self) -> bool:
        return self.network.form.kind == "uint8"

    @property
    def takes_luminance(self) -> bool:
        return self.network.form.channels == 1

    @property
    def is_bgr(self) -> bool:
        return self.network.form.order == "bgr"

    @property
    def wide_weights(self) -> bool:
        return self.network.wide_weights

    @property
    def bytes(self) -> int:
        return self.network.bytes

    def key(self) -> object:
        found = self.network
        outputs = [output.name for output in found.file_model.graph.output]
        return ["onnx", found.sha256, found.form, found.preparation, outputs, found.doubts]

    def import_into(self, ctx: BuildContext, index: DatasetIndex, folder: Path) -> ImportedModel:
        from weckd_edge.compile.importing.imported_network import import_network
        from weckd_edge.train.distill.evaluate import network_pixels

        found = self.network
        form = found.form
        height, width = form.size
        network = NetworkInput(height=height, width=width, mean=form.mean, std=form.std)
        prepared = prepare_input(index, ctx.config, network, (found.preparation,))
        spec = prepared.spec
        val = decode_split(ctx.workspace, index, "val", ctx.root, spec.frame, ctx.progress)
        samples = [network_pixels(val.frame(row), spec) for row in range(min(SAMPLES, len(val)))]
        made = import_network(found, samples, index.labels, folder)
        model = self.recorded_as(network_digest(found.name, {}, made.onnx.sha256), spec)
        rates = measure_accuracy(ctx, index, model, partial(_predict_onnx, folder / made.onnx.path, spec))
        link = Link(
            name="imported",
            model=found.name,
            options={},
            input=spec,
            labels=index.labels,
            parameters=made.parameters,
            macs=made.macs,
            weights=made.onnx,
            parent=None,
            labelled_subset=0,
            labels_used=0,
            images_used=0,
            val_accuracy=rates[0],
            test_accuracy=rates[1],
        )
        notes = (*made.notes, *prepared.notes, UNKNOWN_TRAINING_IMAGES)
        return ImportedModel(link=link, notes=notes, preparation=prepared.preparation)

    def export(self, imported: Link, source: Path, folder: Path, *, cast_first: bool) -> ExportedModel:
        from weckd_edge.compile.importing.imported_network import wrap_network

        weights = imported.weights
        return wrap_network(
            source / weights.path, imported.input, imported.labels, weights.sha256, folder, cast_first=cast_first
        )

    def predictor(self, imported: Link, source: Path) -> Predictor:
        return _onnx_predictor(source / imported.weights.path, imported.input)

    def predict(self, imported: Link, source: Path, images: SplitFrames) -> Probabilities:
        return _predict_onnx(source / imported.weights.path, imported.input, images)

    def recorded_as(self, network_sha256: str, spec: InputSpec) -> ModelRun:
        return ModelRun(
            digest=network_sha256,
            input=spec,
            runtime=("onnxruntime", "as written", "pixels made outside the graph"),
            modules=("weckd_edge.devices.runtime.backends.onnxruntime_backend", "weckd_edge.train.distill.evaluate"),
        )

    def run(self, imported: Link, source: Path) -> Run:
        from weckd_edge.devices.runtime.backends.table import open_runner

        return open_runner("onnxruntime", source / imported.weights.path).run  # type: ignore[return-value]  # takes float32


def _onnx_predictor(network: Path, spec: InputSpec) -> Predictor:
    from weckd_edge.devices.runtime.backends.table import open_runner
    from weckd_edge.train.distill.evaluate import network_pixels

    runner = open_runner("onnxruntime", network, reference=True)

    def predict(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        return runner.run(network_pixels(frame, spec))  # type: ignore[arg-type]  # this graph takes float32

    return predict


def _predict_onnx(network: Path, spec: InputSpec, images: SplitFrames) -> Probabilities:
    predict = _onnx_predictor(network, spec)
    return np.stack([predict(frame) for frame in images])


def open_onnx(path: Path, hints: InputHints, labels: tuple[str, ...] | None) -> OnnxSource:
    """Open an ONNX file.

    Raises:
        ConfigError: A hint contradicts the file, or the file leaves something open that no hint says.
        ModelError: The file cannot be read, or is no classifier that can be compiled.
    """
    from weckd_edge.compile.importing.network import read_onnx

    network = read_onnx(path, hints)
    return OnnxSource(
        network=network,
        labels=labels or network.labels,
        trained_name=f"imported onnx {'int8' if network.quantized else 'fp32'}",
    )
