"""From frame to first convolution: cheap, in a form each target reads, and without rounding a pixel."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from weckd_edge.compile.export.preprocess_graph import keep_pixels_whole  # noqa: E402 - behind the skips
from weckd_edge.compile.graph import preprocessing_nodes  # noqa: E402
from weckd_edge.compile.quantize.forms import PROCESSOR, TENSORRT, Form  # noqa: E402
from weckd_edge.devices.runtime.front_end import FrontEnd  # noqa: E402
from weckd_edge.train.networks.preprocess import MIDDLE_GREY  # noqa: E402

GREY = (MIDDLE_GREY, MIDDLE_GREY, MIDDLE_GREY)


def scales(model: Any) -> dict[str, float]:
    made = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    pairs = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    return {n.input[0]: made[n.input[1]].item() for n in pairs if made[n.input[1]].size == 1}


def int8(networks: ModuleType, folder: Path, *, form: Form = PROCESSOR, cast_first: bool = False, **changes: Any) -> Any:
    contract = networks.contract(**({"resize": "diagonal", "mean": GREY} | changes))
    exported = networks.export(networks.inverted(), folder / "fp32", contract, cast_first=cast_first)
    index = networks.write_images(folder / "images")
    networks.quantized(exported, folder / "fp32", index, folder / "images", folder / "int8", form=form)
    return onnx.load(folder / "int8" / "model.onnx")


def test_nothing_but_what_is_needed_is_taken_from_a_frame_before_it_is_turned_into_floats(
    networks: ModuleType, tmp_path: Path
) -> None:
    contract = networks.contract(height=480, width=640, size=96, resize="diagonal")
    networks.export(networks.inverted(), tmp_path, contract)
    graph = onnx.load(tmp_path / "model.onnx").graph
    sizes = {info.name: np.prod([d.dim_value for d in info.type.tensor_type.shape.dim]) for info in graph.value_info}
    casts = [node for node in preprocessing_nodes(graph) if node.op_type == "Cast"]
    assert [sizes[node.output[0]] for node in casts] == [3 * 96 * 96] * 2
    first = next(node for node in graph.node if node.op_type == "Gather")
    assert first is graph.node[1], "straight from the frame, as its rows lie in memory"


def test_the_jetsons_form_casts_the_frame_first_and_predicts_alike(networks: ModuleType, tmp_path: Path) -> None:
    import onnxruntime as ort

    contract = networks.contract(resize="diagonal")
    answers = []
    for cast_first in (False, True):
        networks.export(networks.inverted(), tmp_path / str(cast_first), contract, cast_first=cast_first)
        path = tmp_path / str(cast_first) / "model.onnx"
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        answers.append([session.run(None, {"frame": frame[None]})[0] for frame in networks.frames(4, contract)])
        readers = [node.op_type for node in onnx.load(path).graph.node if "frame" in node.input]
        assert (readers == ["Cast"]) is cast_first
    assert np.array_equal(*answers)


@pytest.mark.parametrize("resize", ["diagonal", "area"])
def test_tensorrts_parser_reads_the_jetsons_form(networks: ModuleType, tmp_path: Path, resize: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    from weckd_edge.compile.backends.tensorrt_rtx_backend import preflight

    int8(networks, tmp_path, form=TENSORRT, cast_first=True, resize=resize)
    assert (
        preflight(tmp_path / "int8" / "model.onnx", tmp_path)
        .detail[0]
        .startswith("9 of 9 convolutions and matrix products read int8")
    )


def test_a_pixel_is_not_rounded_where_the_middle_of_the_scale_is_the_mean(networks: ModuleType, tmp_path: Path) -> None:
    model = int8(networks, tmp_path)
    assert "Round" not in {node.op_type for node in model.graph.node}
    assert scales(model)["network_input"] == scales(model)["network_input_QuantizeLinear_Output"] == 1.0


def test_another_mean_keeps_the_calibrated_range(networks: ModuleType, tmp_path: Path) -> None:
    model = int8(networks, tmp_path, mean=(0.485, 0.456, 0.406))
    before = scales(model)
    assert 0.9 < before["network_input"] < 151 / 127 + 0.01
    assert not keep_pixels_whole(model)
    assert scales(model) == before


def test_the_scale_is_in_the_first_convolutions_weights(networks: ModuleType, tmp_path: Path) -> None:
    network = networks.inverted()
    both = []
    for std in ((1 / 255,) * 3, (0.1, 0.2, 0.4)):
        networks.export(network, tmp_path / str(std[0]), networks.contract(mean=GREY, std=std))
        graph = onnx.load(tmp_path / str(std[0]) / "model.onnx").graph
        (conv,) = [node for node in graph.node if "network_input" in node.input]
        weights = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
        both.append(weights[conv.input[1]])
    assert both[1] == pytest.approx(both[0] / (255 * np.array([0.1, 0.2, 0.4])).reshape(1, 3, 1, 1), rel=1e-5)


def test_the_scale_stays_where_it_is_when_two_operators_read_the_input(networks: ModuleType, tmp_path: Path) -> None:
    class Twice(torch.nn.Module):  # type: ignore[misc]  # torch is skipped for where it is missing
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Any) -> Any:
            return (self.stem(x) + x).mean((2, 3))

    torch.manual_seed(0)
    network, contract = Twice(), networks.contract(resize="diagonal")
    networks.export(network, tmp_path, contract)
    made_by = {node.output[0]: node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert made_by["network_input"] == "Mul"


def test_openvino_carries_the_frame_to_the_first_convolution_in_8_bits(networks: ModuleType, tmp_path: Path) -> None:
    ov = pytest.importorskip("openvino")
    int8(networks, tmp_path)
    core = ov.Core()
    compiled = core.compile_model(str(tmp_path / "int8" / "model.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    layers = []
    for op in compiled.get_runtime_model().get_ordered_ops():
        info = op.get_rt_info()
        layers.append((str(info["layerType"].value), str(info["runtimePrecision"].value)))
    first = next(i for i, (kind, _) in enumerate(layers) if kind == "Convolution")
    assert {kind for kind, _ in layers[:first]}.isdisjoint({"Transpose", "Interpolate"})
    assert {precision for kind, precision in layers[:first] if kind == "Gather"} == {"u8"}


@pytest.mark.parametrize("resize", ["diagonal", "area"])
def test_the_int8_network_reads_the_very_pixels_that_training_showed(
    networks: ModuleType, tmp_path: Path, resize: str
) -> None:
    import onnxruntime as ort

    from weckd_edge.train.networks.preprocess import crop_and_resize

    model = int8(networks, tmp_path, resize=resize)
    read = "network_input_QuantizeLinear_Output"
    model.graph.output.append(onnx.helper.make_tensor_value_info(read, onnx.TensorProto.UINT8, None))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    contract = networks.contract(resize=resize, mean=GREY)
    frames = np.random.default_rng(0).integers(0, 256, (20, 24, 32, 3), np.uint8)
    assert {0, 255} <= set(frames.reshape(-1).tolist())
    shown = crop_and_resize(torch.from_numpy(frames), contract.frame, (12, 12)).numpy()
    for frame, pixels in zip(frames, shown, strict=True):
        taken = {contract.graph_input_name: FrontEnd(contract).pixels(frame[None])}
        assert np.array_equal(session.run([read], taken)[0][0], pixels)
