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
from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.images.area_resize import resize_area
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.devices.runtime.frame_runner import FrameRunner, open_frame_runner
from weckd_edge.devices.runtime.front_end import FrontEnd
from weckd_edge.devices.runtime.input_guard import GuardDecision


def area(height: int = 12, width: int = 20, size: int = 5, crop: Any = "center") -> InputSpec:
    frame = FrameSpec(height=height, width=width, crop=crop, resize="area")
    return InputSpec(frame=frame, network=NetworkInput(height=size, width=size, mean=(0.0,) * 3, std=(1.0,) * 3))


def noise(spec: InputSpec, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, spec.frame_shape, np.uint8)


class CountingGuard:
    """Counts the frames that it is shown."""

    def __init__(self) -> None:
        self.seen: list[NDArray[np.uint8]] = []

    def check(self, frame: NDArray[np.uint8]) -> Any:
        self.seen.append(frame)
        return GuardDecision(code="flat", words="flat", quality=None, ood_score=1.0)  # type: ignore[arg-type]  # not looked at


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


@pytest.mark.parametrize("resize", ["diagonal", "bilinear"])
def test_a_graph_that_resizes_takes_the_very_frame(resize: Any) -> None:
    spec = factories.input_spec(8, width=12, resize=resize)
    frame = noise(spec)
    assert spec.graph_shape == spec.frame_shape
    assert FrontEnd(spec).pixels(frame) is frame


@pytest.mark.parametrize("resize", ["area", "diagonal"])
@pytest.mark.parametrize(
    "change",
    [lambda f: f[:, 1:], lambda f: f[0], lambda f: f.astype(np.float32), lambda f: f[:, :, ::-1], lambda f: f[..., :1]],
    ids=["lower", "no batch", "float", "a view", "grey"],
)
def test_anything_but_a_frame_of_the_contract_is_refused(resize: Any, change: Any) -> None:
    spec = factories.input_spec(8, width=12, resize=resize)
    with raises(ModelError, "E_MODEL_FRAME"):
        FrontEnd(spec).pixels(change(noise(spec)))


@pytest.mark.parametrize("resize", ["area", "diagonal"])
def test_the_guard_sees_the_frame_itself_once(resize: Any) -> None:
    spec, guard = factories.input_spec(8, width=12, resize=resize), CountingGuard()
    front_end, frame = FrontEnd(spec, guard), noise(spec)  # type: ignore[arg-type]  # a stand-in
    prepared = front_end.prepare(frame)
    assert len(guard.seen) == 1
    assert guard.seen[0] is frame
    assert prepared.decision == front_end.check(frame)
    assert np.array_equal(prepared.pixels, front_end.pixels(frame))


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
