"""Quantize to int8 by calibration: explicit Q/DQ nodes in the form that a target runs, from one set of ranges.

ONNX Runtime's quantizer places the nodes; logits stay in floating point.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import DatasetIndex, ExportedModel, ImageRecord, InputSpec, QuantizedModel
from weckd_edge.compile.export.preprocess_graph import keep_pixels_whole
from weckd_edge.compile.graph import NETWORK_INPUT_NAME, check_graph, load_graph, preprocessing_nodes, producers
from weckd_edge.compile.quantize.bias_correction import correct_biases
from weckd_edge.compile.quantize.calibration_images import (
    calibration_digest,
    calibration_inputs,
    check_images,
    choose_images,
)
from weckd_edge.compile.quantize.forms import PROCESSOR, Form
from weckd_edge.compile.quantize.processor_form import CLIPPING, WRITING_INT8, finish_processor_form
from weckd_edge.compile.quantize.qdq_constants import pair_weights
from weckd_edge.compile.quantize.qdq_nodes import open_residual_sums, split_by_precision, store_int8_weights
from weckd_edge.compile.quantize.qdq_placement import QUANTIZED_TYPES, left_in_float
from weckd_edge.compile.quantize.qdq_rules import require_rules
from weckd_edge.compile.quantize.ranges import Histogram, Method, observe_ranges
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import Progress, SilentProgress
from weckd_edge.core.store import file_ref, write_atomic

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

ONNX_FILE = "model.onnx"
IMPORTED = "imported"
"""Name of the method that stands for a user's own quantization, in place of a kind of range."""
BIAS_IMAGES = 32
"""Number of calibration images, about, on which the means for bias correction are taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Values that the calibration frames gave each tensor of one FP32 graph.

    Attributes:
        graph: The FP32 graph.
        input_name: Name of the graph's input.
        spec: The camera frame, and the network's input.
        root: The data set's folder.
        chosen: Training images that the graph was run on.
        outside: Names of the nodes that stay in floating point: the preprocessing, and those that ``qdq_placement`` leaves
            out.
        histograms: Histogram of each tensor's values, by its name.
        source_sha256: Digest of the FP32 graph's file.
    """

    graph: ModelProto
    input_name: str
    spec: InputSpec
    root: Path
    chosen: tuple[ImageRecord, ...]
    outside: tuple[str, ...]
    histograms: dict[str, Histogram]
    source_sha256: str


def calibrate(
    exported: ExportedModel,
    source: Path,
    index: DatasetIndex,
    root: Path,
    config: QuantizeConfig,
    *,
    seed: int,
    progress: Progress,
) -> Calibration:
    """Classify training images once and count the values of every tensor.

    Args:
        exported: The FP32 graph.
        source: Folder that it lies in.
        index: The data set; only its training images are read.
        root: The data set's folder.
        config: Settings, of which the number of images is used.
        seed: Seed of the choice of images.
        progress: Receiver of the progress.

    Raises:
        DataError: A calibration image cannot be read or is not the one of the index.
        ModelError: The graph cannot be run.
    """
    chosen = choose_images(index, config.images, seed)
    check_images(index, chosen)
    graph = load_graph(source / exported.onnx.path)
    outside = (*(node.name for node in preprocessing_nodes(graph.graph)), *left_in_float(graph.graph))
    with progress.task("calibrate", len(chosen)) as task:
        inputs = calibration_inputs(root, chosen, exported.input)
        histograms = observe_ranges(graph, _tensors(graph.graph, outside), exported.input_name, inputs, task)
    return Calibration(
        graph=graph,
        input_name=exported.input_name,
        spec=exported.input,
        root=root,
        chosen=chosen,
        outside=outside,
        histograms=histograms,
        source_sha256=exported.onnx.sha256,
    )


def _tensors(graph: GraphProto, outside: Sequence[str]) -> list[str]:
    """Return the float tensors that quantized operators and their activations read and write, and those that may get a pair.

    A Concat reads what it is given; what it writes needs a range of its own where an operator in floating point reads it.
    """
    onnx = require("onnx", "quantize a network")
    known = {info.name: info.type.tensor_type.elem_type for info in (*graph.value_info, *graph.output)}
    kept = [node for node in graph.node if node.op_type in QUANTIZED_TYPES and node.name not in outside]
    paired = [node for node in graph.node if node.op_type in WRITING_INT8 and node.name not in outside]
    written = {name for node in (*kept, *paired) for name in node.output}
    kept += [node for node in graph.node if node.op_type in CLIPPING and written.intersection(node.input)]
    names = dict.fromkeys(name for node in kept for name in (*node.input, *node.output))
    names.update(dict.fromkeys(name for node in paired for name in node.output))
    return [name for name in names if known.get(name) == onnx.TensorProto.FLOAT]


def quantize(
    calibration: Calibration, method: Method, form: Form, *, reduce_range: bool = False, progress: Progress
) -> ModelProto:
    """Make the int8 graph: activations per tensor, weights per channel and symmetric, biases corrected.

    Args:
        calibration: Calibration of the FP32 graph.
        method: How ranges are clipped.
        form: Form of the graph.
        reduce_range: Whether weights are kept to seven bits, for processors whose 16-bit sums of 8-bit products overflow
            (x86 without VNNI).
        progress: Receiver of the progress.

    Raises:
        DataError: A calibration image cannot be read.
        ModelError: The graph cannot be quantized.
    """
    made = quantize_each(calibration, [method], form, reduce_range=reduce_range, progress=progress)[method]
    if isinstance(made, ModelError):
        raise made
    return made


def quantize_each(
    calibration: Calibration, methods: Sequence[Method], form: Form, *, reduce_range: bool = False, progress: Progress
) -> dict[Method, ModelProto | ModelError]:
    """Make an int8 graph for each method, as ``quantize`` does; the images for the biases are read and run once for all.

    Args:
        calibration: Calibration of the FP32 graph.
        methods: How ranges are clipped.
        form: Form of the graphs.
        reduce_range: Whether weights are kept to seven bits, as for ``quantize``.
        progress: Receiver of the progress.

    Returns:
        The graph of each method, or why it cannot be quantized.

    Raises:
        DataError: A calibration image cannot be read.
        ModelError: The FP32 graph cannot be run.
    """
    made: dict[Method, ModelProto | ModelError] = {}
    for method in methods:
        limits = {name: form.limits(seen, method) for name, seen in calibration.histograms.items()}
        try:
            made[method] = _place_pairs(calibration.graph, limits, calibration.outside, form, reduce_range)
        except ModelError as err:
            made[method] = err
    placed = {method: model for method, model in made.items() if not isinstance(model, ModelError)}
    chosen = calibration.chosen[:: max(1, len(calibration.chosen) // BIAS_IMAGES)]
    with progress.task(f"int8 {', '.join(methods)}", len(chosen)) as task:
        inputs = calibration_inputs(calibration.root, chosen, calibration.spec)
        correct_biases(list(placed.values()), calibration.graph, calibration.input_name, inputs, task)
    for method, model in placed.items():
        try:
            _finish(model, form)
        except ModelError as err:
            made[method] = err
    return made


def _finish(model: ModelProto, form: Form) -> None:
    if form.open_sums:
        open_residual_sums(model.graph)
    check_graph(model)
    require_rules(model, form, fused=form.unsigned)


def write_quantized(
    calibration: Calibration, model: ModelProto, method: Method, *, small: bool, folder: Path
) -> QuantizedModel:
    """Write an int8 graph as ``model.onnx`` into a folder that exists.

    Args:
        calibration: Source of its ranges.
        model: Int8 graph; ``small`` changes it.
        method: How its ranges were clipped.
        small: Whether weights are stored as int8 instead of a pair behind floating point.
        folder: Folder to write to.
    """
    made = _write_int8(model, method, calibration.source_sha256, small, folder)
    images = len(calibration.chosen)
    return replace(made, calibration_images=images, calibration_sha256=calibration_digest(calibration.chosen))


def write_imported(onnx: Path, source_sha256: str, form: Form, folder: Path) -> QuantizedModel:
    """Write a graph that a user quantized as ``model.onnx`` into a folder that exists.

    Args:
        onnx: Path of the graph.
        source_sha256: Digest of the graph.
        form: Form that the target runs; weights are stored as int8 for a processor, and as pairs for TensorRT.
        folder: Folder to write to.

    Raises:
        ModelError: The graph breaks a rule of the target.
    """
    model = load_graph(onnx)
    pair_weights(model)  # folding constants has split the pairs
    require_rules(model, form)
    return _write_int8(model, IMPORTED, source_sha256, form.unsigned, folder)


def _write_int8(model: ModelProto, method: str, source_sha256: str, small: bool, folder: Path) -> QuantizedModel:
    path = folder / ONNX_FILE
    if small:
        store_int8_weights(model)
    write_atomic(path, model.SerializeToString(deterministic=True))
    quantized, left = split_by_precision(model.graph)
    return QuantizedModel(
        onnx=file_ref(folder, path),
        method=method,
        calibration_images=0,
        calibration_sha256="",
        quantized_nodes=quantized,
        float_nodes=left,
        source_sha256=source_sha256,
    )


def quantize_for_timing(
    graph: ModelProto, frames: Sequence[NDArray[Any]], form: Form = PROCESSOR, *, reduce_range: bool = False
) -> ModelProto:
    """Make an int8 graph for timing alone: it runs as fast as ``quantize``'s, on any frames, with no bias corrected.

    Args:
        graph: The FP32 graph, with the types of its tensors; with or without preprocessing.
        frames: Frames that the ranges are taken from.
        form: Form of the int8 graph.
        reduce_range: Whether weights are kept to seven bits, as for ``quantize``.

    Raises:
        ModelError: The graph cannot be run or quantized.
    """
    has_frontend = NETWORK_INPUT_NAME in producers(graph.graph)
    before = preprocessing_nodes(graph.graph) if has_frontend else ()
    outside = (*(node.name for node in before), *left_in_float(graph.graph))
    names, image = _tensors(graph.graph, outside), graph.graph.input[0]
    with SilentProgress().task("ranges", 1) as task:
        histograms = observe_ranges(graph, names, image.name, frames, task)
    if image.type.tensor_type.elem_type == require("onnx", "quantize a network").TensorProto.FLOAT:
        histograms[image.name] = Histogram()
        for frame in frames:
            histograms[image.name].add(frame)
    limits = {name: form.limits(seen, "minmax") for name, seen in histograms.items()}
    model = _place_pairs(graph, limits, outside, form, reduce_range)
    check_graph(model)
    store_int8_weights(model)
    return model


def _place_pairs(
    graph: ModelProto, limits: dict[str, tuple[float, float]], outside: Sequence[str], form: Form, reduce_range: bool
) -> ModelProto:
    """Place the pairs by ONNX Runtime's quantizer, which reads these ranges as its own calibration's."""
    quantization: Any = require("onnxruntime.quantization", "quantize a network")
    calibrate: Any = require("onnxruntime.quantization.calibrate", "quantize a network")
    ranges = {name: (np.float32(low), np.float32(high)) for name, (low, high) in limits.items()}
    activations = quantization.QuantType.QUInt8 if form.unsigned else quantization.QuantType.QInt8
    with _quiet():
        try:
            # Not quantize_static: the releases that run on Python 3.10 take no ranges that were found elsewhere.
            quantizer = quantization.QDQQuantizer(
                graph,
                per_channel=True,
                reduce_range=reduce_range,
                weight_qType=quantization.QuantType.QInt8,
                activation_qType=activations,
                tensors_range=calibrate.TensorsData(quantization.CalibrationMethod.MinMax, ranges),
                nodes_to_quantize=[],
                nodes_to_exclude=list(outside),
                op_types_to_quantize=list(QUANTIZED_TYPES),
                extra_options={
                    "ActivationSymmetric": not form.unsigned,
                    "WeightSymmetric": True,
                    "QuantizeBias": False,
                    "AddQDQPairToWeight": True,
                    # Only inputs of operators are quantized: a pair behind a convolution would split it from its
                    # activation, and round the whole range of which ReLU keeps half.
                    "OpTypesToExcludeOutputQuantization": list(QUANTIZED_TYPES),
                },
            )
            quantizer.quantize_model()
        except (ValueError, RuntimeError, KeyError, AttributeError) as err:
            raise ModelError(
                f"ONNX Runtime cannot quantize this network ({first_line(err)})", code="E_MODEL_QUANTIZE"
            ) from err
    quantizer.model.topological_sort()
    made: ModelProto = quantizer.model.model
    keep_pixels_whole(made)
    if form.unsigned:
        finish_processor_form(made, limits, outside)
    return made


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the quantizer's logging (advice to optimize first, which the export has done) and its prints."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)
