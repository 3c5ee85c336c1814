"""What tests of the search for a precision share: settings, times in place of a race, predictions of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from weckd_edge.artifacts import DatasetIndex, ExportedModel
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.devices.bench.interleaved import InterleavedTiming
from weckd_edge.devices.images.split_frames import SplitFrames, decode_split

SILENT = SilentProgress()
PLAIN = QuantizeConfig(images=8, nncf=False)
LOOSE = {"max_accuracy_drop": 1.0, "min_relative_accuracy": 0.0, "max_recall_drop": 1.0}
HARD_LABEL = 2


class Times:
    """Says how long each model takes, in the order they are timed, in place of a race; by default all take as long."""

    def __init__(self) -> None:
        self.milliseconds: tuple[float, ...] | None = None

    def __call__(self, *milliseconds: float) -> None:
        self.milliseconds = milliseconds

    def time_models(self, runners: Sequence[Any], frames: Any) -> list[InterleavedTiming]:
        times = self.milliseconds or (2.0,) * len(runners)
        assert len(runners) == len(times)
        ratios = [ms / times[0] for ms in times]
        return [
            InterleavedTiming(median_ns=int(ms * 1e6), relative=r, low=r, high=r)
            for ms, r in zip(times, ratios, strict=True)
        ]


def validation(index: DatasetIndex, place: Path, exported: ExportedModel) -> SplitFrames:
    """Decode the validation images, or find them decoded."""
    return decode_split(Workspace(place / "work"), index, "val", place / "images", exported.input.frame, SILENT)


def as_written() -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def answers(model: Any, frames: Sequence[Any]) -> Any:
    import onnxruntime as ort

    session = ort.InferenceSession(model.SerializeToString(), as_written(), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"frame": frame})[0] for frame in frames])


def some_frames(exported: ExportedModel, count: int = 12) -> list[Any]:
    random = np.random.default_rng(5)
    shape = (1, exported.input.frame.height, exported.input.frame.width, 3)
    return [random.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]
