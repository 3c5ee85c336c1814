"""Every Q/DQ rule, broken on purpose, is named with its node; a sound graph breaks none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weckd_edge.compile.qdq_rules import Violation, find_violations, require_rules
from weckd_edge.errors import ModelError

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
    with pytest.raises(ModelError, match=r"quantize it again$") as caught:
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
