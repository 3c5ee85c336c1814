"""Put a temperature into the graph, which calibrates its probabilities without touching the int8 part."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from weckd_edge.artifacts import BuiltModel, ImageRecord, PrecisionSelection, RecalibratedModel, Recalibration
from weckd_edge.compile.backends import litert_backend, openvino_backend
from weckd_edge.compile.graph import check_graph, load_graph, producers
from weckd_edge.core.errors import DataError
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import file_ref, sha256_file, write_atomic
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.metrics.calibration import fit_temperature

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

NODE_NAME = "temperature"
CONSTANT_NAME = "inverse_temperature"
SCALED_NAME = "scaled_logits"


def recalibrate(
    selection: PrecisionSelection,
    source: Path,
    predicted_by: str,
    probabilities: Probabilities,
    records: Sequence[ImageRecord],
    folder: Path,
) -> RecalibratedModel:
    """Fit a temperature to the predictions of the validation images, and write every graph with it inside.

    All graphs get the one that fits the deployed model's predictions. They are forms of one network whose probabilities are
    held against one threshold, so that a device may change from one to another.

    Args:
        selection: Record of the deployed graph, and of the models that are listed.
        source: Folder that they lie in.
        predicted_by: Name of the implementation that will be deployed; where the device builds its own, of the graph itself.
        probabilities: Predictions of that implementation, of the validation images, ``[N, classes]``.
        records: The validation images, in the same order.
        folder: Folder for the graphs and models; exists.

    Raises:
        DataError: There is no validation image.
        ModelError: A backend refuses its model, or the graph cannot be read.
    """
    if not records:
        raise DataError("expected validation images to recalibrate on, the index has none", code="E_DATA_NO_IMAGES")
    onnx = source / selection.onnx.path
    graph = load_graph(onnx)
    labels = np.array([record.label for record in records])
    found = fit_temperature(probabilities, labels, [record.group for record in records])
    temperature, note, after = found.value, found.note, found.nll_after
    if temperature != 1.0 and _last_softmax(graph) is None:
        temperature, note, after = 1.0, "left at 1: the graph does not end in a Softmax of its logits", found.nll_before
    graphs = {selection.onnx, *(ref for model in selection.models for ref in model.files if ref.path.endswith(".onnx"))}
    written = {ref.sha256: _write_graph(source / ref.path, temperature, folder / ref.path) for ref in graphs}
    return RecalibratedModel(
        onnx=file_ref(folder, written[selection.onnx.sha256]),
        recalibration=Recalibration(
            temperature=temperature,
            unshrunk=found.unshrunk,
            val_images=len(records),
            val_groups=len({record.group for record in records}),
            val_nll_before=found.nll_before,
            val_nll_after=after,
            predicted_by=predicted_by,
            note=note,
        ),
        source_sha256=sha256_file(onnx),
        models=tuple(_calibrate_model(model, source, written, temperature, folder) for model in selection.models),
    )


def _write_graph(onnx: Path, temperature: float, path: Path) -> Path:
    """Write a graph with a temperature inside, and return its path."""
    if temperature == 1.0:
        write_atomic(path, onnx.read_bytes())
        return path
    graph = load_graph(onnx)
    set_graph_temperature(graph, temperature)
    check_graph(graph)
    write_atomic(path, graph.SerializeToString(deterministic=True))
    return path


def _calibrate_model(
    model: BuiltModel, source: Path, written: Mapping[str, Path], temperature: float, folder: Path
) -> BuiltModel:
    """Return a model with the temperature inside: its graph, what is built of that, or an IR that no graph stands for.

    Args:
        model: The model without the temperature.
        source: Folder that it lies in.
        written: Path of each graph with the temperature, by the digest that it had without.
        temperature: The temperature, over 0.
        folder: Folder for the model; exists.
    """
    graph = written.get(model.source_sha256)
    digest = sha256_file(graph) if graph is not None else model.source_sha256
    if model.files[0].path.endswith(".onnx"):
        path = written[model.files[0].sha256]
        return replace(model, files=(file_ref(folder, path),), source_sha256=sha256_file(path))
    if temperature == 1.0:
        for ref in model.files:
            shutil.copyfile(source / ref.path, folder / ref.path)
        return replace(model, source_sha256=digest)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        own = Path(place)
        if graph is not None and model.backend == "litert":
            files = litert_backend.build_tflite(graph, model.precision, own).files
        elif graph is not None and _has_pairs(load_graph(graph)) == (model.precision == "int8"):
            files = openvino_backend.build_ir(graph, model.precision, own).files
        else:  # NNCF's, or one whose graph no other backend runs
            files = openvino_backend.set_ir_temperature(source / model.files[0].path, temperature, own)
        stem = Path(model.files[0].path).stem
        paths = [(own / ref.path).rename(folder / f"{stem}{Path(ref.path).suffix}") for ref in files]
    return replace(model, files=tuple(file_ref(folder, path) for path in paths), source_sha256=digest)


def _has_pairs(model: ModelProto) -> bool:
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def set_graph_temperature(model: ModelProto, temperature: float) -> None:
    """Put a multiplication by ``1 / temperature`` between the logits and the Softmax that makes the graph's output.

    Nothing before the logits changes, so that the int8 part is the one that was chosen.

    Args:
        model: Graph that ends in a Softmax; it is changed in place.
        temperature: Temperature, over 0.
    """
    onnx = require("onnx", "recalibrate a graph")
    softmax = _last_softmax(model)
    if softmax is None:
        raise ValueError("the graph does not end in a Softmax")
    graph, logits = model.graph, softmax.input[0]
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(1.0 / temperature, np.float32), CONSTANT_NAME))
    place = next(at for at, node in enumerate(graph.node) if node.output[0] == softmax.output[0])
    node = onnx.helper.make_node("Mul", [logits, CONSTANT_NAME], [SCALED_NAME], NODE_NAME)
    graph.node.insert(place, node)
    graph.node[place + 1].input[0] = SCALED_NAME
    for info in [info for info in graph.value_info if info.name == logits]:
        copy: Any = onnx.ValueInfoProto()
        copy.CopyFrom(info)
        copy.name = SCALED_NAME
        graph.value_info.append(copy)


def _last_softmax(model: ModelProto) -> NodeProto | None:
    maker = producers(model.graph).get(model.graph.output[0].name)
    return maker if maker is not None and maker.op_type == "Softmax" else None
