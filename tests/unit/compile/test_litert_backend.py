"""A graph as a .tflite file: every operator computes what ONNX Runtime's does, in floating point and in int8."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from support.errors import raises
from support.machines.int8 import needs_exact_int8
from weckd_edge.core.errors import ModelError
from weckd_edge.core.store import sha256_file
from weckd_edge.devices.runtime.backends.table import open_runner

pytest.importorskip("ai_edge_litert")
ort = pytest.importorskip("onnxruntime")
quantization = pytest.importorskip("onnxruntime.quantization")

from weckd_edge.compile.backends.litert_backend import build_tflite, translate  # noqa: E402 - needs the libraries

SIDE, CLASSES = 12, 3


class Net:
    """A small network that is being put together, from pixels to probabilities."""

    def __init__(self, mean: Any = 128.0) -> None:
        self.random = np.random.default_rng(3)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        planes = self.add("Transpose", self.add("Cast", "pixels", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
        self.image = self.add("Sub", planes, self.put(np.asarray(mean, np.float32)))

    def put(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def conv(self, source: str, wide: int, out: int, side: int = 3, *, group: int = 1, **attributes: Any) -> str:
        spread = 1.5 / np.sqrt(wide // group * side * side) * (0.02 if source == self.image else 1.0)
        weights = self.put((self.random.standard_normal((out, wide // group, side, side)) * spread).astype(np.float32))
        bias = self.put((self.random.standard_normal(out) * 0.1).astype(np.float32))
        return self.add("Conv", source, weights, bias, group=group, **attributes)

    def model(self, features: str, width: int) -> ModelProto:
        pooled = self.add("Flatten", self.add("GlobalAveragePool", features))
        weights = self.put((self.random.standard_normal((CLASSES, width)) * 0.7).astype(np.float32))
        logits = self.add("Gemm", pooled, weights, self.put(np.zeros(CLASSES, np.float32)), transB=1)
        output = self.add("Softmax", logits, axis=1)
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("pixels", TensorProto.UINT8, [1, SIDE, SIDE, 3])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, CLASSES])],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(made)
        return made


def stem(net: Net, act: str = "Relu", **attributes: Any) -> str:
    return net.add(act, net.conv(net.image, 3, 8, **(attributes or {"pads": [1, 1, 1, 1]})))


def clip6(net: Net, source: str) -> str:
    return net.add("Clip", source, net.put(np.array(0, np.float32)), net.put(np.array(6, np.float32)))


def plain(net: Net) -> str:
    return stem(net)


def as_tensorflow_pads(net: Net) -> str:
    return net.conv(stem(net), 8, 8, strides=[2, 2], pads=[0, 0, 1, 1])


def as_pytorch_pads(net: Net) -> str:
    return net.conv(stem(net), 8, 8, strides=[2, 2], pads=[1, 1, 1, 1])


def depthwise(net: Net) -> str:
    return net.conv(clip6(net, net.conv(stem(net), 8, 8, group=8, pads=[1, 1, 1, 1])), 8, 8, 1)


def depthwise_twofold(net: Net) -> str:
    return net.conv(net.add("Relu", net.conv(stem(net), 8, 16, group=8, strides=[2, 2], pads=[1, 1, 1, 1])), 16, 8, 1)


def grouped(net: Net) -> str:
    return net.conv(stem(net), 8, 8, group=2, pads=[1, 1, 1, 1])


def dilated(net: Net) -> str:
    return net.conv(stem(net), 8, 8, dilations=[2, 2], pads=[2, 2, 2, 2])


def residual(net: Net) -> str:
    first = stem(net)
    return net.add("Relu", net.add("Add", first, net.conv(first, 8, 8, pads=[1, 1, 1, 1])))


def largest(net: Net) -> str:
    return net.add("MaxPool", stem(net), kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])


def mean_of_windows(net: Net) -> str:
    return net.add("AveragePool", stem(net), kernel_shape=[2, 2], strides=[2, 2])


def hard_swish(net: Net) -> str:
    return net.conv(net.add("HardSwish", net.conv(net.image, 3, 8)), 8, 8, 1)


def gated(net: Net) -> str:
    first = stem(net)
    squeezed = net.add("ReduceMean", first, axes=[2, 3], keepdims=1)
    inner = net.conv(net.add("Relu", net.conv(squeezed, 8, 4, 1)), 4, 8, 1)
    return net.add("Mul", first, net.add("HardSigmoid", inner, alpha=1 / 6, beta=0.5))


def sigmoid_gate(net: Net) -> str:
    first = net.conv(net.image, 3, 8)
    return net.add("Mul", first, net.add("Sigmoid", first))


def square(net: Net) -> str:
    """A map of as many channels as rows and columns."""
    return net.conv(stem(net, pads=[0, 0, 0, 0]), 8, 8)


def scaled_by_channel(net: Net) -> str:
    values = np.linspace(0, 3, 8, dtype=np.float32).reshape(8, 1, 1)
    return net.add("Relu", net.add("Add", net.add("Mul", square(net), net.put(values)), net.put(values[::-1].copy())))


def scaled_by_column(net: Net) -> str:
    return net.add("MaxPool", net.add("Mul", square(net), net.put(np.arange(8, dtype=np.float32))), kernel_shape=[2, 8])


CASES: list[Callable[[Net], str]] = [
    plain,
    as_tensorflow_pads,
    as_pytorch_pads,
    depthwise,
    depthwise_twofold,
    grouped,
    dilated,
    residual,
    largest,
    mean_of_windows,
    hard_swish,
    gated,
    sigmoid_gate,
    scaled_by_channel,
    scaled_by_column,
]
cases = pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)


def write(folder: Path, case: Callable[[Net], str], **settings: Any) -> Path:
    net = Net(**settings)
    path = folder / "model.onnx"
    onnx.save(net.model(case(net), 8), path)
    return path


def frames(count: int = 24) -> NDArray[np.uint8]:
    random = np.random.default_rng(5)
    found = random.integers(0, 256, (count, 1, 3, 3, 3)).repeat(SIDE // 3, 2).repeat(SIDE // 3, 3)
    return np.clip(found + random.integers(-20, 21, (count, 1, SIDE, SIDE, 3)), 0, 255).astype(np.uint8)


def int8(path: Path) -> Path:
    class Frames(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.waiting = iter([{"pixels": frame} for frame in frames()])

        def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
            return next(self.waiting, None)

    model = onnx.load(path)
    made = path.with_name("int8.onnx")
    quantization.quantize_static(
        path,
        made,
        Frames(),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
        nodes_to_exclude=[n.name for n in model.graph.node if n.op_type in ("Cast", "Transpose", "Sub", "Softmax")],
    )
    return made


def predictions(graph: Path, shown: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What LiteRT and ONNX Runtime predict of frames."""
    (ref,) = build_tflite(graph, "fp32", graph.parent).files
    found = []
    for backend, path in (("litert", graph.parent / ref.path), ("onnxruntime", graph)):
        runner = open_runner(backend, path)
        found.append(np.stack([runner.run(frame) for frame in shown]))
        runner.close()
    return found[0], found[1]


@cases
def test_floating_point_predicts_as_onnx_runtime_does(tmp_path: Path, case: Callable[[Net], str]) -> None:
    found, expected = predictions(write(tmp_path, case), frames())
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.05  # frames that differ are told apart


@cases
@needs_exact_int8
def test_int8_predicts_as_onnx_runtime_does(
    tmp_path: Path, case: Callable[[Net], str], recwarn: pytest.WarningsRecorder
) -> None:
    found, expected = predictions(int8(write(tmp_path, case)), frames())
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert np.ptp(expected, axis=0).max() > 0.05


@cases
def test_every_layer_of_an_int8_graph_is_int8(tmp_path: Path, case: Callable[[Net], str]) -> None:
    graph = int8(write(tmp_path, case))
    convolutions = sum(node.op_type in ("Conv", "Gemm") for node in onnx.load(graph).graph.node)
    built = build_tflite(graph, "int8", tmp_path)
    assert (built.int8_layers, built.layers) == (convolutions, convolutions)


@needs_exact_int8
def test_a_layer_that_is_read_in_floating_point_is_not_counted_as_int8(tmp_path: Path) -> None:
    graph = onnx.load(int8(write(tmp_path, residual)))
    nodes = {node.output[0]: node for node in graph.graph.node}
    last = next(node for node in reversed(graph.graph.node) if node.op_type == "Conv")
    reader = next(node for node in graph.graph.node if last.output[0] in node.input)
    dq = next(node for node in graph.graph.node if reader.output[0] in node.input)
    for node in graph.graph.node:
        node.input[:] = [last.output[0] if name == dq.output[0] else name for name in node.input]
    graph.graph.node.remove(dq)
    graph.graph.node.remove(reader)
    assert last.output[0] in nodes
    path = tmp_path / "mixed.onnx"
    onnx.save(graph, path)
    built = build_tflite(path, "int8", tmp_path)
    assert (built.int8_layers, built.layers) == (2, 3)
    found, expected = predictions(path, frames())
    np.testing.assert_allclose(found, expected, atol=0.02)


@pytest.mark.parametrize("mean", [0.0, 128.0, [[[[123.675]], [[116.28]], [[103.53]]]]])
@needs_exact_int8
def test_any_mean_is_taken_off_the_pixels(tmp_path: Path, mean: Any) -> None:
    found, expected = predictions(int8(write(tmp_path, plain, mean=mean)), frames())
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_pixels_with_a_whole_mean_become_codes_without_floating_point(tmp_path: Path) -> None:
    kinds = translate(onnx.load(int8(write(tmp_path, depthwise)))).file.operators
    assert kinds[0] == "QUANTIZE"
    assert "CAST" not in kinds
    assert kinds.count("QUANTIZE") == 1


def test_a_relu_is_computed_inside_its_convolution(tmp_path: Path) -> None:
    for graph in (write(tmp_path, residual), int8(write(tmp_path, residual))):
        assert not {"RELU", "RELU6"} & set(translate(onnx.load(graph)).file.operators)


def test_equal_graphs_give_equal_bytes(tmp_path: Path) -> None:
    graph = int8(write(tmp_path, gated))
    first, second = (translate(onnx.load(graph)).file.to_bytes() for _ in range(2))
    assert first == second


def test_the_record_says_what_was_built(tmp_path: Path) -> None:
    graph = int8(write(tmp_path, plain))
    built = build_tflite(graph, "int8", tmp_path)
    assert (built.backend, built.precision, built.kind) == ("litert", "int8", "model")
    assert built.source_sha256 == sha256_file(graph)
    assert [ref.path for ref in built.files] == ["model.tflite"]
    assert built.backend_version[0].isdigit()


def test_constants_stand_where_the_schema_asks(tmp_path: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    data = translate(onnx.load(write(tmp_path, depthwise))).file.to_bytes()
    model = schema.Model.GetRootAs(data, 0)
    places = []
    for number in range(model.BuffersLength()):
        buffer = model.Buffers(number)
        if buffer.DataLength():
            table = buffer._tab
            places.append(table.Vector(table.Offset(4)))
    assert len(places) > 4
    assert {place % 16 for place in places} == {0}


def resized(net: Net) -> str:
    sizes = net.put(np.array([1, 8, 24, 24], np.int64))
    return net.add("Resize", stem(net), "", "", sizes)


def flattened_map(net: Net) -> str:
    first = stem(net)
    return net.add("Reshape", first, net.put(np.array([1, 8, SIDE * SIDE, 1], np.int64)))


def padded_mean(net: Net) -> str:
    return net.add("AveragePool", stem(net), kernel_shape=[3, 3], pads=[1, 1, 1, 1])


def gated_by_three_axes(net: Net) -> str:
    first = square(net)
    gate = net.add("Reshape", net.add("GlobalAveragePool", first), net.put(np.array([8, 1, 1], np.int64)))
    return net.add("Mul", first, gate)


@pytest.mark.parametrize("case", [resized, flattened_map, padded_mean, gated_by_three_axes], ids=lambda case: case.__name__)
def test_an_operator_that_is_not_written_is_named(tmp_path: Path, case: Callable[[Net], str]) -> None:
    with raises(ModelError, "E_MODEL_OPERATOR", says=case(Net())):
        build_tflite(write(tmp_path, case), "fp32", tmp_path)
