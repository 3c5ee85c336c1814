"""Build an OpenVINO IR from a graph, and tell how this machine's processor runs it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from weckd_edge.artifacts import BuiltModel, ExecutedLayer, FileRef, Precision
from weckd_edge.compile.backends.layers import LayerReader, LayerValues
from weckd_edge.compile.graph import NETWORK_INPUT_NAME
from weckd_edge.core.errors import ModelError, last_line
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import file_ref, no_space, sha256_file
from weckd_edge.devices.runtime.backends.base import Frame
from weckd_edge.devices.runtime.backends.openvino_backend import precision_settings, read_ov_model, settings_for
from weckd_edge.devices.runtime.backends.openvino_layers import count_layers, layers_of, operators_before

NAME = "openvino"
MODEL_FILE = "model.xml"


def build_ir(onnx: Path, precision: Precision, folder: Path) -> BuiltModel:
    """Write ``model.xml`` and ``model.bin`` from a graph.

    Args:
        onnx: The graph.
        precision: ``int8``, ``fp16`` (weights alone; the processor computes in FP32) or ``fp32``.
        folder: Folder to write to; exists.

    Raises:
        ModelError: OpenVINO cannot read or compile the graph.
        MissingDependency: The extra ``cpu`` is not installed.
    """
    return save_ir(read_graph(onnx), precision, sha256_file(onnx), folder)


def read_graph(onnx: Path) -> Any:
    """Return a graph as an ``openvino.Model``.

    Raises:
        ModelError: OpenVINO cannot read the graph.
        MissingDependency: The extra ``cpu`` is not installed.
    """
    ov = require("openvino", "build an OpenVINO IR")
    try:
        return read_ov_model(ov, onnx)
    except RuntimeError as err:
        raise ModelError(f"{onnx.name}: OpenVINO cannot read it ({last_line(err)})", code="E_MODEL_BACKEND_LOAD") from err


def save_ir(model: Any, precision: Precision, source_sha256: str, folder: Path) -> BuiltModel:
    """Write an OpenVINO model and compile it once, to tell how the processor runs it.

    Args:
        model: An ``openvino.Model``.
        precision: ``int8``, ``fp16`` or ``fp32``, as for ``build_ir``.
        source_sha256: Digest of the graph that the model came from.
        folder: Folder to write to; exists.

    Raises:
        ModelError: OpenVINO cannot compile the model.
    """
    ov = require("openvino", "build an OpenVINO IR")
    path = folder / MODEL_FILE
    try:
        _name_by_place(model)
        _write_ir(model, path, compress=precision == "fp16")
        compiled = ov.Core().compile_model(str(path), "CPU", settings_for(threads=1))
        before = operators_before(model, NETWORK_INPUT_NAME)
        count = count_layers(layers_of(compiled), before) if precision == "int8" else None
    except RuntimeError as err:
        raise ModelError(
            f"{path.name}: OpenVINO cannot build it ({last_line(err)})",
            code="E_MODEL_BACKEND_BUILD",
        ) from err
    return BuiltModel(
        backend=NAME,
        backend_version=str(ov.__version__).partition("-")[0],
        precision=precision,
        kind="model",
        files=(file_ref(folder, path), file_ref(folder, path.with_suffix(".bin"))),
        source_sha256=source_sha256,
        int8_layers=count.int8_layers if count is not None else None,
        layers=count.layers if count is not None else None,
        settings=precision_settings(),
    )


def _write_ir(model: Any, path: Path, *, compress: bool) -> None:
    ov = require("openvino", "build an OpenVINO IR")
    try:
        ov.save_model(model, str(path), compress_to_fp16=compress)
    except RuntimeError as err:
        if "iostream" in str(err):  # all that a C++ stream says of a file that could not be written
            raise no_space(path) from err
        raise


def _name_by_place(model: Any) -> None:
    """Name each operator that has no name of its own by its place, as OpenVINO counts them over the whole process."""
    for place, op in enumerate(model.get_ordered_ops()):
        if op.get_friendly_name() == op.get_name():
            op.set_friendly_name(f"{op.get_type_name()}_{place}")


def set_ir_temperature(model: Path, temperature: float, folder: Path) -> tuple[FileRef, FileRef]:
    """Write an IR again with ``1 / temperature`` in front of the Softmax that makes its output; all before it is the same.

    For an IR that no ONNX graph stands for; one that was built from a graph is built again from ``recalibrate``'s.

    Args:
        model: Path of the IR's ``.xml``.
        temperature: Temperature, over 0.
        folder: Folder for ``model.xml`` and ``model.bin``; exists, and is not the IR's own.

    Raises:
        ModelError: OpenVINO cannot read the IR, or it does not end in a Softmax.
    """
    ov = require("openvino", "recalibrate an IR")
    try:
        graph = ov.Core().read_model(str(model))
    except RuntimeError as err:
        raise ModelError(f"{model.name}: OpenVINO cannot read it ({last_line(err)})", code="E_MODEL_BACKEND_LOAD") from err
    softmax = graph.get_results()[0].input_value(0).get_node()
    if not softmax.get_type_name().lower().startswith("softmax"):
        raise ModelError(
            f"{model.name}: expected an IR that ends in a Softmax, found {softmax.get_type_name()}", code="E_MODEL_GRAPH"
        )
    logits = softmax.input_value(0)
    inverse = ov.opset13.constant(np.array(1.0 / temperature, np.float32))
    inverse.set_friendly_name("inverse_temperature")
    scaled = ov.opset13.multiply(logits, inverse)
    scaled.set_friendly_name("temperature")
    softmax.input(0).replace_source_output(scaled.output(0))
    path = folder / MODEL_FILE
    _write_ir(graph, path, compress=False)
    return file_ref(folder, path), file_ref(folder, path.with_suffix(".bin"))


def executed_layers(model: Path, *, reference: bool = False, half: bool = False) -> tuple[ExecutedLayer, ...]:
    """Return the layers of an IR or ONNX graph as this processor runs them, in order; constants are left out.

    Args:
        model: Path of the ``.xml`` or ``.onnx``.
        reference: Compute exactly as the graph is written, however slow.
        half: Compute in float16 wherever a layer is not int8.

    Raises:
        ModelError: OpenVINO cannot read or compile the graph.
        MissingDependency: The extra ``cpu`` is not installed.
    """
    ov = require("openvino", "tell in which precision layers run")
    try:
        settings = settings_for(threads=1, reference=reference, half=half)
        return layers_of(ov.Core().compile_model(read_ov_model(ov, model), "CPU", settings))
    except RuntimeError as err:
        raise ModelError(f"{model.name}: OpenVINO cannot run it ({last_line(err)})", code="E_MODEL_BACKEND_RUN") from err


def open_layers(model: Path, names: Sequence[str], *, reference: bool = False, half: bool = False) -> LayerReader:
    """Open an IR or ONNX graph so that it also returns these tensors.

    Args:
        model: Path of the ``.xml`` or ``.onnx``.
        names: Names of the tensors.
        reference: Compute exactly as the graph is written, however slow.
        half: Compute in float16 wherever a layer is not int8.

    Raises:
        ModelError: OpenVINO cannot read or compile the model, or it has no such tensor.
    """
    ov = require("openvino", "compare layers")
    try:
        graph = read_ov_model(ov, model)
        if names:
            graph.add_outputs(list(names))
        compiled = ov.Core().compile_model(graph, "CPU", settings_for(threads=1, reference=reference, half=half))
    except RuntimeError as err:
        raise ModelError(
            f"{model.name}: OpenVINO cannot return its layers ({last_line(err)})",
            code="E_MODEL_BACKEND_RUN",
        ) from err
    request = compiled.create_infer_request()

    def read(frame: Frame) -> LayerValues:
        request.infer([frame])
        output = request.get_output_tensor(0).data.reshape(-1).astype(np.float32)
        return LayerValues(
            probabilities=output, tensors={name: request.get_tensor(name).data.astype(np.float32) for name in names}
        )

    return read
