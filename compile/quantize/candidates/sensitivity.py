"""Rank layers by how much the predictions change when each alone is in int8."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import producers
from weckd_edge.compile.quantize.mixed_precision import leave_float
from weckd_edge.compile.quantize.qdq_nodes import PAIR, WEIGHTED
from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import Progress

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

_TINY = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class Sensitivity:
    """Sensitivity of one layer to int8.

    Attributes:
        node: Name of the layer.
        divergence: Mean Kullback-Leibler divergence, nats, of the predictions with this layer alone in int8 from FP32's.
    """

    node: str
    divergence: float


def rank_layers(
    int8: ModelProto, fp32: ModelProto, input_name: str, frames: Sequence[NDArray[Any]], progress: Progress
) -> tuple[Sensitivity, ...]:
    """Classify frames once for each layer with weights and return the layers, the most sensitive first.

    Args:
        int8: Int8 graph with every layer in int8.
        fp32: Graph that it was made from.
        input_name: Name of both graphs' input.
        frames: A few training frames, as the graphs take them.
        progress: Receiver of the progress.

    Raises:
        ModelError: ONNX Runtime cannot run a graph.
    """
    wanted = _run_frames(fp32, input_name, frames)
    nodes = quantized_nodes(int8.graph)
    weighted = [node.name for node in int8.graph.node if node.name in nodes and node.op_type in WEIGHTED]
    found = []
    with progress.task("rank layers", len(weighted)) as task:
        for name in weighted:
            alone = leave_float(int8, nodes - {name}, fp32)
            got = _run_frames(alone, input_name, frames)
            found.append(Sensitivity(node=name, divergence=divergence(wanted, got)))
            task.advance()
    return tuple(sorted(found, key=lambda s: (-s.divergence, s.node)))


def quantized_nodes(graph: GraphProto) -> set[str]:
    """Return the names of the operators that read a dequantized tensor."""
    made_by = producers(graph)
    return {
        node.name
        for node in graph.node
        if node.op_type not in PAIR
        and any(name in made_by and made_by[name].op_type == "DequantizeLinear" for name in node.input)
    }


def divergence(wanted: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    """Return the mean Kullback-Leibler divergence of predictions ``[N, classes]`` from the wanted ones, in nats."""
    p, q = (np.maximum(x.astype(np.float64), _TINY) for x in (wanted, got))
    return float(np.maximum((p * np.log(p / q)).sum(axis=1), 0).mean())


def _run_frames(model: ModelProto, input_name: str, frames: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    ort: Any = require("onnxruntime", "rank a network's layers")
    options = ort.SessionOptions()
    options.log_severity_level = 3
    # ONNX Runtime's fusions would round otherwise than the graph is written.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return np.concatenate([session.run(None, {input_name: frame})[0] for frame in frames])
    except Exception as err:  # ONNX Runtime's own errors have no common base class
        raise ModelError(f"ONNX Runtime cannot run this network ({first_line(err)})", code="E_MODEL_BACKEND_RUN") from err
