"""Reading an ONNX file from elsewhere: what is found in it, and one clear line for everything that cannot be used."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.errors import raises

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - behind the skips

from weckd_edge.compile.importing import file as onnx_file  # noqa: E402 - likewise
from weckd_edge.compile.importing.hints import InputHints  # noqa: E402 - likewise
from weckd_edge.compile.importing.network import read_onnx  # noqa: E402 - likewise
from weckd_edge.core.errors import ConfigError, ModelError  # noqa: E402 - likewise

HINTS = InputHints(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
SHAPE = (1, 3, 8, 8)


def classifier(shape: tuple[Any, ...] = SHAPE, *, opset: int = 17, kind: int = TensorProto.FLOAT, last: bool = False) -> Any:
    """A convolution, a mean over the image, and three logits; channels last are turned, grey levels cast."""
    channels = shape[1] if shape[1] in (1, 3) else 3
    weights = np.random.default_rng(0).standard_normal((3, channels, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["floats"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["turned"], "turn", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["turned" if last else "floats", "w"], ["map"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["map"], ["mean"], "pool"),
        helper.make_node("Flatten", ["mean"], ["y"], "flat"),
    ]
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def save(model: Any, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def refused(path: Path, hints: InputHints = HINTS, kind: type[Exception] = ModelError) -> str:
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(kind) as caught:
        read_onnx(path, hints)
    assert "\n" not in str(caught.value)
    assert sorted(path.parent.rglob("*")) == before
    return str(caught.value)


@pytest.mark.parametrize(
    ("shape", "hints", "layout", "size"),
    [
        ((1, 3, 8, 8), {}, "nchw", (8, 8)),
        (("N", 3, 8, 8), {}, "nchw", (8, 8)),
        ((1, 8, 8, 3), {}, "nhwc", (8, 8)),
        (("N", "H", "W", 3), {"input_size": 24}, "nhwc", (24, 24)),
        (("N", 3, "H", "W"), {"input_size": 24}, "nchw", (24, 24)),
        (("N", 3, 8, "W"), {}, "nchw", (8, 8)),
        ((1, 3, 3, 3), {"layout": "nhwc", "input_size": None}, "nhwc", (3, 3)),
        (("N", "C", "H", "W"), {"layout": "nchw", "input_size": 16}, "nchw", (16, 16)),
        ((1, 1, 8, 8), {}, "nchw", (8, 8)),
        ((1, 3, 8, 12), {}, "nchw", (8, 12)),
        ((1, 12, 8, 3), {"input_size": (12, 8)}, "nhwc", (12, 8)),
        (("N", 3, "H", "W"), {"input_size": (24, 16)}, "nchw", (24, 16)),
        (("N", 3, 8, "W"), {"input_size": (8, 12)}, "nchw", (8, 12)),
        ((1, 8, 8, "C"), {"channels": 3, "layout": "nhwc"}, "nhwc", (8, 8)),
    ],
)
def test_layout_and_size_are_read_from_the_shape_where_it_tells(
    tmp_path: Path, shape: tuple[Any, ...], hints: dict[str, Any], layout: str, size: tuple[int, int]
) -> None:
    path = save(classifier(shape, last=layout == "nhwc"), tmp_path)
    found = read_onnx(path, InputHints(mean=HINTS.mean, std=HINTS.std, **hints))
    assert (found.form.layout, found.form.size, found.form.kind) == (layout, size, "float32")
    channels = 1 if 1 in shape[1:] else 3
    assert found.form.channels == channels
    for model in (found.file_model, found.model):
        fixed = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
        assert fixed == ([1, channels, *size] if layout == "nchw" else [1, *size, channels])
    assert (found.form.mean, found.form.std) == (HINTS.mean, HINTS.std)


@pytest.mark.parametrize(
    ("shape", "hints", "kind", "said"),
    [
        ((1, 3, 3, 3), {}, ConfigError, "does not tell where the channels are; give --layout"),
        (("N", "C", "H", "W"), {}, ConfigError, "give --layout"),
        (("N", 3, "H", "W"), {}, ConfigError, "leaves height and width open; give --input-size"),
        ((1, 3, 8, 8), {"input_size": 16}, ConfigError, "--input-size 16 contradicts its input [1, 3, 8, 8]"),
        ((1, 3, 8, 8), {"layout": "nhwc"}, ConfigError, "give --layout nchw"),
        ((1, 8, 8, 3), {"layout": "nchw"}, ConfigError, "give --layout nhwc"),
        ((1, 8, 8, 3), {"channels": 1}, ConfigError, "--channels 1 contradicts its input [1, 8, 8, 3]"),
        ((1, 2, 8, 8), {}, ModelError, "expected 3 channels (RGB) or 1 (luminance), found an input of [1, 2, 8, 8]"),
        ((1, 1, 8, 8), {"mean": (0.4, 0.5, 0.6)}, ConfigError, "takes one channel, found three values of --mean or --std"),
        ((1, 1, 8, 8), {"channel_order": "bgr"}, ConfigError, "takes one channel, which has no order"),
        ((1, 3, 8, 10), {"input_size": 8}, ConfigError, "--input-size 8 contradicts its input [1, 3, 8, 10]"),
        ((1, 3, 8, 10), {"input_size": (10, 8)}, ConfigError, "--input-size 10x8 contradicts its input [1, 3, 8, 10]"),
        (("N", 3, 8, "W"), {"input_size": 16}, ConfigError, "--input-size 16 contradicts its input [?, 3, 8, ?]"),
        ((4, 3, 8, 8), {}, ModelError, "found a batch of 4"),
        ((1, 192), {}, ModelError, "expected an image as input"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_with_the_shape(
    tmp_path: Path, shape: tuple[Any, ...], hints: dict[str, Any], kind: type[Exception], said: str
) -> None:
    path = save(classifier(shape), tmp_path)
    assert said in refused(path, InputHints(**{"mean": HINTS.mean, "std": HINTS.std, **hints}), kind)


def test_a_float_input_needs_mean_and_std_and_a_uint8_input_takes_none(tmp_path: Path) -> None:
    assert "give --mean and --std" in refused(save(classifier(), tmp_path), InputHints(), ConfigError)
    path = save(classifier(kind=TensorProto.UINT8), tmp_path)
    assert "leave --mean and --std out" in refused(path, HINTS, ConfigError)
    found = read_onnx(path, InputHints())
    form = found.form
    assert (form.kind, form.mean, form.std) == ("uint8", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255))


@pytest.mark.parametrize("code", [TensorProto.BFLOAT16, TensorProto.INT64])
def test_another_type_of_input_is_refused_by_its_name(tmp_path: Path, code: int) -> None:
    said = refused(save(classifier(kind=code), tmp_path))
    assert f"found {TensorProto.DataType.Name(code).lower()}" in said


def test_no_file_a_folder_and_what_is_no_onnx_are_refused(tmp_path: Path) -> None:
    assert "found nothing there" in refused(tmp_path / "net.onnx")
    (tmp_path / "a.onnx").mkdir()
    assert "found a folder" in refused(tmp_path / "a.onnx")
    for data in (b"", b"hello, this is text", b"\x89PNG\r\n\x1a\n" + bytes(64), bytes(100)):
        path = tmp_path / "net.onnx"
        path.write_bytes(data)
        assert "expected an ONNX file" in refused(path)


def test_a_file_that_is_cut_short_anywhere_is_refused(tmp_path: Path) -> None:
    whole = classifier().SerializeToString()
    path = tmp_path / "net.onnx"
    for end in range(8, len(whole) - 1, 23):
        path.write_bytes(whole[:end])
        refused(path)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    with path.open("wb") as file:
        file.truncate(onnx_file.MAX_BYTES + (1 << 20))  # takes no space on the disk
    assert "expected at most 1024 MiB" in refused(path)


@pytest.mark.parametrize(
    ("opset", "said"), [(99, "opset 99 is newer than"), (99, "update onnx"), (6, "opset 6 is too old, expected 7 or newer")]
)
def test_an_opset_off_the_range_is_refused(tmp_path: Path, opset: int, said: str) -> None:
    message = refused(save(classifier(opset=opset), tmp_path))
    assert said in message


def add_input(model: Any) -> None:
    model.graph.input.append(helper.make_tensor_value_info("age", TensorProto.FLOAT, [1, 1]))


def add_output(model: Any) -> None:
    model.graph.output.append(helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 3, 8, 8]))


def add_custom(model: Any) -> None:
    next(n for n in model.graph.node if n.name == "pool").domain = "com.acme"
    model.opset_import.append(helper.make_opsetid("com.acme", 1))


def add_nan(model: Any) -> None:
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))


def add_branch(model: Any) -> None:
    out = helper.make_tensor_value_info("same", TensorProto.FLOAT, None)
    branch = helper.make_graph([helper.make_node("Identity", ["flatter"], ["same"])], "branch", [], [out])
    model.graph.node[-1].output[0] = "flatter"
    for node in (
        helper.make_node("ReduceSum", ["flatter"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["light"], to=TensorProto.BOOL),
        helper.make_node("If", ["light"], ["y"], "choice", then_branch=branch, else_branch=branch),
    ):
        model.graph.node.append(node)


def add_integer(model: Any) -> None:
    next(n for n in model.graph.node if n.name == "conv").op_type = "ConvInteger"


def add_pair(zero: np.dtype[Any]) -> Callable[[Any], None]:
    def add(model: Any) -> None:
        graph = model.graph
        graph.initializer.append(numpy_helper.from_array(np.float32(0.1), "s"))
        graph.initializer.append(numpy_helper.from_array(np.zeros((), zero), "z"))
        graph.node.insert(0, helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], "q"))
        graph.node.insert(1, helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], "dq"))
        next(n for n in graph.node if n.name == "cast").input[0] = "xd"

    return add


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (add_input, "expected one input, an image, found 2 ('x', 'age')"),
        (add_output, "found 2 ('y', 'map'); name the one with the classes, such as --output y"),
        (add_custom, "1 operators are not standard ONNX (com.acme::GlobalAveragePool; the first is 'pool')"),
        (add_nan, "'w' holds 9 values that are NaN or infinite"),
        (add_branch, "'choice' (If) decides at run time"),
        (add_integer, "is quantized already; conv: ConvInteger finds its range at run time"),
        (add_pair(np.dtype(np.int16)), "is quantized already; q: its zero point must be int8 or uint8, not int16"),
    ],
)
def test_a_graph_that_cannot_be_used_is_refused_and_the_culprit_named(
    tmp_path: Path, spoil: Callable[[Any], None], said: str
) -> None:
    model = classifier()
    spoil(model)
    assert said in refused(save(model, tmp_path))


def external(folder: Path, location: str = "weights.bin", **changes: str) -> Path:
    """Put the weights of the toy into a file beside it."""
    model = classifier()
    tensor = model.graph.initializer[0]
    data = tensor.raw_data
    if location == "weights.bin":
        (folder / location).write_bytes(data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(len(data)), **changes}.items():
        tensor.external_data.add(key=key, value=value)
    return save(model, folder)


def test_weights_beside_the_file_are_read_and_are_part_of_its_digest(tmp_path: Path) -> None:
    path = external(tmp_path)
    found = read_onnx(path, HINTS)
    inside = numpy_helper.to_array(classifier().graph.initializer[0])
    assert np.array_equal(numpy_helper.to_array(found.model.graph.initializer[0]), inside)
    assert found.bytes == path.stat().st_size + inside.nbytes
    (tmp_path / "weights.bin").write_bytes((inside * 2).tobytes())
    assert read_onnx(path, HINTS).sha256 != found.sha256


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/hostname", "a/../../b", "C:\\w.bin", "", "..\\w.bin"])
def test_weights_outside_of_the_folder_are_never_opened(tmp_path: Path, location: str) -> None:
    below = tmp_path / "below"
    below.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(1000))
    assert "expected a file beside it" in refused(external(below, location))


def test_weights_without_a_length_are_the_rest_of_their_file(tmp_path: Path) -> None:
    path = external(tmp_path, offset="8", length="")
    model = onnx.load_model(path, load_external_data=False)
    (place,) = [entry for entry in model.graph.initializer[0].external_data if entry.key == "length"]
    model.graph.initializer[0].external_data.remove(place)
    path.write_bytes(model.SerializeToString())
    inside = numpy_helper.to_array(classifier().graph.initializer[0])
    (tmp_path / "weights.bin").write_bytes(bytes(8) + inside.tobytes())
    assert np.array_equal(numpy_helper.to_array(read_onnx(path, HINTS).model.graph.initializer[0]), inside)
    (tmp_path / "weights.bin").write_bytes(bytes(4))
    assert "at 8 of weights.bin, which has 4" in refused(path)


def test_weights_that_are_missing_short_or_a_link_out_are_refused(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    path = external(below)
    data = (below / "weights.bin").read_bytes()
    (below / "weights.bin").write_bytes(data[:-1])
    assert "which has 323; is it whole?" in refused(path)
    (below / "weights.bin").unlink()
    assert "found no such file; put it beside net.onnx" in refused(path)
    (tmp_path / "elsewhere").write_bytes(data)
    (below / "weights.bin").symlink_to(tmp_path / "elsewhere")
    assert "a link out of its folder" in refused(path)
    assert "which has 324" in refused(external(tmp_path, offset="8"))
    assert "is no number" in refused(external(tmp_path, length="many"))


@pytest.mark.parametrize(
    ("hints", "code", "named"),
    [
        ({"mean": (0.5, 0.5, 0.5)}, "E_CONFIG_OPTION_MISSING", ("--mean", "--std")),
        ({"mean": (0.5, 0.5, 0.5), "std": (0.2, 0.0, 0.2)}, "E_CONFIG_RANGE", "--std 0.2,0,0.2"),
        ({"mean": (float("nan"), 0.5, 0.5), "std": (0.2, 0.2, 0.2)}, "E_CONFIG_RANGE", "--mean"),
        ({"input_size": 4}, "E_CONFIG_RANGE", ("--input-size 4", "8", "2048")),
        ({"channels": 2}, "E_CONFIG_RANGE", "--channels 2"),
        ({"channels": 1, "channel_order": "bgr"}, "E_CONFIG_CONFLICT", "--channel-order bgr"),
        (
            {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
            "E_CONFIG_RANGE",
            "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
        ),
        (
            {"mean": (123.0, 117.0, 104.0), "std": (1.0, 1.0, 1.0)},
            "E_CONFIG_RANGE",
            "--mean 0.4824,0.4588,0.4078 --std 1/255",
        ),
    ],
)
def test_hints_that_contradict_themselves_are_refused(
    hints: dict[str, Any], code: str, named: tuple[str, ...] | str
) -> None:
    with raises(ConfigError, code, says=named):
        InputHints(**hints)


def behind_the_convolution(model: Any, *nodes: Any, reads: str) -> None:
    """Put nodes behind the toy's convolution; its pool reads what they make."""
    kinds = [node.op_type for node in model.graph.node]
    model.graph.node[kinds.index("GlobalAveragePool")].input[0] = reads
    for at, node in enumerate(nodes, start=kinds.index("Conv") + 1):
        model.graph.node.insert(at, node)


def function(name: str, *nodes: Any) -> Any:
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["a"], ["b"], nodes, opsets)


def with_functions(*functions: Any, called: str) -> Any:
    """The classifier with a function of its own behind the convolution."""
    model = classifier()
    del model.opset_import[:]
    model.opset_import.extend([helper.make_opsetid("", 17), helper.make_opsetid("own", 1)])
    call = helper.make_node(called, ["map"], ["own_map"], "call", domain="own")
    behind_the_convolution(model, call, reads="own_map")
    model.functions.extend(functions)
    return model


def test_local_functions_are_written_out_and_the_network_predicts_as_before(tmp_path: Path) -> None:
    twice = function("twice", helper.make_node("Add", ["a", "a"], ["b"]))
    calls = [helper.make_node("twice", ["a"], ["t"], domain="own"), helper.make_node("Relu", ["t"], ["b"])]
    model = with_functions(twice, function("both", *calls), called="both")
    found = read_onnx(save(model, tmp_path), HINTS)
    made = [node.op_type for node in found.model.graph.node if node.op_type != "Cast"]
    assert made == ["Conv", "Add", "Relu", "GlobalAveragePool", "Flatten"]
    assert len(found.model.functions) == 0
    image = np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    answers = [
        onnxruntime.InferenceSession(one.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": image})[0]
        for one in (model, found.model)
    ]
    assert np.abs(answers[0] - answers[1]).max() < 1e-6


def test_the_module_that_writes_functions_out_is_imported_by_whoever_needs_it(tmp_path: Path) -> None:
    """It is no part of ``import onnx``, whatever another library has imported here."""
    path = save(with_functions(function("f", helper.make_node("Relu", ["a"], ["b"])), called="f"), tmp_path)
    code = (
        "import sys; from pathlib import Path; from weckd_edge.compile.importing.hints import InputHints; "
        "from weckd_edge.compile.importing.network import read_onnx; "
        "hints = InputHints(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)); "
        f"print(len(read_onnx(Path({str(path)!r}), hints).model.graph.node))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, "5"), done.stderr  # a Cast, and Relu in the function's place


def test_functions_that_double_are_counted_before_they_are_written_out(tmp_path: Path) -> None:
    doubling = [function("f0", helper.make_node("Relu", ["a"], ["b"]))]
    for n in range(30):
        calls = [helper.make_node(f"f{n}", [x], [y], domain="own") for x, y in (("a", "t"), ("t", "b"))]
        doubling.append(function(f"f{n + 1}", *calls))
    said = refused(save(with_functions(*doubling, called="f30"), tmp_path))
    assert f"expected at most 20000 operators, found {2**30 + 5}" in said


def test_functions_that_call_each_other_in_a_circle_are_refused(tmp_path: Path) -> None:
    circle = [function(one, helper.make_node(other, ["a"], ["b"], domain="own")) for one, other in (("f", "g"), ("g", "f"))]
    assert "call each other in a circle" in refused(save(with_functions(*circle, called="f"), tmp_path))


def test_a_call_of_a_function_that_is_not_there_is_no_standard_operator(tmp_path: Path) -> None:
    assert "not standard ONNX (own::gone" in refused(save(with_functions(called="gone"), tmp_path))


def test_a_graph_of_more_operators_than_any_device_runs_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "MAX_NODES", 4)
    assert "expected at most 4 operators, found 5" in refused(save(classifier(), tmp_path))
    monkeypatch.setattr(onnx_file, "MAX_NODES", 5)
    read_onnx(save(classifier(), tmp_path), HINTS)
    monkeypatch.setattr(onnx_file, "MAX_TENSORS", 0)
    assert "expected at most 0 tensors, found 1" in refused(save(classifier(), tmp_path))


@pytest.mark.parametrize("shape", [(1, 3, 1 << 20, 1 << 20), (1, 3, 2049, 2049), (1, 4096, 4096, 3)])
def test_an_input_larger_than_any_image_is_refused(shape: tuple[int, ...], tmp_path: Path) -> None:
    assert "expected an image of at most 2048 pixels a side" in refused(save(classifier(shape), tmp_path))


@pytest.mark.parametrize("sides", [[1, 3, 100_000, 34_000], [1, 3, 50_000, 34_000]])
def test_a_tensor_that_no_device_could_hold_is_refused_before_it_is_made(sides: list[int], tmp_path: Path) -> None:
    """Its shape is worked out inside the graph."""
    model = classifier()
    graph = model.graph
    graph.initializer.append(numpy_helper.from_array(np.array(sides, np.int64), "sides"))
    graph.initializer.append(numpy_helper.from_array(np.array([1, 1, 2, 1], np.int64), "twice"))
    nodes = [
        helper.make_node("Mul", ["sides", "twice"], ["larger"]),
        helper.make_node("ConstantOfShape", ["larger"], ["huge"]),
        helper.make_node("ReduceMax", ["huge"], ["one"], keepdims=0),
        helper.make_node("Add", ["map", "one"], ["sum"]),
    ]
    behind_the_convolution(model, *nodes, reads="sum")
    said = refused(save(model, tmp_path))
    assert "'huge' takes " in said
    assert "expected at most 1024 MiB" in said


def test_a_pipe_is_no_onnx_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "net.onnx")
    assert "expected an ONNX file" in refused(tmp_path / "net.onnx")
