"""The temperature ends inside the graph, in front of the last Softmax, and nothing else changes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import weckd_edge.compile.verify.temperature as module
from support.bundles import toy
from support.errors import raises
from weckd_edge.artifacts import PrecisionSelection, QuantizedModel, RecalibratedModel
from weckd_edge.compile.backends import litert_backend, openvino_backend
from weckd_edge.compile.quantize.forms import PROCESSOR
from weckd_edge.compile.quantize.qdq_rules import find_violations
from weckd_edge.compile.verify.implementations import Implementation, predict_frames
from weckd_edge.compile.verify.temperature import NODE_NAME, recalibrate, set_graph_temperature
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace, check_ref, file_ref
from weckd_edge.devices.images.split_frames import decode_split
from weckd_edge.devices.runtime.backends.int8_layers import count_int8_layers
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.metrics.calibration import Temperature, apply_temperature

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("scipy")


class Case:
    """An int8 graph, its data set, and recalibrations of it."""

    def __init__(self, networks: ModuleType, place: Path) -> None:
        self.networks, self.place = networks, place
        self.index = networks.write_images(place / "images", val=24)
        exported = networks.export(networks.every_sum(), place / "fp32")
        self.quantized: QuantizedModel = networks.quantized(
            exported, place / "fp32", self.index, place / "images", place / "int8"
        )
        self.path = place / "int8/model.onnx"
        self.selection = PrecisionSelection(
            trials=(),
            chosen="int8 minmax",
            reason="the only one",
            images=24,
            timed_on=None,
            precision="int8",
            onnx=self.quantized.onnx,
            quantized=self.quantized,
        )

    def recalibrate(self, out: Path, **changes: Any) -> RecalibratedModel:
        out.mkdir(exist_ok=True)
        deployed = Implementation(
            backend="onnxruntime", model=self.path, input=self.networks.contract(), precision="int8", reference=True
        )
        index = changes.pop("index", self.index)
        workspace, spec = Workspace(self.place / "work"), self.networks.contract().frame
        images = decode_split(workspace, index, "val", self.place / "images", spec, SilentProgress())
        candidate = changes.pop("shipped", deployed)
        return recalibrate(
            changes.pop("selection", self.selection),
            changes.pop("source", self.path.parent),
            candidate.name,
            predict_frames(candidate, images) if len(images) else np.zeros((0, 3), np.float32),
            images.records,
            out,
        )

    def answers(self, backend: str, path: Path, *, reference: bool = False) -> Any:
        runner = open_runner(backend, path, reference=reference)
        frames = self.networks.frames(12, self.networks.contract())
        return np.stack([runner.run(np.ascontiguousarray(frame[None])) for frame in frames])


@pytest.fixture(scope="module")
def case(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(networks, tmp_path_factory.mktemp("recalibrate"))


def fix(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    found = Temperature(value=value, unshrunk=value, nll_before=1.2, nll_after=1.1, note="set by a test")
    monkeypatch.setattr(module, "fit_temperature", lambda answers, labels, groups: found)


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_the_graph_predicts_at_the_temperature_and_its_int8_part_is_the_same(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    fix(monkeypatch, temperature)
    made = case.recalibrate(tmp_path / "out")
    path = check_ref(tmp_path / "out", made.onnx)
    np.testing.assert_allclose(
        case.answers("onnxruntime", path, reference=True),
        apply_temperature(case.answers("onnxruntime", case.path, reference=True), temperature),
        atol=1e-6,
    )
    before, after = onnx.load(case.path), onnx.load(path)
    assert find_violations(after, PROCESSOR) == ()
    changed = [
        node
        for node in after.graph.node
        if node.SerializeToString() not in {n.SerializeToString() for n in before.graph.node}
    ]
    assert [node.name for node in changed if node.op_type == "Mul"] == [NODE_NAME]
    assert sorted(node.op_type for node in changed) == ["Mul", "Softmax"]


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_openvino_predictions_at_the_temperature_with_as_many_layers_in_int8(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temperature: float
) -> None:
    pytest.importorskip("openvino")
    fix(monkeypatch, temperature)
    made = case.recalibrate(tmp_path / "out")
    built = []
    for name, path in (("before", case.path), ("after", tmp_path / "out" / made.onnx.path)):
        (tmp_path / name).mkdir()
        built.append(openvino_backend.build_ir(path, "int8", tmp_path / name))
    assert built[0].detail == built[1].detail
    before, after = (case.answers("openvino", tmp_path / name / "model.xml") for name in ("before", "after"))
    np.testing.assert_allclose(after, apply_temperature(before, temperature), atol=1e-5)


def test_an_ir_without_a_graph_of_its_own_takes_the_temperature_too(case: Case, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    before = openvino_backend.build_ir(case.path, "int8", tmp_path / "before")
    refs = openvino_backend.set_ir_temperature(tmp_path / "before/model.xml", 2.5, tmp_path / "after")
    assert [ref.path for ref in refs] == ["model.xml", "model.bin"]
    for ref in refs:
        check_ref(tmp_path / "after", ref)
    a, b = (case.answers("openvino", tmp_path / name / "model.xml") for name in ("before", "after"))
    np.testing.assert_allclose(b, apply_temperature(a, 2.5), atol=1e-5)
    after = count_int8_layers("openvino", tmp_path / "after/model.xml", "network_input")
    assert after is not None
    assert (after.int8_layers, after.layers) == (before.int8_layers, before.layers)


def test_where_the_temperature_is_one_the_bytes_are_those_that_came(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fix(monkeypatch, 1.0)
    assert case.recalibrate(tmp_path / "out").onnx.sha256 == case.quantized.onnx.sha256


def test_what_was_built_is_built_again_with_the_temperature_whoever_made_it(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    from weckd_edge.compile.backends import openvino_backend

    (tmp_path / "ir").mkdir()
    built = openvino_backend.build_ir(case.path, "int8", tmp_path / "ir")
    shutil.copyfile(case.path, tmp_path / "ir/model.onnx")
    before = case.answers("openvino", tmp_path / "ir/model.xml")
    of_a_graph = replace(case.selection, models=(built,))
    of_no_graph = replace(case.selection, models=(replace(built, source_sha256="0" * 64),))
    for name, selection, temperature in (("a", of_a_graph, 2.5), ("b", of_no_graph, 2.5), ("c", of_no_graph, 1.0)):
        fix(monkeypatch, temperature)
        made = case.recalibrate(tmp_path / name, selection=selection, source=tmp_path / "ir")
        for ref in made.models[0].files:
            check_ref(tmp_path / name, ref)
        after = case.answers("openvino", tmp_path / name / "model.xml")
        np.testing.assert_allclose(after, apply_temperature(before, temperature), atol=1e-5)


def test_every_model_gets_the_temperature_of_what_is_deployed(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    fix(monkeypatch, 2.5)
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "ir").mkdir(parents=True)
    shutil.copyfile(case.path, source / "model.onnx")
    shutil.copyfile(case.place / "fp32/model.onnx", source / "float.onnx")
    int8, fp32 = (file_ref(source, source / name) for name in ("model.onnx", "float.onnx"))
    for ref in openvino_backend.build_ir(case.path, "int8", source / "ir").files:
        (source / "ir" / ref.path).rename(source / f"int8{Path(ref.path).suffix}")
    irs = tuple(file_ref(source, source / name) for name in ("int8.xml", "int8.bin"))
    models = (
        toy.of_graph("onnxruntime", int8),
        replace(toy.of_graph("openvino", int8), files=irs),
        toy.of_graph("onnxruntime", fp32, "fp32"),
        toy.of_graph("openvino", fp32, "fp32"),
    )
    made = case.recalibrate(out, selection=replace(case.selection, models=models), source=source)
    assert [[ref.path for ref in model.files] for model in made.models] == [
        ["model.onnx"],
        ["int8.xml", "int8.bin"],
        ["float.onnx"],
        ["float.onnx"],
    ]
    graphs = [file_ref(out, out / name).sha256 for name in ("model.onnx", "model.onnx", "float.onnx", "float.onnx")]
    assert [model.source_sha256 for model in made.models] == graphs, "the graph as it is in the bundle"
    assert sorted(path.name for path in out.iterdir()) == ["float.onnx", "int8.bin", "int8.xml", "model.onnx"]
    for before, after in zip(models, made.models, strict=True):
        for ref in after.files:
            check_ref(out, ref)
        plain, scaled = (
            case.answers(model.backend, folder / model.files[0].path) for model, folder in ((before, source), (after, out))
        )
        np.testing.assert_allclose(scaled, apply_temperature(plain, 2.5), atol=1e-5)


def test_what_litert_runs_is_written_again_with_the_temperature(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ai_edge_litert")
    fix(monkeypatch, 2.5)
    networks, source, out = case.networks, tmp_path / "source", tmp_path / "out"
    takes_pixels = networks.export(networks.every_sum(), tmp_path / "fp32", networks.contract(resize="area"))
    made = networks.quantized(takes_pixels, tmp_path / "fp32", case.index, case.place / "images", source)
    (file,) = litert_backend.build_tflite(source / made.onnx.path, "int8", source).files
    models = (
        toy.of_graph("onnxruntime", made.onnx),
        replace(toy.of_graph("litert", made.onnx), files=(file,)),
    )
    selection = replace(case.selection, onnx=made.onnx, models=models)
    _, after = case.recalibrate(out, selection=selection, source=source).models
    assert [ref.path for ref in after.files] == [file.path]
    check_ref(out, after.files[0])
    assert after.source_sha256 == file_ref(out, out / made.onnx.path).sha256
    pixels = np.random.default_rng(4).integers(0, 256, (12, 1, 12, 12, 3), np.uint8)
    plain, scaled = (
        np.stack([runner.run(frame) for frame in pixels])
        for runner in (open_runner("litert", folder / file.path) for folder in (source, out))
    )
    np.testing.assert_allclose(scaled, apply_temperature(plain, 2.5), atol=1e-5)


def test_it_is_found_on_validation_images_as_what_is_deployed_predicts_them(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def fit(answers: Any, labels: Any, groups: Any) -> Temperature:
        seen.append((answers, labels, groups))
        return Temperature(value=2.0, unshrunk=2.0, nll_before=1.2, nll_after=1.1, note="n")

    monkeypatch.setattr(module, "fit_temperature", fit)
    made = case.recalibrate(tmp_path / "out")
    val = case.index.split("val")
    ((answers, labels, groups),) = seen
    assert answers.shape == (len(val), 3)
    assert (list(labels), groups) == ([r.label for r in val], [r.group for r in val])
    told = made.recalibration
    assert (told.val_images, told.val_groups, told.predicted_by) == (24, 24, "onnxruntime int8 as written")
    assert (told.temperature, told.val_nll_before, told.val_nll_after, told.note) == (2.0, 1.2, 1.1, "n")
    assert made.source_sha256 == case.quantized.onnx.sha256 != made.onnx.sha256


def test_a_graph_that_ends_in_no_softmax_is_left_alone(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fix(monkeypatch, 2.0)
    monkeypatch.setattr(module, "_last_softmax", lambda model: None)
    made = case.recalibrate(tmp_path / "out")
    told = made.recalibration
    assert (told.temperature, told.val_nll_after, made.onnx.sha256) == (1.0, 1.2, case.quantized.onnx.sha256)
    assert told.note == "left at 1: the graph does not end in a Softmax of its logits"
    with pytest.raises(ValueError, match="does not end in a Softmax"):
        set_graph_temperature(onnx.load(case.path), 2.0)


def test_without_validation_images_nothing_is_written(case: Case, tmp_path: Path) -> None:
    index = case.networks.write_images(tmp_path / "none", val=0)
    with raises(DataError, "E_DATA_NO_IMAGES"):
        case.recalibrate(tmp_path / "out", index=index)
    assert list((tmp_path / "out").iterdir()) == []
