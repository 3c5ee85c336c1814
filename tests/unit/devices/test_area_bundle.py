"""A bundle whose graph takes pixels: whatever is done with it shows camera frames, and the front end makes the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support.errors import raises
from weckd_edge.artifacts import FrameGuard, QualityLimits, crop_box
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.attribution.occlusion_map import map_attribution
from weckd_edge.devices.bench.bench import bench
from weckd_edge.devices.bench.settings import BenchSettings
from weckd_edge.devices.demo.session import DemoSession
from weckd_edge.devices.images.annotate import encode_png
from weckd_edge.devices.runtime.golden_arrays import load_expected, load_golden_frames
from weckd_edge.devices.runtime.input_guard import FEATURES, measure_frame
from weckd_edge.devices.runtime.predict import OpenModel, open_model
from weckd_edge.devices.runtime.verify_bundle import verify_bundle

pytest.importorskip("onnxruntime")

BACKENDS = ["onnxruntime", "openvino"]
GUARD = FrameGuard(
    limits=QualityLimits(max_dark_fraction=0.5),
    mean=(0.0,) * FEATURES,
    whitening=tuple((0.01,) * (row + 1) for row in range(FEATURES)),
    max_ood_score=None,
)


@pytest.fixture(scope="module")
def bundle(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    found: Bundle = toy.write_bundle(tmp_path_factory.mktemp("area") / "b", resize="area", guard=GUARD)
    return found


@pytest.fixture(params=BACKENDS)
def model(bundle: Bundle, request: pytest.FixtureRequest) -> Iterator[OpenModel]:
    pytest.importorskip(request.param)
    with closing(open_model(bundle, backend=request.param)) as opened:
        yield opened


def answers(toy: ModuleType, bundle: Bundle, frames: NDArray[np.uint8]) -> Any:
    return toy.answers(bundle.folder / bundle.manifest.onnx.path, toy.pixels(frames))


def test_its_golden_frames_are_camera_frames_and_every_backend_passes_them(toy: ModuleType, bundle: Bundle) -> None:
    frames = load_golden_frames(bundle)
    expected = load_expected(bundle, bundle.manifest.models[0], len(frames))
    assert frames.shape[1:] == (*toy.WIDE, 3)
    assert np.abs(expected - expected[0]).max() > 0.1, "frames that all look alike prove nothing"
    result = verify_bundle(bundle.folder)
    assert result.passed
    assert {test.frames for test in result.selftest if test.passed} == {len(frames)}


def test_a_frame_is_predicted_by_its_pixels_and_guarded_as_it_is(toy: ModuleType, bundle: Bundle, model: OpenModel) -> None:
    frames = toy.frames(6, size=toy.WIDE)
    for frame, wanted in zip(frames, answers(toy, bundle, frames), strict=True):
        found = model.predictor.predict(frame[None], ignore_guard=True)
        np.testing.assert_allclose(list(found.probabilities.values()), wanted, atol=1e-3)
        assert found.quality == measure_frame(frame, bundle.manifest.input.frame).quality


def test_a_frame_that_the_guard_refuses_is_not_shown_to_the_graph(
    toy: ModuleType, model: OpenModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(model.runner.graph), "run", lambda *_: pytest.fail("the graph was run"))
    found = model.predictor.predict(np.zeros((1, *toy.WIDE, 3), np.uint8))
    assert (found.code, found.guard, found.label) == ("too_dark", "too_dark", None)


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (1, 20, 12, 3)], ids=["its pixels", "a turned frame"])
def test_anything_but_a_camera_frame_is_refused(model: OpenModel, shape: tuple[int, ...]) -> None:
    with raises(ModelError, "E_MODEL_FRAME", says="[1, 12, 20, 3]"):
        model.predictor.predict(np.zeros(shape, np.uint8))


def test_evidence_is_mapped_in_the_camera_frame(toy: ModuleType, bundle: Bundle, model: OpenModel) -> None:
    frame = toy.frames(1, size=toy.WIDE)
    found = map_attribution(model.runner, frame, 1, box=crop_box(bundle.manifest.input.frame))
    assert found.map.shape == toy.WIDE
    assert found.crop.shape == (12, 12)
    assert np.abs(found.map).max() > 0
    assert not found.map[:, :4].any(), "beside the crop"


def test_a_bench_shows_it_camera_frames_and_times_the_network_behind_the_pixels(bundle: Bundle) -> None:
    pytest.importorskip("openvino")
    found = bench(bundle, BenchSettings(queries=8, warmup=1), backend="openvino")
    assert len(found.end_to_end.samples_ns) == 8
    assert found.network is not None
    assert found.cold_start_ns > 0
    assert found.parts is not None
    assert [name for name, _ in found.parts.named] == ["input guard", "front end", "graph", "decision"]


def test_the_demo_predicts_a_picture_of_any_size(toy: ModuleType, bundle: Bundle) -> None:
    frame = toy.frames(1, size=toy.WIDE)[0]
    with DemoSession(bundle.folder, backend="onnxruntime") as session:
        shown = session.predict(encode_png(frame))["prediction"]
        other = session.predict(encode_png(np.repeat(np.repeat(frame, 2, axis=0), 2, axis=1)))["prediction"]
    np.testing.assert_allclose(list(shown["probabilities"].values()), answers(toy, bundle, frame[None])[0], atol=1e-5)
    np.testing.assert_allclose(list(other["probabilities"].values()), list(shown["probabilities"].values()), atol=1e-5)
