"""Biases take back what rounding shifts, also of a linear layer; one with a factor is left as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support.graphs.precision_search import SILENT
from weckd_edge.compile.graph import stamp_versions
from weckd_edge.compile.quantize.bias_correction import correct_biases

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - behind the skips

FRAMES = [np.random.default_rng(n).uniform(0, 1, (1, 6)).astype(np.float32) for n in range(8)]


def model(nodes: list[Any], **constants: Any) -> Any:
    info, kept = helper.make_tensor_value_info, [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    ends = [info("x", TensorProto.FLOAT, [1, 6])], [info("y", TensorProto.FLOAT, [1, 3])]
    made = helper.make_model(helper.make_graph(nodes, "net", *ends, kept))
    stamp_versions(made, 17)
    return onnx.shape_inference.infer_shapes(made)


def mean_shift(**factors: float) -> tuple[tuple[str, ...], float]:
    """Correct a linear layer with coarse codes; return what was corrected, and how far its mean output then is off."""
    random = np.random.default_rng(0)
    weights, bias = random.normal(size=(6, 3)).astype(np.float32), random.normal(size=3).astype(np.float32)
    first = helper.make_node("Relu", ["x"], ["r"], "first")
    fp32 = model([first, helper.make_node("Gemm", ["r", "w", "b"], ["y"], "layer", **factors)], w=weights, b=bias)
    nodes = [first]
    for name in ("r", "w"):
        nodes.append(helper.make_node("QuantizeLinear", [name, f"{name}_step", "zero"], [f"{name}_q"], f"{name}_q"))
        nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_step", "zero"], [f"{name}_dq"], f"{name}_dq")
        )
    nodes.append(helper.make_node("Gemm", ["r_dq", "w_dq", "b"], ["y"], "layer", **factors))
    steps = {"r_step": np.float32(0.3), "w_step": np.float32(0.7), "zero": np.int8(0)}
    int8 = model(nodes, w=weights, b=bias, **steps)
    with SILENT.task("correct", len(FRAMES)) as task:
        (corrected,) = correct_biases([int8], fp32, "x", FRAMES, task)

    def mean(graph: Any) -> Any:
        session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
        return np.mean([session.run(None, {"x": frame})[0] for frame in FRAMES], axis=0)

    return corrected, float(np.abs(mean(int8) - mean(fp32)).max())


def test_the_mean_output_of_a_linear_layer_is_that_of_fp32() -> None:
    corrected, shift = mean_shift()
    assert corrected == ("layer",)
    assert shift < 1e-5


@pytest.mark.parametrize("factors", [{"alpha": 0.25}, {"beta": 4.0}, {"alpha": 3.0, "beta": 0.0}])
def test_a_linear_layer_with_a_factor_is_left_as_it_is(factors: dict[str, float]) -> None:
    assert mean_shift(**factors)[0] == ()
