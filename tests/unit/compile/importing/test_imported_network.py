"""An adopted ONNX classifier answers as the file does, in the form of a network that was trained here."""

from __future__ import annotations

import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support.errors import raises

torch = pytest.importorskip("torch")
timm = pytest.importorskip("timm")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput  # noqa: E402 - behind the skips
from weckd_edge.compile.graph import preprocessing_nodes  # noqa: E402 - likewise
from weckd_edge.compile.importing.hints import InputHints  # noqa: E402 - likewise
from weckd_edge.compile.importing.imported_network import count_macs, import_network, wrap_network  # noqa: E402 - likewise
from weckd_edge.compile.importing.network import OnnxNetwork, read_onnx  # noqa: E402 - likewise
from weckd_edge.core.errors import ModelError  # noqa: E402 - likewise

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HINTS = InputHints(mean=MEAN, std=STD)
TOLERANCE = 2e-6
LABELS = ("effusion", "normal", "wax")

FAMILIES: dict[str, tuple[dict[str, Any], int, bool]] = {
    "mobilenetv2_035": ({}, 11, False),
    "mobilenetv3_small_050": ({}, 13, True),
    "lcnet_050": ({}, 18, False),
    "resnet18": ({"channels": (8, 8, 16, 16), "stem_width": 8, "zero_init_last": False}, 9, True),
    "tinynet_e": ({}, 17, True),
}
"""timm name: its options, the opset of the file, and whether it takes channels last."""


class ChannelsLast(torch.nn.Module):  # type: ignore[name-defined, misc]  # torch is imported behind a skip
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Any) -> Any:
        return self.network(x.permute(0, 3, 1, 2))


def export(network: Any, shape: tuple[int, ...], path: Path, *, opset: int = 17, dynamic: bool = False) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (torch.zeros(shape),),
            str(path),
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes={"x": {0: "N"}, "y": {0: "N"}} if dynamic else None,
        )
    return path


def pixels(count: int, side: int) -> Any:
    """Normalised images ``[N, 3, S, S]``."""
    return np.random.default_rng(0).standard_normal((count, 3, side, side)).astype(np.float32)


def contract(side: int, *, crop: Any = "center", mean: Any = MEAN, std: Any = STD) -> InputSpec:
    frame = FrameSpec(height=side, width=side + 8, crop=crop)
    return InputSpec(frame=frame, network=NetworkInput(height=side, width=side, mean=mean, std=std))


def adopted(brought: OnnxNetwork, folder: Path, classes: int = 3, kind: InputSpec | None = None) -> Any:
    """Adopt and wrap; return what the first step says and a session of the graph that comes out."""
    samples = [image[None] for image in pixels(4, brought.form.size[0])]
    if brought.form.kind == "uint8":
        samples = [(image * 40 + 128).clip(0, 255).astype(np.float32) for image in samples]
    made = import_network(brought, samples, LABELS[:classes], folder)
    kind = kind or contract(brought.form.size[0], mean=brought.form.mean, std=brought.form.std)
    wrap_network(folder / made.onnx.path, kind, LABELS[:classes], made.onnx.sha256, folder)
    return made, ort.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])


def softmax(logits: Any) -> Any:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_imported_graph_predicts_as_the_timm_network_does_on_the_same_pixels(tmp_path: Path, name: str) -> None:
    options, opset, last = FAMILIES[name]
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=3, **options).eval()
    side = 64
    shape = (1, side, side, 3) if last else (1, 3, side, side)
    path = export(ChannelsLast(network) if last else network, shape, tmp_path / "net.onnx", opset=opset, dynamic=not last)
    brought = read_onnx(path, HINTS)
    assert (brought.form.layout, brought.opset) == ("nhwc" if last else "nchw", opset)
    made, session = adopted(brought, tmp_path)
    frames = np.random.default_rng(1).integers(0, 256, (3, side, side + 8, 3), np.uint8)
    for frame in frames:
        inner = (frame[None, :, 4:-4].astype(np.float64) / 255 - MEAN) / STD
        with torch.inference_mode():
            expected = network(torch.from_numpy(inner.transpose(0, 3, 1, 2)).float()).softmax(1).numpy()
        assert np.abs(session.run(None, {"frame": frame[None]})[0] - expected).max() < TOLERANCE
    model = onnx.load(tmp_path / "model.onnx")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    assert [o.name for o in model.graph.output] == ["probabilities"]
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
    assert any(node.output[0] == "network_input" for node in preprocessing_nodes(model.graph))
    assert "a softmax was added" in " ".join(made.notes)
    counted = sum(parameter.numel() for parameter in network.parameters())
    assert 0.8 * counted < made.parameters <= 1.05 * counted
    assert made.macs == count_macs(onnx.shape_inference.infer_shapes(model).graph) > 1e5


def test_the_predictions_of_the_file_itself_are_kept_with_preprocessing_that_resizes(
    networks: ModuleType, tmp_path: Path
) -> None:
    path = export(networks.inverted(), (1, 3, 12, 12), tmp_path / "net.onnx", opset=13)
    brought = read_onnx(path, HINTS)
    kind = networks.contract()
    _, session = adopted(brought, tmp_path, kind=kind)
    networks.export(networks.inverted(), tmp_path / "torch", kind)
    other = ort.InferenceSession(str(tmp_path / "torch/model.onnx"), providers=["CPUExecutionProvider"])
    for frame in networks.frames(4, kind):
        one, two = (each.run(None, {"frame": frame[None]})[0] for each in (session, other))
        assert np.abs(one - two).max() < TOLERANCE


def test_a_network_with_its_softmax_inside_keeps_its_probabilities(networks: ModuleType, tmp_path: Path) -> None:
    whole = torch.nn.Sequential(networks.inverted(), torch.nn.Softmax(1))
    brought = read_onnx(export(whole, (1, 3, 12, 12), tmp_path / "net.onnx", opset=12), HINTS)
    made, session = adopted(brought, tmp_path)
    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    assert kinds.count("Softmax") == 1
    assert "It ends in a Softmax over its classes: its outputs are probabilities." in made.notes
    assert session.run(None, {"frame": np.zeros((1, 12, 20, 3), np.uint8)})[0].sum() == pytest.approx(1, abs=1e-5)


def test_pixels_of_uint8_reach_the_network_as_they_are(networks: ModuleType, tmp_path: Path) -> None:
    class Bytes(torch.nn.Module):  # type: ignore[name-defined, misc]  # torch is imported behind a skip
        def __init__(self) -> None:
            super().__init__()
            self.network = networks.inverted()

        def forward(self, x: Any) -> Any:
            return self.network(x.permute(0, 3, 1, 2).float() / 127.5 - 1)

    network = Bytes().eval()
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = torch.zeros(1, 12, 12, 3, dtype=torch.uint8)
        torch.onnx.export(network, (image,), str(path), dynamo=False, opset_version=13, input_names=["x"])
    brought = read_onnx(path, InputHints())
    assert (brought.form.kind, brought.form.layout) == ("uint8", "nhwc")
    _, session = adopted(brought, tmp_path)
    original = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for frame in np.random.default_rng(3).integers(0, 256, (4, 12, 20, 3), np.uint8):
        expected = softmax(original.run(None, {"x": frame[None, :, 4:-4]})[0])
        assert np.abs(session.run(None, {"frame": frame[None]})[0] - expected).max() < 1e-5
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    assert [node.op_type for node in nodes].count("Cast") == 1, "nothing behind the frame's own Cast is uint8"
    assert (nodes[0].op_type, list(nodes[0].input)) == ("Cast", ["frame"])


def test_another_number_of_outputs_than_of_labels_is_refused(networks: ModuleType, tmp_path: Path) -> None:
    brought = read_onnx(export(networks.inverted(), (1, 3, 12, 12), tmp_path / "net.onnx"), HINTS)
    with raises(ModelError, "E_MODEL_CLASSES", says=("4", "3")):
        import_network(brought, [pixels(1, 12)], ("a", "b", "c", "d"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]


def test_a_network_that_does_not_take_its_own_size_is_refused_in_one_line(networks: ModuleType, tmp_path: Path) -> None:
    class Flat(torch.nn.Module):  # type: ignore[name-defined, misc]  # torch is imported behind a skip
        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(3 * 12 * 12, 3)

        def forward(self, x: Any) -> Any:
            return self.head(x.flatten(1))

    path = export(Flat(), (1, 3, 12, 12), tmp_path / "net.onnx")
    model = onnx.load(path)
    for place in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = "S"
    onnx.save(model, path)
    with raises(ModelError, "E_MODEL_BACKEND_LOAD", says=("16", "--layout nhwc")) as caught:
        read_onnx(path, InputHints(mean=MEAN, std=STD, input_size=16))
    assert "\n" not in str(caught.value)
    assert "/tmp" not in str(caught.value)
