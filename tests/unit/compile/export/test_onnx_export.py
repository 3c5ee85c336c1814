"""The exported graph answers as torch does, in a form that every target reads."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from weckd_edge.artifacts import InputSpec  # noqa: E402 - behind the skips
from weckd_edge.compile.export.onnx_export import FrameModel, Preprocess, export_onnx  # noqa: E402
from weckd_edge.compile.graph import preprocessing_nodes  # noqa: E402
from weckd_edge.core.errors import ModelError  # noqa: E402
from weckd_edge.core.store import check_ref, sha256_file  # noqa: E402
from weckd_edge.devices.images.area_resize import resize_area  # noqa: E402
from weckd_edge.devices.runtime.front_end import FrontEnd  # noqa: E402

PILLOWS = {"antialiased_bilinear": Image.Resampling.BILINEAR, "antialiased_bicubic": Image.Resampling.BICUBIC}

SIZES = {
    "wide, its centre": {},
    "wide, all of it": {"crop": "stretch"},
    "tall, its centre": {"height": 33, "width": 20, "size": 15},
    "tall, all of it": {"height": 33, "width": 20, "size": 15, "crop": "stretch"},
    "an odd margin": {"height": 21, "width": 32, "size": 14},
    "square": {"height": 24, "width": 24},
    "square, all of it": {"height": 24, "width": 24, "crop": "stretch"},
    "enlarged": {"height": 10, "width": 13, "size": 16},
    "its centre in the network's size": {"height": 16, "width": 22, "size": 16},
    "of the network's size": {"height": 16, "width": 16, "size": 16},
    "not square": {"size": (12, 20), "crop": "stretch"},
    "a part of another form": {"size": (9, 16), "crop_size": (18, 32)},
    "cropped on both axes": {"size": (10, 14), "crop_size": (20, 28)},
    "neither centred nor scaled": {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)},
    "normalised to -1..1": {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
}


def load(folder: Path) -> Any:
    return onnx.load(folder / "model.onnx")


def kinds(folder: Path) -> Counter[str]:
    return Counter(node.op_type for node in load(folder).graph.node)


def expected_input(frame: Any, contract: InputSpec) -> Any:
    """What the contract says in words, written with torch's operators alone."""
    x = torch.from_numpy(frame).permute(2, 0, 1)[None].double()
    height, width = contract.frame.height, contract.frame.width
    if contract.frame.crop_size is not None:
        kept_height, kept_width = contract.frame.crop_size
    elif contract.frame.crop == "center":
        kept_height = kept_width = min(height, width)
    else:
        kept_height, kept_width = height, width
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    x = x[:, :, top : top + kept_height, left : left + kept_width]
    size = contract.network.size
    if contract.frame.resize == "area":
        x = (
            torch.from_numpy(resize_area(x[0].permute(1, 2, 0).numpy().astype(np.uint8), *size))
            .permute(2, 0, 1)[None]
            .double()
        )
    elif contract.frame.resize in PILLOWS:
        picture, way = Image.fromarray(x[0].permute(1, 2, 0).numpy().astype(np.uint8)), PILLOWS[contract.frame.resize]
        columns_first = picture.resize((size[1], picture.height), way).resize((size[1], size[0]), way)
        x = torch.from_numpy(np.array(columns_first)).permute(2, 0, 1)[None].double()
    else:
        x = torch.nn.functional.interpolate(x, size, mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(v).double().view(1, 3, 1, 1) for v in (contract.network.mean, contract.network.std))
    return (x / 255 - mean) / std


@pytest.mark.parametrize("resize", ["bilinear", "area", *PILLOWS])
@pytest.mark.parametrize("changes", SIZES.values(), ids=SIZES)
def test_the_graph_predicts_as_the_network_does_on_the_frame_the_contract_describes(
    networks: ModuleType, tmp_path: Path, changes: dict[str, Any], resize: str
) -> None:
    contract = networks.contract(**changes, resize=resize)
    network = networks.inverted()
    networks.export(network, tmp_path, contract)
    session = ort.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    frames = np.random.default_rng(0).integers(0, 256, (6, contract.frame.height, contract.frame.width, 3), np.uint8)
    taken = np.concatenate([FrontEnd(contract).pixels(frame[None]) for frame in frames])
    answers = np.concatenate([session.run(None, {contract.graph_input_name: one[None]})[0] for one in taken])
    with torch.inference_mode():
        inputs = torch.cat([expected_input(frame, contract) for frame in frames]).float()
        assert np.abs(Preprocess(contract)(torch.from_numpy(taken)).numpy() - inputs.numpy()).max() < 1e-4
        expected = torch.softmax(network(inputs), 1).numpy()
    assert answers.dtype == np.float32
    assert np.abs(expected - expected[0]).max() > 0.01, "frames that all look alike prove nothing"
    assert np.abs(answers - expected).max() < 2e-5


def test_the_artefact_says_what_the_graph_is(networks: ModuleType, tmp_path: Path) -> None:
    exported = networks.export(networks.inverted(), tmp_path)
    check_ref(tmp_path, exported.onnx)
    model = load(tmp_path)
    (frame,), (answer,) = model.graph.input, model.graph.output
    assert (exported.input_name, exported.output_name) == (frame.name, answer.name) == ("frame", "probabilities")
    assert [d.dim_value for d in frame.type.tensor_type.shape.dim] == [1, 24, 32, 3]
    assert frame.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value for d in answer.type.tensor_type.shape.dim] == [1, 3]
    assert exported.opset == 17
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert (exported.input, exported.labels) == (networks.contract(), networks.LABELS)
    assert exported.link_sha256 == networks.LINK_SHA256


def test_a_graph_for_pixels_takes_them_under_their_own_name_and_holds_no_resize(
    networks: ModuleType, tmp_path: Path
) -> None:
    contract = networks.contract(resize="area")
    exported = networks.export(networks.inverted(), tmp_path, contract)
    graph = load(tmp_path).graph
    (pixels,) = graph.input
    assert (exported.input_name, pixels.name) == ("pixels", "pixels")
    assert [d.dim_value for d in pixels.type.tensor_type.shape.dim] == [1, 12, 12, 3]
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    before = [node.op_type for node in preprocessing_nodes(graph)]
    assert before == ["Cast", "Transpose", "Sub"], "TensorRT's parser refuses to transpose a uint8 tensor"


def test_the_tensor_between_preprocessing_and_network_has_its_name_and_shape(networks: ModuleType, tmp_path: Path) -> None:
    exported = networks.export(networks.inverted(), tmp_path)
    graph = load(tmp_path).graph
    shapes = {info.name: [d.dim_value for d in info.type.tensor_type.shape.dim] for info in graph.value_info}
    assert exported.network_input_name == "network_input"
    assert shapes["network_input"] == [1, 3, 12, 12]
    (reader,) = [node for node in graph.node if "network_input" in node.input]
    assert reader.op_type == "Conv"


@pytest.mark.parametrize("changes", [{}, {"height": 12, "width": 12}])
def test_the_frame_is_cast_before_it_is_transposed(networks: ModuleType, tmp_path: Path, changes: dict[str, Any]) -> None:
    networks.export(networks.inverted(), tmp_path, networks.contract(**changes))
    first, second = load(tmp_path).graph.node[:2]
    assert (first.op_type, list(first.input)) == ("Cast", ["frame"])
    assert (second.op_type, list(second.input)) == ("Transpose", list(first.output))


def test_nothing_is_resized_where_the_size_is_right_already(networks: ModuleType, tmp_path: Path) -> None:
    networks.export(networks.inverted(), tmp_path / "same", networks.contract(height=12, width=12))
    networks.export(networks.inverted(), tmp_path / "crop", networks.contract(height=12, width=16))
    networks.export(networks.inverted(), tmp_path / "other")
    assert [kinds(tmp_path / name)["Resize"] for name in ("same", "crop", "other")] == [0, 0, 1]
    assert [kinds(tmp_path / name)["Slice"] for name in ("same", "crop", "other")] == [0, 1, 1]


def test_batch_norms_are_folded_and_hard_swish_is_one_node(networks: ModuleType, tmp_path: Path) -> None:
    networks.export(networks.inverted(), tmp_path)
    assert kinds(tmp_path) == {
        "Cast": 1,
        "Transpose": 1,
        "Slice": 1,
        "Resize": 1,
        "Sub": 1,
        "Conv": 8,
        "Clip": 5,
        "Add": 2,
        "HardSwish": 1,
        "GlobalAveragePool": 1,
        "Flatten": 1,
        "Gemm": 1,
        "Softmax": 1,
    }


def test_every_hard_swish_is_restored_and_another_gate_is_left_alone(networks: ModuleType, tmp_path: Path) -> None:
    nn = torch.nn

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Hardsigmoid()

        def forward(self, x: Any) -> Any:
            return x * self.gate(x.mean((2, 3), keepdim=True))

    blocks = (networks.conv(8, 8, act=nn.Hardswish), Gated(), networks.conv(8, 8, act=nn.Hardswish))
    networks.export(networks.settle(networks.Network(*blocks)), tmp_path)
    found = kinds(tmp_path)
    assert found["HardSwish"] == 3
    assert found["HardSigmoid"] == 1
    assert found["Mul"] == 1, "the gate's"


def test_every_node_has_a_name_of_its_own_and_no_trace_of_where_it_was_made(networks: ModuleType, tmp_path: Path) -> None:
    networks.export(networks.inverted(), tmp_path)
    model = load(tmp_path)
    names = [node.name for node in model.graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert not any(node.doc_string for node in model.graph.node)
    data = (tmp_path / "model.onnx").read_bytes()
    assert b".py" not in data
    assert str(tmp_path).encode() not in data


def test_the_same_network_gives_the_same_bytes_and_another_gives_others(networks: ModuleType, tmp_path: Path) -> None:
    first = networks.export(networks.inverted(), tmp_path / "a").onnx
    networks.export(networks.every_sum(), tmp_path / "between")
    assert networks.export(networks.inverted(), tmp_path / "b").onnx == first
    other = networks.settle(networks.Network(networks.Inverted(8), networks.Inverted(8)), seed=1)
    assert networks.export(other, tmp_path / "c").onnx.sha256 != first.sha256


def test_a_network_in_training_mode_is_exported_as_it_will_predict(networks: ModuleType, tmp_path: Path) -> None:
    networks.export(networks.inverted(), tmp_path / "eval")
    networks.export(networks.inverted().train(), tmp_path / "train")
    assert sha256_file(tmp_path / "train/model.onnx") == sha256_file(tmp_path / "eval/model.onnx")


def test_a_frame_model_predicts_several_frames_at_once(networks: ModuleType) -> None:
    contract = networks.contract()
    model = FrameModel(networks.inverted(), contract).eval()
    frames = torch.from_numpy(networks.frames(4, contract))
    with torch.inference_mode():
        together, alone = model(frames), torch.cat([model(frame[None]) for frame in frames])
    assert together.shape == (4, 3)
    assert torch.allclose(together, alone, atol=1e-6)
    assert torch.allclose(together.sum(1), torch.ones(4))


def refused(networks: ModuleType, network: Any, folder: Path, **changes: Any) -> str:
    """Export what cannot be exported, and return the one line that says so."""
    folder.mkdir(exist_ok=True)
    with pytest.raises(ModelError) as caught:
        export_onnx(network.eval(), networks.contract(**changes), networks.LABELS, networks.LINK_SHA256, folder)
    assert list(folder.iterdir()) == []
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None or "label" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("classes", [2, 4])
def test_another_number_of_logits_than_of_labels_is_refused(networks: ModuleType, tmp_path: Path, classes: int) -> None:
    network = networks.settle(networks.Network(classes=classes))
    said = refused(networks, network, tmp_path)
    assert said == f"Network: expected one logit for each of 3 labels, [1, 3], got [1, {classes}]"


def test_a_feature_map_instead_of_logits_is_refused(networks: ModuleType, tmp_path: Path) -> None:
    assert "got [1, 3, 12, 12]" in refused(networks, networks.settle(networks.conv(3, 3)), tmp_path)


def test_a_network_that_does_not_take_the_size_is_refused_with_the_size(networks: ModuleType, tmp_path: Path) -> None:
    class Flat(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(3 * 12 * 12, 3)

        def forward(self, x: Any) -> Any:
            return self.head(x.flatten(1))

    networks.export(Flat(), tmp_path / "fits")
    said = refused(networks, Flat(), tmp_path / "no", size=16)
    assert said.startswith("Flat: it cannot run on float32 [1, 3, 16, 16] (")
    assert said.endswith("; give it the input_size it was made for")


def test_an_operator_that_onnx_cannot_express_is_refused_and_named(networks: ModuleType, tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.special.bessel_j0(x).mean((2, 3))

    said = refused(networks, Odd(), tmp_path)
    assert "an operator that ONNX opset 17 cannot express" in said
    assert "bessel_j0" in said
    assert said.endswith("Choose a model without it")


def test_a_graph_that_only_other_operator_sets_hold_is_refused(networks: ModuleType, tmp_path: Path) -> None:
    class Foreign(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return x + 1

        @staticmethod
        def symbolic(g: Any, x: Any) -> Any:
            return g.op("somewhere::PlusOne", x).setType(x.type())

    class Odd(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return Foreign.apply(x).mean((2, 3))

    assert "PlusOne" in refused(networks, Odd(), tmp_path)
