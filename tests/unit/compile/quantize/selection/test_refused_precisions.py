"""What no backend builds or runs: its layers stay in float, its precision is a row with the reason, or the build stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.errors import raises
from support.graphs.precision_search import LOOSE, SILENT, Times, answers, some_frames
from support.machines.int8 import needs_exact_int8
from weckd_edge.artifacts import (
    DatasetIndex,
    ExportedModel,
)
from weckd_edge.compile.backends import openvino_backend, tensorrt_rtx_backend
from weckd_edge.compile.quantize import quantize as quantizing
from weckd_edge.compile.quantize.candidates import make as making
from weckd_edge.compile.quantize.candidates import prove
from weckd_edge.compile.quantize.candidates.base import FloatNetwork
from weckd_edge.compile.quantize.candidates.refused_nodes import MAX_TRIES
from weckd_edge.compile.quantize.forms import Form
from weckd_edge.compile.quantize.quantize import Calibration, quantize, write_quantized
from weckd_edge.compile.quantize.select_precision import Selector
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.runtime import frame_runner

pytest.importorskip("openvino")
onnx = pytest.importorskip("onnx")


def test_an_int8_that_cannot_be_made_is_reported_and_the_rest_goes_on(
    selector: Callable[..., Selector], times: Times, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ModelError("an operator nobody knows", code="E_MODEL_GRAPH")

    monkeypatch.setattr(quantizing, "_place_pairs", refuse)
    times(2.0, 2.0, 2.0)
    found = selector().run()
    assert "int8 an operator nobody knows" in found.reason
    assert not [model for model in found.models if model.precision == "int8"]


def test_asked_for_alone_such_an_int8_stops_the_build(
    selector: Callable[..., Selector], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ModelError("an operator nobody knows", code="E_MODEL_GRAPH")

    monkeypatch.setattr(quantizing, "_place_pairs", refuse)
    with raises(ModelError, "E_MODEL_PRECISION", says="nobody knows"):
        selector(precision="int8").run()


def blame(operator: str, message: str) -> Callable[[Path], None]:
    """A backend that refuses a graph in which an operator of a kind reads int8, and names it."""

    def build(onnx_file: Path, *_: Any) -> None:
        graph = onnx.load(onnx_file).graph
        made_by = {output: node for node in graph.node for output in node.output}
        for node in graph.node:
            if node.op_type == operator and made_by[node.input[0]].op_type == "DequantizeLinear":
                raise ModelError(message.format(node.name), code="E_MODEL_GRAPH")

    return build


@pytest.mark.parametrize("message", ["no implementation of {}", "out of range"], ids=["named", "unnamed"])
def test_what_a_backend_refuses_stays_in_float_and_the_rest_is_int8(
    selector: Callable[..., Selector], times: Times, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    times(2.0, 1.0, 2.0, 2.5, 1.5)
    real, refuse = openvino_backend.build_ir, blame("Add", message)

    def build(onnx_file: Path, precision: str, folder: Path) -> Any:
        refuse(onnx_file)
        return real(onnx_file, precision, folder)

    monkeypatch.setattr(openvino_backend, "build_ir", build)
    found = selector(**LOOSE).run()
    chosen = next(t for t in found.trials if t.name == found.chosen)
    assert found.precision == "int8"
    assert chosen.unsupported_nodes
    assert found.quantized is not None
    assert not set(chosen.unsupported_nodes) & set(found.quantized.quantized_nodes)
    assert len(found.quantized.quantized_nodes) > 4
    refusals = [t for t in found.trials if t.note.startswith("cannot be built")]
    assert refusals
    assert all(t.accuracy is None for t in refusals)
    assert len(refusals) <= MAX_TRIES


def test_a_form_that_fails_while_it_predicts_is_a_row_and_the_others_go_on(
    selector: Callable[..., Selector], times: Times, monkeypatch: pytest.MonkeyPatch
) -> None:
    times(2.0, 1.0, 2.5, 1.5)
    real = frame_runner.open_runner

    class Failing:
        name, version = "openvino", "1"

        def __init__(self, shape: tuple[int, ...]) -> None:
            self.input_shape = shape

        def run(self, _: Any) -> Any:
            raise RuntimeError("primitive not found")

        def close(self) -> None:
            pass

    def opened(backend: str, model: Path, **settings: Any) -> Any:
        found = real(backend, model, **settings)
        return Failing(found.input_shape) if model.parent.name == "trial-1" else found

    monkeypatch.setattr(frame_runner, "open_runner", opened)
    found = selector(**LOOSE).run()
    notes = {t.name: t.note for t in found.trials}
    assert notes["fp16"] == "cannot predict: primitive not found"
    assert found.precision == "int8"


def test_where_fp32_itself_cannot_be_built_the_reason_is_the_error(
    selector: Callable[..., Selector], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise ModelError("an operator nobody knows", code="E_MODEL_GRAPH")

    monkeypatch.setattr(openvino_backend, "build_ir", refuse)
    with raises(ModelError, "E_MODEL_PRECISION", says="nobody knows"):
        selector().run()


@pytest.mark.parametrize(("refused", "ships"), [("Add", "int8"), ("Conv", "fp16"), ("everything but fp32", "fp32")])
def test_for_a_jetson_what_its_builder_refuses_stays_in_float_or_the_next_form_is_deployed(
    selector: Callable[..., Selector], monkeypatch: pytest.MonkeyPatch, refused: str, ships: str
) -> None:
    seen: list[str] = []

    def preflight(graph: Path, _: Path) -> None:
        seen.append(graph.name)
        model = onnx.load(graph)
        if refused == "Add":
            blame("Add", "cannot build {}")(graph)
        elif any(n.op_type == "QuantizeLinear" for n in model.graph.node):
            raise ModelError("cannot build it", code="E_MODEL_GRAPH")
        elif refused != "Conv" and any(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer):
            raise ModelError("cannot build it in FP16", code="E_MODEL_GRAPH")

    monkeypatch.setattr(prove, "is_installed", lambda _: True)
    monkeypatch.setattr(tensorrt_rtx_backend, "preflight", preflight)
    search = selector("jetson", **LOOSE, method="minmax")
    found = search.run()
    assert found.precision == ships
    assert "half.onnx" in seen
    notes = [t for t in found.trials if t.note.startswith("cannot be built")]
    assert notes
    assert not any(t.within_limits for t in notes)
    chosen = next(t for t in found.trials if t.name == found.chosen)
    assert bool(chosen.unsupported_nodes) == (refused == "Add")
    if ships != "int8":
        assert "int8 cannot be built" in found.reason


@needs_exact_int8
def test_where_no_layer_may_stay_in_float_an_int8_that_costs_too_much_leaves_floating_point(
    selector: Callable[..., Selector], hard: DatasetIndex
) -> None:
    found = selector(data=hard, max_float_layers=0).run()
    assert found.precision in ("fp16", "fp32")
    assert "int8 loses " in found.reason
    assert not [t for t in found.trials if t.float_nodes]


@pytest.fixture
def int8_of_a_user(calibration: Calibration, exported: ExportedModel, tmp_path: Path) -> FloatNetwork:
    """An int8 graph that stands for a user's own."""
    folder = tmp_path / "imported"
    folder.mkdir()
    model = quantize(calibration, "minmax", Form(name="tensorrt", open_sums=False), progress=SILENT)
    made = write_quantized(calibration, model, "minmax", small=True, folder=folder)
    return FloatNetwork(exported=replace(exported, onnx=made.onnx, quantized=True), folder=folder)


@pytest.mark.parametrize("target", ["cpu", "jetson"])
def test_int8_of_a_users_own_is_taken_as_it_is_and_nothing_else_is_tried(
    selector: Callable[..., Selector],
    int8_of_a_user: FloatNetwork,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
) -> None:
    search = selector(target, network=int8_of_a_user, precision="fp16")
    monkeypatch.setattr(making, "calibrate", lambda *_, **__: pytest.fail("nothing is to be calibrated"))
    monkeypatch.setattr(tensorrt_rtx_backend, "preflight", lambda *_: None)
    found = search.run()
    (trial,) = found.trials
    assert (trial.name, trial.precision, trial.method, found.precision) == ("int8 as imported", "int8", "imported", "int8")
    assert (trial.net_lost, trial.divergence) == (None, None), "there is no FP32 to compare with"
    assert trial.accuracy is not None
    assert "quantized already" in found.reason
    assert found.quantized is not None
    assert (found.quantized.method, found.quantized.calibration_images, found.quantized.calibration_sha256) == (
        "imported",
        0,
        "",
    )
    frames = some_frames(int8_of_a_user.exported)
    shipped, own = onnx.load(search.folder / "model.onnx"), onnx.load(int8_of_a_user.onnx)
    assert np.array_equal(answers(shipped, frames), answers(own, frames))
    pairs = [n for n in shipped.graph.node if n.op_type == "QuantizeLinear"]
    weights = {t.name for t in shipped.graph.initializer if len(t.dims) == 4}
    assert bool({n.input[0] for n in pairs} & weights) == (target == "jetson"), "TensorRT before 10 reads pairs alone"


def test_int8_of_a_users_own_that_the_device_cannot_build_is_refused(
    selector: Callable[..., Selector], int8_of_a_user: FloatNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> Any:
        raise ModelError("node 'sum' has no implementation", code="E_MODEL_GRAPH")

    search = selector("jetson", network=int8_of_a_user)
    monkeypatch.setattr(prove, "is_installed", lambda _: True)
    monkeypatch.setattr(tensorrt_rtx_backend, "preflight", refuse)
    with raises(ModelError, "E_MODEL_QUANTIZED", says="'sum'"):
        search.run()
