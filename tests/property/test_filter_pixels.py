"""An imported network is shown the pixels that torchvision's transforms made of its training images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
ov = pytest.importorskip("openvino")
transforms = pytest.importorskip("torchvision.transforms")

from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput, prepared_frame  # noqa: E402 - behind the skips
from weckd_edge.compile.export.onnx_export import preprocessing_graph  # noqa: E402 - likewise
from weckd_edge.train.networks.preprocess import make_network_input  # noqa: E402 - likewise

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WAYS = {
    "antialiased_bilinear": transforms.InterpolationMode.BILINEAR,
    "antialiased_bicubic": transforms.InterpolationMode.BICUBIC,
}


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    height=st.integers(20, 80),
    width=st.integers(40, 120),  # Pillow 13 takes the rows of frames over twice as high as wide first
    side=st.integers(8, 64),
    crop_pct=st.sampled_from([1.0, 0.875, 0.9]),
    resize=st.sampled_from(sorted(WAYS)),
    cast_first=st.booleans(),
)
@example(height=120, width=160, side=56, crop_pct=0.875, resize="antialiased_bicubic", cast_first=False)
@example(height=95, width=105, side=40, crop_pct=0.875, resize="antialiased_bilinear", cast_first=True)
@example(height=120, width=90, side=56, crop_pct=0.875, resize="antialiased_bicubic", cast_first=True)
@example(height=24, width=31, side=48, crop_pct=1.0, resize="antialiased_bicubic", cast_first=False)
def test_training_and_both_runtimes_see_torchvisions_pixels(
    height: int,
    width: int,
    side: int,
    crop_pct: float,
    resize: Any,
    cast_first: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    frame = prepared_frame(FrameSpec(height=height, width=width, crop="center", resize=resize), (side, side), crop_pct)
    spec = InputSpec(frame=frame, network=NetworkInput(height=side, width=side, mean=MEAN, std=STD))
    levels = np.random.default_rng(height * 1000 + width).integers(-60, 316, (height, width, 3)).clip(0, 255)
    pixels = levels.astype(np.uint8)
    evaluate = transforms.Compose(
        [
            transforms.Resize(min(frame.scaled_size or ()), interpolation=WAYS[resize]),
            transforms.CenterCrop(side),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    expected = evaluate(Image.fromarray(pixels)).numpy()[None]
    graph = preprocessing_graph(spec, cast_first=cast_first).SerializeToString()
    core, halved = ov.Core(), tmp_path_factory.mktemp("ir") / "model.xml"
    read, settings = core.read_model(graph), {"INFERENCE_PRECISION_HINT": "f32"}
    ov.save_model(read, str(halved), compress_to_fp16=True)
    seen = [
        make_network_input(torch.from_numpy(pixels[None]), spec).numpy(),
        ort.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(None, {"frame": pixels[None]})[0],
        core.compile_model(read, "CPU", settings)(pixels[None])[0],
    ]
    # Mean and deviation of a model whose constants are float16 are rounded: the grey levels are compared.
    compiled = core.compile_model(core.read_model(halved), "CPU", settings)
    levels_of = np.array(STD).reshape(1, 3, 1, 1) * 255
    halves = compiled(pixels[None])[0] * levels_of - expected * levels_of
    assert np.abs(halves).max() < 0.3
    for made in seen:
        assert np.abs(made - expected).max() < 1e-5  # a grey level is 0.017 or more


@pytest.mark.parametrize("side", [20, 33])
def test_tensors_that_torchvision_resizes_bilinearly_differ_by_one_level_at_most(side: int) -> None:
    pixels = np.random.default_rng(side).integers(0, 256, (60, 80, 3)).astype(np.uint8)
    frame = prepared_frame(FrameSpec(height=60, width=80, crop="center", resize="antialiased_bilinear"), (side, side), 0.875)
    plain = NetworkInput(height=side, width=side, mean=(0.0,) * 3, std=(1 / 255,) * 3)
    evaluate = transforms.Compose(
        [transforms.Resize(min(frame.scaled_size or ()), antialias=True), transforms.CenterCrop(side)]
    )
    expected = evaluate(torch.from_numpy(pixels).permute(2, 0, 1)).numpy()
    made = make_network_input(torch.from_numpy(pixels[None]), InputSpec(frame=frame, network=plain)).numpy()[0]
    assert np.abs(made.round() - expected).max() <= 1
