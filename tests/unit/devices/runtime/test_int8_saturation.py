"""Graphs whose 8-bit sums a processor may not hold are found by their weights; every backend adds them up exactly."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from weckd_edge.devices.runtime.backends import int8_saturation, table
from weckd_edge.devices.runtime.backends.base import ModelBytes
from weckd_edge.devices.runtime.backends.int8_saturation import has_wide_weights, would_saturate

onnx = pytest.importorskip("onnx")


def graph_bytes(weights: NDArray[Any], *, zero: int = 0) -> bytes:
    """Return a graph of one matrix product: of int8 weights, or of float ones that the graph quantizes itself."""
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    names = ["w", "scale", "zero"]
    nodes = [helper.make_node("DequantizeLinear", names, ["dequantized"])]
    if weights.dtype == np.float32:
        nodes = [
            helper.make_node("QuantizeLinear", names, ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dequantized"]),
        ]
    nodes.append(helper.make_node("MatMul", ["x", "dequantized"], ["y"]))
    initializers = [tensor(weights, "w"), tensor(np.float32(0.01), "scale"), tensor(np.int8(zero), "zero")]
    ends = [helper.make_tensor_value_info(name, 1, [1, 2]) for name in "xy"]
    written: bytes = helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:], initializers)).SerializeToString()
    return written


def int8(largest: int) -> NDArray[np.int8]:
    return np.array([[largest, 3], [-5, 7]], np.int8)


@pytest.mark.parametrize(
    ("weights", "wide"),
    [(int8(63), False), (int8(64), False), (int8(65), True), (int8(-128), True), (np.eye(2, dtype=np.float32), True)],
)
def test_weights_of_more_than_seven_bits_are_wide(weights: NDArray[Any], wide: bool) -> None:
    assert has_wide_weights(graph_bytes(weights), "g.onnx") is wide


def test_a_zero_point_is_no_weight() -> None:
    assert not has_wide_weights(graph_bytes(int8(63), zero=-128), "g.onnx")


def test_only_a_processor_whose_sums_saturate_minds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = ModelBytes(path="model.onnx", graph=graph_bytes(int8(127)))
    for saturates in (True, False):
        monkeypatch.setattr(int8_saturation, "_saturates_here", lambda saturates=saturates: saturates)
        assert would_saturate(model) is saturates
    monkeypatch.setattr(int8_saturation, "_saturates_here", lambda: True)
    assert not would_saturate(ModelBytes(path="model.xml", graph=b"<net/>"))
    assert not would_saturate(ModelBytes(path="model.onnx", graph=b"no graph"))
    assert not would_saturate(tmp_path / "missing.onnx")


@pytest.mark.parametrize(
    ("backend", "saturates", "as_written"),
    [
        ("openvino", True, True),
        ("openvino", False, False),
        ("onnxruntime", True, False),
        ("onnxruntime", False, False),
    ],
)
def test_such_a_graph_is_computed_as_it_is_written_where_sums_would_saturate(
    monkeypatch: pytest.MonkeyPatch, backend: str, saturates: bool, as_written: bool
) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(int8_saturation, "_saturates_here", lambda: saturates)
    opener = SimpleNamespace(open_model=lambda model, **options: asked.update(options))
    monkeypatch.setattr(table.importlib, "import_module", lambda _: opener)
    monkeypatch.setattr(table, "_computes_in_half", lambda row: False)
    table.open_runner(backend, ModelBytes(path="model.onnx", graph=graph_bytes(int8(127))))
    assert asked["reference"] is as_written


STEP = 32768
LAYERS = {
    "MatMul": {"frame": [1, 4, 16, 1], "x": [1, 64], "w": [64, 8], "y": [1, 8]},
    "Conv": {"frame": [1, 4, 16, 1], "x": [1, 64, 1, 1], "w": [8, 64, 1, 1], "y": [1, 8, 1, 1]},
    "depthwise": {"frame": [1, 4, 12, 3], "x": [1, 16, 3, 3], "w": [16, 1, 3, 3], "y": [1, 16, 1, 1]},
}
"""Layers with their shapes: sums of 64 products, and of 9 in the depthwise convolution."""


def layer_graph(kind: str, activation: str, *, in_float: bool) -> bytes:
    """Return one layer of weights 127 between quantizers; with ``in_float``, it quantizes its weights itself."""
    helper, tensor, shapes = onnx.helper, onnx.numpy_helper.from_array, LAYERS[kind]
    is_conv = kind != "MatMul"
    weights = np.full(shapes["w"], 127, np.float32 if in_float else np.int8)
    scale, zero = (np.ones(shapes["w"][0], np.float32), np.zeros(shapes["w"][0], np.int8)) if is_conv else (1.0, np.int8(0))
    values = {
        "shape": np.array(shapes["x"], np.int64),
        "one": np.float32(1),
        "zero": np.uint8(0) if activation == "uint8" else np.int8(-128),
        "w": weights,
        "w_scale": np.asarray(scale, np.float32),
        "w_zero": zero,
        "y_scale": np.float32(STEP),
    }
    by_channel = {"axis": 0} if is_conv else {}
    make = helper.make_node
    nodes = [
        make("Cast", ["frame"], ["f"], to=1),
        make("Reshape", ["f", "shape"], ["x"]),
        make("QuantizeLinear", ["x", "one", "zero"], ["xq"]),
        make("DequantizeLinear", ["xq", "one", "zero"], ["xd"]),
        *([make("QuantizeLinear", ["w", "w_scale", "w_zero"], ["wq"], **by_channel)] if in_float else []),
        make("DequantizeLinear", ["wq" if in_float else "w", "w_scale", "w_zero"], ["wd"], **by_channel),
        make("Conv" if is_conv else "MatMul", ["xd", "wd"], ["sums"], **({"group": 16} if kind == "depthwise" else {})),
        make("QuantizeLinear", ["sums", "y_scale", "zero"], ["yq"]),
        make("DequantizeLinear", ["yq", "y_scale", "zero"], ["y"]),
    ]
    frame = helper.make_tensor_value_info("frame", onnx.TensorProto.UINT8, shapes["frame"])
    y = helper.make_tensor_value_info("y", 1, shapes["y"])
    constants = [tensor(np.asarray(value), name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "g", [frame], [y], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("in_float", [False, True], ids=["int8 weights", "float weights"])
@pytest.mark.parametrize("activation", ["uint8", "int8"])
@pytest.mark.parametrize("kind", ["MatMul", "Conv", "depthwise"])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_backend_adds_up_wide_weights_exactly(backend: str, kind: str, activation: str, in_float: bool) -> None:
    """Outputs lie within half a step of the sum: on a processor without VNNI, sums that saturate would be half as large."""
    pytest.importorskip(backend)
    runner = table.open_runner(backend, ModelBytes(path="wide.onnx", graph=layer_graph(kind, activation, in_float=in_float)))
    try:
        found = runner.run(np.full(runner.input_shape, 255, np.uint8))
    finally:
        runner.close()
    exact = (9 if kind == "depthwise" else 64) * 255 * 127
    assert np.abs(found - exact).max() <= STEP / 2
