"""Turn an ONNX classifier that was read into this project's graph.

It is given the one form of input and output, proved to predict as its file does, and wrapped with the same preprocessing
as a network that was trained here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import ExportedModel, FileRef, InputSpec
from weckd_edge.compile.export.onnx_export import preprocessing_graph, write_graph
from weckd_edge.compile.graph import (
    NETWORK_INPUT_NAME,
    OPSET,
    OUTPUT_NAME,
    check_graph,
    clean_up,
    load_graph,
    stamp_versions,
)
from weckd_edge.compile.importing.file import check_sizes
from weckd_edge.compile.importing.input_form import LUMINANCE, InputForm, plain_input
from weckd_edge.compile.importing.network import OnnxNetwork
from weckd_edge.compile.importing.outputs import interpret_outputs, plain_output, to_probabilities
from weckd_edge.compile.importing.rewrites.integer_operators import ADVICE
from weckd_edge.compile.importing.rewrites.operators import EXPORT_AGAIN
from weckd_edge.compile.importing.rewrites.quantized_file import is_quantized
from weckd_edge.compile.importing.running import error_line, run_network
from weckd_edge.compile.quantize.qdq_nodes import PAIR
from weckd_edge.compile.verify.parity import INT8_TOLERANCE
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import file_ref, write_atomic

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

NETWORK_FILE = "network.onnx"
PREFIX = "network/"

SAME = 1e-4
"""Largest allowed difference of a probability between the imported file and the network made of it."""

SAME_AS_HALF = 2e-2
"""Largest allowed difference where the file computes in float16, which rounds every value to 11 bits."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedNetwork:
    """An imported network in one form: normalised float32 ``[1, 3, S, S]`` in, probabilities ``[1, classes]`` out.

    Attributes:
        onnx: Record of the network's file, before anything is folded.
        parameters: Number of its weights, statistics of batch norms left out.
        macs: MACs of one image.
        notes: Findings and decisions, in words.
    """

    onnx: FileRef
    parameters: int
    macs: int
    notes: tuple[str, ...]


def import_network(
    network: OnnxNetwork, samples: Sequence[NDArray[np.float32]], labels: Sequence[str], folder: Path
) -> ImportedNetwork:
    """Write ``network.onnx`` into ``folder`` and prove on samples that it predicts as the file does.

    Args:
        network: Network as it was read.
        samples: Images as they leave the preprocessing, normalised float32 ``[1, 3, S, S]``, red first.
        labels: Class names in the order of its outputs, as the user gave them or sorted.
        folder: Folder to write to; exists.

    Raises:
        ModelError: The network cannot run, has another number of outputs, or this project's form of it predicts otherwise.
    """
    try:
        raw = np.stack(
            run_network(network.file_model, [to_file_input(network.form, sample) for sample in samples], network.name)
        )
    except ModelError as err:
        raise ModelError(f"{err}; {network.form.advice()}", code=err.code) from err
    if not np.isfinite(raw).all():
        raise ModelError(
            f"{network.name}: it predicts values that are not numbers; are --mean and --std right? {network.form.advice()}",
            code="E_MODEL_NOT_FINITE",
        )
    decision = interpret_outputs(raw, network.model.graph, labels, network.name)
    model = _in_this_form(network, decision.meaning, len(labels))
    path = folder / NETWORK_FILE
    write_atomic(path, model.SerializeToString(deterministic=True))
    made = np.stack(run_network(model, samples, network.name))
    per_image = np.abs(made - to_probabilities(raw, decision.meaning)).max(axis=1)
    largest = float(per_image.max())
    deviation = float(np.quantile(per_image, 0.95)) if network.quantized else largest
    if deviation > (INT8_TOLERANCE if network.quantized else SAME_AS_HALF if network.computes_in == "float16" else SAME):
        raise ModelError(
            f"{network.name}: {_changes(network)}, it predicts otherwise, by {deviation:.2g} of a probability"
            f"{' (95th percentile)' if network.quantized else ''}; {ADVICE if network.quantized else EXPORT_AGAIN}",
            code="E_MODEL_IMPORT",
        )
    folded = clean_up(model)
    _require_fixed_shapes(folded.graph, network.name)
    raised = "" if network.opset == OPSET else f"Converted from opset {network.opset} to {OPSET}. "
    typical = f"{deviation:.1g} (95th percentile), and " if network.quantized else ""
    proof = (
        f"{raised}On {len(samples)} images its predictions differ from those of the file by {typical}at most {largest:.1g}."
    )
    return ImportedNetwork(
        onnx=file_ref(folder, path),
        parameters=count_parameters(model.graph),
        macs=count_macs(folded.graph),
        notes=(*network.notes, decision.why, proof),
    )


def _changes(network: OnnxNetwork) -> str:
    """Return what was done to a file's network, in words."""
    changes = [f"converted from opset {network.opset} to {OPSET}"] if network.opset != OPSET else []
    changes += ["with its int8 rewritten as Q/DQ pairs"] if network.quantized else []
    changes += [f"computed in float32 instead of {network.computes_in}"] if network.computes_in else []
    return " and ".join(changes) or "written in this project's form"


def to_file_input(form: InputForm, sample: NDArray[np.float32]) -> NDArray[Any]:
    """Return a sample ``[1, 3, S, S]`` in the form that a file takes."""
    image = sample
    if form.channels == 1:
        image = (image * np.array(LUMINANCE, np.float32).reshape(1, 3, 1, 1)).sum(axis=1, keepdims=True)
    if form.order == "bgr":
        image = image[:, ::-1]
    if form.kind == "uint8":
        image = np.rint(image).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(image if form.layout == "nchw" else image.transpose(0, 2, 3, 1))


def _in_this_form(network: OnnxNetwork, meaning: Any, classes: int) -> ModelProto:
    onnx = require("onnx", "import a network")
    model: ModelProto = onnx.compose.add_prefix(network.model, PREFIX)
    plain_input(model, network.form, PREFIX)
    del model.graph.value_info[:]
    try:
        model = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as err:
        hint = "; expected a Cast right behind a uint8 input" if network.form.kind == "uint8" else ""
        raise ModelError(
            f"{network.name}: its shapes or types do not fit each other ({error_line(err)}){hint}", code="E_MODEL_SHAPES"
        ) from err
    plain_output(model, meaning, classes, PREFIX)
    check_sizes(network.name, model)
    check_graph(model)
    return model


def wrap_network(
    network: Path,
    spec: InputSpec,
    labels: tuple[str, ...],
    link_sha256: str,
    folder: Path,
    *,
    cast_first: bool = False,
) -> ExportedModel:
    """Write ``model.onnx`` into ``folder``: preprocessing and an imported network in one graph, as ``export_onnx`` does.

    Args:
        network: Path of the file that ``import_network`` wrote.
        spec: The frame, and the network's input.
        labels: Class names in the order of the network's outputs.
        link_sha256: Digest of ``network``.
        folder: Folder to write to; exists.
        cast_first: Whether the whole frame is cast to floating point first, as TensorRT's parser asks for.

    Raises:
        ModelError: The graph is not valid.
    """
    onnx = require("onnx", "import a network")
    before = preprocessing_graph(spec, cast_first=cast_first)
    behind = load_graph(network)
    stamp_versions(before, OPSET)
    stamp_versions(behind, OPSET)
    merged = onnx.compose.merge_models(
        before, behind, io_map=[(NETWORK_INPUT_NAME, PREFIX + NETWORK_INPUT_NAME)], outputs=[NETWORK_INPUT_NAME, OUTPUT_NAME]
    )
    return write_graph(clean_up(merged), spec, labels, link_sha256, folder, quantized=is_quantized(behind))


def count_parameters(graph: GraphProto) -> int:
    """Count the weights that training sets; constants of shapes and statistics of batch norms are left out."""
    sizes = {tensor.name: math.prod(tensor.dims) for tensor in graph.initializer}
    counted: set[str] = set()
    for node in graph.node:
        if node.op_type in PAIR and node.input[0] in sizes:
            sizes[node.output[0]] = sizes[node.input[0]]
        places = {
            "Conv": (1, 2),
            "Gemm": (1, 2),
            "MatMul": (0, 1),
            "BatchNormalization": (1, 2),
            "Add": (0, 1),
            "Mul": (0, 1),
        }
        at = places.get(node.op_type, ())
        counted.update(node.input[place] for place in at if place < len(node.input))
    return sum(size for name, size in sizes.items() if name in counted)


def _shapes(graph: GraphProto) -> dict[str, list[int]]:
    shapes: dict[str, list[int]] = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for info in (*graph.value_info, *graph.input, *graph.output):
        if info.type.tensor_type.HasField("shape"):
            shapes[info.name] = [d.dim_value for d in info.type.tensor_type.shape.dim]
    return shapes


def _require_fixed_shapes(graph: GraphProto, name: str) -> None:
    """Refuse a network in which the size of a tensor depends on the image."""
    shapes = _shapes(graph)
    for node in graph.node:
        for made in node.output:
            if made and not all(shapes.get(made, [0])):
                raise ModelError(
                    f"{name}: the size of what '{node.name}' ({node.op_type}) makes depends on the image, which TensorRT "
                    "and OpenVINO cannot compile; export it with a fixed input size",
                    code="E_MODEL_SHAPES",
                )


def count_macs(graph: GraphProto) -> int:
    """Count the MACs of convolutions and matrix products, for one image, in a graph whose shapes are known."""
    shapes = _shapes(graph)
    total = 0
    for node in graph.node:
        made = math.prod(shapes.get(node.output[0], [0]))
        if node.op_type == "Conv":
            total += made * math.prod(shapes.get(node.input[1], [0])[1:])
        elif node.op_type in ("Gemm", "MatMul"):
            left = shapes.get(node.input[0], [0])
            turned = any(a.name == "transA" and a.i for a in node.attribute)
            total += made * left[0 if turned else -1]
    return total
