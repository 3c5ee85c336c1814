"""What ONNX Runtime makes of a graph on this processor: how many of its convolutions and matrix products run in int8.

ONNX Runtime writes the graph as it has fused it, with the options that the runner opens it with, into memory; its operators
tell which kernel each layer got.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import Int8Count
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.runtime.backends.base import ModelBytes, ModelSource
from weckd_edge.devices.runtime.backends.onnx_nodes import OnnxNode, makers_of, read_nodes
from weckd_edge.devices.runtime.backends.onnxruntime_backend import open_session, session_options

_INT8 = (
    "QLinearConv",
    "ConvInteger",
    "QGemm",
    "QLinearMatMul",
    "MatMulInteger",
    "MatMulIntegerToFloat",
    "DynamicQuantizeMatMul",
    "QAttention",
)
_FLOAT = (
    "Conv",
    "FusedConv",
    "NhwcFusedConv",
    "ConvTranspose",
    "Gemm",
    "FusedGemm",
    "MatMul",
    "FusedMatMul",
    "MatMulNBits",
    "Attention",
    "MultiHeadAttention",
)
"""Types that ONNX Runtime's optimizations write; a blocked convolution (NCHWc) is a ``Conv`` too."""


def count_int8_layers(model: ModelSource, network_input: str) -> Int8Count:
    """Count the convolutions and matrix products behind a tensor, and those of them that run in int8.

    Args:
        model: The ONNX graph.
        network_input: Name of the tensor between preprocessing and network.

    Raises:
        ModelError: ONNX Runtime refuses the graph.
        MissingDependency: ONNX Runtime is absent or broken.
    """
    written = read_nodes(model.graph if isinstance(model, ModelBytes) else model.read_bytes(), str(model))
    before = makers_of(written, network_input)  # fusing may leave no such tensor, but it keeps the names of what it leaves
    names = {node.name for node in before} | {name for node in before for name in node.writes}
    nodes = [node for node in fused_nodes(model) if node.name not in names and names.isdisjoint(node.writes)]
    in_float = tuple(_layer_name(node) for node in nodes if node.kind in _FLOAT)
    in_int8 = sum(node.kind in _INT8 for node in nodes)
    return Int8Count(int8_layers=in_int8, layers=in_int8 + len(in_float), float_layers=in_float)


def fused_nodes(model: ModelSource) -> tuple[OnnxNode, ...]:
    """Return the operators of a graph as ONNX Runtime runs it on this processor.

    Raises:
        ModelError: ONNX Runtime refuses the graph.
        MissingDependency: ONNX Runtime is absent or broken.
    """
    ort: Any = require("onnxruntime", "tell in which precision layers run")
    file = os.memfd_create("weckd-fused-graph")
    try:
        path = Path(f"/proc/self/fd/{file}")
        options = session_options(ort, threads=1)
        options.optimized_model_filepath = str(path)
        open_session(ort, model, options)
        return read_nodes(path.read_bytes(), f"{model} as ONNX Runtime fused it")
    finally:
        os.close(file)


def _layer_name(node: OnnxNode) -> str:
    return (node.name or node.writes[0]).removeprefix("fused ").removesuffix("_nchwc")
