"""What OpenVINO makes of a model on this processor: its layers, and how many of them run in int8."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from weckd_edge.artifacts import ExecutedLayer, Int8Count
from weckd_edge.core.errors import ModelError, last_line
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.runtime.backends.base import ModelSource
from weckd_edge.devices.runtime.backends.openvino_backend import read_ov_model, settings_for

_WEIGHTED = ("Convolution", "GroupConvolution", "Deconvolution", "FullyConnected", "MatMul")
_INT8 = ("i8", "u8")
_NO_LAYERS = ("Const", "Input", "Output")


def count_int8_layers(model: ModelSource, network_input: str) -> Int8Count:
    """Count the convolutions and matrix products behind a tensor, and those of them that run in int8.

    Args:
        model: The IR or ONNX graph.
        network_input: Name of the tensor between preprocessing and network.

    Raises:
        ModelError: OpenVINO cannot read or compile the model.
        MissingDependency: OpenVINO is absent or broken.
    """
    ov = require("openvino", "tell in which precision layers run")
    try:
        graph = read_ov_model(ov, model)
        before = operators_before(graph, network_input)
        layers = layers_of(ov.Core().compile_model(graph, "CPU", settings_for(threads=1)))
    except RuntimeError as err:
        raise ModelError(f"{model}: OpenVINO cannot run it ({last_line(err)})", code="E_MODEL_BACKEND_RUN") from err
    return count_layers(layers, before)


def count_layers(layers: Sequence[ExecutedLayer], before: Collection[str]) -> Int8Count:
    """Count the convolutions and matrix products among executed layers.

    Args:
        layers: The layers as they run.
        before: Names of the operators that make the network's input; they are not counted.
    """
    weighted = [layer for layer in layers if layer.kind in _WEIGHTED and layer.name not in before]
    in_float = tuple(layer.name for layer in weighted if layer.precision not in _INT8)
    return Int8Count(int8_layers=len(weighted) - len(in_float), layers=len(weighted), float_layers=in_float)


def layers_of(compiled: Any) -> tuple[ExecutedLayer, ...]:
    """Return the layers of a compiled model as they run, in order; constants are left out."""
    layers: list[ExecutedLayer] = []
    for op in compiled.get_runtime_model().get_ordered_ops():
        info = op.get_rt_info()
        kind, precision, kernel = (str(info[key].value) for key in ("layerType", "runtimePrecision", "primitiveType"))
        if kind not in _NO_LAYERS:
            # OpenVINO numbers fused layers over the whole process; named by its place, a layer is always called the same.
            name = re.sub(r"^[A-Za-z]+_\d+(/Dequantization\w+)?$", f"{kind}_{len(layers)}", str(op.get_friendly_name()))
            layers.append(ExecutedLayer(name=name, kind=kind, precision=precision, kernel=kernel))
    return tuple(layers)


def operators_before(model: Any, tensor: str) -> list[str]:
    """Return the names of the operators that make a tensor of an ``openvino.Model``; none where it has no such tensor."""
    makers = {name: output.get_node() for op in model.get_ops() for output in op.outputs() for name in output.get_names()}
    waiting, found = [makers[tensor]] if tensor in makers else [], dict[str, None]()
    while waiting:
        op = waiting.pop()
        if op.get_friendly_name() not in found:
            found[op.get_friendly_name()] = None
            waiting.extend(value.get_node() for value in op.input_values())
    return list(found)
