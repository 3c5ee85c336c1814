"""Every Q/DQ rule, broken on purpose, is named with its node; a sound graph breaks none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.errors import raises
from weckd_edge.compile.quantize.qdq_rules import WHOLE_GRAPH, Violation, check_rules, find_violations, require_rules
from weckd_edge.core.errors import ModelError

onnx = pytest.importorskip("onnx")

SETTINGS = settings(derandomize=True, deadline=None, max_examples=60)
NAMES = ("q_image", "dq_image", "q_weights", "dq_weights")
Break = Callable[[Any], None]


def sound() -> Any:
    """A convolution of an int8 image with int8 weights of four channels."""
    node, tensor = onnx.helper.make_node, onnx.numpy_helper.from_array
    pair = ("QuantizeLinear", "DequantizeLinear")
    nodes = [
        node(pair[0], ["image", "s_image", "z_image"], ["image_q"], name="q_image"),
        node(pair[1], ["image_q", "s_image", "z_image"], ["image_dq"], name="dq_image"),
        node(pair[0], ["weights", "s_weights", "z_weights"], ["weights_q"], name="q_weights", axis=0),
        node(pair[1], ["weights_q", "s_weights", "z_weights"], ["weights_dq"], name="dq_weights", axis=0),
        node("Conv", ["image_dq", "weights_dq"], ["answer"], name="conv"),
    ]
    constants = [
        tensor(np.array(0.02, np.float32), "s_image"),
        tensor(np.array(0, np.int8), "z_image"),
        tensor(np.ones((4, 3, 1, 1), np.float32), "weights"),
        tensor(np.full(4, 0.01, np.float32), "s_weights"),
        tensor(np.zeros(4, np.int8), "z_weights"),
    ]
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, 5, 5])
    answer = onnx.helper.make_tensor_value_info("answer", onnx.TensorProto.FLOAT, [1, 4, 5, 5])
    graph = onnx.helper.make_graph(nodes, "toy", [image], [answer], constants)
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)


def node(model: Any, name: str) -> Any:
    return next(n for n in model.graph.node if n.name == name)


def put(model: Any, name: str, value: Any) -> None:
    """Replace a constant."""
    (old,) = [t for t in model.graph.initializer if t.name == name]
    old.CopyFrom(onnx.numpy_helper.from_array(np.asarray(value), name))


def drop_zero_points(model: Any) -> None:
    for name in ("q_image", "dq_image"):
        del node(model, name).input[2:]


def compute_the_scale(model: Any) -> None:
    model.graph.node.insert(0, onnx.helper.make_node("Abs", ["s_image"], ["s_computed"], name="abs"))
    for name in ("q_image", "dq_image"):
        node(model, name).input[1] = "s_computed"


def read_by_another(model: Any) -> None:
    model.graph.node.append(onnx.helper.make_node("Cast", ["image_q"], ["more"], name="cast", to=1))


def read_across_a_reshape(model: Any) -> None:
    model.graph.node.insert(1, onnx.helper.make_node("Identity", ["image_q"], ["image_i"], name="identity"))
    node(model, "dq_image").input[0] = "image_i"


def dequantize_a_constant(model: Any) -> None:
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 3, 1, 1), np.int8), "stored"))
    node(model, "dq_weights").input[0] = "stored"
    model.graph.node.remove(node(model, "q_weights"))


def dequantize_an_input(model: Any) -> None:
    model.graph.node.remove(node(model, "q_image"))
    node(model, "dq_image").input[0] = "image"


BOTH, WEIGHTS = ("q_image", "dq_image"), ("q_weights", "dq_weights")
BROKEN: dict[str, tuple[Break, tuple[str, ...], str]] = {
    "uint8": (lambda m: put(m, "z_image", np.uint8(0)), BOTH, "its zero point must be int8, not uint8"),
    "uint8, not 0": (lambda m: put(m, "z_image", np.uint8(128)), BOTH, "its zero point must be int8, not uint8"),
    "int16": (lambda m: put(m, "z_image", np.int16(0)), BOTH, "its zero point must be int8, not int16"),
    "an offset": (lambda m: put(m, "z_image", np.int8(-3)), BOTH, "its zero point must be 0 (symmetric)"),
    "an offset of one channel": (
        lambda m: put(m, "z_weights", np.array([0, 0, 1, 0], np.int8)),
        WEIGHTS,
        "its zero point must be 0 (symmetric)",
    ),
    "no zero point": (drop_zero_points, BOTH, "it must name a zero point: without one its type is uint8"),
    "a scale a channel": (
        lambda m: put(m, "s_image", np.full(3, 0.02, np.float32)),
        BOTH,
        "an activation takes one scale for the whole tensor, it has 3",
    ),
    "a computed scale": (compute_the_scale, BOTH, "its scale must be a constant, 's_computed' is none"),
    "scale 0": (lambda m: put(m, "s_image", np.float32(0)), BOTH, "its scale must be finite and over 0"),
    "scale under 0": (lambda m: put(m, "s_image", np.float32(-0.1)), BOTH, "its scale must be finite and over 0"),
    "scale NaN": (lambda m: put(m, "s_image", np.float32("nan")), BOTH, "its scale must be finite and over 0"),
    "scale infinite": (lambda m: put(m, "s_image", np.float32("inf")), BOTH, "its scale must be finite and over 0"),
    "one channel's scale 0": (
        lambda m: put(m, "s_weights", np.array([0.1, 0.1, 0, 0.1], np.float32)),
        WEIGHTS,
        "its scale must be finite and over 0",
    ),
    "another reader": (read_by_another, ("q_image",), "only DequantizeLinear may read it, Cast does"),
    "DQ of a stored weight": (dequantize_a_constant, ("dq_weights",), "it must stand right behind a QuantizeLinear"),
    "DQ of an input": (dequantize_an_input, ("dq_image",), "it must stand right behind a QuantizeLinear"),
}


def test_a_sound_graph_breaks_no_rule() -> None:
    model = sound()
    onnx.checker.check_model(model, full_check=True)
    assert find_violations(model) == ()
    require_rules(model)


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_rule_is_named_with_its_node(what: str) -> None:
    spoil, nodes, rule = BROKEN[what]
    model = sound()
    spoil(model)
    assert find_violations(model) == tuple(Violation(node=name, rule=rule) for name in nodes)
    with raises(ModelError, "E_MODEL_QDQ_RULES") as caught:
        require_rules(model)
    assert str(caught.value).startswith(f"{len(nodes)} Q/DQ nodes break the rules")
    assert f"{nodes[0]}: {rule}" in str(caught.value)


def test_something_between_quantize_and_dequantize_is_blamed_on_both() -> None:
    model = sound()
    read_across_a_reshape(model)
    assert find_violations(model) == (
        Violation(node="q_image", rule="only DequantizeLinear may read it, Identity does"),
        Violation(node="dq_image", rule="it must stand right behind a QuantizeLinear"),
    )


def test_several_broken_rules_of_one_node_are_all_named() -> None:
    model = sound()
    put(model, "s_image", np.array([0.1, -1.0], np.float32))
    put(model, "z_image", np.int8(1))
    read_by_another(model)
    assert [v.rule for v in find_violations(model) if v.node == "q_image"] == [
        "its scale must be finite and over 0",
        "its zero point must be 0 (symmetric)",
        "an activation takes one scale for the whole tensor, it has 2",
        "only DequantizeLinear may read it, Cast does",
    ]


def test_weights_may_have_one_scale_too() -> None:
    model = sound()
    put(model, "s_weights", np.float32(0.01))
    put(model, "z_weights", np.int8(0))
    assert find_violations(model) == ()


def test_the_message_shows_three_nodes_and_counts_all() -> None:
    model = sound()
    put(model, "z_image", np.int8(1))
    put(model, "z_weights", np.ones(4, np.int8))
    with pytest.raises(ModelError) as caught:
        require_rules(model)
    assert str(caught.value).startswith("4 Q/DQ nodes")
    assert [name in str(caught.value) for name in (" (q_image:", "; dq_image:", "; q_weights:", "; dq_weights:")] == [
        *(True, True, True),
        False,
    ]


def test_a_graph_without_pairs_breaks_no_rule() -> None:
    model = sound()
    for name in NAMES:
        model.graph.node.remove(node(model, name))
    assert find_violations(model) == ()


@SETTINGS
@given(
    scales=st.lists(st.floats(2.0**-40, 1e6, width=32), min_size=4, max_size=4),
    scale=st.floats(2.0**-40, 1e6, width=32),
)
def test_whatever_the_scales_a_symmetric_int8_graph_is_sound(scales: list[float], scale: float) -> None:
    model = sound()
    put(model, "s_weights", np.array(scales, np.float32))
    put(model, "s_image", np.float32(scale))
    assert find_violations(model) == ()


@SETTINGS
@given(
    kind=st.sampled_from(["int8", "uint8", "int16", "uint16", "int32"]),
    zero=st.integers(-128, 127),
    scale=st.one_of(st.floats(width=32), st.sampled_from([0.0, -0.0])),
    where=st.sampled_from(["image", "weights"]),
    channel=st.integers(0, 3),
)
def test_a_graph_is_sound_exactly_where_zero_points_are_int8_0_and_scales_finite_and_over_0(
    kind: str, zero: int, scale: float, where: str, channel: int
) -> None:
    model = sound()
    scales, zeros = np.full(4, 0.01, np.float32), np.zeros(4, kind)
    scales[channel], zeros[channel] = scale, np.array(zero).astype(kind)
    if where == "image":
        scales, zeros = scales[channel], zeros[channel]
    put(model, f"s_{where}", scales)
    put(model, f"z_{where}", zeros)
    fine = kind == "int8" and zero == 0 and np.isfinite(scale) and scale > 0
    assert (find_violations(model) == ()) == fine
    assert {v.node for v in find_violations(model)} == (set() if fine else {f"q_{where}", f"dq_{where}"})


@SETTINGS
@given(spoilt=st.lists(st.sampled_from(["z_image", "z_weights", "s_image", "s_weights"]), unique=True))
def test_violations_come_in_graph_order(spoilt: list[str]) -> None:
    model = sound()
    for name in spoilt:
        put(model, name, (np.ones if name[0] == "z" else np.zeros)((), np.int8 if name[0] == "z" else np.float32))
    found = [v.node for v in find_violations(model)]
    assert found == sorted(found, key=NAMES.index)
    assert set(found) == {f"{q}_{name[2:]}" for name in spoilt for q in ("q", "dq")}


class Builder:
    """Small int8 networks, node by node."""

    def __init__(self, *, frame: int = onnx.TensorProto.FLOAT, opset: int = 17, channels: int = 16) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.opset, self.channels = opset, channels
        self.input = onnx.helper.make_tensor_value_info("x", frame, [1, channels, 8, 8])

    def add(self, kind: str, *inputs: str, name: str, **attributes: Any) -> str:
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), [f"{name}_out"], name=name, **attributes))
        return f"{name}_out"

    def constant(self, name: str, value: Any) -> str:
        self.constants.append(onnx.numpy_helper.from_array(np.asarray(value), name))
        return name

    def pair(self, tensor: str, name: str, kind: Any = np.float32) -> str:
        scale, zero = self.constant(f"{name}_s", kind(0.5)), self.constant(f"{name}_z", np.int8(0))
        return self.add(
            "DequantizeLinear",
            self.add("QuantizeLinear", tensor, scale, zero, name=f"{name}_q"),
            scale,
            zero,
            name=f"{name}_dq",
        )

    def conv(
        self, tensor: str, name: str, shape: tuple[int, ...] = (16, 16, 3, 3), *, group: int = 1, int8: bool = True
    ) -> str:
        weights = self.constant(f"{name}_w", np.ones(shape, np.float32))
        return self.add("Conv", tensor, self.pair(weights, f"{name}_w") if int8 else weights, name=name, group=group)

    def model(self, output: str) -> Any:
        answer = onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)
        graph = onnx.helper.make_graph(self.nodes, "toy", [self.input], [answer], self.constants)
        return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", self.opset)])


def said(model: Any, version: str = "10.3.0") -> list[tuple[str, str, str]]:
    return [(found.severity, found.node, found.rule) for found in check_rules(model, tensorrt=version)]


def test_a_fused_network_has_nothing_to_report() -> None:
    b = Builder()
    skip = b.pair("x", "in")
    act = b.add("Relu", b.conv(skip, "one"), name="act")
    total = b.add("Add", b.conv(b.pair(act, "mid"), "two"), skip, name="sum")
    model = b.model(b.pair(b.add("Relu", total, name="end"), "out"))
    assert check_rules(model, tensorrt="10.3.0") == ()
    assert check_rules(model) == ()


def test_a_pair_between_a_convolution_and_its_activation_is_named() -> None:
    b = Builder()
    model = b.model(b.add("Relu", b.pair(b.conv(b.pair("x", "in"), "one"), "mid"), name="act"))
    ((severity, node_name, rule),) = said(model)
    assert (severity, node_name) == ("fusion", "mid_q")
    assert rule.startswith("a pair between one and its activation act splits")
    assert find_violations(model, tensorrt="10.3.0") == ()
    assert check_rules(model) == ()


def test_a_pair_between_a_convolution_and_a_sum_is_named() -> None:
    b = Builder()
    skip = b.pair("x", "in")
    model = b.model(b.add("Add", b.pair(b.conv(skip, "one"), "mid"), skip, name="sum"))
    assert said(model) == [("fusion", "mid_q", "a pair between one and the sum sum splits what is one kernel; leave it out")]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_skip_branch_that_is_not_quantized_is_named(order: tuple[int, int]) -> None:
    b = Builder()
    branches = (b.conv(b.pair("x", "in"), "one"), "x")
    model = b.model(b.add("Add", *(branches[at] for at in order), name="sum"))
    assert said(model) == [
        ("fusion", "sum", "its other branch 'x' must be quantized too, or one writes floating point"),
    ]


def test_weights_left_in_floating_point_are_named() -> None:
    b = Builder()
    assert said(b.model(b.conv(b.pair("x", "in"), "one", int8=False))) == [
        ("fusion", "one", "its input is quantized and its weights are not: it runs in floating point"),
    ]


@pytest.mark.parametrize(
    ("channels", "shape", "group", "told"),
    [
        (24, (16, 24, 1, 1), 1, ["24 input channels"]),
        (16, (20, 16, 1, 1), 1, ["20 output channels"]),
        (24, (20, 24, 1, 1), 1, ["24 input and 20 output channels"]),
        (3, (16, 3, 3, 3), 1, []),
        (16, (16, 1, 3, 3), 16, []),
        (16, (16, 1, 1, 3), 16, ["a depthwise 1x3 convolution has no fast int8 kernel"]),
        (16, (16, 1, 2, 2), 16, ["a depthwise 2x2 convolution"]),
        (16, (16, 4, 3, 3), 4, ["4 groups run apart in int8"]),
    ],
)
def test_what_tensorrt_runs_badly_is_advice_and_no_error(
    channels: int, shape: tuple[int, ...], group: int, told: list[str]
) -> None:
    b = Builder(channels=channels)
    found = said(b.model(b.conv(b.pair("x", "in"), "one", shape, group=group)))
    assert [severity for severity, _, _ in found] == ["advice"] * len(told)
    for (_, node_name, rule), words in zip(found, told, strict=True):
        assert node_name == "one"
        assert rule.startswith(words)
    assert find_violations(b.model("one_out"), tensorrt="10.3.0") == ()


def test_a_quantizer_that_nothing_reads_back_is_named() -> None:
    b = Builder()
    out = b.add("QuantizeLinear", "x", b.constant("s", np.float32(1)), b.constant("z", np.int8(0)), name="q")
    assert find_violations(b.model(out)) == (
        Violation(node="q", rule="a DequantizeLinear must read it; the graph's output is floating point"),
    )


def test_weights_quantized_along_another_axis_are_named() -> None:
    model = sound()
    for name in WEIGHTS:
        node(model, name).attribute[0].i = 1
    assert Violation(
        node="dq_weights", rule="a convolution's weights take one scale an output channel, axis 0; its axis is 1"
    ) in find_violations(model)


@pytest.mark.parametrize(
    ("opset", "version", "newest"), [(18, "8.6.2", 17), (21, "10.3.0", 20), (23, "10.9.0", 22), (25, "10.16.2", 24)]
)
def test_an_opset_that_the_version_does_not_read_is_named(opset: int, version: str, newest: int) -> None:
    b = Builder(opset=opset)
    model = b.model(b.conv(b.pair("x", "in"), "one"))
    assert ("error", WHOLE_GRAPH, f"opset {opset}: TensorRT {version} reads up to {newest}") in said(model, version)
    model.opset_import[0].version = newest
    assert not [found for found in said(model, version) if found[0] == "error"]


def test_half_scales_need_their_opset_and_their_version() -> None:
    b = Builder(opset=17)
    model = b.model(b.conv(b.pair("x", "in", np.float16), "one"))
    rules = [rule for severity, _, rule in said(model, "8.6.2") if severity == "error"]
    assert rules == [
        "an FP16 scale needs opset 19 or newer, the graph is of 17",
        "TensorRT 8.6.2 takes FP32 scales; FP16 ones from 10.0 on",
    ]


def test_single_scales_are_advised_against_where_types_are_strong() -> None:
    b = Builder()
    model = b.model(b.conv(b.pair("x", "in"), "one"))
    ((severity, where, rule),) = said(model, "10.13.3")
    assert (severity, where) == ("advice", WHOLE_GRAPH)
    assert "use the FP16 form" in rule


def test_a_uint8_frame_must_be_cast_first_and_by_a_version_that_can() -> None:
    b = Builder(frame=onnx.TensorProto.UINT8)
    b.add("Transpose", "x", name="turn", perm=[0, 1, 3, 2])
    model = b.model(b.conv(b.pair(b.add("Cast", "x", name="cast", to=1), "in"), "one"))
    assert said(model, "10.3.0") == [("error", "turn", "TensorRT's parser refuses Transpose of uint8; cast the frame first")]
    assert ("error", "cast", "TensorRT 8.5.2 cannot cast uint8 (8.6 can); take a float frame") in said(model, "8.5.2")


def test_stored_int8_weights_are_read_from_10_on() -> None:
    model = sound()
    dequantize_a_constant(model)
    assert find_violations(model, tensorrt="10.0.1") == ()
    assert [v.node for v in find_violations(model, tensorrt="8.6.2")] == ["dq_weights"]


def test_errors_come_first_then_what_is_not_fused_then_advice() -> None:
    b = Builder(channels=24, opset=21)
    model = b.model(b.add("Add", b.conv(b.pair("x", "in"), "one", (24, 24, 3, 3)), "x", name="sum"))
    assert [severity for severity, _, _ in said(model)] == ["error", "fusion", "advice"]
