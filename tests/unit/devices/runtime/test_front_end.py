"""What the graph takes and what the guard says, made of a camera frame."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support import factories
from support.errors import raises
from support.frames.bad_frames import BAD_FRAMES, CONTRACT, NETWORK, BadFrame
from support.frames.camera import values_of
from weckd_edge.artifacts import FrameGuard, FrameSpec, InputSpec, NetworkInput, QualityLimits
from weckd_edge.core.error_codes import library_status
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.devices.images.area_resize import resize_area
from weckd_edge.devices.images.camera_frames import COLOURS, MATRICES, camera_frame, rgb_of
from weckd_edge.devices.images.frames import frame_from_pixels
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.devices.runtime.frame_runner import FrameRunner, open_frame_runner
from weckd_edge.devices.runtime.front_end import FrontEnd
from weckd_edge.devices.runtime.input_guard import FEATURES, OpenGuard, _measure_by_numpy, whiten


def area(height: int = 12, width: int = 20, size: int = 5, crop: Any = "center") -> InputSpec:
    frame = FrameSpec(height=height, width=width, crop=crop, resize="area")
    return InputSpec(frame=frame, network=NetworkInput(height=size, width=size, mean=(0.0,) * 3, std=(1.0,) * 3))


def noise(spec: InputSpec, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, spec.frame_shape, np.uint8)


def guard_of(spec: InputSpec) -> OpenGuard:
    """Return a guard that judges by all features, and refuses no frame."""
    random = np.random.default_rng(7)
    whitening = tuple(tuple((random.standard_normal(row + 1) / 7).tolist()) for row in range(FEATURES))
    mean = tuple((random.random(FEATURES) * 90).tolist())
    return OpenGuard(FrameGuard(limits=QualityLimits(), mean=mean, whitening=whitening, max_ood_score=None), spec.frame)


@pytest.mark.parametrize(
    ("spec", "box"),
    [
        (area(), (slice(0, 12), slice(4, 16))),
        (area(20, 12), (slice(4, 16), slice(0, 12))),
        (area(crop="stretch"), (slice(0, 12), slice(0, 20))),
        (area(5, 9), (slice(0, 5), slice(2, 7))),
        (area(4, 4), (slice(0, 4), slice(0, 4))),
    ],
    ids=["wide", "tall", "stretched", "of the network's size", "enlarged"],
)
def test_the_pixels_are_the_crop_resized_by_area(spec: InputSpec, box: tuple[slice, slice]) -> None:
    frame = noise(spec)
    before = frame.copy()
    pixels = FrontEnd(spec).pixels(frame)
    assert pixels.shape == spec.graph_shape == (1, 5, 5, 3)
    assert (pixels.dtype, pixels.flags.c_contiguous) == (np.uint8, True)
    assert np.array_equal(pixels[0], resize_area(frame[0][box], 5, 5))
    assert np.array_equal(frame, before)


@pytest.mark.parametrize("resize", ["antialiased_bilinear", "bilinear"])
def test_a_graph_that_resizes_takes_the_very_frame(resize: Any) -> None:
    spec = factories.input_spec(8, width=12, resize=resize)
    frame = noise(spec)
    assert spec.graph_shape == spec.frame_shape
    assert FrontEnd(spec).pixels(frame) is frame


@pytest.mark.parametrize("resize", ["area", "bilinear"])
@pytest.mark.parametrize(
    "change",
    [lambda f: f[:, 1:], lambda f: f[0], lambda f: f.astype(np.float32), lambda f: f[:, :, ::-1], lambda f: f[..., :1]],
    ids=["lower", "no batch", "float", "a view", "grey"],
)
def test_anything_but_a_frame_of_the_contract_is_refused(resize: Any, change: Any) -> None:
    spec = factories.input_spec(8, width=12, resize=resize)
    with raises(ModelError, "E_MODEL_FRAME"):
        FrontEnd(spec).pixels(change(noise(spec)))


@pytest.mark.parametrize("resize", ["area", "bilinear"])
@pytest.mark.parametrize("by", ["compiled", "numpy"])
def test_the_guard_judges_the_frame_itself_in_the_same_pass(by: str, resize: Any, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(f"frames_by_{by}")
    spec = factories.input_spec(40, width=52, resize=resize)
    guard, frame = guard_of(spec), noise(spec)
    front_end = FrontEnd(spec, guard)
    prepared = front_end.prepare(frame)
    measured = _measure_by_numpy(frame, spec.frame)
    (white,) = whiten(measured.features[None], guard.statistics.mean, guard.statistics.whitening)
    assert prepared.decision == front_end.check(frame) == guard.check(frame)
    assert prepared.decision is not None
    assert prepared.decision.code is None
    assert prepared.decision.quality == measured.quality
    assert prepared.decision.ood_score == sum((white * white).tolist())
    assert (prepared.decision.whitened == white).all()
    assert (guard.check(frame).whitened == white).all()
    assert np.array_equal(prepared.pixels, front_end.pixels(frame))


@pytest.mark.parametrize("resize", ["area", "bilinear"])
@pytest.mark.parametrize("by", ["compiled", "numpy"])
@pytest.mark.parametrize("colour", COLOURS)
def test_a_camera_frame_is_prepared_as_the_frame_that_it_is_fitted_to(
    by: str, resize: Any, colour: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(f"frames_by_{by}")
    frame = FrameSpec(height=40, width=52, crop="center", resize=resize)
    spec = InputSpec(frame=frame, network=NetworkInput(height=10, width=14, mean=(0.0,) * 3, std=(1.0,) * 3))
    front_end, other = FrontEnd(spec, guard_of(spec)), FrontEnd(spec, guard_of(spec))
    for height, width, region in (
        (96, 64, None),
        (96, 64, (2, 4, 52, 40)),
        (40, 52, None),
        (20, 36, (4, 2, 30, 10)),
        (96, 64, (0, 0, 52, 40)),
    ):
        camera = camera_frame(values_of(colour, height, width), colour=colour, region=region)
        expected = other.prepare(frame_from_pixels(rgb_of(camera), spec.frame))
        prepared = front_end.prepare_camera(camera)
        assert np.array_equal(prepared.pixels, expected.pixels)
        assert prepared.pixels.shape == spec.graph_shape
        assert prepared.decision is not None
        assert expected.decision is not None
        assert prepared.decision == expected.decision
        assert (prepared.decision.whitened == expected.decision.whitened).all()


@pytest.mark.parametrize("bad", [bad for bad in BAD_FRAMES if bad.python is not None], ids=lambda bad: bad.name)
def test_a_bad_frame_is_refused_with_the_code_that_stands_for_c_s_status(bad: BadFrame) -> None:
    colour = COLOURS[bad.layout] if bad.layout < len(COLOURS) else "none"
    matrix = (*MATRICES, "none")[bad.more.get("matrix", 0)]
    shapes = {"grey": (bad.height, bad.width), "nv12": (bad.height * 3 // 2, bad.width), "yuyv": (bad.height, bad.width, 2)}
    values = np.zeros(shapes.get(colour, (bad.height, bad.width, 3)), np.uint8)
    region = None
    if bad.region is not None:
        top, left, height, width = bad.region
        region = (left, top, width, height)
    front_end = FrontEnd(area(*CONTRACT, NETWORK[0]))
    assert bad.python is not None
    with raises(ConfigError if bad.python == "E_CONFIG_CHOICE" else ModelError, bad.python):
        front_end.prepare_camera(camera_frame(values, colour=colour, matrix=matrix, region=region))
    assert library_status(bad.python) == bad.c


def test_a_frame_of_the_contract_s_size_is_taken_even_where_the_network_s_input_is_larger() -> None:
    spec = area(12, 20, 30)
    assert FrontEnd(spec).prepare_camera(camera_frame(noise(spec)[0], colour="bgr")).pixels.shape == (1, 30, 30, 3)


def test_without_a_guard_there_is_no_decision() -> None:
    spec = area()
    assert FrontEnd(spec).check(noise(spec)) is None
    assert FrontEnd(spec).prepare(noise(spec)).decision is None


def test_a_model_of_frames_predicts_what_its_graph_predicts_of_their_pixels(toy: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    graph, spec = toy.write_graph(tmp_path / "m.onnx"), area(20, 20, toy.SIDE)
    runner = open_frame_runner("onnxruntime", graph, spec)
    assert (runner.name, runner.input_shape) == ("onnxruntime", (1, 20, 20, 3))
    frames = toy.frames(3, side=20)
    taken = np.stack([resize_area(frame, toy.SIDE, toy.SIDE) for frame in frames])
    expected = toy.answers(graph, taken)
    assert np.abs(expected - expected[0]).max() > 1e-3, "frames that all look alike prove nothing"
    for frame, wanted in zip(frames, expected, strict=True):
        np.testing.assert_allclose(runner.run(frame[None]), wanted, atol=1e-6)
    runner.close()


def test_a_graph_that_takes_something_else_is_closed_and_refused(
    toy: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    graph = toy.write_graph(tmp_path / "m.onnx")
    runner = open_runner("onnxruntime", graph)
    closed: list[bool] = []
    monkeypatch.setattr(type(runner), "close", lambda self: closed.append(True))
    monkeypatch.setattr("weckd_edge.devices.runtime.frame_runner.open_runner", lambda *_, **__: runner)
    with raises(ModelError, "E_MODEL_INPUT", says=("m.onnx", "[1, 9, 9, 3]", "[1, 8, 8, 3]")):
        open_frame_runner("onnxruntime", graph, area(20, 30, 9))
    assert closed == [True]
    assert isinstance(open_frame_runner("onnxruntime", graph, area(20, 30, 8)), FrameRunner)
