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
    """Write ``model.xml`` and ``model.bin``; weights keep their precision (no float16 compression).

    Args:
        onnx: The graph.
        precision: ``int8`` or ``fp32``, for the record.
        folder: Where to write; exists.

    Raises:
        ModelError: OpenVINO cannot read or compile the graph.
        MissingDependency: The extra ``cpu`` is not installed.
    """
    ov = require("openvino", "build an OpenVINO IR")
    try:
        core = ov.Core()
        model = core.read_model(str(onnx))
        _name_by_place(model)
        path = folder / MODEL_FILE
        ov.save_model(model, str(path), compress_to_fp16=False)
        precisions = executed_precisions(core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}))
    except RuntimeError as err:
        raise ModelError(f"{onnx.name}: OpenVINO cannot build it ({str(err).strip().splitlines()[-1][:200]})") from err
    return BuiltModel(
        backend=NAME,
        backend_version=str(ov.__version__).partition("-")[0],
        precision=precision,
        kind="model",
        files=(file_ref(folder, path), file_ref(folder, path.with_suffix(".bin"))),
        source_sha256=sha256_file(onnx),
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
