"""Write a graph as a .tflite file, which LiteRT runs by XNNPACK, with the ranges that the graph has.

An operator between DequantizeLinear and QuantizeLinear becomes one int8 operator, which has a Relu between them inside;
every other computes in floating point, as the graph is written. Codes of uint8 become int8, lower by 128. LiteRT's own
converters read networks of TensorFlow and PyTorch, find ranges of their own, and weigh more than this package.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from weckd_edge.artifacts import BuiltModel, Precision
from weckd_edge.compile.backends.litert_operators import WRITERS, whole_mean
from weckd_edge.compile.backends.litert_tensors import GraphTensors
from weckd_edge.compile.backends.tflite_file import TfliteFile, per_tensor
from weckd_edge.compile.graph import NETWORK_INPUT_NAME, load_graph
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import file_ref, sha256_file, write_atomic
from weckd_edge.devices.runtime.backends.int8_layers import count_if_int8
from weckd_edge.devices.runtime.backends.litert_backend import NAME
from weckd_edge.devices.runtime.backends.table import library_version

if TYPE_CHECKING:
    from onnx import ModelProto

MODEL_FILE = "model.tflite"


def build_tflite(onnx: Path, precision: Precision, folder: Path) -> BuiltModel:
    """Write ``model.tflite`` from a graph.

    Args:
        onnx: The graph, from uint8 pixels to probabilities.
        precision: ``int8`` or ``fp32``: what the graph is.
        folder: Folder to write to; exists.

    Raises:
        ModelError: The graph has an operator that is not written.
        MissingDependency: The extra ``litert`` is not installed.
    """
    path = folder / MODEL_FILE
    write_atomic(path, translate(load_graph(onnx)).file.to_bytes())
    count = count_if_int8(NAME, precision, path, NETWORK_INPUT_NAME)
    return BuiltModel(
        backend=NAME,
        backend_version=library_version(NAME),
        precision=precision,
        kind="model",
        files=(file_ref(folder, path),),
        source_sha256=sha256_file(onnx),
        int8_layers=count.int8_layers if count is not None else None,
        layers=count.layers if count is not None else None,
    )


def translate(model: ModelProto) -> GraphTensors:
    """Return a graph as the tensors and operators of a file.

    Raises:
        ModelError: The graph has an operator that is not written.
        MissingDependency: The extra ``litert`` is not installed.
    """
    schema = require("ai_edge_litert.schema_py_generated", "write a LiteRT model")
    tensors = GraphTensors(model, TfliteFile(schema))
    pixels, output = tensors.graph.input[0].name, tensors.graph.output[0].name
    means = (whole_mean(tensors, node.input[0]) for node in tensors.graph.node if node.op_type == "QuantizeLinear")
    mean = next((level for level in means if level is not None), 0)
    number = tensors.file.add_tensor(pixels, tensors.shape(pixels), "uint8", per_tensor(1.0, mean))
    tensors.share_floats(pixels, number)
    for node in tensors.graph.node:
        if node.name in tensors.done:
            continue
        if node.op_type not in WRITERS:
            raise ModelError(
                f"node '{node.name}': LiteRT's form has no {node.op_type}; expected one of {', '.join(sorted(WRITERS))}",
                code="E_MODEL_OPERATOR",
            )
        WRITERS[node.op_type](tensors, node)
    tensors.file.name_ends([number], [tensors.floats(output)])
    return tensors
