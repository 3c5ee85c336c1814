"""The int8 graph of a search: biases, weights, layers left in float, and how much each layer changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.graphs.precision_search import SILENT, answers, as_written, some_frames
from weckd_edge.artifacts import (
    ExportedModel,
)
from weckd_edge.compile.quantize import quantize as module
from weckd_edge.compile.quantize.calibration_images import calibration_inputs
from weckd_edge.compile.quantize.candidates.sensitivity import divergence, quantized_nodes, rank_layers
from weckd_edge.compile.quantize.forms import PROCESSOR
from weckd_edge.compile.quantize.mixed_precision import leave_float
from weckd_edge.compile.quantize.qdq_nodes import store_int8_weights
from weckd_edge.compile.quantize.quantize import Calibration, quantize, quantize_each
from weckd_edge.compile.quantize.ranges import METHODS, with_outputs
from weckd_edge.core.errors import ModelError

pytest.importorskip("openvino")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")


def test_biases_take_back_what_rounding_shifts(calibration: Calibration) -> None:
    model = quantize(calibration, "minmax", PROCESSOR, progress=SILENT)
    plain = {t.name: onnx.numpy_helper.to_array(t) for t in calibration.graph.graph.initializer}
    uncorrected = type(model)()
    uncorrected.CopyFrom(model)
    changed = set()
    for tensor in uncorrected.graph.initializer:
        if tensor.name in plain and not np.array_equal(plain[tensor.name], onnx.numpy_helper.to_array(tensor)):
            changed.add(tensor.name)
            tensor.CopyFrom(onnx.numpy_helper.from_array(plain[tensor.name], tensor.name))
    kernels = {n.name: [a.ints for a in n.attribute if a.name == "kernel_shape"] for n in model.graph.node}
    # Without a border, which the correction leaves out of account, it is exact.
    layers = [
        n
        for n in model.graph.node
        if n.op_type in ("Conv", "Gemm") and n.input[2] in changed and kernels[n.name] in ([], [[1, 1]])
    ]
    assert len(layers) >= 3
    frames = list(calibration_inputs(calibration.root, calibration.chosen, calibration.spec))

    def mean(graph: Any, layer: Any) -> Any:
        alone = leave_float(graph, quantized_nodes(graph.graph) - {layer.name}, calibration.graph)
        watched = with_outputs(alone, [layer.output[0]]).SerializeToString()
        session = ort.InferenceSession(watched, as_written(), providers=["CPUExecutionProvider"])
        values = np.concatenate([session.run([layer.output[0]], {"frame": frame})[0] for frame in frames])
        return values.mean(axis=(0, *range(2, values.ndim)))

    bare = leave_float(uncorrected, quantized_nodes(uncorrected.graph), calibration.graph)
    wanted = [mean(bare, layer) for layer in layers]
    for layer, want in zip(layers, wanted, strict=True):
        np.testing.assert_allclose(mean(model, layer), want, atol=1e-4)
    shifts = [np.abs(mean(uncorrected, layer) - want).max() for layer, want in zip(layers, wanted, strict=True)]
    assert max(shifts) > 1e-3


def test_graphs_of_several_methods_are_those_of_each_alone_and_images_are_read_once(
    calibration: Calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []

    def noted(root: Path, chosen: Any, spec: Any) -> Any:
        for frame in calibration_inputs(root, chosen, spec):
            read.append(1)
            yield frame

    monkeypatch.setattr(module, "calibration_inputs", noted)
    made = quantize_each(calibration, METHODS, PROCESSOR, progress=SILENT)
    assert len(read) == len(calibration.chosen)
    for method, graph in made.items():
        assert graph == quantize(calibration, method, PROCESSOR, progress=SILENT)


def test_a_method_that_cannot_be_made_leaves_the_others(calibration: Calibration, monkeypatch: pytest.MonkeyPatch) -> None:
    real, refused = module._place_pairs, ModelError("an operator nobody knows", code="E_MODEL_QUANTIZE")
    waiting = iter([refused, None])

    def place(*arguments: Any) -> Any:
        if err := next(waiting):
            raise err
        return real(*arguments)

    monkeypatch.setattr(module, "_place_pairs", place)
    made = quantize_each(calibration, ["minmax", "mse"], PROCESSOR, progress=SILENT)
    assert made["minmax"] is refused
    assert isinstance(made["mse"], onnx.ModelProto)


def test_int8_weights_alone_predict_as_their_pairs_do(calibration: Calibration, exported: ExportedModel) -> None:
    model = quantize(calibration, "mse", PROCESSOR, progress=SILENT)
    small = type(model)()
    small.CopyFrom(model)
    store_int8_weights(small)
    frames = some_frames(exported)
    assert np.array_equal(answers(model, frames), answers(small, frames))
    assert small.ByteSize() < model.ByteSize()


def test_layers_left_in_float_read_no_pair_and_the_last_one_leaves_the_fp32_graph(
    calibration: Calibration, exported: ExportedModel
) -> None:
    model = quantize(calibration, "mse", PROCESSOR, progress=SILENT)
    before = quantized_nodes(model.graph)
    one = min(before)
    assert quantized_nodes(leave_float(model, {one}, calibration.graph).graph) == before - {one}
    bare = leave_float(model, before, calibration.graph)
    assert quantized_nodes(bare.graph) == set()
    assert not [n for n in bare.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")]


def test_layers_are_ranked_by_what_each_alone_does_to_the_predictions(
    calibration: Calibration, exported: ExportedModel
) -> None:
    model = quantize(calibration, "mse", PROCESSOR, progress=SILENT)
    frames = some_frames(exported)
    ranked = rank_layers(model, calibration.graph, "frame", frames, SILENT)
    assert [s.divergence for s in ranked] == sorted((s.divergence for s in ranked), reverse=True)
    worst = ranked[0].node
    alone = leave_float(model, quantized_nodes(model.graph) - {worst}, calibration.graph)
    again = divergence(answers(calibration.graph, frames), answers(alone, frames))
    assert ranked[0].divergence == pytest.approx(again, rel=1e-3, abs=1e-9)
