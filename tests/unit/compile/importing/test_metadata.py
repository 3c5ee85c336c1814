"""What an ONNX file's metadata say of its pixels is taken where the user leaves it open."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.errors import raises

onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - behind the skips

from weckd_edge.compile.importing.hints import InputHints  # noqa: E402 - likewise
from weckd_edge.compile.importing.network import OnnxNetwork, read_onnx  # noqa: E402 - likewise
from weckd_edge.core.errors import ConfigError  # noqa: E402 - likewise

OPEN = ("N", 3, "H", "W")


def read(folder: Path, metadata: dict[str, str], shape: tuple[Any, ...] = OPEN, **hints: Any) -> OnnxNetwork:
    """Read a network with metadata: the mean of each colour, as three logits."""
    image = helper.make_tensor_value_info("x", hints.pop("kind", TensorProto.FLOAT), list(shape))
    nodes = [
        helper.make_node("Cast", ["x"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["floats"], ["mean"]),
        helper.make_node("Reshape", ["mean", "flat"], ["y"]),
    ]
    flat = numpy_helper.from_array(np.array([1, 3]), "flat")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph(nodes, "toy", [image], [output], [flat])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    path = folder / "net.onnx"
    onnx.save(model, path)
    return read_onnx(path, InputHints(**hints))


def test_timms_pretrained_cfg_is_read(tmp_path: Path) -> None:
    says = {
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2] * 3,
        "input_size": [3, 24, 40],
        "crop_pct": 0.9,
        "interpolation": "bicubic",
    }
    found = read(tmp_path, {"pretrained_cfg": json.dumps(says)})
    assert (found.form.mean, found.form.std, found.form.size) == ((0.4, 0.5, 0.6), (0.2,) * 3, (24, 40))
    assert (found.preparation.crop_pct, found.preparation.resize) == (0.9, "antialiased_bicubic")
    assert "Mean and standard deviation of its pixels are as the file's metadata say." in found.notes


def test_plain_keys_are_read_and_the_user_stands_over_them(tmp_path: Path) -> None:
    says = {"mean": "[0.4, 0.4, 0.4]", "std": "[0.2, 0.2, 0.2]", "input_size": "32", "crop_pct": "0.95"}
    found = read(tmp_path, says, mean=(0.5,) * 3, std=(0.25,) * 3, input_size=(16, 24))
    assert (found.form.mean, found.form.std, found.form.size) == ((0.5,) * 3, (0.25,) * 3, (16, 24))
    assert found.preparation.crop_pct == 0.95
    assert "Mean and standard deviation of its pixels are as the user said." in found.notes


def test_colours_of_values_up_to_255_are_divided_by_it(tmp_path: Path) -> None:
    says = {"mean": "[127.5, 102.0, 51.0]", "std": "[51.0, 51.0, 51.0]", "input_size": "32"}
    found = read(tmp_path, says)
    assert (found.form.mean, found.form.std) == ((0.5, 0.4, 0.2), (0.2,) * 3)


def test_a_classifier_of_ultralytics_is_known_by_its_metadata(tmp_path: Path) -> None:
    says = {"author": "Ultralytics", "task": "classify", "imgsz": "[64, 64]", "names": "{0: 'a', 1: 'b', 2: 'c'}"}
    found = read(tmp_path, says)
    assert (found.form.mean, found.form.std, found.form.size) == ((0.0,) * 3, (1.0,) * 3, (64, 64))
    assert (found.preparation.crop_pct, found.preparation.resize) == (1.0, "antialiased_bilinear")
    with raises(ConfigError, "E_CONFIG_OPTION_MISSING", says="--input-size"):
        read(tmp_path, {**says, "task": "detect"})


def test_the_shape_of_the_file_stands_over_its_metadata(tmp_path: Path) -> None:
    says = {"mean": "[0, 0, 0]", "std": "[1, 1, 1]", "input_size": "[3, 64, 64]"}
    assert read(tmp_path, says, shape=(1, 3, 16, 24)).form.size == (16, 24)


def test_a_network_of_bytes_needs_no_mean_of_the_metadata(tmp_path: Path) -> None:
    says = {"mean": "[0.4, 0.4, 0.4]", "std": "[0.2, 0.2, 0.2]"}
    assert read(tmp_path, says, shape=(1, 3, 16, 16), kind=TensorProto.UINT8).form.mean == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("value", ["", "{", "nan", "[0.4", "(" * 500, "9" * 200_000, '{"mean": 1}', "None"])
def test_metadata_that_make_no_sense_are_passed_over(tmp_path: Path, value: str) -> None:
    says = dict.fromkeys(("mean", "std", "crop_pct", "interpolation", "crop_mode", "input_size", "pretrained_cfg"), value)
    found = read(tmp_path, says, mean=(0.5,) * 3, std=(0.25,) * 3, input_size=16)
    assert (found.preparation.crop_pct, found.preparation.resize, found.preparation.crop) == (None, None, None)
    with raises(ConfigError, "E_CONFIG_OPTION_MISSING", says="--mean"):
        read(tmp_path, says, input_size=16)
