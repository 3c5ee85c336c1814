"""The forms of the one quantized graph hold its scales and answer as it does; what FP16 cannot hold is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.compile.backends.tensorrt_forms import take_float_frame, take_pairs_out
from weckd_edge.compile.quantize import fp16_check
from weckd_edge.compile.quantize.forms import TENSORRT
from weckd_edge.compile.quantize.fp16_check import check_half
from weckd_edge.compile.quantize.fp16_form import SMALLEST_SCALE, SMALLEST_WEIGHT_SCALE, make_half
from weckd_edge.compile.quantize.qdq_rules import find_violations
from weckd_edge.core.errors import ModelError

onnx = pytest.importorskip("onnx")
ort = onnxruntime = pytest.importorskip("onnxruntime")
PAIR = ("QuantizeLinear", "DequantizeLinear")


@pytest.fixture(scope="module")
def graphs(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """By name: ``int8`` with every kind of sum, ``fp32`` the same before it was quantized."""
    place = tmp_path_factory.mktemp("half")
    index = networks.write_images(place / "images")
    exported = networks.export(networks.every_sum(), place / "fp32")
    networks.quantized(exported, place / "fp32", index, place / "images", place / "int8", form=TENSORRT)
    return lambda name: place / name / "model.onnx"


@pytest.fixture
def frames(networks: ModuleType) -> list[Any]:
    return [frame[None] for frame in networks.frames(12, networks.contract())]


def save(model: Any, path: Path) -> Path:
    onnx.save(model, path)
    return path


def constants(model: Any) -> dict[str, Any]:
    return {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}


def types(model: Any) -> dict[str, int]:
    typed = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    return {v.name: v.type.tensor_type.elem_type for v in (*typed.input, *typed.value_info, *typed.output)}


@pytest.mark.parametrize("name", ["int8", "fp32"])
def test_it_predicts_as_the_graph_does(graphs: Callable[[str], Path], frames: list[Any], tmp_path: Path, name: str) -> None:
    found = check_half(graphs(name), save(make_half(onnx.load(graphs(name))), tmp_path / "half.onnx"), frames)
    assert found.frames == 12
    # 0.02 for int8 with ONNX Runtime 1.32, 0.07 with 1.23, the last for Python 3.10.
    old = tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 24)
    assert 0 < found.p95_abs <= found.max_abs < ((0.1 if old else 0.05) if name == "int8" else 0.005)
    assert 0 < found.largest < 1000


def test_frame_preprocessing_head_and_softmax_keep_their_types_and_the_body_is_half(graphs: Callable[[str], Path]) -> None:
    made = make_half(onnx.load(graphs("int8")))
    of, proto = types(made), onnx.TensorProto
    assert (of["frame"], of["probabilities"]) == (proto.UINT8, proto.FLOAT)
    assert (made.opset_import[0].version, made.ir_version) == (19, 9)
    for node in made.graph.node:
        for output in node.output:
            if "/preprocess" in node.name or node.op_type in ("Gemm", "Softmax"):
                assert of[output] == proto.FLOAT, node.name
            elif node.op_type in ("Conv", "Add", "Relu", "Clip", "HardSwish"):
                assert of[output] == proto.FLOAT16, node.name
    assert [node.op_type for node in made.graph.node].count("Cast") == 1  # of the frame: none between the types


def test_scales_are_those_of_the_graph_rounded_to_half_and_codes_the_same(graphs: Callable[[str], Path]) -> None:
    model = onnx.load(graphs("int8"))
    made = make_half(model)
    before, after = constants(model), constants(made)
    old = {node.output[0]: node for node in model.graph.node}
    checked = 0
    for node in made.graph.node:
        if node.op_type not in PAIR:
            continue
        twin = old[node.output[0].removesuffix("_float32")]
        scale = before[twin.input[1]]
        np.testing.assert_array_equal(after[node.input[1]].astype(np.float32), scale.astype(np.float16).astype(np.float32))
        if node.input[0] in after:
            weights = before[old[twin.input[0]].input[0]]
            codes = np.clip(np.rint(weights / scale.reshape(-1, *[1] * (weights.ndim - 1))), -128, 127)
            if weights.ndim == 4:
                np.testing.assert_array_equal(after[node.input[0]], codes.astype(np.int8))
                checked += 1
    assert checked == 10


def test_it_breaks_no_rule_of_the_versions_that_read_it_and_the_older_refuse_it(graphs: Callable[[str], Path]) -> None:
    made = make_half(onnx.load(graphs("int8")))
    for version in ("10.0.1", "10.12.0", "10.16.2", "11.4.1"):
        assert find_violations(made, tensorrt=version) == ()
    assert {v.rule for v in find_violations(made, tensorrt="8.6.2")} >= {
        "opset 19: TensorRT 8.6.2 reads up to 17",
        "TensorRT 8.6.2 takes FP32 scales; FP16 ones from 10.0 on",
    }


def test_the_same_graph_gives_the_same_bytes_and_is_left_as_it_was(graphs: Callable[[str], Path]) -> None:
    model = onnx.load(graphs("int8"))
    before = model.SerializeToString(deterministic=True)
    for make in (make_half, take_float_frame, lambda m: take_pairs_out(m)[0]):
        assert make(model).SerializeToString(deterministic=True) == make(model).SerializeToString(deterministic=True)
    assert model.SerializeToString(deterministic=True) == before


def test_a_scale_too_small_for_half_is_raised_and_its_weights_take_new_codes(graphs: Callable[[str], Path]) -> None:
    model = onnx.load(graphs("int8"))
    q = next(n for n in model.graph.node if n.op_type == "QuantizeLinear" and constants(model)[n.input[1]].ndim == 1)
    scale, weights = constants(model)[q.input[1]].copy(), constants(model)[q.input[0]].copy()
    scale[0], weights[0] = 1e-9, 100e-9
    for name, value in ((q.input[1], scale), (q.input[0], weights)):
        next(t for t in model.graph.initializer if t.name == name).CopyFrom(onnx.numpy_helper.from_array(value, name))
    made = make_half(model)
    (dq,) = [n for n in made.graph.node if n.op_type == "DequantizeLinear" and n.input[0] == f"{q.output[0]}_codes"]
    assert constants(made)[dq.input[1]][0] == SMALLEST_WEIGHT_SCALE
    assert not constants(made)[dq.input[0]][0].any()
    assert constants(made)[dq.input[0]][1].any()


@pytest.mark.parametrize("shared", [False, True])
def test_weights_with_one_scale_for_the_tensor_keep_it_down_to_that_of_stored_weights(
    graphs: Callable[[str], Path], shared: bool
) -> None:
    model = onnx.load(graphs("int8"))
    values = constants(model)
    q = next(n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] in values)
    dq = next(n for n in model.graph.node if q.output[0] in n.input)
    activation = next(n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] not in values)
    scale = np.float32(2e-5)  # between the smallest of stored weights and the smallest of an activation
    name = activation.input[1] if shared else "own_scale"
    for node in (q, dq):
        node.input[1], node.input[2] = name, activation.input[2]
    weights = (values[q.input[0]] / np.abs(values[q.input[0]]).max() * 127 * scale).astype(np.float32)
    kept = [t for t in model.graph.initializer if t.name not in (name, q.input[0])]
    del model.graph.initializer[:]
    model.graph.initializer.extend(
        [*kept, *(onnx.numpy_helper.from_array(v, n) for n, v in ((name, scale), (q.input[0], weights)))]
    )
    made = make_half(model)
    after = constants(made)
    stored = next(n for n in made.graph.node if n.op_type == "DequantizeLinear" and n.input[0] == f"{q.output[0]}_codes")
    held = after[stored.input[0]].astype(np.float32) * after[stored.input[1]].astype(np.float32)
    np.testing.assert_allclose(held, weights, atol=scale)
    quantizers = [n for n in made.graph.node if n.op_type == "QuantizeLinear"]
    assert all(after[n.input[1]] >= SMALLEST_SCALE for n in quantizers)


def test_a_constant_beyond_half_is_refused_by_name(graphs: Callable[[str], Path]) -> None:
    model = onnx.load(graphs("fp32"))
    conv = [n for n in model.graph.node if n.op_type == "Conv"][1]
    bias = next(t for t in model.graph.initializer if t.name == conv.input[2])
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(bias.dims, 7e4, np.float32), bias.name))
    with raises(ModelError, "E_MODEL_FP16", says=("7e+04", "65504")):
        make_half(model)


def test_a_value_that_comes_near_the_end_of_half_is_refused_by_name(
    graphs: Callable[[str], Path], frames: list[Any], tmp_path: Path
) -> None:
    model = onnx.load(graphs("fp32"))
    convs = [n for n in model.graph.node if n.op_type == "Conv"]
    bias = next(t for t in model.graph.initializer if t.name == convs[-1].input[2])
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(bias.dims, 2e4, np.float32), bias.name))
    plain = save(model, tmp_path / "plain.onnx")
    half = save(make_half(onnx.load(plain)), tmp_path / "half.onnx")
    with raises(ModelError, "E_MODEL_FP16", says=("04", "65504", "4")):
        check_half(plain, half, frames)


def test_predictions_that_differ_are_refused(
    graphs: Callable[[str], Path], frames: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = save(make_half(onnx.load(graphs("int8"))), tmp_path / "half.onnx")
    monkeypatch.setattr(fp16_check, "HALF_TOLERANCE", 1e-6)
    with raises(ModelError, "E_MODEL_FP16", says="12"):
        check_half(graphs("int8"), half, frames)
    with raises(ModelError, "E_MODEL_FRAME"):
        check_half(graphs("int8"), half, [])


def test_a_float_frame_gives_the_very_same_predictions(
    graphs: Callable[[str], Path], frames: list[Any], tmp_path: Path
) -> None:
    path = save(take_float_frame(onnx.load(graphs("int8"))), tmp_path / "float.onnx")
    plain, other = (ort.InferenceSession(str(p), providers=["CPUExecutionProvider"]) for p in (graphs("int8"), path))
    assert other.get_inputs()[0].type == "tensor(float)"
    for frame in frames:
        one = plain.run(None, {"frame": frame})[0]
        np.testing.assert_array_equal(one, other.run(None, {"frame": frame.astype(np.float32)})[0])


def test_a_frame_that_something_else_reads_cannot_become_float(graphs: Callable[[str], Path]) -> None:
    model = onnx.load(graphs("int8"))
    model.graph.node.insert(0, onnx.helper.make_node("Identity", ["frame"], ["same"], name="look"))
    with raises(ModelError, "E_MODEL_INPUT", says=("look (Identity)", "uint8")):
        take_float_frame(model)


def test_without_pairs_it_is_the_network_before_it_was_quantized_with_the_ranges_apart(
    graphs: Callable[[str], Path], frames: list[Any], tmp_path: Path
) -> None:
    model = onnx.load(graphs("int8"))
    plain, ranges = take_pairs_out(model)
    assert not [node for node in plain.graph.node if node.op_type in PAIR]
    assert ranges
    before = {tensor.name: tensor for tensor in onnx.load(graphs("fp32")).graph.initializer}
    for tensor in plain.graph.initializer:  # the biases were corrected for int8
        if tensor.name.endswith("bias") or len(tensor.dims) == 1:
            tensor.CopyFrom(before.get(tensor.name, tensor))
    path = save(plain, tmp_path / "plain.onnx")
    one, other = (ort.InferenceSession(str(p), providers=["CPUExecutionProvider"]) for p in (graphs("fp32"), path))
    for frame in frames:
        np.testing.assert_allclose(one.run(None, {"frame": frame})[0], other.run(None, {"frame": frame})[0], atol=1e-5)
    scales = constants(model)
    activations = [n for n in model.graph.node if n.op_type == "QuantizeLinear" and n.input[0] not in scales]
    assert ranges == {n.input[0]: float(scales[n.input[1]]) * 127 for n in activations}


def test_a_graph_within_a_graph_is_refused(graphs: Callable[[str], Path]) -> None:
    model = onnx.load(graphs("fp32"))
    inner = onnx.helper.make_graph([], "inner", [], [])
    model.graph.node.append(onnx.helper.make_node("If", ["x"], [], name="perhaps", then_branch=inner, else_branch=inner))
    with raises(ModelError, "E_MODEL_BRANCHES", says="perhaps (If)"):
        make_half(model)
