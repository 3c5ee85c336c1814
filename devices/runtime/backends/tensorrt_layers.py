"""What TensorRT made of a graph on this module: how many convolutions and matrix products of an engine run in int8."""

from __future__ import annotations

from typing import Any

from weckd_edge.artifacts import Int8Count
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.jetson.engine_layers import EngineLayer, in_floating_point
from weckd_edge.devices.runtime.backends.base import ModelBytes, ModelSource
from weckd_edge.devices.runtime.backends.tensorrt_backend import inspect_engine, make_log


def count_int8_layers(model: ModelSource, network_input: str) -> Int8Count | None:
    """Count the convolutions and matrix products of an engine, and those of them that read int8.

    An engine no longer tells what made the network's input; a preprocessing has no int8 layers and at most two products.

    Args:
        model: The engine.
        network_input: Name of the tensor between preprocessing and network.

    Raises:
        MissingDependency: The binding is absent or broken.
    """
    del network_input
    trt: Any = require("tensorrt", "tell in which precision layers run")
    data = model.graph if isinstance(model, ModelBytes) else model.read_bytes()
    return count_engine(inspect_engine(trt, make_log(trt), data))


def count_engine(layers: tuple[EngineLayer, ...]) -> Int8Count | None:
    """Count an engine's layers; None where it names their types nowhere, as without detailed profiling."""
    weighted = [layer for layer in layers if layer.weighted and layer.reads]
    if not weighted:
        return None
    in_float = in_floating_point(weighted)
    return Int8Count(int8_layers=len(weighted) - len(in_float), layers=len(weighted), float_layers=in_float)
