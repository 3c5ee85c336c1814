"""What a backend's message means of an int8 graph, and what is left in floating point next."""

from __future__ import annotations

import pytest

from weckd_edge.compile.quantize.candidates.refused_nodes import layers_to_leave_in_float
from weckd_edge.core.errors import ModelError

onnx = pytest.importorskip("onnx")

GRAPH = """
<ir_version: 8, opset_import: ["" : 17]>
toy (float[1,4,8,8] x, float s, int8 z, float[4,4,1,1] w, float[8,8] m) => (float[1,4,8,8] y) {
  xq = QuantizeLinear(x, s, z) xd = DequantizeLinear(xq, s, z)
  conv_output = Conv(xd, w)
  aq = QuantizeLinear(conv_output, s, z) ad = DequantizeLinear(aq, s, z)
  wq = QuantizeLinear(m, s, z) wd = DequantizeLinear(wq, s, z)
  product = MatMul(ad, wd)
  bq = QuantizeLinear(product, s, z) bd = DequantizeLinear(bq, s, z)
  y = Add(bd, ad)
}
"""
NAMES = {"conv_output": "/block/conv", "product": "/block/conv_2/MatMul", "y": "/block/Add", "wq": "/block/weights_Quantize"}


@pytest.fixture
def graph() -> object:
    model = onnx.parser.parse_model(GRAPH)
    for node in model.graph.node:
        node.name = NAMES.get(node.output[0], f"pair_of_{node.output[0]}")
    return model.graph


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("Error Code 4: node /block/Add has no implementation", {"/block/Add"}),
        ("cannot build /block/conv_2/MatMul", {"/block/conv_2/MatMul"}),
        ("Quantized constant (/block/weights_Quantize_codes) is only allowed before DQ", {"/block/conv_2/MatMul"}),
        ("/block/conv and then /block/Add", {"/block/conv", "/block/Add"}),
    ],
)
def test_what_a_message_names_is_left_and_of_names_within_each_other_the_longest(
    graph: object, message: str, left: set[str]
) -> None:
    assert set(layers_to_leave_in_float(ModelError(message, code="E_MODEL_GRAPH"), graph)) == left  # type: ignore[arg-type]  # of an optional library


def test_the_error_that_a_message_was_cut_from_is_read_too(graph: object) -> None:
    error = ModelError("cannot be built", code="E_MODEL_GRAPH")
    error.__cause__ = RuntimeError("While validating ONNX node '<Node(Add): /block/Add>'")
    assert layers_to_leave_in_float(error, graph) == ("/block/Add",)  # type: ignore[arg-type]  # of an optional library


def test_where_nothing_is_named_layers_stay_int8_then_convolutions_then_nothing_is_left_to_try(graph: object) -> None:
    error = ModelError("out of range", code="E_MODEL_GRAPH")
    assert layers_to_leave_in_float(error, graph) == ("/block/Add",)  # type: ignore[arg-type]  # of an optional library
    nodes = list(graph.node)  # type: ignore[attr-defined]  # of an optional library
    (add,) = [node for node in nodes if node.op_type == "Add"]
    add.input[:] = ["product", "conv_output"]
    assert layers_to_leave_in_float(error, graph) == ("/block/conv_2/MatMul",)  # type: ignore[arg-type]  # of an optional library
    (product,) = [node for node in nodes if node.op_type == "MatMul"]
    product.input[:] = ["conv_output", "m"]
    assert layers_to_leave_in_float(error, graph) == ()  # type: ignore[arg-type]  # of an optional library
