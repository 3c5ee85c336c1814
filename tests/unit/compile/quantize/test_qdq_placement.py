"""Which operators get int8 values: layers and what stands between them, and nothing that is only written out in products."""

from __future__ import annotations

import pytest

from weckd_edge.compile.quantize.qdq_placement import left_in_float

onnx = pytest.importorskip("onnx")


def left(body: str, output: str = "float[1,4,8,8] y") -> set[str]:
    """Return the operators that stay in float, named by their outputs, of ``x`` to ``y``."""
    text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[1,4,8,8] x) => ({output}) <{{}}> {{ {body} }}'
    # The parser takes no values of larger tensors: the weights are inputs here, and made constants below.
    heads = "float[4,4,1,1] w, float[4,4] m, float s, float[4] v"
    model = onnx.parser.parse_model(text.replace("x) =>", f"x, {heads}) =>").replace("<{}>", ""))
    graph = model.graph
    for value in list(graph.input)[1:]:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        size = 1
        for dim in dims:
            size *= dim
        graph.initializer.append(onnx.helper.make_tensor(value.name, 1, dims, [1.0] * size))
        graph.input.remove(value)
    for node in graph.node:
        node.name = node.output[0]
    return set(left_in_float(graph))


def test_a_residual_sum_between_convolutions_is_int8() -> None:
    assert left("a = Conv(x, w) b = Conv(a, w) c = Add(a, b) d = Relu(c) y = Conv(d, w)") == set()


def test_a_gate_is_a_product_of_two_int8_values() -> None:
    assert left("p = GlobalAveragePool(x) q = Conv(p, w) g = Sigmoid(q) a = Mul(x, g) y = Conv(a, w)") == set()


@pytest.mark.parametrize(
    ("activation", "products"),
    [
        ("g = Sigmoid(a) b = Mul(a, g)", {"b"}),
        ("d = Div(a, s) e = Erf(d) f = Add(e, s) g = Mul(a, f) b = Mul(g, s)", {"f", "g", "b"}),
        ("c = Mul(a, a) d = Mul(c, a) e = Add(a, d) t = Tanh(e) u = Add(t, s) b = Mul(a, u)", {"c", "d", "e", "u", "b"}),
        ("t = Softplus(a) u = Tanh(t) b = Mul(a, u)", {"b"}),
    ],
    ids=["silu", "gelu", "gelu by tanh", "mish"],
)
def test_an_activation_that_is_written_out_stays_in_float(activation: str, products: set[str]) -> None:
    assert left(f"a = Conv(x, w) {activation} y = Conv(b, w)") == products


def test_scales_and_shifts_by_a_constant_stay_in_float() -> None:
    assert left("a = Conv(x, w) b = Mul(a, s) c = Add(b, s) y = Conv(c, w)") == {"b", "c"}


def test_a_norm_that_is_written_out_stays_in_float_with_its_averages() -> None:
    norm = (
        "m1 = ReduceMean<axes=[-1]>(a) d = Sub(a, m1) q = Mul(d, d) m2 = ReduceMean<axes=[-1]>(q) e = Add(m2, s) "
        "r = Sqrt(e) n = Div(d, r) b = Mul(n, s)"
    )
    assert left(f"a = Conv(x, w) {norm} y = Conv(b, w)") == {"m1", "q", "m2", "e", "b"}


def test_attention_and_the_sums_in_front_of_a_norm_stay_in_float() -> None:
    body = "k = MatMul(x, x) p = Softmax(k) o = MatMul(p, x) r = Add(o, x) n = LayerNormalization(r, v) y = MatMul(n, m)"
    assert left(body.replace(", v)", ", s)").replace(", m)", ", w)")) == {"k", "o", "r"}


def test_an_average_that_no_layer_reads_stays_in_float() -> None:
    assert left("a = Conv(x, w) y = GlobalAveragePool(a)") == {"y"}
