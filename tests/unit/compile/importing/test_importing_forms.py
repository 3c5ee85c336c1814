"""Networks as exporters write them: each is brought to one form, and answers as its file does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.errors import raises

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

from onnx import TensorProto, helper, numpy_helper, parser  # noqa: E402 - behind the skips

from weckd_edge.compile.importing.hints import InputHints  # noqa: E402 - likewise
from weckd_edge.compile.importing.imported_network import import_network  # noqa: E402 - likewise
from weckd_edge.compile.importing.network import OnnxNetwork, read_onnx  # noqa: E402 - likewise
from weckd_edge.compile.importing.outputs import interpret_outputs  # noqa: E402 - likewise
from weckd_edge.compile.importing.rewrites.opset import to_opset  # noqa: E402 - likewise
from weckd_edge.compile.importing.rewrites.opset_rules import CHANGED, WRITTEN_OUT  # noqa: E402 - likewise
from weckd_edge.core.errors import ConfigError, ModelError  # noqa: E402 - likewise

FILES = Path(__file__).parents[3] / "support/graphs/onnx_files"
LABELS = ("effusion", "normal", "wax")
PAIR = ("normal", "wax")
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
HINTS = InputHints(mean=MEAN, std=STD)


def network(
    body: str, inputs: str = "float[N,3,8,8] x", outputs: str = "float[N,3] y", opset: int = 17, **weights: Any
) -> Any:
    """A graph written down, with constants."""
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["" : {opset}]> toy ({inputs}) => ({outputs}) {{ {body} }}')
    for name, values in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    return model


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0, 1 / np.sqrt(np.prod(shape[1:])), shape).astype(np.float32)


def save(model: Any, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def samples(found: OnnxNetwork, count: int = 3) -> list[Any]:
    """Images ``[1, 3, S, S]`` as they leave the preprocessing: normalised, or in grey levels, not whole ones."""
    pixels = np.random.default_rng(1).uniform(0, 255, (count, 1, 3, *found.form.size)).astype(np.float32)
    if found.form.kind == "uint8":
        return list(pixels)
    return [((image / 255 - 0.5) / 0.25).astype(np.float32) for image in pixels]


def adopted(path: Path, hints: InputHints, folder: Path, labels: Sequence[str]) -> tuple[OnnxNetwork, Any, Any]:
    """Read and adopt; return what was read, what was said, and a function from a sample to probabilities."""
    found = read_onnx(path, hints)
    made = import_network(found, samples(found), labels, folder)
    session = ort.InferenceSession(str(folder / made.onnx.path), providers=["CPUExecutionProvider"])
    return found, made, lambda image: session.run(None, {session.get_inputs()[0].name: image})[0][0]


def softmax(values: Any) -> Any:
    powers = np.exp(values.astype(np.float64) - values.max())
    return powers / powers.sum()


def file_answers(path: Path, image: Any, output: str | None = None) -> Any:
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run([output] if output else None, {session.get_inputs()[0].name: image})[0]


REAL: dict[str, tuple[Sequence[str], dict[str, Any], str]] = {
    "keras3_sigmoid.onnx": (PAIR, {"mean": MEAN, "std": STD}, "probability of 'wax', the second label"),
    "keras3_uint8.onnx": (("a", "b", "c", "d"), {}, "It ends in a Softmax"),
    "tf2onnx_opset9.onnx": (("a", "b", "c", "d"), {"mean": MEAN, "std": STD}, "Converted from opset 9 to 17"),
    "torch_default.onnx": (LABELS, {"mean": MEAN, "std": STD}, "Converted from opset 20 to 17"),
    "torch_opset23.onnx": (LABELS, {"mean": MEAN, "std": STD}, "Converted from opset 23 to 17"),
    "torch_legacy17.onnx": (LABELS, {"mean": MEAN, "std": STD}, "It ends in Gemm"),
    "skl2onnx_three.onnx": (LABELS, {"mean": MEAN, "std": STD}, "predictions add up to 1"),
    "skl2onnx_binary.onnx": (PAIR, {"mean": MEAN, "std": STD}, "predictions add up to 1"),
}
"""File: its labels, what its user says, and what is told."""


@pytest.mark.parametrize("name", REAL)
def test_a_file_of_an_exporter_opens_and_ends_in_opset_17_and_standard_operators(tmp_path: Path, name: str) -> None:
    labels, hints, said = REAL[name]
    found, made, answer = adopted(FILES / name, InputHints(**hints), tmp_path, labels)
    model = onnx.load(tmp_path / made.onnx.path)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert said in " ".join(made.notes)
    answers = answer(samples(found)[0])
    assert answers.shape == (len(labels),)
    assert answers.sum() == pytest.approx(1, abs=1e-5)


def test_torch_files_of_one_network_predict_alike_whichever_exporter_wrote_them(tmp_path: Path) -> None:
    answers = []
    for name in ("torch_default.onnx", "torch_opset23.onnx", "torch_legacy17.onnx"):
        found, made, answer = adopted(FILES / name, HINTS, tmp_path, LABELS)
        answers.append(answer(samples(found)[0]))
        image = samples(found)[0]
        assert np.abs(answers[-1] - softmax(file_answers(FILES / name, image))).max() < 1e-5
        kinds = [node.op_type for node in onnx.load(tmp_path / made.onnx.path).graph.node]
        assert "Pad" not in kinds, "minus infinity before a max pool is the pool's own padding"
    assert np.ptp(answers, axis=0).max() < 1e-5


def test_classes_that_a_scikit_learn_head_names_are_the_labels() -> None:
    assert read_onnx(FILES / "skl2onnx_three.onnx", HINTS).labels == LABELS
    assert read_onnx(FILES / "skl2onnx_binary.onnx", HINTS).labels is None


def test_one_sigmoid_stands_for_the_second_of_two_labels(tmp_path: Path) -> None:
    path = FILES / "keras3_sigmoid.onnx"
    found, made, answer = adopted(path, HINTS, tmp_path, PAIR)
    image = samples(found)[0]
    # ONNX Runtime cannot run the file: its GELU is written with an operator that ONNX has not.
    session = ort.InferenceSession(found.file_model.SerializeToString(), providers=["CPUExecutionProvider"])
    positive = session.run(None, {session.get_inputs()[0].name: image.transpose(0, 2, 3, 1)})[0][0, 0]
    assert answer(image) == pytest.approx([1 - positive, positive], abs=1e-6)
    assert "give --labels 'wax,normal'" in " ".join(made.notes)
    assert onnx.load(tmp_path / made.onnx.path).graph.node[-1].op_type == "Softmax", "a temperature can be put before it"


HEAD = "m = GlobalAveragePool(c) f = Flatten(m)"
CONV = "c = Conv<pads=[1,1,1,1]>(x, w)"


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("y = Gemm(f, h)", "logit"),
        ("z = Gemm(f, h) y = Sigmoid(z)", "probability"),
        ("z = Gemm(f, h) s = Sigmoid(z) y = Clip(s, low, high)", "probability"),
        ("z = Gemm(f, h) n = Neg(z) e = Exp(n) d = Add(one, e) y = Div(one, d)", "probability"),
    ],
)
def test_one_value_for_two_classes_is_a_logit_or_a_probability(tmp_path: Path, end: str, expected: str) -> None:
    constants = {"low": np.float32(1e-7), "high": np.float32(1 - 1e-7), "one": np.float32(1)}
    used = {name: value for name, value in constants.items() if name in end}
    model = network(f"{CONV} {HEAD} {end}", outputs="float[N,1] y", w=draw(4, 3, 3, 3), h=3 * draw(4, 1), **used)
    path = save(model, tmp_path)
    found, made, answer = adopted(path, HINTS, tmp_path, PAIR)
    image = samples(found)[0]
    value = float(file_answers(path, image)[0, 0])
    positive = 1 / (1 + np.exp(-value)) if expected == "logit" else value
    assert answer(image) == pytest.approx([1 - positive, positive], abs=1e-5)
    assert f"it is the {expected} of 'wax', the second label" in " ".join(made.notes)


def test_one_output_for_three_labels_is_refused_with_what_it_stands_for(tmp_path: Path) -> None:
    model = network(f"{CONV} {HEAD} y = Gemm(f, h)", outputs="float[N,1] y", w=draw(4, 3, 3, 3), h=draw(4, 1))
    found = read_onnx(save(model, tmp_path), HINTS)
    with raises(ModelError, "E_MODEL_CLASSES", says="3"):
        import_network(found, samples(found), LABELS, tmp_path)


@pytest.mark.parametrize(
    ("answers", "last", "meaning"),
    [
        ([[0.2, 0.8], [0.6, 0.4]], "Softmax", "probabilities"),
        ([[0.2, 0.8], [0.6, 0.4]], "Exp", "probabilities"),
        ([[1.5, -0.5], [0.6, 0.4]], "Relu", "logits"),
        ([[-1.6, -0.2], [-0.5, -0.9]], "LogSoftmax", "logits"),
        ([[0.2, 0.8], [0.6, 0.4]], "Sigmoid", "probabilities"),
    ],
)
def test_logits_are_distinguished_from_probabilities(answers: list[list[float]], last: str, meaning: str) -> None:
    graph = network(f"y = {last}(x)", "float[1,2] x", "float[1,2] y").graph
    decision = interpret_outputs(np.array(answers, np.float32), graph, PAIR, "net")
    assert decision.meaning == meaning
    assert last in decision.why


@pytest.mark.parametrize(
    ("answers", "last", "said"),
    [([[0.9, 0.8]], "Sigmoid", "Sigmoid"), ([[0.3, 0.3]], "Softmax", "0.6")],
)
def test_outputs_that_are_neither_are_refused(answers: list[list[float]], last: str, said: str) -> None:
    graph = network(f"y = {last}(x)", "float[1,2] x", "float[1,2] y").graph
    with raises(ModelError, "E_MODEL_OUTPUT", says=said):
        interpret_outputs(np.array(answers, np.float32), graph, PAIR, "net")


TWO = "float[N,3] logits, float[N,4] embedding"


def test_one_of_several_outputs_is_taken_by_name_and_the_others_are_left_out(tmp_path: Path) -> None:
    body = f"{CONV} {HEAD} logits = Gemm(f, h) embedding = Tanh(f)"
    path = save(network(body, outputs=TWO, w=draw(4, 3, 3, 3), h=draw(4, 3)), tmp_path)
    with raises(ModelError, "E_MODEL_OUTPUT", says=("2", "'logits'", "'embedding'", "--output logits")):
        read_onnx(path, HINTS)
    with raises(ConfigError, "E_CONFIG_CHOICE", says=("--output probs", "'logits'", "'embedding'")):
        read_onnx(path, InputHints(mean=MEAN, std=STD, output="probs"))
    found, made, answer = adopted(path, InputHints(mean=MEAN, std=STD, output="logits"), tmp_path, LABELS)
    image = samples(found)[0]
    assert answer(image) == pytest.approx(softmax(file_answers(path, image, "logits")[0]), abs=1e-6)
    assert not any(node.op_type == "Tanh" for node in onnx.load(tmp_path / made.onnx.path).graph.node)


NORM = {"g": np.ones(4, np.float32), "b": np.zeros(4, np.float32), "mu": draw(4), "var": np.full(4, 2, np.float32)}
TRAINING = {
    "a batch norm marked so": (
        17,
        "n, s, t = BatchNormalization<training_mode=1>(c, g, b, mu, var)",
        "1 BatchNormalization",
    ),
    "a batch norm of five outputs": (9, "n, s, t, u, v = BatchNormalization(c, g, b, mu, var)", "1 BatchNormalization"),
    "an active dropout": (17, "n = Dropout(c, half, on)", "1 Dropout"),
    "an active dropout with its mask": (13, "n, mask = Dropout(c, half, on)", "1 Dropout"),
}


@pytest.mark.parametrize("case", TRAINING)
def test_training_mode_is_refused_and_set_to_inference_where_the_user_asks_for_it(tmp_path: Path, case: str) -> None:
    opset, step, found_there = TRAINING[case]
    body = f"{CONV} {step} m = GlobalAveragePool(n) f = Flatten(m) y = MatMul(f, h)"
    weights = {"w": draw(4, 3, 3, 3), "h": draw(4, 3), **(NORM if "norm" in case else {"half": np.float32(0.5), "on": True})}
    path = save(network(body, opset=opset, **weights), tmp_path)
    with raises(ModelError, "E_MODEL_TRAINING_MODE", says=(f"{found_there}", "model.eval", "--to-inference")):
        read_onnx(path, HINTS)
    found, _, answer = adopted(path, InputHints(mean=MEAN, std=STD, to_inference=True), tmp_path, LABELS)
    assert found_there in found.doubts[0]
    plain = "n = BatchNormalization(c, g, b, mu, var)" if "norm" in case else "n = Identity(c)"
    other = tmp_path / "eval.onnx"
    other.write_bytes(network(body.replace(step, plain), opset=opset, **weights).SerializeToString())
    image = samples(found)[0]
    assert answer(image) == pytest.approx(softmax(file_answers(other, image)[0]), abs=1e-5)


@pytest.mark.parametrize("on", [False, True])
def test_a_dropout_that_drops_nothing_is_no_training_mode(tmp_path: Path, on: bool) -> None:
    body = f"{CONV} n = Dropout(c, ratio, on) m = GlobalAveragePool(n) f = Flatten(m) y = Gemm(f, h)"
    weights = {"w": draw(4, 3, 3, 3), "h": draw(4, 3), "ratio": np.float32(0.0 if on else 0.5), "on": on}
    assert read_onnx(save(network(body, **weights), tmp_path), HINTS).doubts == ()


def test_a_batch_norm_of_weights_alone_is_no_training_mode(tmp_path: Path) -> None:
    body = """v, s, t = BatchNormalization<training_mode=1>(w, g, b, mu, var) c = Conv<pads=[1,1,1,1]>(x, v)
        m = GlobalAveragePool(c) f = Flatten(m) y = Gemm(f, h)"""
    three = {name: value[:3] for name, value in NORM.items()}
    path = save(network(body, w=draw(4, 3, 3, 3), h=draw(4, 3), **three), tmp_path)
    found, _, answer = adopted(path, HINTS, tmp_path, LABELS)
    image = samples(found)[0]
    assert answer(image) == pytest.approx(softmax(file_answers(path, image)[0]), abs=1e-5)


def test_values_drawn_at_random_are_refused(tmp_path: Path) -> None:
    body = f"{CONV} r = RandomUniformLike(c) n = Mul(c, r) m = GlobalAveragePool(n) f = Flatten(m) y = Gemm(f, h)"
    path = save(network(body, w=draw(4, 3, 3, 3), h=draw(4, 3)), tmp_path)
    with raises(ModelError, "E_MODEL_TRAINING_MODE", says="model.eval"):
        read_onnx(path, HINTS)


def half(model: Any) -> Any:
    """The same network with float16 weights, between two casts."""
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    return model


def test_a_network_that_computes_in_float16_computes_in_float32_here(tmp_path: Path) -> None:
    body = f"i = Cast<to=10>(x) c = Conv<pads=[1,1,1,1]>(i, w) {HEAD} z = Gemm(f, h) y = Cast<to=1>(z)"
    path = save(half(network(body, w=draw(4, 3, 3, 3), h=draw(4, 3))), tmp_path)
    found, made, answer = adopted(path, HINTS, tmp_path, LABELS)
    image = samples(found)[0]
    assert np.abs(answer(image) - softmax(file_answers(path, image)[0])).max() < 2e-3
    assert "It computes in float16; here it computes in float32." in made.notes
    model = onnx.load(tmp_path / made.onnx.path)
    assert {tensor.data_type for tensor in model.graph.initializer} <= {TensorProto.FLOAT, TensorProto.INT64}


@pytest.mark.parametrize(("word", "kind"), [("float16", np.float16), ("double", np.float64)])
def test_an_input_of_another_floating_type_becomes_float32(tmp_path: Path, word: str, kind: Any) -> None:
    weights = {"w": draw(4, 3, 3, 3).astype(kind), "h": draw(4, 3).astype(kind)}
    shapes = {"inputs": f"{word}[1,3,8,8] x", "outputs": f"{word}[1,3] y"}
    path = save(network(f"{CONV} {HEAD} y = Gemm(f, h)", **shapes, **weights), tmp_path)
    found, _, answer = adopted(path, HINTS, tmp_path, LABELS)
    image = samples(found)[0]
    if word == "float16":  # ONNX Runtime has no convolution in double
        assert np.abs(answer(image) - softmax(file_answers(path, image.astype(kind))[0])).max() < 5e-3
    assert found.computes_in == word


def test_weights_in_bfloat16_are_refused_by_that_word(tmp_path: Path) -> None:
    model = network(f"{CONV} {HEAD} y = Gemm(f, h)", w=draw(4, 3, 3, 3), h=draw(4, 3))
    model.graph.initializer[0].CopyFrom(helper.make_tensor("w", TensorProto.BFLOAT16, [4, 3, 3, 3], [0.5] * 108))
    with raises(ModelError, "E_MODEL_GRAPH", says=("'w'", "bfloat16", "float32")):
        read_onnx(save(model, tmp_path), HINTS)


def test_a_branch_that_is_chosen_by_a_shape_is_folded(tmp_path: Path) -> None:
    model = network(
        f"""{CONV} m = GlobalAveragePool(c) s = Shape(m) place = Constant<value_ints=[2]>() one = Constant<value_ints=[1]>()
        side = Gather(s, place) e = Equal(side, one) i = Squeeze(e)
        f = If (i) <then_branch = thin () => (t) {{ a = Constant<value_ints=[2,3]>() t = Squeeze(m, a) }},
                    else_branch = wide () => (u) {{ u = Identity(m) }}>
        y = Gemm(f, h)""",
        w=draw(4, 3, 3, 3),
        h=draw(4, 3),
    )
    path = save(model, tmp_path)
    found, _, answer = adopted(path, HINTS, tmp_path, LABELS)
    assert not any(node.op_type in ("If", "Shape") for node in found.model.graph.node)
    image = samples(found)[0]
    assert answer(image) == pytest.approx(softmax(file_answers(path, image)[0]), abs=1e-6)


@pytest.mark.parametrize("value", [-np.inf, np.finfo(np.float32).min, -65504.0])
def test_a_padding_with_nothing_before_a_max_pool_becomes_the_pools_own(tmp_path: Path, value: float) -> None:
    body = f"""{CONV} p = Pad(c, pads, nothing) q = MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,0,0,0]>(p)
        m = GlobalAveragePool(q) f = Flatten(m) y = Gemm(f, h)"""
    pads = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    model = network(body, w=draw(4, 3, 3, 3), h=draw(4, 3), pads=pads, nothing=np.float32(value))
    path = save(model, tmp_path)
    found, _, answer = adopted(path, HINTS, tmp_path, LABELS)
    pool = next(node for node in found.model.graph.node if node.op_type == "MaxPool")
    assert list(next(a.ints for a in pool.attribute if a.name == "pads")) == [1, 0, 1, 1]
    assert not any(node.op_type == "Pad" for node in found.model.graph.node)
    image = samples(found)[0]
    assert answer(image) == pytest.approx(softmax(file_answers(path, image)[0]), abs=1e-6)


def test_an_infinite_weight_is_a_failed_training_and_an_infinite_bound_is_not(tmp_path: Path) -> None:
    weights = draw(4, 3, 3, 3)
    bound = network(f"{CONV} k = Clip(c, low, high) m = GlobalAveragePool(k) f = Flatten(m) y = Gemm(f, h)")
    for name, values in {"w": weights, "h": draw(4, 3), "low": np.float32(0), "high": np.float32(np.inf)}.items():
        bound.graph.initializer.append(numpy_helper.from_array(values, name))
    read_onnx(save(bound, tmp_path), HINTS)
    weights[0, 0, 0, 0] = np.inf
    spoilt = network(f"{CONV} {HEAD} y = Gemm(f, h)", w=weights, h=draw(4, 3))
    with raises(ModelError, "E_MODEL_NOT_FINITE", says=("'w'", "1")):
        read_onnx(save(spoilt, tmp_path), HINTS)


def test_grey_levels_are_rounded_as_the_file_itself_would_get_them(tmp_path: Path) -> None:
    body = f"i = Transpose<perm=[0,3,1,2]>(x) k = Cast<to=1>(i) d = Div(k, most) c = Conv(d, w) {HEAD} y = Gemm(f, h)"
    weights = {"w": 2 * draw(4, 3, 1, 1), "h": 2 * draw(4, 3), "most": np.float32(255)}
    path = save(network(body, inputs="uint8[1,8,8,3] x", **weights), tmp_path)
    found, _, answer = adopted(path, InputHints(), tmp_path, LABELS)
    image = samples(found)[0]
    image[0, 0, 0, :4] = (0.5, 1.5, 254.5, 253.5)  # halves go to the even level
    whole = np.rint(image).astype(np.uint8)
    same = np.abs(answer(image) - softmax(file_answers(path, whole.transpose(0, 2, 3, 1))[0])).max()
    assert same < 1e-6
    assert np.abs(answer(image) - answer(np.floor(image))).max() > 1e-4, "the answers depend on it"


FIRST: dict[str, Callable[[str], tuple[str, str]]] = {
    "channels first": lambda c: (f"float[1,{c},8,8] x", "c = Conv(x, w)"),
    "channels last": lambda c: (f"float[1,8,8,{c}] x", "i = Transpose<perm=[0,3,1,2]>(x) c = Conv(i, w)"),
    "another operator first": lambda c: (f"float[1,{c},8,8] x", "i = Relu(x) c = Conv(i, w)"),
    "two readers": lambda c: (f"float[1,{c},8,8] x", "a = Conv<pads=[1,1,1,1]>(x, w) b = Relu(x) c = Concat<axis=1>(a, b)"),
}


def first_layer(start: str, channels: int, folder: Path) -> tuple[Path, bool]:
    inputs, steps = FIRST[start](str(channels))
    width = 4 + channels if start == "two readers" else 4
    weights = {"w": 9 * draw(4, channels, 3, 3), "h": 9 * draw(width, 3)}
    return save(network(f"{steps} {HEAD} y = Gemm(f, h)", inputs=inputs, **weights), folder), start.startswith("channels")


@pytest.mark.parametrize("start", FIRST)
def test_blue_first_goes_into_the_first_convolution_or_is_exchanged_before_it(tmp_path: Path, start: str) -> None:
    path, folds = first_layer(start, 3, tmp_path)
    found, made, answer = adopted(path, InputHints(mean=MEAN, std=STD, channel_order="bgr"), tmp_path, LABELS)
    image = samples(found)[0]
    given = image[:, ::-1] if found.form.layout == "nchw" else image[:, ::-1].transpose(0, 2, 3, 1)
    assert answer(image) == pytest.approx(softmax(file_answers(path, np.ascontiguousarray(given))[0]), abs=1e-5)
    kinds = [node.op_type for node in onnx.load(tmp_path / made.onnx.path).graph.node]
    assert ("Gather" in kinds) is not folds
    assert "It takes blue first, as the user said." in made.notes


@pytest.mark.parametrize("start", FIRST)
def test_one_channel_is_the_luminance_and_goes_into_the_first_convolution(tmp_path: Path, start: str) -> None:
    path, folds = first_layer(start, 1, tmp_path)
    found, made, answer = adopted(path, HINTS, tmp_path, LABELS)
    image = samples(found)[0]
    grey = (0.299 * image[:, :1] + 0.587 * image[:, 1:2] + 0.114 * image[:, 2:]).astype(np.float32)
    given = grey if found.form.layout == "nchw" else grey.transpose(0, 2, 3, 1)
    assert answer(image) == pytest.approx(softmax(file_answers(path, np.ascontiguousarray(given))[0]), abs=1e-5)
    kinds = [node.op_type for node in onnx.load(tmp_path / made.onnx.path).graph.node]
    assert ("ReduceSum" in kinds) is not folds
    assert "the luminance, 0.299 R + 0.587 G + 0.114 B" in " ".join(made.notes)


def test_every_operator_that_changed_after_opset_17_is_known_here() -> None:
    """What the installed onnx added to operators since: inputs and attributes, other than wider types."""

    def form(schema: Any) -> Any:
        defaults = {key: str(value.default_value) for key, value in schema.attributes.items()}
        return defaults, [entry.name for entry in schema.inputs], [entry.name for entry in schema.outputs]

    quantizing = {"QuantizeLinear", "DequantizeLinear"}
    changed = set()
    for kind in {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}:
        if onnx.defs.has(kind, 17, "") and form(onnx.defs.get_schema(kind, 17, "")) != form(onnx.defs.get_schema(kind, "")):
            changed.add(kind)
    assert changed - quantizing <= set(CHANGED)
    assert all(onnx.defs.has(kind) for kind in (*CHANGED, *WRITTEN_OUT))


@pytest.mark.parametrize(
    ("opset", "step", "said"),
    [
        (19, "n = AveragePool<kernel_shape=[2,2], dilations=[2,2]>(c)", "it is dilated"),
        (19, 'n = Resize<mode="linear", antialias=1>(c, , , size)', "it filters against aliasing"),
        (19, 'n = Pad<mode="wrap">(c, pads)', "its mode is wrap"),
    ],
)
def test_what_has_no_counterpart_in_opset_17_is_refused_with_advice_that_is_possible(
    opset: int, step: str, said: str
) -> None:
    body = f"{CONV} {step} m = GlobalAveragePool(n) f = Flatten(m) y = Gemm(f, h)"
    constants = {"size": np.array([1, 4, 4, 4]), "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}
    used = {name: value for name, value in constants.items() if name in step}
    model = network(body, inputs="float[1,3,8,8] x", opset=opset, w=draw(4, 3, 3, 3), h=draw(4, 3), **used)
    with raises(ModelError, "E_MODEL_OPSET", says=(f"{said}", "opset_version=17")):
        to_opset("net.onnx", model)


@pytest.mark.parametrize("opset", [18, 28])
def test_a_network_of_operators_that_onnx_runtime_lacks_still_opens(tmp_path: Path, opset: int) -> None:
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip(f"the installed onnx knows no opset {opset}")
    kind = "Swish" if opset == 28 else "Mish"
    model = network(f"{CONV} n = {kind}(c) m = GlobalAveragePool(n) f = Flatten(m) y = Gemm(f, h)", opset=opset)
    for name, values in {"w": draw(4, 3, 3, 3), "h": draw(4, 3)}.items():
        model.graph.initializer.append(numpy_helper.from_array(values, name))
    found, _, answer = adopted(save(model, tmp_path), HINTS, tmp_path, LABELS)
    image = samples(found)[0]
    map_ = np.stack([(window * draw(4, 3, 3, 3)).sum((1, 2, 3)) for window in _windows(image)], axis=1)
    gate = 1 / (1 + np.exp(-map_)) if kind == "Swish" else np.tanh(np.log1p(np.exp(map_)))
    assert answer(image) == pytest.approx(softmax((map_ * gate).mean(1) @ draw(4, 3)), abs=1e-5)


def _windows(image: Any) -> list[Any]:
    padded = np.pad(image[0], ((0, 0), (1, 1), (1, 1)))
    return [padded[None, :, y : y + 3, x : x + 3] for y in range(8) for x in range(8)]


def test_an_operator_that_onnx_has_not_is_refused_by_its_name(tmp_path: Path) -> None:
    model = network(f"{CONV} {HEAD} y = Gemm(f, h)", w=draw(4, 3, 3, 3), h=draw(4, 3))
    model.graph.node[1].op_type = "ResizeBilinear"
    with raises(ModelError, "E_MODEL_OPERATOR", says="ai.onnx::ResizeBilinear"):
        read_onnx(save(model, tmp_path), HINTS)
