"""A network that is quantized already: brought to pairs code for code, or refused by node and rule."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.compile.importing.rewrites.integer_operators import name_zero_points
from weckd_edge.compile.importing.rewrites.quantized_file import is_quantized, normalise_quantized
from weckd_edge.compile.quantize.forms import PROCESSOR, TENSORRT
from weckd_edge.compile.quantize.qdq_rules import find_violations
from weckd_edge.core.errors import ModelError

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxruntime.quantization")

SHAPE = (1, 3, 12, 12)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Convolutions, a residual sum, pools and a linear layer, in floating point."""
    random, helper = np.random.default_rng(0), onnx.helper
    constants = {
        "w1": random.normal(0, 0.3, (8, 3, 3, 3)),
        "b1": random.normal(0, 0.3, 8),
        "w2": random.normal(0, 0.2, (8, 8, 3, 3)),
        "b2": random.normal(0, 0.2, 8),
        "w3": random.normal(0, 0.5, (4, 8)),
        "b3": random.normal(0, 0.5, 4),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["a"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "w2", "b2"], ["c"], "second", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "c"], ["d"], "sum"),
        helper.make_node("MaxPool", ["d"], ["e"], "largest", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["e"], ["f"], "average"),
        helper.make_node("Flatten", ["f"], ["g"], "flat"),
        helper.make_node("Gemm", ["g", "w3", "b3"], ["y"], "classifier", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "plain",
        [helper.make_tensor_value_info("x", 1, list(SHAPE))],
        [helper.make_tensor_value_info("y", 1, [1, 4])],
        [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return onnx.shape_inference.infer_shapes(model)


def images(count: int = 8) -> list[Any]:
    random = np.random.default_rng(3)
    return [random.normal(size=SHAPE).astype(np.float32) for _ in range(count)]


def quantized(
    plain: Any,
    folder: Any,
    form: str,
    activations: str,
    weights: str,
    *,
    symmetric: bool = True,
    reduce_range: bool = False,
) -> Any:
    quantization = pytest.importorskip("onnxruntime.quantization")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]  # untyped
        def __init__(self) -> None:
            self.left = iter([{"x": image} for image in images()])

        def get_next(self) -> Any:
            return next(self.left, None)

    onnx.save(plain, folder / "plain.onnx")
    quantization.quantize_static(
        str(folder / "plain.onnx"),
        str(folder / "quantized.onnx"),
        Reader(),
        quant_format=getattr(quantization.QuantFormat, form),
        activation_type=getattr(quantization.QuantType, activations),
        weight_type=getattr(quantization.QuantType, weights),
        per_channel=form == "QDQ",
        reduce_range=reduce_range,
        extra_options={"ActivationSymmetric": symmetric, "WeightSymmetric": True},
    )
    return onnx.load(folder / "quantized.onnx")


def answers(model: Any) -> Any:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": image})[0] for image in images()])


@pytest.mark.parametrize(("activations", "weights"), [("QInt8", "QInt8"), ("QUInt8", "QInt8")])
def test_pairs_are_kept_code_for_code_and_biases_become_plain_numbers(
    plain: Any, tmp_path: Any, activations: str, weights: str
) -> None:
    model = quantized(plain, tmp_path, "QDQ", activations, weights)
    settled = normalise_quantized("mine.onnx", model)
    assert find_violations(settled) == ()
    assert np.array_equal(answers(model), answers(settled)), "uint8 around 128 are the numbers of int8 around 0"
    kinds = {t.name: t.data_type for t in settled.graph.initializer}
    assert onnx.TensorProto.INT32 not in kinds.values()
    (first,) = [n for n in settled.graph.node if n.name.startswith("first")]
    assert kinds[first.input[2]] == onnx.TensorProto.FLOAT


@pytest.mark.parametrize("kind", ["QInt8", "QUInt8"])
def test_integer_operators_become_pairs_that_predict_within_their_rounding(plain: Any, tmp_path: Any, kind: str) -> None:
    model = quantized(plain, tmp_path, "QOperator", kind, kind)
    assert {"QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool", "QGemm"} <= {n.op_type for n in model.graph.node}
    settled = normalise_quantized("mine.onnx", model)
    onnx.checker.check_model(settled, full_check=True)
    assert find_violations(settled) == ()
    assert {entry.domain for entry in settled.opset_import} <= {"", "ai.onnx.ml"} | {
        e.domain for e in model.opset_import if "microsoft" not in e.domain
    }
    wanted, got = answers(model), answers(settled)
    assert np.abs(wanted - got).max() < 0.05 * np.abs(wanted).max()


OPERATORS = {
    "sigmoid, its zero points left out": (["QLinearSigmoid q s - t -"], {}),
    "leaky, its zero points left out": (["QLinearLeakyRelu q s - t -"], {"alpha": 0.2}),
    "padded with a code": (["Pad q pads code", "QLinearLeakyRelu p s z t z"], {"alpha": 0.2}),
    "padded with the code 0": (["Pad q pads", "QLinearLeakyRelu p s z t z"], {"alpha": 0.2}),
    "cut at the code 0": (["Relu q", "QLinearLeakyRelu p s z t z"], {"alpha": 0.2}),
    "a product with a factor": (["Flatten q", "QGemm p s z matrix m zero bias t z"], {"alpha": 0.25}),
}
"""Operators on codes, each ``TYPE inputs``, and the attributes of the last; ``-`` is left out."""

CODES = [(np.int8, 0), (np.int8, 7), (np.uint8, 0), (np.uint8, 128), (np.uint8, 117)]

ON_CODES = {
    f"{name}, {kind.__name__} around {zero}": (wanted, attributes, kind, zero)
    for name, (wanted, attributes) in OPERATORS.items()
    for kind, zero in CODES
    # A zero point that is left out is 0; codes without a sign are never cut.
    if not (zero and "-" in wanted[0]) and not (kind is np.uint8 and wanted[0].startswith("Relu"))
}


def operators(wanted: list[str], attributes: dict[str, Any], kind: type[Any], zero: int) -> Any:
    random, helper = np.random.default_rng(1), onnx.helper
    constants = {
        "s": np.float32(0.03),
        "t": np.float32(0.02),
        "z": kind(zero),
        "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
        "code": kind(90),
        "matrix": random.integers(-90, 90, (432, 4)).astype(np.int8),
        "m": np.float32(0.002),
        "zero": np.int8(0),
        "bias": random.integers(-20000, 20000, 4).astype(np.int32),
    }
    nodes = [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"])]
    for place, text in enumerate(wanted):
        last = place == len(wanted) - 1
        made, *reads = text.replace("-", "").split(" ")
        more = {"domain": "com.microsoft", **attributes} if last else {}
        nodes.append(helper.make_node(made, reads, ["r" if last else "p"], **more))
    nodes.append(helper.make_node("DequantizeLinear", ["r", "t", "z"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "operators",
        [helper.make_tensor_value_info("x", 1, list(SHAPE))],
        [helper.make_tensor_value_info("y", 1, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize(("wanted", "attributes", "kind", "zero"), ON_CODES.values(), ids=ON_CODES)
def test_operators_on_codes_predict_as_the_file_does(
    wanted: list[str], attributes: dict[str, Any], kind: type[Any], zero: int
) -> None:
    model = operators(wanted, attributes, kind, zero)
    settled = normalise_quantized("mine.onnx", model)
    assert find_violations(settled, PROCESSOR) == ()
    assert np.abs(answers(settled) - answers(model)).max() <= 0.0201, "one step, of a value that lies between two"


def test_a_place_that_is_left_out_at_the_end_is_written_as_empty() -> None:
    model = operators(["QLinearSigmoid q s - t"], {}, np.int8, 0)
    short = [list(node.input) for node in model.graph.node]
    name_zero_points(model.graph)
    assert [list(node.input) for node in model.graph.node] == [short[0], ["q", "s", "", "t", ""], short[2]]
    assert np.isfinite(answers(model)).all()


def test_a_scale_that_is_computed_is_refused_by_node(plain: Any, tmp_path: Any) -> None:
    model = quantized(plain, tmp_path, "QOperator", "QInt8", "QInt8")
    (conv,) = [node for node in model.graph.node if node.name.startswith("first")]
    model.graph.node.insert(0, onnx.helper.make_node("Identity", [conv.input[4]], ["computed"]))
    conv.input[4] = "computed"
    with raises(ModelError, "E_MODEL_QUANTIZED", says=f"{conv.name}: 'computed' must be a constant"):
        normalise_quantized("mine.onnx", model)


@pytest.mark.parametrize("layout", ["QDQ", "QOperator"])
def test_an_asymmetric_range_of_an_activation_is_kept_for_processors_alone(plain: Any, tmp_path: Any, layout: str) -> None:
    from weckd_edge.compile.quantize.quantize import write_imported

    model = quantized(plain, tmp_path, layout, "QUInt8", "QInt8" if layout == "QDQ" else "QUInt8", symmetric=False)
    settled = normalise_quantized("mine.onnx", model)
    assert find_violations(settled, PROCESSOR) == ()
    wanted, got = answers(model), answers(settled)
    assert np.abs(wanted - got).max() <= (0 if layout == "QDQ" else 0.05 * np.abs(wanted).max())
    onnx.save(settled, tmp_path / "settled.onnx")
    write_imported(tmp_path / "settled.onnx", "0" * 64, PROCESSOR, tmp_path)
    assert np.array_equal(got, answers(onnx.load(tmp_path / "model.onnx")))
    with raises(ModelError, "E_MODEL_QDQ_RULES", says="its zero point must be int8, not uint8"):
        write_imported(tmp_path / "settled.onnx", "0" * 64, TENSORRT, tmp_path)


def test_weights_around_another_number_than_0_are_refused_by_node_and_rule(plain: Any, tmp_path: Any) -> None:
    model = quantized(plain, tmp_path, "QDQ", "QUInt8", "QInt8", symmetric=False)
    (conv,) = [node for node in model.graph.node if node.name.startswith("first")]
    (dq,) = [node for node in model.graph.node if conv.input[1] in node.output]
    (zero,) = [tensor for tensor in model.graph.initializer if tensor.name == dq.input[2]]
    moved = onnx.numpy_helper.to_array(zero) + np.int8(3)
    zero.CopyFrom(onnx.numpy_helper.from_array(moved, zero.name))
    with raises(ModelError, "E_MODEL_QUANTIZED", says=f"{dq.name}: its zero point must be 0 (symmetric)"):
        normalise_quantized("mine.onnx", model)


def test_ranges_that_are_found_at_run_time_are_refused(plain: Any, tmp_path: Any) -> None:
    quantization = pytest.importorskip("onnxruntime.quantization")
    onnx.save(plain, tmp_path / "plain.onnx")
    quantization.quantize_dynamic(str(tmp_path / "plain.onnx"), str(tmp_path / "dynamic.onnx"))
    with raises(ModelError, "E_MODEL_QUANTIZED"):
        normalise_quantized("mine.onnx", onnx.load(tmp_path / "dynamic.onnx"))


def test_a_network_in_floating_point_is_distinguished(plain: Any, tmp_path: Any) -> None:
    assert not is_quantized(plain)
    assert is_quantized(quantized(plain, tmp_path, "QDQ", "QInt8", "QInt8"))


def test_pairs_on_constants_that_are_no_weights_become_plain_numbers(plain: Any) -> None:
    model = type(plain)()
    model.CopyFrom(plain)
    graph = model.graph
    for name, value in (("codes", np.int8([[[[5]]]])), ("step", np.float32(0.1)), ("zero", np.int8(0))):
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    graph.node.insert(0, onnx.helper.make_node("DequantizeLinear", ["codes", "step", "zero"], ["half"], "of_a_constant"))
    (total,) = [node for node in graph.node if node.name == "sum"]
    total.input[1] = "half"
    assert "only a layer's weights take a pair" in "".join(v.rule for v in find_violations(model))
    settled = normalise_quantized("mine.onnx", model)
    assert not is_quantized(settled)
    np.testing.assert_allclose(answers(settled), answers(model), atol=1e-6)


@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_such_a_file_is_read_imported_and_wrapped_with_its_int8(plain: Any, tmp_path: Path, form: str) -> None:
    torch = pytest.importorskip("torch")
    from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput
    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.compile.importing.imported_network import count_parameters, import_network, wrap_network
    from weckd_edge.compile.importing.network import read_onnx
    from weckd_edge.compile.quantize.quantize import write_imported

    assert torch
    quantized(plain, tmp_path, form, "QInt8", "QInt8")
    brought = read_onnx(tmp_path / "quantized.onnx", InputHints(mean=(0.5,) * 3, std=(0.5,) * 3))
    assert brought.quantized
    assert any("quantized already: it is verified and measured as it is" in line for line in brought.notes)
    made = import_network(brought, images(), ("a", "b", "c", "d"), tmp_path)
    assert re.search(r"by \S+ \(95th percentile\), and at most \S+\.$", made.notes[-1])
    assert made.parameters == count_parameters(plain.graph)
    assert made.macs > 8 * 3 * 9 * 144
    contract = InputSpec(
        frame=FrameSpec(height=12, width=12, crop="center"),
        network=NetworkInput(height=12, width=12, mean=(0.5,) * 3, std=(0.5,) * 3),
    )
    wrapped = wrap_network(tmp_path / made.onnx.path, contract, ("a", "b", "c", "d"), "0" * 64, tmp_path)
    assert wrapped.quantized
    kinds = [node.op_type for node in onnx.load(tmp_path / "model.onnx").graph.node]
    pairs = [node.op_type for node in normalise_quantized("mine.onnx", onnx.load(tmp_path / "quantized.onnx")).graph.node]
    weights = sum(n in ("Conv", "Gemm") for n in kinds)
    assert kinds.count("QuantizeLinear") == pairs.count("QuantizeLinear") - weights, (
        "none was moved or added, and weights were folded to int8"
    )
    shipped = [tmp_path / "small", tmp_path / "pairs"]
    for folder in shipped:
        folder.mkdir()
        made_of_it = write_imported(
            tmp_path / "model.onnx", "0" * 64, PROCESSOR if folder.name == "small" else TENSORRT, folder
        )
        assert set(made_of_it.quantized_nodes) >= {f"network/{node}" for node in _layers(brought.model)}
        assert made_of_it.float_nodes == ()
    frame = np.random.default_rng(1).integers(0, 256, (1, 12, 12, 3), dtype=np.uint8)
    sessions = [ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"]) for folder in shipped]
    small, pairs_kept = (session.run(None, {"frame": frame})[0] for session in sessions)
    np.testing.assert_allclose(small, pairs_kept, atol=1e-6)


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("form", ["QDQ", "QOperator"])
def test_weights_that_take_more_than_seven_bits_are_noticed(plain: Any, tmp_path: Path, form: str, reduced: bool) -> None:
    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.compile.importing.network import read_onnx

    model = quantized(plain, tmp_path, form, "QInt8", "QInt8", reduce_range=reduced)
    onnx.save(model, tmp_path / "net.onnx")
    hints = InputHints(mean=(0.5,) * 3, std=(0.5,) * 3)
    assert read_onnx(tmp_path / "net.onnx", hints).wide_weights is not reduced
    assert not read_onnx(tmp_path / "plain.onnx", hints).wide_weights


@pytest.mark.parametrize("form", ["float", "QDQ"])
def test_a_network_that_predicts_otherwise_is_refused_by_what_was_done_to_it(plain: Any, tmp_path: Path, form: str) -> None:
    pytest.importorskip("torch")
    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.compile.importing.imported_network import import_network
    from weckd_edge.compile.importing.network import read_onnx

    onnx.save(plain if form == "float" else quantized(plain, tmp_path, form, "QInt8", "QInt8"), tmp_path / "net.onnx")
    brought = read_onnx(tmp_path / "net.onnx", InputHints(mean=(0.5,) * 3, std=(0.5,) * 3))
    (last,) = [node for node in brought.model.graph.node if node.op_type == "Gemm"]
    (bias,) = [tensor for tensor in brought.model.graph.initializer if tensor.name == last.input[2]]
    moved = -9 * onnx.numpy_helper.to_array(bias)
    bias.CopyFrom(onnx.numpy_helper.from_array(moved, bias.name))
    says = {
        "float": ("net: written in this project's form, it predicts otherwise", "export it again"),
        "QDQ": ("net: with its int8 rewritten as Q/DQ pairs, it", "(95th percentile)", "import the float network"),
    }
    with raises(ModelError, "E_MODEL_IMPORT", says=says[form]) as caught:
        import_network(brought, images(), ("a", "b", "c", "d"), tmp_path)
    assert "opset 17 to" not in str(caught.value)


def _layers(model: Any) -> list[str]:
    return [node.name for node in model.graph.node if node.op_type in ("Conv", "Gemm")]
