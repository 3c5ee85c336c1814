"""A graph with the front end before it takes frames, and predicts what it predicted of their pixels."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.jetson.front_end import put_front_end_before

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture
def front_end(toy: ModuleType, tmp_path: Path) -> bytes:
    toy.write_front_end(tmp_path, toy.input_spec("area"))
    return (tmp_path / toy.FRONT_END_FILE).read_bytes()


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_the_joined_graph_predicts_of_frames_what_the_graph_predicts_of_their_pixels(
    toy: ModuleType, tmp_path: Path, front_end: bytes, kind: str
) -> None:
    graph = toy.write_graph(tmp_path / "model.onnx", takes="pixels", kind=kind)
    joined = tmp_path / "joined.onnx"
    joined.write_bytes(put_front_end_before(front_end, graph.read_bytes(), "model.onnx"))
    onnx.checker.check_model(onnx.load(joined), full_check=True)
    frames = toy.frames(4, size=toy.WIDE)
    pixels = toy.pixels(frames)
    wanted = toy.answers(graph, pixels.astype(np.float32) if kind == "float32" else pixels)
    np.testing.assert_array_equal(toy.answers(joined, frames), wanted)


def test_the_joined_graph_keeps_what_else_its_file_says(toy: ModuleType, tmp_path: Path, front_end: bytes) -> None:
    graph = onnx.load(toy.write_graph(tmp_path / "model.onnx", takes="pixels"))
    graph.doc_string = "kept"
    joined = onnx.load_from_string(put_front_end_before(front_end, graph.SerializeToString(), "model.onnx"))
    assert (joined.doc_string, joined.ir_version, list(joined.opset_import)) == (
        *("kept", graph.ir_version),
        list(graph.opset_import),
    )
    assert [value.name for value in joined.graph.input] == ["frame"]
    assert [value.name for value in joined.graph.output] == ["probabilities"]


def test_a_graph_that_takes_the_frame_already_is_refused(toy: ModuleType, tmp_path: Path, front_end: bytes) -> None:
    graph = toy.write_graph(tmp_path / "model.onnx")
    with raises(ModelError, "E_MODEL_INPUT", says=("model.onnx", "pixels")):
        put_front_end_before(front_end, graph.read_bytes(), "model.onnx")


def test_bytes_that_are_no_graph_are_refused(toy: ModuleType, tmp_path: Path, front_end: bytes) -> None:
    graph = toy.write_graph(tmp_path / "model.onnx", takes="pixels").read_bytes()
    for damaged in (b"", graph[:-3], b"\xff" * 64):
        with raises(ModelError, "E_MODEL_ONNX_FILE", says="model.onnx"):
            put_front_end_before(front_end, damaged, "model.onnx")
        with raises(ModelError, "E_MODEL_ONNX_FILE"):
            put_front_end_before(damaged, graph, "model.onnx")
