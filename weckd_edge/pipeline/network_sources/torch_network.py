"""What checkpoints and links have in common: torch runs them, and the export of trained links writes their graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.artifacts import ExportedModel, InputSpec, Link
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.stored_predictions import ModelRun
from weckd_edge.pipeline.network_sources.base import Run

if TYPE_CHECKING:
    from weckd_edge.pipeline.networks import Predictor


class TorchNetwork:
    """Base of the sources that torch runs."""

    trained_name = "torch fp32"
    doubts = ()
    takes_bytes = False
    takes_luminance = False
    is_bgr = False
    wide_weights = False

    def export(self, imported: Link, source: Path, folder: Path, *, cast_first: bool) -> ExportedModel:
        from weckd_edge.compile.export.onnx_export import export_onnx
        from weckd_edge.train.networks.models import load_link

        backbone = load_link(imported, source).backbone
        return export_onnx(backbone, imported.input, imported.labels, imported.weights.sha256, folder, cast_first=cast_first)

    def predictor(self, imported: Link, source: Path) -> Predictor:
        from weckd_edge.train.distill.evaluate import frame_predictor

        return frame_predictor(imported, source)

    def predict(self, imported: Link, source: Path, images: SplitFrames) -> Probabilities:
        from weckd_edge.train.distill.evaluate import predict_records
        from weckd_edge.train.networks.models import load_link

        return predict_records(load_link(imported, source), imported.input, images)

    def recorded_as(self, network_sha256: str, spec: InputSpec) -> ModelRun:
        from weckd_edge.train.distill.evaluate import as_trained

        return as_trained(network_sha256, spec)

    def run(self, imported: Link, source: Path) -> Run:
        from weckd_edge.train.distill.evaluate import network_predictor

        return network_predictor(imported, source)
