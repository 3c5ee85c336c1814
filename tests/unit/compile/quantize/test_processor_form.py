"""The processor's form: activations absorbed, ranges in uint8, and every convolution fused by ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - behind the skips

from support.errors import raises  # noqa: E402
from support.machines.int8 import needs_exact_int8  # noqa: E402
from weckd_edge.compile.graph import IR_VERSIONS, OPSET, consumers, producers  # noqa: E402
from weckd_edge.compile.quantize.forms import PROCESSOR, TENSORRT, form_for  # noqa: E402
from weckd_edge.compile.quantize.mixed_precision import leave_float  # noqa: E402
from weckd_edge.compile.quantize.qdq_rules import check_rules, find_violations, require_rules  # noqa: E402
from weckd_edge.compile.quantize.quantize import quantize_for_timing  # noqa: E402
from weckd_edge.compile.quantize.ranges import METHODS, Histogram  # noqa: E402
from weckd_edge.core.errors import ModelError  # noqa: E402

SIDE = 8


class Net:
    """A small float network that grows operator by operator; every weight has a value of its own."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def keep(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def conv(self, x: str, inputs: int = 4, outputs: int = 4, side: int = 3, groups: int = 1) -> str:
        shape = (outputs, inputs // groups, side, side)
        weights = self.keep(self.random.normal(size=shape) * (1.5 / (inputs // groups * side**2)) ** 0.5)
        bias = self.keep(self.random.normal(size=outputs) * 0.2)
        return self.add("Conv", x, weights, bias, kernel_shape=[side] * 2, pads=[side // 2] * 4, group=groups)

    def clip(self, x: str, low: float | None = 0.0, high: float | None = 6.0) -> str:
        ends = [self.keep(end) if end is not None else "" for end in (low, high)]
        return self.add("Clip", x, *ends)

    def classify(self, x: str, inputs: int = 4) -> str:
        pooled = self.add("Flatten", self.add("GlobalAveragePool", x), axis=1)
        weights, bias = self.keep(self.random.normal(size=(3, inputs))), self.keep(np.zeros(3))
        return self.add("Gemm", pooled, weights, bias, transB=1)

    def model(self, output: str) -> Any:
        info = helper.make_tensor_value_info
        image, logits = info("x", TensorProto.FLOAT, [1, 3, SIDE, SIDE]), info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [image], [logits], self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSIONS[OPSET])
        return onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)


def images(count: int = 12) -> list[Any]:
    random = np.random.default_rng(5)
    coarse = random.normal(size=(count, 1, 3, 2, 2)).astype(np.float32)
    return [image.repeat(SIDE // 2, axis=2).repeat(SIDE // 2, axis=3) for image in coarse]


def processor(model: Any) -> Any:
    return quantize_for_timing(model, images(), PROCESSOR)


def run(model: Any, *, fused: bool = True) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not fused:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": image})[0].reshape(1, -1) for image in images()])


def fused_kinds(model: Any, folder: Path) -> Counter[str]:
    """Count the operators of the graph that ONNX Runtime makes of a model."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Counter(node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node)


def kinds(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def constants(model: Any) -> dict[str, Any]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def quantizers(model: Any) -> dict[str, tuple[float, Any]]:
    """Return the scale and the zero point of each activation's Q, by the tensor that it reads."""
    values = constants(model)
    return {
        node.input[0]: (values[node.input[1]].item(), values[node.input[2]])
        for node in model.graph.node
        if node.op_type == "QuantizeLinear"
    }


# Ranges.


def seen(*values: float) -> Histogram:
    histogram = Histogram()
    histogram.add(np.array(values, np.float32))
    return histogram


@pytest.mark.parametrize("method", METHODS)
def test_a_tensor_that_is_never_negative_has_a_range_from_zero_and_one_of_both_signs_is_centred(method: Any) -> None:
    low, high = PROCESSOR.limits(seen(0.0, 1.0, 2.5), method)
    assert low == 0.0
    assert high == pytest.approx(2.5, rel=1e-3)
    low, high = PROCESSOR.limits(seen(-2.0, 2.5), method)
    assert low == pytest.approx(-high * 128 / 127)
    assert TENSORRT.limits(seen(0.0, 1.0, 2.5), method)[0] == pytest.approx(-2.5, rel=1e-3)


def test_a_hardly_negative_tensor_spends_no_codes_on_values_that_it_does_not_have() -> None:
    assert PROCESSOR.limits(seen(-0.375, 4.0), "minmax") == (-0.375, 4.0)
    assert PROCESSOR.limits(seen(-3.0, 0.1), "minmax") == pytest.approx((-3.0 * 128 / 127, 3.0))


def test_each_target_has_its_form() -> None:
    assert (form_for("cpu"), form_for("jetson")) == (PROCESSOR, TENSORRT)


# Absorption.


@pytest.mark.parametrize("activation", ["Relu", "Clip", "Clip without an end"])
@needs_exact_int8
def test_an_activation_that_its_quantizer_alone_reads_is_absorbed(activation: str, tmp_path: Path) -> None:
    net = Net()
    x = net.conv("x", 3)
    x = net.add("Relu", x) if activation == "Relu" else net.clip(x, high=6.0 if activation == "Clip" else None)
    plain = net.model(net.classify(net.conv(x)))
    made = processor(plain)
    assert not {"Relu", "Clip"}.intersection(kinds(made))
    scale, zero = quantizers(made)["Conv0_out"]
    assert (zero.dtype, zero.item()) == (np.uint8, 0)
    assert scale > 0
    assert fused_kinds(made, tmp_path)["QLinearConv"] == 2
    assert np.abs(run(made) - run(plain)).max() < 0.05 * np.abs(run(plain)).max()


@pytest.mark.parametrize(("low", "high"), [(-1.0, 6.0), (None, 1.0)])
@needs_exact_int8
def test_an_activation_that_cuts_where_the_quantizer_does_not_stays(low: float | None, high: float, tmp_path: Path) -> None:
    net = Net()
    plain = net.model(net.classify(net.conv(net.clip(net.conv("x", 3), low, high))))
    made = processor(plain)
    assert "Clip" in kinds(made)
    assert fused_kinds(made, tmp_path)["QLinearConv"] == 2, "a pair stands in front of it"
    assert np.abs(run(made) - run(plain)).max() < 0.05 * np.abs(run(plain)).max()


def test_every_reader_of_a_shared_activation_reads_the_same_codes(tmp_path: Path) -> None:
    net = Net()
    x = net.add("Relu", net.conv("x", 3))
    plain = net.model(net.classify(net.add("Add", net.conv(net.add("Relu", net.conv(x))), x)))
    made = processor(plain)
    assert "Relu" not in kinds(made)
    (q,) = consumers(made.graph)["Conv0_out"]
    assert q.op_type == "QuantizeLinear"
    assert len(consumers(made.graph)[q.output[0]]) == 1, "one pair serves the convolution and the sum"
    found = fused_kinds(made, tmp_path)
    assert (found["QLinearConv"], found["QLinearAdd"]) == (3, 1)


@needs_exact_int8
def test_an_operator_of_floating_point_that_reads_the_activation_too_reads_it_behind_the_pair(tmp_path: Path) -> None:
    net = Net()
    x = net.add("Relu", net.conv("x", 3))
    floating = net.add("Sin", x)
    plain = net.model(net.classify(net.add("Add", net.conv(x), floating)))
    made = processor(plain)
    assert "Relu" not in kinds(made)
    (sine,) = [node for node in made.graph.node if node.op_type == "Sin"]
    assert producers(made.graph)[sine.input[0]].op_type == "DequantizeLinear"
    assert fused_kinds(made, tmp_path)["QLinearConv"] == 2
    assert np.abs(run(made) - run(plain)).max() < 0.05 * np.abs(run(plain)).max()


@needs_exact_int8
def test_a_convolution_before_an_activation_that_is_no_clipping_writes_int8_in_front_of_it(tmp_path: Path) -> None:
    net = Net()
    plain = net.model(net.classify(net.conv(net.add("HardSwish", net.conv("x", 3)))))
    made = processor(plain)
    (swish,) = [node for node in made.graph.node if node.op_type == "HardSwish"]
    assert producers(made.graph)[swish.input[0]].op_type == "DequantizeLinear"
    assert fused_kinds(made, tmp_path)["QLinearConv"] == 2
    assert np.abs(run(made) - run(plain)).max() < 0.05 * np.abs(run(plain)).max()


@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu", "HardSwish"])
def test_a_concatenation_in_front_of_an_activation_writes_int8(activation: str, tmp_path: Path) -> None:
    net = Net()
    first = net.add("Relu", net.conv("x", inputs=3))
    both = net.add("Concat", first, net.add("Relu", net.conv(first)), axis=1)
    float_model = net.model(net.classify(net.conv(net.add(activation, both), inputs=8, side=1)))
    model = processor(float_model)
    assert both in quantizers(model) or activation == "Relu"
    concat = next(node for node in model.graph.node if node.op_type == "Concat")
    assert {node.op_type for node in consumers(model.graph)[concat.output[0]]} == {"QuantizeLinear"}
    assert fused_kinds(model, tmp_path)["QLinearConcat"] == 1
    assert np.abs(run(model) - run(float_model)).max() < 0.1 * np.abs(run(float_model)).max()


# Mixed precision.


def test_a_layer_left_in_float_reads_the_activation_that_was_absorbed() -> None:
    net = Net()
    x = net.clip(net.conv("x", 3), high=1.0)
    plain = net.model(net.classify(net.clip(net.conv(x), high=1.0)))
    made = unstored(plain)
    layers = {node.name for node in made.graph.node if node.op_type not in ("QuantizeLinear", "DequantizeLinear")}
    bare = leave_float(made, layers, plain)
    assert not {"QuantizeLinear", "DequantizeLinear"}.intersection(kinds(bare))
    np.testing.assert_allclose(run(bare), run(plain), atol=1e-5)
    second = leave_float(made, {"Conv2"}, plain)
    assert kinds(second).count("Clip") == 1, "in front of the layer that reads floating point, and nowhere else"
    assert np.abs(run(second, fused=False) - run(plain)).max() < 0.05 * np.abs(run(plain)).max()


def test_a_layer_left_in_float_writes_floating_point_to_a_hard_swish() -> None:
    net = Net()
    plain = net.model(net.classify(net.conv(net.add("HardSwish", net.conv("x", 3)))))
    mixed = leave_float(unstored(plain), {"Conv0"}, plain)
    (swish,) = [node for node in mixed.graph.node if node.op_type == "HardSwish"]
    assert swish.input[0] == "Conv0_out"


def unstored(plain: Any) -> Any:
    """Return the processor's form with its weights in floating point, as ``quantize`` makes it."""
    from weckd_edge.compile.quantize import quantize as module

    kept = module.store_int8_weights
    try:
        module.store_int8_weights = lambda _: None
        return processor(plain)
    finally:
        module.store_int8_weights = kept


# Rules.


def relu_net() -> Any:
    net = Net()
    return net.model(net.classify(net.conv(net.add("Relu", net.conv("x", 3)))))


def test_tensorrt_refuses_what_processors_run_and_the_other_way_round_it_is_accepted() -> None:
    plain = relu_net()
    made = processor(plain)
    assert find_violations(made, PROCESSOR) == ()
    assert check_rules(made, PROCESSOR) == ()
    assert {v.rule for v in find_violations(made)} >= {"its zero point must be int8, not uint8"}
    with raises(ModelError, "E_MODEL_QDQ_RULES", says="TensorRT and OpenVINO"):
        require_rules(made)
    assert find_violations(quantize_for_timing(plain, images(), TENSORRT), PROCESSOR) == ()


def test_a_convolution_whose_activation_stays_is_named_and_refused_where_all_are_to_be_fused() -> None:
    symmetric = quantize_for_timing(relu_net(), images(), TENSORRT)
    found = [v for v in check_rules(symmetric, PROCESSOR) if v.severity == "fusion"]
    assert [v.node for v in found] == ["Conv0"]
    assert found[0].rule.startswith("Relu1 (Relu) reads what it writes in floating point")
    require_rules(symmetric, PROCESSOR)
    with raises(ModelError, "E_MODEL_QDQ_RULES", says="Relu1"):
        require_rules(symmetric, PROCESSOR, fused=True)


def test_weights_stay_symmetric_int8_for_processors_too() -> None:
    made = processor(relu_net())
    (conv,) = [node for node in made.graph.node if node.name == "Conv2"]
    dq = producers(made.graph)[conv.input[1]]
    zero = next(tensor for tensor in made.graph.initializer if tensor.name == dq.input[2])
    zero.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(zero) + np.int8(1), zero.name))
    assert [v.node for v in find_violations(made, PROCESSOR)] == [dq.name]


# Small versions of the architectures.


def residual() -> Any:
    net = Net()
    x = net.add("MaxPool", net.add("Relu", net.conv("x", 3)), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    for _ in range(2):
        x = net.add("Relu", net.add("Add", net.conv(net.add("Relu", net.conv(x))), net.conv(x, side=1)))
    return net.model(net.classify(x))


def inverted() -> Any:
    net = Net()
    x = net.clip(net.conv("x", 3))
    for _ in range(2):
        y = net.clip(net.conv(net.clip(net.conv(x, 4, 8, 1)), 8, 8, groups=8))
        x = net.add("Add", net.conv(y, 8, 4, 1), x)
    return net.model(net.classify(net.clip(net.conv(x, 4, 8, 1)), 8))


def head_behind_the_pool() -> Any:
    """The end of MobileNetV3 and V4: a convolution with activation between pool and classifier."""
    net = Net()
    x = net.add("GlobalAveragePool", net.add("Relu", net.conv("x", 3)))
    x = net.add("Flatten", net.add("Relu", net.conv(x, side=1)), axis=1)
    return net.model(net.add("Gemm", x, net.keep(net.random.normal(size=(3, 4))), net.keep(np.zeros(3)), transB=1))


def squeezed() -> Any:
    net = Net()
    x = net.add("HardSwish", net.conv("x", 3))
    gate = net.add("Relu", net.conv(net.add("ReduceMean", x, axes=[2, 3], keepdims=1), 4, 4, 1))
    x = net.add("Mul", x, net.add("HardSigmoid", net.conv(gate, 4, 4, 1)))
    return net.model(net.classify(net.conv(x)))


def joined() -> Any:
    """Fire modules of SqueezeNet: two convolutions that are put together; the classes come from one."""
    net = Net()
    x = net.add("Relu", net.conv("x", 3))
    x = net.add("Concat", net.add("Relu", net.conv(x)), net.add("Relu", net.conv(x, side=1)), axis=1)
    x = net.add("Relu", net.conv(x, 8, 3, 1))
    return net.model(net.add("Flatten", net.add("GlobalAveragePool", x), axis=1))


ARCHITECTURES = {made.__name__: made for made in (residual, inverted, head_behind_the_pool, squeezed, joined)}


@pytest.mark.parametrize("name", ARCHITECTURES)
@needs_exact_int8
def test_onnx_runtime_fuses_every_convolution(name: str, tmp_path: Path) -> None:
    plain = ARCHITECTURES[name]()
    wanted = kinds(plain).count("Conv")
    assert wanted >= 2
    made = processor(plain)
    found = fused_kinds(made, tmp_path)
    assert (found["QLinearConv"], found["Conv"], found["FusedConv"]) == (wanted, 0, 0)
    assert [found[f"QLinear{kind}"] for kind in ("Add", "Concat")] == [kinds(plain).count(k) for k in ("Add", "Concat")]
    assert np.abs(run(made) - run(plain)).max() < 0.06 * np.abs(run(plain)).max()
    assert np.abs(run(made) - run(made, fused=False)).max() < 0.03 * np.abs(run(plain)).max()


@pytest.mark.parametrize("name", ARCHITECTURES)
@needs_exact_int8
def test_openvino_reads_the_same_network_and_runs_every_convolution_in_int8(name: str, tmp_path: Path) -> None:
    ov = pytest.importorskip("openvino")
    from weckd_edge.devices.runtime.backends.openvino_backend import read_ov_model

    plain = ARCHITECTURES[name]()
    made = processor(plain)
    onnx.save(made, tmp_path / "model.onnx")
    model = read_ov_model(ov, tmp_path / "model.onnx")
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found = np.concatenate([np.asarray(compiled([image])[0]).reshape(1, -1) for image in images()])
    assert np.abs(found - run(made, fused=False)).max() < 0.03 * np.abs(run(plain)).max()


# Random networks.


@st.composite
def networks(draw: st.DrawFn) -> Any:
    """A chain of layers with activations, sums, gates, pools and joined branches."""
    net = Net(draw(st.integers(0, 1000)))
    x = net.conv("x", 3)
    activations = st.sampled_from(["none", "Relu", "Relu6", "HardSwish", "Sigmoid", "LeakyRelu", "HardSigmoid"])

    def act(x: str) -> str:
        kind = draw(activations)
        if kind == "none":
            return x
        return net.clip(x) if kind == "Relu6" else net.add(kind, x)

    x = act(x)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["conv", "depthwise", "sum", "gate", "pool", "join", "average"]))
        if kind in ("conv", "depthwise"):
            x = act(net.conv(x, groups=4 if kind == "depthwise" else 1))
        elif kind == "sum":
            x = act(net.add("Add", net.conv(x), x))
        elif kind == "gate":
            pooled = net.add("GlobalAveragePool", x)
            x = net.add("Mul", x, net.add("HardSigmoid", net.conv(act(net.conv(pooled, side=1)), side=1)))
        elif kind == "join":
            x = act(net.conv(net.add("Concat", act(net.conv(x)), x, axis=1), 8, 4, 1))
        else:
            attributes: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1]}
            x = net.add("MaxPool" if kind == "pool" else "AveragePool", x, **attributes)
    return net.model(net.classify(act(net.conv(x))))


@settings(max_examples=25, deadline=None)
@given(networks())
def test_the_outputs_of_any_network_stay_close_to_fp32_and_every_convolution_is_ready_to_be_fused(plain: Any) -> None:
    made = processor(plain)
    assert check_rules(made, PROCESSOR) == ()
    wanted, got = run(plain), run(made)
    spread = max(float(np.abs(wanted - wanted.mean()).max()), 0.05)
    assert np.abs(got - wanted).mean() < 0.08 * spread
    assert kinds(made).count("Conv") == kinds(plain).count("Conv")
