"""OpenVINO IR from the graph, and what the processor of this machine makes of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import BuiltModel
from weckd_edge.errors import ModelError
from weckd_edge.optional import require
from weckd_edge.store import file_ref, sha256_file

NAME = "openvino"
MODEL_FILE = "model.xml"
_WEIGHTED = ("Convolution", "GroupConvolution", "FullyConnected", "MatMul")
_INT8 = ("i8", "u8")


def build(onnx: Path, precision: str, folder: Path) -> BuiltModel:
    """Write ``model.xml`` and ``model.bin`` from a graph.

    Args:
        onnx: The graph.
        precision: ``int8``, ``fp16`` (weights alone; the processor computes in FP32) or ``fp32``.
        folder: Where to write; exists.

    Raises:
        ModelError: OpenVINO cannot read or compile the graph.
        MissingDependency: The extra ``cpu`` is not installed.
    """
    return save(read(onnx), precision, sha256_file(onnx), folder)


def read(onnx: Path) -> Any:
    """Return a graph as an ``openvino.Model``.

    Raises:
        ModelError: OpenVINO cannot read it.
        MissingDependency: The extra ``cpu`` is not installed.
    """
    ov = require("openvino", "build an OpenVINO IR")
    try:
        return ov.Core().read_model(str(onnx))
    except RuntimeError as err:
        raise ModelError(f"{onnx.name}: OpenVINO cannot read it ({str(err).strip().splitlines()[-1][:200]})") from err


def save(model: Any, precision: str, source_sha256: str, folder: Path) -> BuiltModel:
    """Write an OpenVINO model and compile it once, to tell what the processor makes of it.

    Args:
        model: An ``openvino.Model``.
        precision: See ``build``.
        source_sha256: Digest of the graph it came from.
        folder: Where to write; exists.

    Raises:
        ModelError: OpenVINO cannot compile it.
    """
    ov = require("openvino", "build an OpenVINO IR")
    path = folder / MODEL_FILE
    try:
        _name_by_place(model)
        ov.save_model(model, str(path), compress_to_fp16=precision == "fp16")
        precisions = executed_precisions(ov.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    except RuntimeError as err:
        raise ModelError(f"{path.name}: OpenVINO cannot build it ({str(err).strip().splitlines()[-1][:200]})") from err
    return BuiltModel(
        backend=NAME,
        backend_version=str(ov.__version__).partition("-")[0],
        precision=precision,
        kind="model",
        files=(file_ref(folder, path), file_ref(folder, path.with_suffix(".bin"))),
        source_sha256=source_sha256,
        detail=describe(precisions),
    )


def _name_by_place(model: Any) -> None:
    """Give each operator without a name of its own one by its place: OpenVINO counts them over the whole process."""
    for place, op in enumerate(model.get_ordered_ops()):
        if op.get_friendly_name() == op.get_name():
            op.set_friendly_name(f"{op.get_type_name()}_{place}")


def executed_precisions(compiled: Any) -> Counter[tuple[str, str]]:
    """Count a compiled model's layers by type and by the precision they really run in."""
    layers: Counter[tuple[str, str]] = Counter()
    for op in compiled.get_runtime_model().get_ordered_ops():
        info = op.get_rt_info()
        layers[str(info["layerType"].value), str(info["runtimePrecision"].value)] += 1
    return layers


def describe(layers: Counter[tuple[str, str]]) -> tuple[str, ...]:
    """Say how many of the layers with weights run in int8."""
    lines = []
    for kind in _WEIGHTED:
        total = sum(count for (name, _), count in layers.items() if name == kind)
        small = sum(count for (name, precision), count in layers.items() if name == kind and precision in _INT8)
        if total:
            lines.append(f"{small} of {total} {kind} layers run in int8 on the processor that built it")
    return tuple(lines)
