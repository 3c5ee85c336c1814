"""Where two implementations of one graph part: the layer that was tampered with is the one that is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import weckd_edge.compile.verify.layer_divergence as module
from support import factories
from support.errors import raises
from weckd_edge.compile.backends import onnxruntime_backend, openvino_backend
from weckd_edge.compile.backends.layers import LayerValues
from weckd_edge.compile.verify.implementations import Implementation
from weckd_edge.compile.verify.layer_divergence import FLOAT_THRESHOLD_DB, INT8_THRESHOLD_DB, find_divergence, find_taps
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.runtime.backends import table

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

CONV = "/network/blocks/blocks.0/branch/branch.1/branch.1.0/Conv"
CLIP = "/network/blocks/blocks.0/branch/branch.1/branch.1.2/Clip"

CLIPPED = re.compile(r"2/Clip$")


@pytest.fixture(scope="module")
def place(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parting")
    index = networks.write_images(folder / "images")
    exported = networks.export(networks.inverted(), folder / "fp32")
    half = networks.saturates()
    networks.quantized(exported, folder / "fp32", index, folder / "images", folder / "int8", reduce_range=half)
    for name in ("fp32", "int8"):
        (folder / f"ov-{name}").mkdir()
        openvino_backend.build_ir(folder / name / "model.onnx", name, folder / f"ov-{name}")
    return folder


@pytest.fixture(scope="module")
def frames(networks: ModuleType) -> list[Any]:
    return [frame[None] for frame in networks.frames(4, networks.contract())]


def runs(backend: str, model: Path) -> Implementation:
    return Implementation(backend=backend, model=model, input=factories.input_spec(24, width=32), precision="int8")


def written(model: Path) -> Implementation:
    return replace(runs("onnxruntime", model), reference=True)


def tampered(source: Path, target: Path) -> Path:
    """The graph with one convolution's bias shifted."""
    model = onnx.load(source)
    conv = next(node for node in model.graph.node if node.name == CONV)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == conv.input[2])
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32(1.5), bias.name))
    onnx.save(model, target)
    return target


def test_probes_are_what_operators_read_named_by_what_makes_it(place: Path) -> None:
    fp32, int8 = (find_taps(onnx.load(place / name / "model.onnx").graph) for name in ("fp32", "int8"))
    layers = {CLIPPED.sub("0/Conv", p.name) for p in fp32 if "preprocess" not in p.name}
    assert sum(p.kind == "Clip" for p in fp32) == 5
    assert layers == {p.name for p in int8 if "preprocess" not in p.name}, "int8 absorbs the activations"
    assert [p.kind for p in int8][-2:] == ["Gemm", "Softmax"]
    behind_pairs = [p.tensor for p in int8 if p.tensor.endswith("DequantizeLinear_Output")]
    assert len(behind_pairs) > 8
    alone = [p.name.removeprefix("/network/") for p in int8 if p.alone and "preprocess" not in p.name]
    assert alone == [
        "stem/stem.0/Conv",
        "blocks/blocks.0/branch/branch.2/branch.2.0/Conv",
        "blocks/blocks.0/Add",
        "blocks/blocks.1/branch/branch.2/branch.2.0/Conv",
        "blocks/blocks.1/Add",
    ]


@pytest.mark.parametrize(("name", "threshold_db"), [("fp32", FLOAT_THRESHOLD_DB), ("int8", INT8_THRESHOLD_DB)])
def test_two_sound_implementations_part_nowhere(place: Path, frames: Any, name: str, threshold_db: float) -> None:
    one, other = written(place / name / "model.onnx"), runs("openvino", place / f"ov-{name}/model.xml")
    found = find_divergence(one, other, frames, threshold_db=threshold_db)
    assert found.first is None
    names = ("onnxruntime int8 as written", "openvino int8")
    assert (found.a, found.b, found.frames, found.threshold_db) == (*names, 4, threshold_db)
    assert [layer.name for layer in found.layers] == [
        p.name for p in find_taps(onnx.load(place / name / "model.onnx").graph)
    ]


@pytest.mark.parametrize(("name", "threshold_db"), [("fp32", FLOAT_THRESHOLD_DB), ("int8", INT8_THRESHOLD_DB)])
def test_the_layer_that_computes_otherwise_is_named(
    place: Path, frames: Any, tmp_path: Path, name: str, threshold_db: float
) -> None:
    other = runs("openvino", tampered(place / name / "model.onnx", tmp_path / "other.onnx"))
    found = find_divergence(written(place / name / "model.onnx"), other, frames, threshold_db=threshold_db)
    assert found.first is not None
    assert (
        (found.layers[found.first].name, found.layers[found.first].kind) == (CLIP, "Clip")
        if name == "fp32"
        else (CONV, "Conv")
    )
    assert found.steepest == found.first
    assert found.layers[found.first].max_abs > 1


def test_a_graph_against_itself_is_equal_everywhere(place: Path, frames: Any) -> None:
    path = place / "int8/model.onnx"
    found = find_divergence(written(path), written(path), frames)
    assert {(layer.sqnr_db, layer.max_abs, layer.disturbed) for layer in found.layers} == {(None, 0.0, 0.0)}
    assert (found.first, found.steepest) == (None, None)


def test_onnx_runtime_is_compared_with_the_graph_as_it_fuses_it(place: Path, frames: Any) -> None:
    path = place / "int8/model.onnx"
    found = find_divergence(written(path), runs("onnxruntime", path), frames)
    assert any(layer.max_abs > 0 for layer in found.layers), "its fused sums are rounded once"
    assert found.first is None


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("saturates", [False, True])
def test_the_other_is_opened_in_the_form_in_which_it_runs(
    place: Path, frames: Any, monkeypatch: pytest.MonkeyPatch, saturates: bool, half: bool
) -> None:
    monkeypatch.setattr(table, "would_saturate", lambda model: saturates)
    path, forms = place / "int8/model.onnx", set[tuple[bool, bool]]()

    def open_noted(model: Path, names: Sequence[str], *, reference: bool, half: bool) -> Any:
        forms.add((reference, half))
        return onnxruntime_backend.open_layers(model, names, reference=True)

    monkeypatch.setitem(module.OPENERS, "openvino", open_noted)
    find_divergence(written(path), replace(runs("openvino", path), half=half), frames[:1])
    assert forms == {(saturates, half)}


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("backend", module.OPENERS)
def test_a_backend_is_opened_as_it_runs(
    place: Path, frames: Any, monkeypatch: pytest.MonkeyPatch, backend: str, reference: bool
) -> None:
    monkeypatch.setattr(table, "would_saturate", lambda model: False)
    path = place / "int8/model.onnx"
    read = module.OPENERS[backend](path, [], reference=reference)
    runner = table.open_runner(backend, path, reference=reference)
    for frame in frames:
        assert np.array_equal(read(frame).probabilities, runner.run(np.ascontiguousarray(frame)))


def test_a_tensor_that_disturbs_is_read_alone_and_marked_and_the_others_are_not(
    place: Path, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place / "int8/model.onnx"
    shy = next(p for p in find_taps(onnx.load(path).graph) if p.name == CONV)
    asked: list[tuple[str, ...]] = []

    def open_shy(model: Path, names: Sequence[str], **_: bool) -> Any:
        inner = onnxruntime_backend.open_layers(model, names, reference=True)
        asked.append(tuple(names))

        def read(frame: Any) -> LayerValues:
            values = inner(frame)
            moved = np.float32(0.125) if shy.tensor in names else np.float32(0)
            return LayerValues(probabilities=values.probabilities + moved, tensors=values.tensors)

        return read

    monkeypatch.setitem(module.OPENERS, "litert", open_shy)
    found = find_divergence(written(path), runs("litert", path), frames)
    assert {layer.name: layer.disturbed for layer in found.layers if layer.disturbed} == {CONV: pytest.approx(0.125)}
    assert (shy.tensor,) in asked
    assert max(len(names) for names in asked) > 4


@pytest.mark.parametrize(
    ("values", "steepest"),
    [([None, None], None), ([70.0, 65.0], None), ([None, 50.0, 49.0, 20.0, 25.0, 10.0], 3), ([30.0, 29.0], 0)],
)
def test_the_steepest_fall_is_under_the_lowest_before_it(values: list[float | None], steepest: int | None) -> None:
    assert module.steepest_fall(values, 60.0) == steepest


def test_without_frames_nothing_is_compared(place: Path) -> None:
    with raises(ModelError, "E_MODEL_FRAME"):
        find_divergence(written(place / "int8/model.onnx"), runs("openvino", place / "int8/model.onnx"), [])


def test_a_tensor_that_is_not_there_is_one_clear_error(place: Path) -> None:
    for opener in module.OPENERS.values():
        with raises(ModelError, "E_MODEL_BACKEND_RUN", says="model.onnx") as caught:
            opener(place / "int8/model.onnx", ["nowhere"])
        assert "\n" not in str(caught.value)


def test_a_graph_is_opened_so_often_and_no_more_and_every_layer_is_still_reported(
    place: Path, frames: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place / "int8/model.onnx"
    asked: list[int] = []

    def open_shaken(model: Path, names: Sequence[str], **_: bool) -> Any:
        inner = onnxruntime_backend.open_layers(model, names, reference=True)
        asked.append(len(names))

        def read(frame: Any) -> LayerValues:
            values = inner(frame)
            return LayerValues(probabilities=values.probabilities + np.float32(0.125 * bool(names)), tensors=values.tensors)

        return read

    monkeypatch.setitem(module.OPENERS, "litert", open_shaken)
    monkeypatch.setattr(module, "MAX_OPENED", 6)
    found = find_divergence(written(path), runs("litert", path), frames)
    assert [layer.name for layer in found.layers] == [p.name for p in find_taps(onnx.load(path).graph)]
    assert all(layer.disturbed for layer in found.layers)
    assert len(asked) < 16, "every tensor disturbs, and asked for one by one they would be more"
