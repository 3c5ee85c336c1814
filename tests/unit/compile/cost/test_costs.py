"""Counts of small graphs against counts by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from support.errors import raises
from weckd_edge.compile.cost.calibration_networks import RECIPES, NetworkRecipe, build_network
from weckd_edge.compile.cost.onnx_costs import count_onnx
from weckd_edge.compile.cost.openvino_ir_costs import count_ir
from weckd_edge.compile.quantize.quantize import quantize_for_timing
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.latency_model.counts import LayerCount, NetworkCounts

SMALL = NetworkRecipe(block="residual", width=16, side=32)


def model(nodes: list[Any], image: list[Any], answer: list[int], **weights: tuple[int, ...]) -> Any:
    """A graph from ``x`` to ``y`` with constants of these shapes."""
    constants = [numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in weights.items()]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [info("x", TensorProto.FLOAT, image)], [info("y", TensorProto.FLOAT, answer)], constants
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def only(counts: NetworkCounts) -> LayerCount:
    (layer,) = counts.layers
    return layer


def test_a_convolution_takes_its_activation_in() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    layer = only(count_onnx(model(nodes, [1, 16, 8, 8], [1, 32, 4, 4], w=(32, 16, 3, 3), b=(32,))))
    assert layer == LayerCount(
        kind="dense",
        precision="float32",
        macs=32 * 16 * 9 * 16,
        in_channels=16,
        out_channels=32,
        window=9,
        out_pixels=16,
        read_bytes=16 * 64 * 4,
        weight_bytes=(32 * 16 * 9 + 32) * 4,
        written_bytes=32 * 16 * 4,
        fused=1,
    )


@pytest.mark.parametrize(
    ("weights", "groups", "pixels", "kind", "macs"),
    [
        ((8, 3, 3, 3), 1, 8, "stem", 8 * 27 * 64),
        ((8, 8, 1, 1), 1, 8, "pointwise", 64 * 64),
        ((8, 1, 3, 3), 8, 8, "depthwise", 8 * 9 * 64),
        ((8, 2, 3, 3), 4, 8, "grouped", 8 * 18 * 64),
        ((8, 8, 1, 1), 1, 1, "fully_connected", 64),
    ],
)
def test_convolutions_are_distinguished(weights: tuple[int, ...], groups: int, pixels: int, kind: str, macs: int) -> None:
    side = weights[2] // 2
    conv = helper.make_node("Conv", ["x", "w"], ["y"], pads=[side] * 4, group=groups)
    shape = [1, weights[1] * groups, pixels, pixels]
    layer = only(count_onnx(model([conv], shape, [1, weights[0], pixels, pixels], w=weights)))
    assert (layer.kind, layer.macs) == (kind, macs)


def test_a_product_with_its_own_sigmoid_is_one_activation() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Sigmoid", ["c"], ["s"]),
        helper.make_node("Mul", ["c", "s"], ["y"]),
    ]
    layer = only(count_onnx(model(nodes, [1, 8, 4, 4], [1, 8, 4, 4], w=(8, 8, 1, 1))))
    assert (layer.kind, layer.curved, layer.fused) == ("pointwise", 8 * 16, 1)


def test_a_residual_sum_goes_into_its_convolution_and_a_gate_stands_alone() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Relu", ["a"], ["r"]),
        helper.make_node("Conv", ["r", "w"], ["b"]),
        helper.make_node("Add", ["b", "r"], ["sum"]),
        helper.make_node("GlobalAveragePool", ["sum"], ["mean"]),
        helper.make_node("Mul", ["sum", "mean"], ["y"]),
    ]
    counts = count_onnx(model(nodes, [1, 8, 4, 4], [1, 8, 4, 4], w=(8, 8, 1, 1)))
    assert [(layer.kind, layer.fused) for layer in counts.layers] == [
        ("pointwise", 1),
        ("pointwise", 1),
        ("pool", 0),
        ("elementwise", 0),
    ]
    assert counts.layers[1].read_bytes == 2 * 8 * 16 * 4
    assert counts.macs == 2 * 64 * 16


def test_what_only_renames_axes_costs_nothing() -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"], transB=1),
    ]
    counts = count_onnx(model(nodes, [1, 8, 4, 4], [1, 5], w=(5, 8)))
    assert [(layer.kind, layer.macs) for layer in counts.layers] == [("pool", 128), ("fully_connected", 40)]


def test_layers_that_are_alike_are_put_together() -> None:
    nodes = [helper.make_node("Conv", [a, "w"], [b]) for a, b in (("x", "1"), ("1", "2"), ("2", "y"))]
    layer = only(count_onnx(model(nodes, [1, 8, 4, 4], [1, 8, 4, 4], w=(8, 8, 1, 1))))
    assert layer.times == 3


def test_only_what_is_behind_a_tensor_is_counted() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["inside"]), helper.make_node("Conv", ["inside", "w"], ["y"])]
    graph = model(nodes, [1, 8, 4, 4], [1, 8, 4, 4], w=(8, 8, 1, 1))
    assert only(count_onnx(graph, behind="inside")).kind == "pointwise"
    with raises(ModelError, "E_MODEL_GRAPH", says=("'insid'", "'inside'")):
        count_onnx(graph, behind="insid")


def test_an_open_shape_is_refused_with_what_to_do() -> None:
    conv = helper.make_node("Conv", ["x", "w"], ["y"])
    graph = model([conv], ["batch", 8, 4, 4], [1, 8, 4, 4], w=(8, 8, 1, 1))
    with raises(ModelError, "E_MODEL_SHAPES", says="[-1, 8, 4, 4]"):
        count_onnx(graph)


def test_quantized_layers_move_a_quarter_of_the_bytes() -> None:
    plain = build_network(SMALL)
    image = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    fp32, int8 = count_onnx(plain), count_onnx(quantize_for_timing(plain, [image]))
    assert (fp32.precision, int8.precision) == ("float32", "int8")
    assert fp32.macs == int8.macs
    dense = [sum(layer.read_bytes * layer.times for layer in c.layers if layer.kind == "dense") for c in (fp32, int8)]
    assert dense[0] == 4 * dense[1]
    weights = [sum(layer.weight_bytes * layer.times for layer in c.layers if layer.kind == "dense") for c in (fp32, int8)]
    assert weights[0] / 4 <= weights[1] < weights[0] / 3  # biases stay


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_network_for_calibration_can_be_built_and_counted(recipe: NetworkRecipe) -> None:
    counts = count_onnx(build_network(recipe))
    assert 2e6 < counts.macs < 5e8
    assert len({recipe.name for recipe in RECIPES}) == len(RECIPES)


@pytest.mark.parametrize(
    "recipe",
    [
        SMALL,
        NetworkRecipe(block="inverted", width=8, side=32, activation="SiLU", gate=True),
        NetworkRecipe(block="partial", width=16, side=32),
        NetworkRecipe(block="dense", width=8, side=32, frame=(48, 64)),
    ],
    ids=lambda recipe: recipe.name,
)
@pytest.mark.parametrize("small", [False, True], ids=["float32", "int8"])
def test_an_ir_counts_as_the_graph_it_was_made_from(recipe: NetworkRecipe, small: bool, tmp_path: Path) -> None:
    ov = pytest.importorskip("openvino")
    from weckd_edge.devices.latency_model.features import FEATURES, features

    graph = build_network(recipe)
    random = np.random.default_rng(0)
    if recipe.frame is None:
        image: Any = random.standard_normal((1, 3, recipe.side, recipe.side)).astype(np.float32)
    else:
        image = random.integers(0, 256, (1, *recipe.frame, 3), dtype=np.uint8)
    graph = quantize_for_timing(graph, [image]) if small else graph
    onnx.save(graph, tmp_path / "g.onnx")
    ov.save_model(ov.Core().read_model(tmp_path / "g.onnx"), tmp_path / "g.xml", compress_to_fp16=False)
    from_graph, from_ir = features(count_onnx(graph)), features(count_ir(tmp_path / "g.xml"))
    assert dict(zip(FEATURES, from_ir, strict=True)) == pytest.approx(dict(zip(FEATURES, from_graph, strict=True)), rel=0.03)


def test_what_is_no_ir_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.xml").write_text("<net/>")
    with raises(ModelError, "E_MODEL_OPENVINO_IR", says="<net>"):
        count_ir(tmp_path / "g.xml")
    with raises(ModelError, "E_FILE_MISSING"):
        count_ir(tmp_path / "none.xml")


def long_chain(kind: str, length: int) -> Any:
    nodes = [helper.make_node(kind, ["x" if n == 0 else f"t{n - 1}"], [f"t{n}"]) for n in range(length)]
    nodes.append(helper.make_node("GlobalAveragePool", [f"t{length - 1}"], ["y"]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "chain", [value("x", 1, [1, 3, 8, 8])], [value("y", 1, [1, 3, 1, 1])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("kind", ["Relu", "Identity"])
def test_a_graph_as_deep_as_allowed_is_counted(kind: str) -> None:
    assert count_onnx(long_chain(kind, 5000)).layers


def test_constants_that_double_are_gone_through_once() -> None:
    model = long_chain("Relu", 1)
    for n in range(60):
        model.graph.node.append(helper.make_node("Add", [f"c{n}", f"c{n}"], [f"c{n + 1}"]))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c0"], value_float=1.0))
    model.graph.node.append(helper.make_node("Add", ["y", "c60"], ["z"]))
    model.graph.output[0].name = "z"
    assert count_onnx(model).layers


def test_a_graph_of_too_many_operators_or_of_parts_that_do_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = long_chain("Relu", 2)
    del broken.graph.node[1].output[:]
    with raises(ModelError, "E_MODEL_GRAPH", "E_MODEL_SHAPES"):
        count_onnx(broken)
    monkeypatch.setattr("weckd_edge.compile.cost.onnx_costs.MAX_NODES", 2)
    with raises(ModelError, "E_MODEL_LIMIT", says=("2", "3")):
        count_onnx(long_chain("Relu", 2))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit"])
def test_macs_are_those_that_torch_counts(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    from torch.utils.flop_counter import FlopCounterMode

    from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput
    from weckd_edge.compile.export.onnx_export import export_onnx

    torch.manual_seed(0)
    side = 160 if name == "test_vit" else 64
    network = timm.create_model(name, num_classes=3).eval()
    spec = InputSpec(
        frame=FrameSpec(height=side, width=side, crop="center"),
        network=NetworkInput(height=side, width=side, mean=(0.5,) * 3, std=(0.5,) * 3),
    )
    for block in network.modules():
        if hasattr(block, "fused_attn"):
            block.fused_attn = False  # torch does not count a fused one on a processor
    exported = export_onnx(network, spec, ("a", "b", "c"), "0" * 64, tmp_path)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 3, side, side))
    graph = onnx.load(tmp_path / exported.onnx.path)
    counted = count_onnx(graph, behind=exported.network_input_name)
    assert counted.macs == counter.get_total_flops() // 2
