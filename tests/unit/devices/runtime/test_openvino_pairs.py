"""OpenVINO answers a graph with Q/DQ pairs as it is written, a concatenation in front of one included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weckd_edge.devices.runtime.backends import openvino_backend
from weckd_edge.devices.runtime.backends.openvino_pairs import gather_pairs

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
ov = pytest.importorskip("openvino")

SCALE = 0.05


@pytest.fixture
def concatenation(tmp_path: Path) -> Path:
    """Two convolutions, put together, rounded, and read by a third one."""
    random, helper = np.random.default_rng(0), onnx.helper
    constants: dict[str, Any] = {f"w{k}": random.normal(0, 0.3, (8, 4, 1, 1)).astype(np.float32) for k in (0, 1)}
    weights = random.normal(0, 0.1, (8, 16, 3, 3)).astype(np.float32)
    steps = np.abs(weights).max((1, 2, 3)) / 127
    constants |= {"w2": weights, "steps": steps, "zeros": np.zeros(8, np.int8)}
    constants |= {"scale": np.float32(SCALE), "zero": np.int8(0)}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"]),
        helper.make_node("Conv", ["x", "w1"], ["b"]),
        helper.make_node("Relu", ["a"], ["c"]),
        helper.make_node("Concat", ["c", "b"], ["d"], axis=1),
        helper.make_node("QuantizeLinear", ["d", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["e"]),
        helper.make_node("QuantizeLinear", ["w2", "steps", "zeros"], ["wq"], axis=0),
        helper.make_node("DequantizeLinear", ["wq", "steps", "zeros"], ["wd"], axis=0),
        helper.make_node("Conv", ["e", "wd"], ["y"], pads=[1, 1, 1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "concatenation",
        [helper.make_tensor_value_info("x", 1, [1, 4, 8, 8])],
        [helper.make_tensor_value_info("y", 1, [1, 8, 8, 8])],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_layer_behind_a_concatenation_reads_what_was_rounded(concatenation: Path) -> None:
    x = np.random.default_rng(1).normal(size=(1, 4, 8, 8)).astype(np.float32)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(concatenation), options, providers=["CPUExecutionProvider"])
    wanted = session.run(None, {"x": x})[0]
    model = openvino_backend.read_ov_model(ov, concatenation)
    got = ov.Core().compile_model(model, "CPU", openvino_backend.settings_for(threads=1))([x])[0]
    assert np.abs(wanted).max() > 1
    np.testing.assert_allclose(got, wanted, atol=0.02)


def test_pairs_of_one_scale_become_one_operator_and_keep_the_names_of_their_tensors(concatenation: Path) -> None:
    model = ov.Core().read_model(str(concatenation))
    assert gather_pairs(ov, model) == 1, "the weights' pair has a scale a channel"
    (rounded,) = [op for op in model.get_ordered_ops() if "e" in op.output(0).get_names()]
    assert rounded.get_type_name() == "FakeQuantize"
    edges = [float(rounded.input_value(at).get_node().get_data().reshape(-1)[0]) for at in range(1, 5)]
    assert edges == pytest.approx([-128 * SCALE, 127 * SCALE] * 2)
