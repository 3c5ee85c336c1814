"""Run a graph in ONNX Runtime with tensors from inside it, for a comparison layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from weckd_edge.compile.backends.layers import LayerReader, LayerValues
from weckd_edge.compile.graph import load_graph
from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.runtime.backends.base import Frame
from weckd_edge.devices.runtime.backends.onnxruntime_backend import session_options


def open_layers(model: Path, names: Sequence[str], *, reference: bool = False, half: bool = False) -> LayerReader:
    """Open an ONNX graph so that it also returns these tensors.

    Args:
        model: Path of the graph.
        names: Names of the tensors.
        reference: Compute exactly as the graph is written, without any fusion.
        half: Compute in float16; never asked for, as ONNX Runtime has no such mode.

    Raises:
        ModelError: The graph cannot be read, or ONNX Runtime refuses it.
    """
    del half
    onnx, ort = require("onnx", "compare layers"), require("onnxruntime", "compare layers")
    graph = load_graph(model)
    output = graph.graph.output[0].name
    for name in names:
        if name != output:
            graph.graph.output.append(onnx.ValueInfoProto(name=name))
    options = session_options(ort, threads=1)
    if reference:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = ort.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as err:  # ONNX Runtime's errors share no base class but Exception
        raise ModelError(
            f"{model.name}: ONNX Runtime cannot return its layers ({first_line(err)})",
            code="E_MODEL_BACKEND_RUN",
        ) from err
    frame_name = session.get_inputs()[0].name

    def read(frame: Frame) -> LayerValues:
        first, *tensors = session.run([output, *names], {frame_name: frame})
        found = {name: tensor.astype(np.float32) for name, tensor in zip(names, tensors, strict=True)}
        return LayerValues(probabilities=first.reshape(-1), tensors=found)

    return read
