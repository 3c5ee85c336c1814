"""How many layers run in int8 is asked of the library that runs them, and not taken from the graph."""

import contextlib
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from support.errors import raises
from weckd_edge.artifacts import Int8Count
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.devices.jetson.engine_layers import EngineLayer
from weckd_edge.devices.runtime.backends.base import ModelBytes
from weckd_edge.devices.runtime.backends.int8_layers import count_int8_layers
from weckd_edge.devices.runtime.backends.onnx_nodes import makers_of, read_nodes
from weckd_edge.devices.runtime.backends.onnxruntime_layers import fused_nodes
from weckd_edge.devices.runtime.backends.table import BACKENDS
from weckd_edge.devices.runtime.backends.tensorrt_layers import count_engine

INPUT = "network_input"


def write_graph(path: Path, *, lowest: int) -> Path:
    """Two convolutions behind a product of the preprocessing; the first one's ReLU is quantized from zero point ``lowest``.

    The second hands its output on in floating point.
    """
    node, constant, value = onnx.helper.make_node, onnx.numpy_helper.from_array, onnx.helper.make_tensor_value_info
    kind = np.uint8 if lowest >= 0 else np.int8
    random = np.random.default_rng(0)
    nodes = [
        node("Cast", ["frame"], ["pixels"], name="cast", to=onnx.TensorProto.FLOAT),
        node("MatMul", ["pixels", "mix"], ["mixed"], name="mix_colours"),
        node("Transpose", ["mixed"], [INPUT], name="planes", perm=[0, 3, 1, 2]),
        node("QuantizeLinear", [INPUT, "s", "zero"], ["q0"], name="q0"),
        node("DequantizeLinear", ["q0", "s", "zero"], ["d0"], name="d0"),
    ]
    for number in (1, 2):
        nodes += [
            node("DequantizeLinear", [f"w{number}", "s", "zero_weight"], [f"dw{number}"], name=f"dw{number}"),
            node("Conv", [f"d{number - 1}", f"dw{number}"], [f"c{number}"], name=f"conv_{number}", kernel_shape=[3, 3]),
            node("Relu", [f"c{number}"], [f"r{number}"], name=f"relu_{number}"),
        ]
        if number == 1:
            nodes += [
                node("QuantizeLinear", ["r1", "s", "lowest"], ["q1"], name="q1"),
                node("DequantizeLinear", ["q1", "s", "lowest"], ["d1"], name="d1"),
            ]
    nodes += [
        node("GlobalAveragePool", ["r2"], ["pooled"], name="pool"),
        node("Flatten", ["pooled"], ["logits"], name="flat"),
        node("Softmax", ["logits"], ["probabilities"], name="softmax"),
    ]
    constants = {
        "mix": np.eye(3, dtype=np.float32),
        "s": np.array(0.1, np.float32),
        "zero": np.array(128 if kind is np.uint8 else 0, kind),
        "zero_weight": np.array(0, np.int8),
        "lowest": np.array(lowest, kind),
        "w1": random.integers(-9, 9, (8, 3, 3, 3), np.int8),
        "w2": random.integers(-9, 9, (4, 8, 3, 3), np.int8),
    }
    graph = onnx.helper.make_graph(
        nodes,
        "toy",
        [value("frame", onnx.TensorProto.UINT8, [1, 8, 8, 3])],
        [value("probabilities", onnx.TensorProto.FLOAT, [1, 4])],
        [constant(array, name) for name, array in constants.items()],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def fused(tmp_path: Path) -> Path:
    return write_graph(tmp_path / "model.onnx", lowest=0)


def test_onnx_runtime_counts_what_it_fused_and_names_the_rest_without_the_preprocessing(fused: Path) -> None:
    pytest.importorskip("onnxruntime")
    assert count_int8_layers("onnxruntime", fused, INPUT) == Int8Count(int8_layers=1, layers=2, float_layers=("conv_2",))


def test_a_zero_point_that_leaves_the_activation_in_place_loses_a_layer(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    count = count_int8_layers("onnxruntime", write_graph(tmp_path / "model.onnx", lowest=-5), INPUT)
    assert str(count) == "0 of 2"


def test_a_name_that_is_no_tensor_leaves_nothing_out(fused: Path) -> None:
    pytest.importorskip("onnxruntime")
    count = count_int8_layers("onnxruntime", fused, "elsewhere")
    assert count == Int8Count(int8_layers=1, layers=3, float_layers=("mix_colours", "conv_2"))


def test_openvino_counts_what_it_runs_without_the_preprocessing(fused: Path) -> None:
    pytest.importorskip("openvino")
    count = count_int8_layers("openvino", fused, INPUT)
    assert count is not None
    assert count.layers == 2
    assert count.int8_layers + len(count.float_layers) == 2


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_bytes_are_counted_as_the_file_is_and_nothing_is_left_behind(
    fused: Path, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(backend)
    monkeypatch.chdir(tmp_path)
    proved = ModelBytes(path="model.onnx", graph=fused.read_bytes())
    assert count_int8_layers(backend, proved, INPUT) == count_int8_layers(backend, fused, INPUT)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_float_graph_has_no_int8_layer(networks: ModuleType, backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    networks.export(networks.inverted(), tmp_path / "fp32")
    count = count_int8_layers(backend, tmp_path / "fp32/model.onnx", INPUT)
    assert count is not None
    assert (count.int8_layers, count.layers, len(count.float_layers)) == (0, 9, 9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_can_be_asked(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(BACKENDS[backend].library)
    with raises(ModelError, "E_MODEL_FILE_MISSING"):
        count_int8_layers(backend, tmp_path / f"model{BACKENDS[backend].suffixes[0]}", INPUT)


def test_an_unknown_backend_is_refused(fused: Path) -> None:
    with raises(ConfigError, "E_CONFIG_CHOICE", says="onnxruntim"):
        count_int8_layers("onnxruntim", fused, INPUT)


class TestNodes:
    def test_nodes_are_read_as_onnx_reads_them(self, fused: Path) -> None:
        read = read_nodes(fused.read_bytes(), "model.onnx")
        wanted = [(n.name, n.op_type, tuple(n.input), tuple(n.output)) for n in onnx.load(fused).graph.node]
        assert [(n.name, n.kind, n.reads, n.writes) for n in read] == wanted
        assert len(read) == 16

    def test_what_makes_a_tensor_is_found(self, fused: Path) -> None:
        nodes = read_nodes(fused.read_bytes(), "model.onnx")
        assert [n.name for n in makers_of(nodes, INPUT)] == ["cast", "mix_colours", "planes"]
        assert makers_of(nodes, "elsewhere") == ()

    def test_bytes_cut_anywhere_are_refused_or_hold_fewer_nodes(self, fused: Path) -> None:
        data = fused.read_bytes()
        whole = read_nodes(data, "model.onnx")
        for size in range(1, len(data), 7):
            with contextlib.suppress(ModelError):
                assert read_nodes(data[:size], "model.onnx") in ((), whole)
        with raises(ModelError, "E_MODEL_ONNX_FILE"):
            read_nodes(data[: len(data) // 2], "model.onnx")

    def test_a_blocked_or_fused_convolution_keeps_the_name_of_its_operator(self, fused: Path) -> None:
        pytest.importorskip("onnxruntime")
        kinds = {node.kind for node in fused_nodes(fused)}
        assert "QLinearConv" in kinds
        assert "Relu" not in kinds, "the first is absorbed, the second is fused"


class TestEngines:
    def layer(self, name: str, kind: str, *reads: str) -> EngineLayer:
        return EngineLayer(name=name, kind=kind, reads=reads, writes=("fp16",))

    def test_an_engine_is_counted_by_what_its_weighted_layers_read(self) -> None:
        layers = (
            self.layer("a", "CaskConvolution", "int8"),
            self.layer("b", "CaskConvolution", "fp16"),
            self.layer("c", "CaskGemm", "int8"),
            self.layer("d", "Reformat", "fp16"),
        )
        assert count_engine(layers) == Int8Count(int8_layers=2, layers=3, float_layers=("b",))

    def test_an_engine_that_tells_no_types_is_not_counted_as_zero(self) -> None:
        assert count_engine((self.layer("a", ""),)) is None
        assert count_engine(()) is None
