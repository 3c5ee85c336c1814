"""Graphs whose 8-bit sums a processor may not hold are found by their weights, and computed in floating point there."""

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


@pytest.mark.parametrize("saturates", [True, False])
def test_such_a_graph_is_computed_as_it_is_written(monkeypatch: pytest.MonkeyPatch, saturates: bool) -> None:
    asked = {}
    monkeypatch.setattr(int8_saturation, "_saturates_here", lambda: saturates)
    opener = SimpleNamespace(open_model=lambda model, **options: asked.update(options))
    monkeypatch.setattr(table.importlib, "import_module", lambda _: opener)
    table.open_runner("onnxruntime", ModelBytes(path="model.onnx", graph=graph_bytes(int8(127))))
    assert asked["reference"] is saturates


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_every_backend_adds_up_wide_weights_exactly(monkeypatch: pytest.MonkeyPatch, backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend)
    monkeypatch.setattr(int8_saturation, "_saturates_here", lambda: True)
    helper, tensor = onnx.helper, onnx.numpy_helper.from_array
    rows = np.full((64, 8), 127, np.int8)
    pair = {"scale": np.float32(1), "zero": np.uint8(0), "one": np.float32(1), "w": rows, "w_zero": np.int8(0)}
    nodes = [
        helper.make_node("Cast", ["frame"], ["f"], to=1),
        helper.make_node("Reshape", ["f", "shape"], ["x"]),
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["w", "one", "w_zero"], ["dw"]),
        helper.make_node("MatMul", ["d", "dw"], ["y"]),
    ]
    constants = [tensor(np.asarray(value), name) for name, value in pair.items()]
    constants.append(tensor(np.array([1, 64], np.int64), "shape"))
    frame = helper.make_tensor_value_info("frame", onnx.TensorProto.UINT8, [1, 4, 16, 1])
    out = helper.make_tensor_value_info("y", 1, [1, 8])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [frame], [out], constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    )
    path = tmp_path / "wide.onnx"
    onnx.save(model, path)
    runner = table.open_runner(backend, path)
    try:
        found = runner.run(np.full((1, 4, 16, 1), 255, np.uint8))
    finally:
        runner.close()
    np.testing.assert_array_equal(found, np.full(8, 64 * 255 * 127, np.float32))
