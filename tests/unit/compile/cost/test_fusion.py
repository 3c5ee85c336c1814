"""What TensorRT's published rules say of a parsed network, on networks of a few layers."""

import pytest

from weckd_edge.compile.cost.fusion import Fusion, NetworkLayer, Remark, find_fusions


def layer(kind: str, name: str, *reads: str) -> NetworkLayer:
    return NetworkLayer(name=name, kind=kind, reads=reads, writes=(f"{name}_out",))


def weights(name: str) -> list[NetworkLayer]:
    return [
        layer("CONSTANT", f"{name}_w"),
        layer("QUANTIZE", f"{name}_wq", f"{name}_w_out"),
        layer("DEQUANTIZE", f"{name}_wd", f"{name}_wq_out"),
    ]


def conv(name: str, reads: str) -> list[NetworkLayer]:
    return [*weights(name), layer("CONVOLUTION", name, reads, f"{name}_wd_out")]


def pair(name: str, reads: str) -> list[NetworkLayer]:
    return [layer("QUANTIZE", f"{name}_q", reads), layer("DEQUANTIZE", f"{name}_d", f"{name}_q_out")]


def network(*parts: list[NetworkLayer] | NetworkLayer) -> Fusion:
    return find_fusions([one for part in parts for one in (part if isinstance(part, list) else [part])])


def test_activation_sum_and_largest_pooling_are_taken_in() -> None:
    found = network(
        *(pair("in", "frame"), conv("a", "in_d_out"), layer("ACTIVATION", "relu", "a_out")),
        *(pair("mid", "relu_out"), conv("b", "mid_d_out"), layer("ELEMENTWISE", "sum", "b_out", "in_d_out")),
        *(layer("MAX_POOLING", "pool", "sum_out"), pair("end", "pool_out"), conv("c", "end_d_out")),
    )
    assert found.weighted == ("a", "b", "c")
    assert found.float_in == ()
    assert found.float_out == (Remark(layer="c", why="it is the network's output"),)
    assert found.lone_quantize == (Remark(layer="in_q", why="at the network's input"),)
    assert found.lone_dequantize == ()
    assert found.sentences()[0] == "2 of 3 of them hand on int8 by TensorRT's fusion rules"


@pytest.mark.parametrize(
    ("between", "why"),
    [
        ([layer("SOFTMAX", "s", "a_out")], "s (SOFTMAX) reads it"),
        ([layer("CONSTANT", "k"), layer("ELEMENTWISE", "s", "a_out", "k_out")], "s scales or shifts it"),
        ([layer("ELEMENTWISE", "s", "a_out", "frame")], "the other branch of s is in floating point"),
        ([layer("ACTIVATION", "t", "a_out"), layer("RESIZE", "s", "t_out")], "s (RESIZE) reads it"),
    ],
)
def test_what_stands_between_a_convolution_and_its_quantizer_is_named(between: list[NetworkLayer], why: str) -> None:
    found = network(pair("in", "frame"), conv("a", "in_d_out"), between, pair("end", "s_out"), conv("b", "end_d_out"))
    assert found.float_out[0] == Remark(layer="a", why=why)
    kind = between[-1].kind
    assert Remark(layer="end_q", why=f"behind s ({kind})") in found.lone_quantize


def test_one_reader_in_floating_point_is_enough() -> None:
    found = network(
        *(pair("in", "frame"), conv("a", "in_d_out"), pair("end", "a_out"), layer("SOFTMAX", "look", "a_out")),
        conv("b", "end_d_out"),
    )
    assert found.float_out[0] == Remark(layer="a", why="look (SOFTMAX) reads it")
    assert "end_q" in [remark.layer for remark in found.lone_quantize]


def test_the_bias_of_a_matrix_product_belongs_to_it() -> None:
    found = network(
        *(pair("in", "frame"), weights("a"), layer("MATRIX_MULTIPLY", "a", "in_d_out", "a_wd_out")),
        *(
            layer("CONSTANT", "bias"),
            layer("ELEMENTWISE", "s", "a_out", "bias_out"),
            pair("end", "s_out"),
            conv("b", "end_d_out"),
        ),
    )
    assert [remark.layer for remark in found.float_out] == ["b"]


def test_a_sum_of_two_int8_branches_takes_its_quantizer_in() -> None:
    found = network(
        pair("x", "frame"), pair("y", "other"), layer("ELEMENTWISE", "s", "x_d_out", "y_d_out"), pair("z", "s_out")
    )
    assert [remark.layer for remark in found.lone_quantize] == ["x_q", "y_q"]


def test_a_dequantizer_that_feeds_what_has_no_int8_is_named() -> None:
    found = network(pair("in", "frame"), layer("REDUCE", "mean", "in_d_out"))
    assert found.lone_dequantize == (Remark(layer="in_d", why="mean (REDUCE) reads it"),)


def test_a_convolution_in_floating_point_is_named() -> None:
    found = network(layer("CONSTANT", "w"), layer("CONVOLUTION", "a", "frame", "w_out"))
    assert (found.float_in, found.float_out) == (("a",), ())
    assert found.sentences() == (
        "0 of 0 of them hand on int8 by TensorRT's fusion rules",
        "in floating point read: a",
    )
