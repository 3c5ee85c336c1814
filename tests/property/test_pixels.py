"""Training, ONNX Runtime and OpenVINO see the same pixels of a frame, bit for bit, whatever its size."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
ov = pytest.importorskip("openvino")

from weckd_edge.artifacts import (  # noqa: E402 - behind the skips
    FrameSpec,
    InputSpec,
    NetworkInput,
    crop_box,
    diagonal_positions,
)
from weckd_edge.compile.export.onnx_export import Preprocess, export_onnx  # noqa: E402
from weckd_edge.train.networks.preprocess import MIDDLE_GREY, crop_and_resize, make_network_input  # noqa: E402

CROPS = ["center", "stretch"]
contracts = st.builds(
    InputSpec,
    frame=st.builds(
        FrameSpec,
        height=st.integers(2, 90),
        width=st.integers(2, 90),
        crop=st.sampled_from(CROPS),
        resize=st.just("diagonal"),
    ),
    network=st.builds(
        NetworkInput,
        height=st.integers(4, 48),
        width=st.integers(4, 48),
        mean=st.sampled_from([(MIDDLE_GREY,) * 3, (0.485, 0.456, 0.406)]),
        std=st.just((0.229, 0.224, 0.225)),
    ),
)


def contract(height: int, width: int, size: int, crop: Any = "center") -> InputSpec:
    middle = (MIDDLE_GREY, MIDDLE_GREY, MIDDLE_GREY)
    return InputSpec(
        frame=FrameSpec(height=height, width=width, crop=crop, resize="diagonal"),
        network=NetworkInput(height=size, width=size, mean=middle, std=(0.5, 0.5, 0.5)),
    )


def frame_of(kind: InputSpec) -> NDArray[np.uint8]:
    shape = (1, kind.frame.height, kind.frame.width, 3)
    return np.random.default_rng(kind.frame.height * 100 + kind.frame.width).integers(0, 256, shape, np.uint8)


def by_hand(frame: NDArray[np.uint8], kind: InputSpec) -> NDArray[np.uint8]:
    """Each pixel from the contract's words, in whole numbers: ``[S, S, 3]``."""
    top, left, height, width = crop_box(kind.frame)
    made = np.empty((*kind.network.size, 3), np.uint8)
    for i, (up, down) in enumerate(diagonal_positions(height, kind.network.height)):
        for j, (near, far) in enumerate(diagonal_positions(width, kind.network.width)):
            total = frame[0, top + up, left + near].astype(int) + frame[0, top + down, left + far]
            made[i, j] = [t // 2 if t % 4 != 3 else t // 2 + 1 for t in total]
    return made


@cache
def network() -> Any:
    torch.manual_seed(0)
    stem = torch.nn.Conv2d(3, 4, 3, padding=1)
    return torch.nn.Sequential(
        stem, torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 2)
    )


def exported_pixels(kind: InputSpec, frame: NDArray[np.uint8], *, cast_first: bool) -> list[NDArray[np.float32]]:
    """The network's input in ONNX Runtime and in OpenVINO, the mean added again: ``[S, S, 3]`` each."""
    with TemporaryDirectory() as folder:
        export_onnx(network(), kind, ("a", "b"), "0" * 64, Path(folder), cast_first=cast_first)
        model = onnx.load(Path(folder) / "model.onnx")
    model.graph.output.append(onnx.helper.make_tensor_value_info("network_input", onnx.TensorProto.FLOAT, None))
    data = model.SerializeToString()
    there = ort.InferenceSession(data, providers=["CPUExecutionProvider"]).run(["network_input"], {"frame": frame})[0]
    core = ov.Core()
    compiled = core.compile_model(core.read_model(data), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    other = compiled(frame)["network_input"]
    return [x[0].transpose(1, 2, 0) + np.float32(255 * np.float64(kind.network.mean)) for x in (there, other)]


@settings(max_examples=15, deadline=None, derandomize=True)
@given(kind=contracts, cast_first=st.booleans())
@example(kind=contract(480, 640, 96), cast_first=False)
@example(kind=contract(480, 640, 128), cast_first=True)
@example(kind=contract(381, 419, 45, "stretch"), cast_first=False)
@example(kind=contract(90, 21, 32), cast_first=False)
@example(kind=contract(97, 120, 67), cast_first=False)
@example(kind=contract(10, 13, 32), cast_first=True)
@example(kind=contract(32, 32, 32), cast_first=False)
def test_training_and_the_exported_graph_see_the_same_pixels(kind: InputSpec, cast_first: bool) -> None:
    frame = frame_of(kind)
    expected = by_hand(frame, kind)
    trained = crop_and_resize(torch.from_numpy(frame), kind.frame, kind.network.size)[0].permute(1, 2, 0).numpy()
    assert np.array_equal(trained, expected)
    for pixels in exported_pixels(kind, frame, cast_first=cast_first):
        # Taking off and adding a mean that is no whole number rounds in float32, by far less than a grey level.
        assert np.array_equal(pixels.round(), expected)
        assert np.abs(pixels - expected).max() < 1e-4


@settings(max_examples=60, deadline=None, derandomize=True)
@given(kind=contracts)
def test_the_exported_normalisation_is_that_of_training(kind: InputSpec) -> None:
    frames = torch.from_numpy(np.concatenate([frame_of(kind), 255 - frame_of(kind)]))
    assert (Preprocess(kind)(frames) - make_network_input(frames, kind)).abs().max() < 1e-5


@given(source=st.integers(1, 2000), target=st.integers(1, 400))
@settings(derandomize=True)
def test_the_two_pixels_lie_in_the_part_they_stand_for_and_in_order(source: int, target: int) -> None:
    pairs = diagonal_positions(source, target)
    assert len(pairs) == target
    for i, (first, second) in enumerate(pairs):
        assert i * source // target <= first <= second <= min((i + 1) * source // target, source - 1)
