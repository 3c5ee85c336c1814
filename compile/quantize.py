"""int8 by calibration: explicit symmetric Q/DQ nodes that both TensorRT and OpenVINO read, from one set of ranges.

ONNX Runtime's quantizer finds the ranges and places the nodes; logits stay in floating point.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import DatasetIndex, ExportedModel, ImageRecord, InputContract, QuantizedModel
from weckd_edge.compile.calibration import calibration_digest, calibration_frames, check_images, choose_images
from weckd_edge.compile.frontend import keep_pixels_whole
from weckd_edge.compile.graph import check, consumers, load_graph, preprocessing_nodes, producers
from weckd_edge.compile.qdq_rules import require_rules
from weckd_edge.config import QuantizeConfig
from weckd_edge.errors import ModelError
from weckd_edge.optional import require
from weckd_edge.progress import Progress, Task
from weckd_edge.store import file_ref, write_atomic

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

ONNX_FILE = "model.onnx"
WEIGHTED = ("Conv", "Gemm", "MatMul")
QUANTIZED_TYPES = (*WEIGHTED, "Add", "Mul", "GlobalAveragePool", "AveragePool", "MaxPool", "ReduceMean")
"""Operators that get int8 inputs. Others run between them on whatever type they are given; so does an activation, which
belongs to the convolution before it."""


class _Reader:
    """Hands calibration frames to ONNX Runtime, one at a time."""

    def __init__(self, name: str, root: Path, chosen: Sequence[ImageRecord], contract: InputContract, task: Task) -> None:
        self._name, self._task = name, task
        self._frames = calibration_frames(root, chosen, contract)

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        frame = next(self._frames, None)
        if frame is None:
            return None
        self._task.advance()
        return {self._name: frame}


def quantize(
    exported: ExportedModel,
    source: Path,
    index: DatasetIndex,
    root: Path,
    config: QuantizeConfig,
    *,
    seed: int,
    open_sums: bool,
    folder: Path,
    progress: Progress,
) -> QuantizedModel:
    """Write the int8 graph: activations per tensor, weights per channel, zero points 0, calibrated on training images.

    Args:
        exported: The FP32 graph.
        source: The folder it lies in.
        index: The data set; only its training images are read.
        root: The data set's folder.
        config: How ranges are found, and on how many images.
        seed: Of the choice of images.
        open_sums: Leave nothing between a convolution and the residual sum it feeds, as TensorRT's int8 fusion asks.
            OpenVINO fuses the sum with the pair in place and runs it apart without.
        folder: Where to write; exists.
        progress: Where the reading is shown.

    Raises:
        DataError: A calibration image cannot be read or is not the one of the index.
        ModelError: The graph cannot be quantized.
    """
    chosen = choose_images(index, config.images, seed)
    check_images(index, chosen)
    graph = load_graph(source / exported.onnx.path)
    outside = [node.name for node in (*preprocessing_nodes(graph.graph), *_self_gated(graph.graph))]
    with progress.task(f"calibrate ({config.method})", len(chosen)) as task:
        reader = _Reader(exported.input_name, root, chosen, exported.input, task)
        model = _quantize(graph, reader, config.method, outside)
    if open_sums:
        _open_residual_sums(model.graph)
    keep_pixels_whole(model)
    check(model)
    require_rules(model)
    path = folder / ONNX_FILE
    write_atomic(path, model.SerializeToString(deterministic=True))
    quantized, left = _split(model.graph)
    return QuantizedModel(
        onnx=file_ref(folder, path),
        method=config.method,
        calibration_images=len(chosen),
        calibration_sha256=calibration_digest(chosen),
        quantized_nodes=quantized,
        float_nodes=left,
        source_sha256=exported.onnx.sha256,
    )


def _self_gated(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the products ``x * Sigmoid(x)``: SiLU is an activation, although it is written with a product."""
    made_by = producers(graph)
    for node in graph.node:
        gates = [made_by[name] for name in node.input if name in made_by] if node.op_type == "Mul" else []
        if any(gate.op_type in ("Sigmoid", "HardSigmoid") and gate.input[0] in node.input for gate in gates):
            yield node


def _quantize(graph: ModelProto, reader: _Reader, method: str, outside: Sequence[str]) -> ModelProto:
    quantization: Any = require("onnxruntime.quantization", "quantize a network")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # the library ships no types
        def get_next(self) -> Any:
            return reader.get_next()

    methods = quantization.CalibrationMethod
    with tempfile.TemporaryDirectory(prefix="weckd-") as folder, _quiet():
        path = Path(folder) / "int8.onnx"
        try:
            quantization.quantize_static(
                graph,
                str(path),
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=list(QUANTIZED_TYPES),
                nodes_to_exclude=list(outside),
                per_channel=True,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method={"minmax": methods.MinMax, "percentile": methods.Percentile}[method],
                extra_options={
                    "ActivationSymmetric": True,
                    "WeightSymmetric": True,
                    "CalibTensorRangeSymmetric": True,
                    "QuantizeBias": False,
                    "AddQDQPairToWeight": True,
                    # Only what an operator reads is quantized: a pair behind a convolution would part it from its
                    # activation, and round the whole range of which ReLU keeps half.
                    "OpTypesToExcludeOutputQuantization": list(QUANTIZED_TYPES),
                },
            )
        except (ValueError, RuntimeError, KeyError, AttributeError) as err:
            raise ModelError(f"ONNX Runtime cannot quantize this network ({str(err).splitlines()[0][:200]})") from err
        return load_graph(path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's advice (to optimize first: the export has) off the screen, and what it prints off stdout."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(before)


def _open_residual_sums(graph: GraphProto) -> None:
    """Take the Q/DQ pair from between a convolution and a sum whose other branch is quantized.

    TensorRT then fuses convolution, sum and the following Q into one int8 kernel; with the pair it cannot.
    """
    made_by, read_by = producers(graph), consumers(graph)
    order = {node.output[0]: at for at, node in enumerate(graph.node)}
    dropped: list[NodeProto] = []
    for add in [n for n in graph.node if n.op_type == "Add"]:
        pairs = [_pair_after_conv(name, made_by, read_by) for name in add.input]
        branches = [
            name for name in add.input if made_by.get(name) is not None and made_by[name].op_type == "DequantizeLinear"
        ]
        candidates = [pair for pair in pairs if pair is not None]
        if len(branches) != 2 or not candidates:
            continue
        q, dq = max(candidates, key=lambda pair: order[pair[0].input[0]])
        for position, name in enumerate(add.input):
            if name == dq.output[0]:
                add.input[position] = q.input[0]
        dropped += [q, dq]
    for node in dropped:
        graph.node.remove(node)
    _drop_unused(graph)


def _pair_after_conv(
    name: str, made_by: dict[str, NodeProto], read_by: dict[str, list[NodeProto]]
) -> tuple[NodeProto, NodeProto] | None:
    """Return the Q and DQ that stand between a convolution and the tensor, if nothing else reads either."""
    dq = made_by.get(name)
    q = made_by.get(dq.input[0]) if dq is not None and dq.op_type == "DequantizeLinear" else None
    conv = made_by.get(q.input[0]) if q is not None and q.op_type == "QuantizeLinear" else None
    if dq is None or q is None or conv is None or conv.op_type != "Conv":
        return None
    alone = all(len(read_by.get(tensor, [])) == 1 for tensor in (name, dq.input[0], q.input[0]))
    return (q, dq) if alone else None


def _drop_unused(graph: GraphProto) -> None:
    used = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
    made = {name for node in graph.node for name in node.output}
    for info in [i for i in graph.value_info if i.name not in made]:
        graph.value_info.remove(info)


def _split(graph: GraphProto) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the operators that read int8 values, and of the weighted ones that do not."""
    made_by = producers(graph)

    def reads_int8(node: NodeProto) -> bool:
        maker = made_by.get(node.input[0])
        return maker is not None and maker.op_type == "DequantizeLinear"

    operators = [n for n in graph.node if n.op_type not in ("QuantizeLinear", "DequantizeLinear") and n.input]
    quantized = tuple(n.name for n in operators if reads_int8(n))
    return quantized, tuple(n.name for n in operators if n.op_type in WEIGHTED and not reads_int8(n))
