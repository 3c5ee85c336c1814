"""The int8 graph: pairs where an operator reads and nowhere else, and the same answers wherever it runs."""

from __future__ import annotations

import logging
import platform
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.artifacts import DatasetIndex, ExportedModel, QuantizedModel
from weckd_edge.compile.graph import consumers, preprocessing_nodes, producers
from weckd_edge.compile.quantize.calibration_images import calibration_digest, choose_images
from weckd_edge.compile.quantize.forms import PROCESSOR, TENSORRT, Form
from weckd_edge.compile.quantize.qdq_rules import find_violations
from weckd_edge.compile.quantize.quantize import calibrate, quantize
from weckd_edge.compile.verify.parity import INT8_TOLERANCE
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.errors import DataError, ModelError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import check_ref
from weckd_edge.devices.runtime.backends.openvino_backend import read_ov_model
from weckd_edge.devices.runtime.backends.openvino_layers import layers_of
from weckd_edge.devices.runtime.backends.table import open_runner

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CLOSED = Form(name="tensorrt", open_sums=False)
ACTIVATIONS = {"Relu", "Clip", "HardSwish", "Sigmoid"}
X86_ALONE = pytest.mark.skipif(platform.machine() != "x86_64", reason="OpenVINO fuses otherwise on other processors")
PAIR = ("QuantizeLinear", "DequantizeLinear")


@dataclass(frozen=True)
class Case:
    """An FP32 graph, its data set, and the int8 graphs made of it, each once."""

    exported: ExportedModel
    folder: Path
    index: DatasetIndex
    root: Path
    networks: ModuleType

    def make(self, *, form: Form, method: str = "minmax", name: str = "", half: bool = False) -> tuple[QuantizedModel, Any]:
        out = self.folder.parent / f"{self.folder.name}-{form.name}-{form.open_sums}-{method}{name}{'-half' if half else ''}"
        made = self.networks.quantized(
            self.exported, self.folder, self.index, self.root, out, form=form, method=method, reduce_range=half
        )
        return made, out / "model.onnx"


@pytest.fixture(scope="module")
def data(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[DatasetIndex, Path]:
    root = tmp_path_factory.mktemp("images")
    return networks.write_images(root), root


@pytest.fixture(scope="module")
def cases(networks: ModuleType, data: tuple[DatasetIndex, Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Cases by name, made when they are asked for."""
    place = tmp_path_factory.mktemp("quantized")
    made: dict[str, Case] = {}
    plain = {"inverted": networks.inverted, "every_sum": networks.every_sum, "silu": lambda: silu(networks)}

    def case(name: str) -> Case:
        if name not in made:
            exported = networks.export(plain[name](), place / name)
            made[name] = Case(exported=exported, folder=place / name, index=data[0], root=data[1], networks=networks)
        return made[name]

    return case


def silu(networks: ModuleType) -> Any:
    """SiLU everywhere, and a squeeze-and-excitation gate, whose product is no activation."""
    nn = torch.nn

    class Squeezed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.narrow, self.wide = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)

        def forward(self, x: Any) -> Any:
            return x * torch.sigmoid(self.wide(torch.relu(self.narrow(x.mean((2, 3), keepdim=True)))))

    network = networks.Network(networks.conv(8, 8, 3, act=nn.SiLU), Squeezed())
    network.neck = networks.conv(8, 12, act=nn.SiLU)
    return networks.settle(network)


@pytest.fixture(scope="module", params=[CLOSED, TENSORRT, PROCESSOR], ids=["closed sums", "open sums", "processor"])
def form(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


@pytest.fixture(scope="module", params=[CLOSED, TENSORRT], ids=["closed sums", "open sums"])
def symmetric(request: pytest.FixtureRequest) -> Form:
    found: Form = request.param
    return found


@pytest.fixture(scope="module", params=["inverted", "every_sum", "silu"])
def quantized(request: pytest.FixtureRequest, cases: Any, symmetric: Form) -> tuple[QuantizedModel, Any]:
    made, path = cases(request.param).make(form=symmetric)
    return made, onnx.load(path)


def readers_behind_a_pair(graph: Any, tensor: str) -> Iterator[Any]:
    """Yield what reads a tensor through a Q/DQ pair."""
    read_by = consumers(graph)
    for q in read_by.get(tensor, []):
        if q.op_type == "QuantizeLinear":
            for dq in read_by[q.output[0]]:
                yield from read_by[dq.output[0]]


def residual_sums(graph: Any) -> list[Any]:
    outside = {node.name for node in preprocessing_nodes(graph)}
    return [node for node in graph.node if node.op_type == "Add" and node.name not in outside]


def has_pair(graph: Any, tensor: str) -> bool:
    maker = producers(graph).get(tensor)
    return maker is not None and maker.op_type == "DequantizeLinear"


def test_nothing_stands_between_a_convolution_and_its_activation(quantized: tuple[QuantizedModel, Any]) -> None:
    graph = quantized[1].graph
    activated = 0
    for node in graph.node:
        if node.op_type == "Conv":
            assert not [r.name for r in readers_behind_a_pair(graph, node.output[0]) if r.op_type in ACTIVATIONS]
            activated += any(r.op_type in ACTIVATIONS for r in consumers(graph).get(node.output[0], []))
    assert activated >= 3


def test_silu_is_one_activation_and_a_gate_is_a_product_of_two_int8_values(cases: Any, symmetric: Form) -> None:
    _, path = cases("silu").make(form=symmetric)
    graph = onnx.load(path).graph
    made_by = producers(graph)
    outside = {node.name for node in preprocessing_nodes(graph)}
    products = [node for node in graph.node if node.op_type == "Mul" and node.name not in outside]
    read = sorted(tuple(sorted(made_by[name].op_type for name in node.input)) for node in products)
    assert read == [("Conv", "Sigmoid"), ("Conv", "Sigmoid"), ("DequantizeLinear", "DequantizeLinear")]


def test_the_preprocessing_holds_no_pair(quantized: tuple[QuantizedModel, Any]) -> None:
    before = preprocessing_nodes(quantized[1].graph)
    assert {node.op_type for node in before} == {"Cast", "Transpose", "Slice", "Resize", "Sub"}
    assert before[-1].output[0] == "network_input"


def test_logits_stay_float(quantized: tuple[QuantizedModel, Any]) -> None:
    graph = quantized[1].graph
    made_by = producers(graph)
    softmax = made_by["probabilities"]
    assert softmax.op_type == "Softmax"
    assert made_by[softmax.input[0]].op_type == "Gemm"


def test_every_weighted_layer_reads_int8_weights_and_int8_values(quantized: tuple[QuantizedModel, Any]) -> None:
    made, model = quantized
    weighted = [node for node in model.graph.node if node.op_type in ("Conv", "Gemm", "MatMul")]
    assert made.float_nodes == ()
    assert {node.name for node in weighted} <= set(made.quantized_nodes)
    for node in weighted:
        assert has_pair(model.graph, node.input[0]), node.name
        assert has_pair(model.graph, node.input[1]), node.name
        assert not has_pair(model.graph, node.input[2]), "a bias of 32 bits is exact"


def test_what_is_called_quantized_reads_int8_and_nothing_else_is(quantized: tuple[QuantizedModel, Any]) -> None:
    made, model = quantized
    reads = [n.name for n in model.graph.node if n.op_type not in PAIR and has_pair(model.graph, n.input[0])]
    assert list(made.quantized_nodes) == reads
    assert {n.op_type for n in model.graph.node if n.name in reads} >= {"Conv", "GlobalAveragePool", "Gemm"}


def test_weights_have_a_scale_a_channel_and_activations_one_and_every_zero_point_is_int8_0(
    quantized: tuple[QuantizedModel, Any],
) -> None:
    graph = quantized[1].graph
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = 0
    for node in graph.node:
        if node.op_type != "QuantizeLinear":
            continue
        scale, zero = constants[node.input[1]], constants[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        if node.input[0] in constants:
            weights += 1
            axis = next(a.i for a in node.attribute if a.name == "axis")
            tensor = constants[node.input[0]]
            assert scale.shape == (tensor.shape[axis],)
            others = tuple(d for d in range(tensor.ndim) if d != axis)
            assert np.allclose(scale, np.abs(tensor).max(axis=others) / 127, rtol=0.01)
            assert len(scale) in (4, 8, 12, 16, 3), "its output channels"
        else:
            assert scale.size == 1
    assert weights == sum(node.op_type in ("Conv", "Gemm") for node in graph.node)
    assert find_violations(quantized[1]) == ()


@pytest.mark.parametrize(("name", "sums"), [("inverted", 2), ("every_sum", 3)])
def test_with_closed_sums_both_branches_of_each_sum_are_int8(cases: Any, name: str, sums: int) -> None:
    graph = onnx.load(cases(name).make(form=CLOSED)[1]).graph
    found = [[has_pair(graph, branch) for branch in node.input] for node in residual_sums(graph)]
    assert found == [[True, True]] * sums


def test_with_open_sums_the_convolution_alone_reaches_its_sum_without_a_pair(cases: Any) -> None:
    graph = onnx.load(cases("inverted").make(form=TENSORRT)[1]).graph
    sums = residual_sums(graph)
    assert len(sums) == 2
    for node in sums:
        free = [branch for branch in node.input if not has_pair(graph, branch)]
        assert len(free) == 1
        assert producers(graph)[free[0]].op_type == "Conv"


def test_of_two_convolutions_the_later_one_is_fused_with_the_sum(cases: Any) -> None:
    graph = onnx.load(cases("every_sum").make(form=TENSORRT)[1]).graph
    order = {node.output[0]: at for at, node in enumerate(graph.node)}
    _, downsampled, _ = residual_sums(graph)
    (free,) = [branch for branch in downsampled.input if not has_pair(graph, branch)]
    (read,) = [branch for branch in downsampled.input if has_pair(graph, branch)]
    q = producers(graph)[producers(graph)[read].input[0]]
    shortcut = producers(graph)[q.input[0]]
    assert producers(graph)[free].op_type == shortcut.op_type == "Conv"
    assert order[free] > order[shortcut.output[0]]


def test_a_convolution_that_another_one_reads_too_keeps_its_pair(cases: Any) -> None:
    graph = onnx.load(cases("every_sum").make(form=TENSORRT)[1]).graph
    shared = residual_sums(graph)[2]
    assert [has_pair(graph, branch) for branch in shared.input] == [True, True]


def test_open_sums_take_pairs_away_and_change_no_range(cases: Any) -> None:
    closed, opened = (onnx.load(cases("every_sum").make(form=value)[1]).graph for value in (CLOSED, TENSORRT))
    scales = [{t.name: t.SerializeToString() for t in g.initializer} for g in (closed, opened)]
    assert scales[1].items() < scales[0].items()
    assert len(scales[0]) - len(scales[1]) == 2 * 2, "scale and zero point of two pairs"
    assert len(closed.node) - len(opened.node) == 4
    names = {name for node in opened.node for name in node.input}
    assert all(tensor.name in names for tensor in opened.initializer)


@pytest.mark.parametrize("method", ["minmax", "percentile"])
@pytest.mark.parametrize("name", ["inverted", "every_sum", "silu"])
def test_the_predictions_stay_near_fp32(cases: Any, name: str, method: str, form: Form) -> None:
    case = cases(name)
    made, path = case.make(form=form, method=method)
    assert made.method == method
    frames = case.networks.frames(24, case.exported.input)
    fp32 = answers(case.folder / "model.onnx", frames)
    int8 = answers(path, frames, reference=True)
    spread = fp32.std(axis=0).max()
    assert spread > 0.03, "answers that are all alike prove nothing"
    assert 1e-4 < np.abs(int8 - fp32).max() < 0.1
    assert np.abs(int8 - fp32).mean() < 0.15 * spread
    assert (int8.argmax(axis=1) == fp32.argmax(axis=1)).mean() > 0.9


def test_the_methods_find_different_ranges(cases: Any) -> None:
    graphs = [onnx.load(cases("inverted").make(form=CLOSED, method=m)[1]).graph for m in ("minmax", "mse")]
    minmax, mse = (
        {t.name: onnx.numpy_helper.to_array(t) for t in g.initializer if t.name.endswith("Clip_output_0_scale")}
        for g in graphs
    )
    assert minmax.keys() == mse.keys()
    assert any(mse[name] < minmax[name] for name in minmax)
    assert all(mse[name] <= minmax[name] * 1.001 for name in minmax)


def test_the_range_of_the_network_input_is_that_of_the_calibration_images(cases: Any) -> None:
    case = cases("inverted")
    _, path = case.make(form=CLOSED)
    scale = next(onnx.numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer if t.name == "network_input_scale")
    from PIL import Image

    from weckd_edge.compile.export.onnx_export import Preprocess

    chosen = choose_images(case.index, 8, seed=3)
    frames = np.stack([np.asarray(Image.open(case.root / r.path)) for r in chosen])
    preprocess = Preprocess(case.exported.input)
    largest = (preprocess(torch.from_numpy(frames)) / preprocess.scale).abs().max().item()
    assert scale.item() == pytest.approx(largest / 127, rel=0.01)


def test_the_artefact_says_what_was_read_and_from_what_it_was_made(cases: Any) -> None:
    case = cases("inverted")
    made, path = case.make(form=CLOSED)
    check_ref(path.parent, made.onnx)
    assert made.source_sha256 == case.exported.onnx.sha256
    assert made.calibration_images == 8
    assert made.calibration_sha256 == calibration_digest(choose_images(case.index, 8, seed=3))


def test_the_same_settings_give_the_same_bytes(cases: Any, form: Form) -> None:
    for method in ("minmax", "percentile"):
        first, again = (cases("every_sum").make(form=form, method=method, name=name)[0].onnx for name in ("-a", "-b"))
        assert first == again


def test_nothing_is_printed_and_the_log_level_is_as_before(
    cases: Any, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for method in ("minmax", "percentile"):
        cases("inverted").make(form=CLOSED, method=method, name="-silent")
    out, _ = capfd.readouterr()
    assert out == ""
    assert caplog.records == []
    assert logging.getLogger().level == logging.INFO


def test_calibration_shows_one_step_an_image(cases: Any) -> None:
    seen: list[tuple[str, int]] = []
    steps: list[int] = []

    class Watched(SilentProgress):
        @contextmanager
        def task(self, name: str, total: int, done: int = 0) -> Iterator[Any]:
            seen.append((name, total))
            yield self

        def advance(self, count: int = 1, **figures: float) -> None:
            steps.append(count)

    case = cases("inverted")
    progress = Watched()
    found = calibrate(case.exported, case.folder, case.index, case.root, QuantizeConfig(images=9), seed=0, progress=progress)
    quantize(found, "mse", PROCESSOR, progress=progress)
    assert seen == [("calibrate", 9), ("int8 mse", 9)]
    assert steps == [1] * 18


def test_a_calibration_image_that_was_changed_stops_it_and_nothing_is_written(
    networks: ModuleType, cases: Any, tmp_path: Path
) -> None:
    index = networks.write_images(tmp_path / "images")
    path = choose_images(index, 8, seed=3)[4].path
    (tmp_path / "images" / path).write_bytes((tmp_path / "images" / index.images[0].path).read_bytes())
    case = cases("inverted")
    with raises(DataError, "E_DATA_CHANGED", says=f"{path}"):
        networks.quantized(case.exported, case.folder, index, tmp_path / "images", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_without_training_images_it_stops_before_it_reads_the_graph(
    networks: ModuleType, tmp_path: Path, cases: Any
) -> None:
    index = networks.index_of(networks.record("a.png", 0, "test"))
    with raises(DataError, "E_DATA_NO_IMAGES"):
        networks.quantized(cases("inverted").exported, tmp_path / "nowhere", index, tmp_path, tmp_path / "out")


def test_a_graph_without_the_mark_behind_its_preprocessing_is_refused(
    networks: ModuleType, data: tuple[DatasetIndex, Path], cases: Any, tmp_path: Path
) -> None:
    case = cases("inverted")
    model = onnx.load(case.folder / "model.onnx")
    for node in model.graph.node:
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                if name == "network_input":
                    names[position] = "renamed"
    (tmp_path / "source").mkdir()
    onnx.save(model, tmp_path / "source/model.onnx")
    with raises(ModelError, "E_MODEL_GRAPH", says="'network_input'"):
        networks.quantized(case.exported, tmp_path / "source", *data, tmp_path / "out")


def test_a_file_that_is_no_graph_is_refused(
    networks: ModuleType, data: tuple[DatasetIndex, Path], cases: Any, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source/model.onnx").write_bytes(b"\xff" * 64)
    with raises(ModelError, "E_MODEL_ONNX_FILE", says="model.onnx"):
        networks.quantized(cases("inverted").exported, tmp_path / "source", *data, tmp_path / "out")


def answers(path: Path, frames: Any, *, backend: str = "onnxruntime", reference: bool = False) -> Any:
    runner = open_runner(backend, path, reference=reference)
    try:
        return np.stack([runner.run(np.ascontiguousarray(frame[None])) for frame in frames])
    finally:
        runner.close()


@pytest.mark.parametrize("name", ["inverted", "every_sum", "silu"])
def test_onnx_runtime_and_openvino_read_the_same_network_from_it(cases: Any, name: str, form: Form) -> None:
    pytest.importorskip("openvino")
    case = cases(name)
    _, path = case.make(form=form, half=case.networks.saturates())
    frames = case.networks.frames(24, case.exported.input)
    as_written = answers(path, frames, reference=True)
    fused = answers(path, frames)
    ov = answers(path, frames, backend="openvino")
    assert np.quantile(np.abs(fused - as_written).max(axis=1), 0.95) <= INT8_TOLERANCE
    assert np.quantile(np.abs(ov - as_written).max(axis=1), 0.95) <= INT8_TOLERANCE


def executed_precisions(compiled: Any) -> Counter[tuple[str, str]]:
    return Counter((layer.kind, layer.precision) for layer in layers_of(compiled))


@X86_ALONE
@pytest.mark.parametrize("name", ["inverted", "every_sum", "silu"])
def test_every_convolution_runs_in_int8_in_openvino(cases: Any, name: str, form: Form) -> None:
    ov = pytest.importorskip("openvino")
    _, path = cases(name).make(form=form)
    model = read_ov_model(ov, path)
    layers = executed_precisions(ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    convolutions = {precision: count for (kind, precision), count in layers.items() if kind == "Convolution"}
    assert sum(convolutions.values()) == sum(node.op_type == "Conv" for node in onnx.load(path).graph.node)
    assert convolutions.keys() <= {"u8", "i8"}


@X86_ALONE
def test_with_closed_sums_openvino_fuses_each_sum_with_its_convolution(cases: Any) -> None:
    ov = pytest.importorskip("openvino")

    def apart(form: Form) -> int:
        _, path = cases("inverted").make(form=form)
        layers = executed_precisions(ov.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
        return sum(count for (kind, _), count in layers.items() if kind in ("Subgraph", "Eltwise"))

    assert apart(TENSORRT) - apart(CLOSED) == 2, "one for each sum"


@X86_ALONE
def test_openvino_fuses_silu_with_its_convolution(cases: Any) -> None:
    ov = pytest.importorskip("openvino")
    _, path = cases("silu").make(form=CLOSED)
    layers = executed_precisions(ov.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    apart = sum(count for (kind, _), count in layers.items() if kind in ("Subgraph", "Eltwise", "Swish"))
    assert apart == 3, "the cast, the normalisation and the gate's product"


def test_a_network_without_biases_is_quantized_and_predicts_as_before(
    networks: ModuleType, data: tuple[DatasetIndex, Path], tmp_path: Path
) -> None:
    """No bias can be corrected: nothing is asked of the FP32 graph, and nothing else changes."""
    nn = torch.nn

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.Conv2d(8, 8, 3, 1, 1, bias=False)
            self.probabilities = nn.Linear(8, 3, bias=False)

        def forward(self, x: Any) -> Any:
            return self.probabilities(torch.relu(self.second(torch.relu(self.first(x)))).mean((2, 3)))

    torch.manual_seed(0)
    folders = tmp_path / "fp32", tmp_path / "int8"
    exported = networks.export(Plain().eval(), folders[0])
    made = networks.quantized(exported, folders[0], *data, folders[1], reduce_range=networks.saturates())
    runners = [
        open_runner("onnxruntime", folder / ref.path, reference=True)
        for folder, ref in zip(folders, (exported.onnx, made.onnx), strict=True)
    ]
    for frame in networks.frames(6, networks.contract()):
        one, two = (runner.run(frame[None]) for runner in runners)
        assert np.abs(one - two).max() < 0.05
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(folders[1] / made.onnx.path).graph.node)
