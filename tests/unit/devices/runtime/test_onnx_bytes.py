"""No byte that was not proved is read by a graph that is given as bytes."""

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.errors import raises
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.runtime.backends.base import ModelBytes
from weckd_edge.devices.runtime.backends.onnx_bytes import MAX_DEPTH, check_onnx
from weckd_edge.devices.runtime.backends.table import open_runner

PLACES = (
    "the network's weights",
    "an initializer",
    "a node's tensor",
    "a node's tensors",
    "a subgraph",
    "subgraphs",
    "a subgraph's subgraph",
    "a sparse initializer",
    "a node's sparse tensor",
    "a node's sparse tensors",
    "a function",
    "a training's graph",
    "a training's algorithm",
    "an address",
)


@pytest.fixture
def graph(toy: ModuleType, tmp_path: Path) -> Path:
    path: Path = toy.write_graph(tmp_path / "model.onnx")
    return path


def test_every_place_is_listed_here(outside: ModuleType) -> None:
    assert tuple(outside.PLACES) == PLACES


@pytest.mark.parametrize("place", PLACES)
def test_data_outside_are_refused_wherever_a_tensor_stands(outside: ModuleType, graph: Path, place: str) -> None:
    check_onnx(graph.read_bytes(), "model.onnx")
    outside.write(graph, place)
    with raises(ModelError, "E_MODEL_EXTERNAL_DATA"):
        check_onnx(graph.read_bytes(), "model.onnx")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_no_runtime_is_given_such_a_graph(
    outside: ModuleType, graph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    pytest.importorskip(backend)
    outside.write(graph, "the network's weights")
    monkeypatch.chdir(tmp_path)  # where it would be found
    with raises(ModelError, "E_MODEL_EXTERNAL_DATA"):
        open_runner(backend, ModelBytes(path="model.onnx", graph=graph.read_bytes()))


def test_what_openvino_would_take_for_a_graph_by_its_content_is_refused(outside: ModuleType, graph: Path) -> None:
    pytest.importorskip("openvino")
    outside.write(graph, "the network's weights")
    with raises(ModelError, "E_MODEL_FILE"):
        open_runner("openvino", ModelBytes(path="model.xml", graph=graph.read_bytes()))


@pytest.mark.parametrize(
    "data", [b"", b"\x08\x0a", b"<net/>", b"\x3a", b"\x3a\x7f", b"\x3b\x3c", b"\x3a\x02\x2a\x05", b"\xff" * 11]
)
def test_what_is_no_graph_is_refused(data: bytes) -> None:
    with raises(ModelError, "E_MODEL_ONNX_FILE"):
        check_onnx(data, "model.onnx")


def test_messages_that_lie_deep_are_refused() -> None:
    data = b""
    for _ in range(MAX_DEPTH):
        for tag in (0x32, 0x2A, 0x0A):  # of an attribute its graph, of a node an attribute, of a graph a node
            length = len(data)
            varint = bytes([length & 0x7F | 0x80, length >> 7]) if length > 127 else bytes([length])
            data = bytes([tag]) + varint + data
    length = len(data)
    with raises(ModelError, "E_MODEL_ONNX_FILE", says="64"):
        check_onnx(bytes([0x3A, length & 0x7F | 0x80, length >> 7]) + data, "model.onnx")


def test_cut_anywhere_a_graph_is_refused_or_holds_no_data_outside(graph: Path) -> None:
    data = graph.read_bytes()
    for end in range(len(data)):
        try:
            check_onnx(data[:end], "model.onnx")
        except ModelError:
            continue
        onnx.load_from_string(data[:end])  # it is whole, with less in it


@pytest.fixture(scope="module")
def harmed(outside: ModuleType, toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """A graph with data outside for each place."""
    path = tmp_path_factory.mktemp("harmed") / "model.onnx"
    found = []
    for place in PLACES:
        outside.write(toy.write_graph(path), place)
        found.append(path.read_bytes())
    return found


@settings(max_examples=300, deadline=None, database=None, derandomize=True)
@given(data=st.data())
def test_whatever_protobuf_reads_the_walk_has_seen(harmed: list[bytes], data: st.DataObject) -> None:
    """Bytes are changed at random: where ONNX's own reader finds a tensor with its data outside, it was refused."""
    raw = bytearray(data.draw(st.sampled_from(harmed)))
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        check_onnx(bytes(raw), "model.onnx")
    except ModelError:
        return
    model = onnx.ModelProto()
    try:
        model.ParseFromString(bytes(raw))
    except Exception:
        return
    assert not any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors(model))


def tensors(message: object) -> list[onnx.TensorProto]:
    """Return every tensor of a message, wherever it stands."""
    found = [message] if isinstance(message, onnx.TensorProto) else []
    for field, value in message.ListFields():  # type: ignore[attr-defined]
        if field.message_type is not None:
            for inner in value if not hasattr(value, "ListFields") else [value]:
                found += tensors(inner)
    return found


def test_the_bytes_of_a_graph_and_its_file_are_classified_alike(toy: ModuleType, graph: Path) -> None:
    frame = np.ascontiguousarray(toy.frames(1))
    for backend in ("onnxruntime", "openvino"):
        pytest.importorskip(backend)
        runners = [open_runner(backend, source) for source in (graph, ModelBytes(path="m.onnx", graph=graph.read_bytes()))]
        by_file, by_bytes = (runner.run(frame) for runner in runners)
        assert by_file.tolist() == by_bytes.tolist()
        for runner in runners:
            runner.close()


def test_the_bytes_of_an_ir_and_its_files_are_classified_alike(toy: ModuleType, graph: Path) -> None:
    ov = pytest.importorskip("openvino")
    ov.save_model(ov.convert_model(graph), graph.with_suffix(".xml"), compress_to_fp16=False)
    frame = np.ascontiguousarray(toy.frames(1))
    xml, weights = (graph.with_suffix(suffix).read_bytes() for suffix in (".xml", ".bin"))
    by_file = open_runner("openvino", graph.with_suffix(".xml"))
    by_bytes = open_runner("openvino", ModelBytes(path="model.xml", graph=xml, weights=weights))
    shutil.rmtree(graph.parent)
    assert by_file.run(frame).tolist() == by_bytes.run(frame).tolist()
