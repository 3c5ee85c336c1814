"""A small network, its images and its ranges, from which precisions are chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support import factories
from support.graphs.precision_search import HARD_LABEL, PLAIN, SILENT, Times, answers, validation
from weckd_edge.artifacts import DatasetIndex, ExportedModel
from weckd_edge.compile.quantize import select_precision
from weckd_edge.compile.quantize.calibration_images import CalibrationImages
from weckd_edge.compile.quantize.candidates.base import Deployment, FloatNetwork
from weckd_edge.compile.quantize.candidates.evaluate import Evaluation
from weckd_edge.compile.quantize.forms import PROCESSOR
from weckd_edge.compile.quantize.quantize import Calibration, calibrate, quantize
from weckd_edge.compile.quantize.ranges import METHODS
from weckd_edge.compile.quantize.select_precision import Selector
from weckd_edge.compile.verify.implementations import predict_frames
from weckd_edge.core.optional_imports import is_installed


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("select")


@pytest.fixture(scope="session")
def index(networks: ModuleType, place: Path) -> DatasetIndex:
    """Half of the training images as validation images."""
    made: DatasetIndex = networks.write_images(place / "images")
    train = [r.path for r in made.images if r.split == "train"]
    images = tuple(replace(r, split="val") if r.path in train[::2] else r for r in made.images)
    return replace(made, images=images)


@pytest.fixture(scope="session")
def exported(networks: ModuleType, place: Path) -> ExportedModel:
    made: ExportedModel = networks.export(networks.inverted(), place / "fp32")
    return made


@pytest.fixture(scope="session")
def calibration(exported: ExportedModel, index: DatasetIndex, place: Path) -> Calibration:
    return calibrate(exported, place / "fp32", index, place / "images", PLAIN, seed=0, progress=SILENT)


@pytest.fixture(scope="session")
def hard(
    networks: ModuleType, exported: ExportedModel, index: DatasetIndex, calibration: Calibration, place: Path
) -> DatasetIndex:
    """Validation images that FP32 decides as they are labelled, and int8, whatever its ranges, otherwise."""
    onnx = pytest.importorskip("onnx")
    drawn = networks.frames(1500, exported.input, seed=11)
    fp32 = answers(onnx.load(place / "fp32" / exported.onnx.path), drawn[:, None]).argmax(axis=1)
    lost = fp32 == HARD_LABEL
    for method in METHODS:
        int8 = quantize(calibration, method, PROCESSOR, reduce_range=False, progress=SILENT)
        lost &= answers(int8, drawn[:, None]).argmax(axis=1) != fp32
    assert lost.sum() >= 3, "draw more frames"
    images = [record for record in index.images if record.split != "val"]
    for number in np.flatnonzero(lost):
        path = f"hard/{number:04}.png"
        (place / "images/hard").mkdir(exist_ok=True)
        Image.fromarray(drawn[number]).save(place / "images" / path)
        images.append(factories.image(path, label=HARD_LABEL, split="val"))
    return replace(index, images=tuple(sorted(images, key=lambda record: record.path)))


@pytest.fixture(autouse=True)
def litert(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether LiteRT is on the host; it is not, until a test asks for it."""

    def put(there: bool) -> None:
        known = {"ai_edge_litert": there}
        monkeypatch.setattr(select_precision, "is_installed", lambda name: known.get(name, is_installed(name)))

    put(False)
    return put


@pytest.fixture
def selector(
    exported: ExportedModel, index: DatasetIndex, place: Path, tmp_path: Path, times: Times
) -> Callable[..., Selector]:
    def make(
        target: str = "cpu", data: DatasetIndex = index, network: FloatNetwork | None = None, **settings: Any
    ) -> Selector:
        folder = tmp_path / "out"
        folder.mkdir()
        return Selector(
            network or FloatNetwork(exported=exported, folder=place / "fp32"),
            CalibrationImages(index=index, root=place / "images", seed=0),
            Evaluation(
                images=validation(data, place, network.exported if network else exported),
                labels=exported.labels,
                predict=predict_frames,
                time_models=times.time_models,
            ),
            replace(PLAIN, **settings),
            Deployment(target=target, host="here", threads=1),  # type: ignore[arg-type]  # a test's own parameter
            folder,
            SILENT,
        )

    return make
