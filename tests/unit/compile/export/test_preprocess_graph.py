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
from weckd_edge.compile.quantize.forms import PROCESSOR, TENSORRT, Form  # noqa: E402
from weckd_edge.devices.runtime.front_end import FrontEnd  # noqa: E402
from weckd_edge.train.networks.preprocess import MIDDLE_GREY  # noqa: E402

GREY = (MIDDLE_GREY, MIDDLE_GREY, MIDDLE_GREY)


def scales(model: Any) -> dict[str, float]:
    made = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    pairs = [n for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]
    return {n.input[0]: made[n.input[1]].item() for n in pairs if made[n.input[1]].size == 1}


def int8(networks: ModuleType, folder: Path, *, form: Form = PROCESSOR, cast_first: bool = False, **changes: Any) -> Any:
    contract = networks.contract(**({"resize": "area", "mean": GREY} | changes))
    exported = networks.export(networks.inverted(), folder / "fp32", contract, cast_first=cast_first)
    index = networks.write_images(folder / "images")
    networks.quantized(exported, folder / "fp32", index, folder / "images", folder / "int8", form=form)
    return onnx.load(folder / "int8" / "model.onnx")


def test_the_jetsons_form_casts_the_frame_first_and_predicts_alike(networks: ModuleType, tmp_path: Path) -> None:
    import onnxruntime as ort

    contract = networks.contract(resize="antialiased_bilinear")
    answers = []
    for cast_first in (False, True):
        networks.export(networks.inverted(), tmp_path / str(cast_first), contract, cast_first=cast_first)
        path = tmp_path / str(cast_first) / "model.onnx"
        session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        answers.append([session.run(None, {"frame": frame[None]})[0] for frame in networks.frames(4, contract)])
        readers = [node.op_type for node in onnx.load(path).graph.node if "frame" in node.input]
        assert (readers == ["Cast"]) is cast_first
    assert np.array_equal(*answers)


@pytest.mark.parametrize("resize", ["antialiased_bilinear", "area"])
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
    network, contract = Twice(), networks.contract()
    networks.export(network, tmp_path, contract)
    made_by = {node.output[0]: node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node}
    assert made_by["network_input"] == "Mul"


def test_openvino_carries_the_pixels_to_the_first_convolution_in_8_bits(networks: ModuleType, tmp_path: Path) -> None:
    ov = pytest.importorskip("openvino")
    from weckd_edge.compile.backends.openvino_backend import build_ir

    int8(networks, tmp_path)
    build_ir(tmp_path / "int8" / "model.onnx", "int8", tmp_path)
    compiled = ov.Core().compile_model(str(tmp_path / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ops = compiled.get_runtime_model().get_ordered_ops()
    op = next(op for op in ops if op.get_rt_info()["layerType"].value == "Convolution")
    before = []
    while op.get_input_size():
        op = op.input_value(0).get_node()
        before.append((str(op.get_rt_info()["layerType"].value), op.get_element_type()))
    assert before[-1] == ("Input", ov.Type.u8)
    assert {kind for kind, _ in before}.isdisjoint({"Transpose", "Interpolate"})
    assert {precision for _, precision in before} == {ov.Type.u8}, before


@pytest.mark.parametrize("resize", ["antialiased_bilinear", "area"])
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
