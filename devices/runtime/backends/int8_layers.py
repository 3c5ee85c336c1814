"""Count of the convolutions and matrix products that a backend runs in int8 on this processor, asked of its library."""

from __future__ import annotations

import logging
from dataclasses import replace

from weckd_edge.artifacts import Int8Count
from weckd_edge.core.errors import DeviceError, ModelError
from weckd_edge.devices.runtime.backends import litert_layers, onnxruntime_layers, openvino_layers, tensorrt_layers
from weckd_edge.devices.runtime.backends.base import ModelSource, require_model
from weckd_edge.devices.runtime.backends.table import find_backend, is_computed_as_written

logger = logging.getLogger(__name__)

_COUNTERS = {
    "openvino": openvino_layers.count_int8_layers,
    "onnxruntime": onnxruntime_layers.count_int8_layers,
    "litert": litert_layers.count_int8_layers,
    "tensorrt": tensorrt_layers.count_int8_layers,
}


def count_int8_layers(backend: str, model: ModelSource, network_input: str) -> Int8Count | None:
    """Count the convolutions and matrix products of a network, and those of them that a backend runs in int8 here.

    Args:
        backend: Name in the table of backends.
        model: A model that the backend runs.
        network_input: Name of the tensor between preprocessing and network; what makes it is not counted.

    Returns:
        The count; None where the library cannot tell.

    Raises:
        ConfigError: No backend has that name.
        ModelError: The library refuses the model.
        DeviceError: The model is for another device.
        MissingDependency: The library is absent or broken.
    """
    require_model(model, find_backend(backend).suffixes, backend)
    return _COUNTERS[backend](model, network_input)


def count_if_int8(backend: str, precision: str, model: ModelSource, network_input: str) -> Int8Count | None:
    """Count the layers of a model that was run already, so that a count that fails fails nothing else.

    Args:
        backend: Name in the table of backends.
        precision: Precision of the model; of ``int8`` alone there is something to count.
        model: The model.
        network_input: Name of the tensor between preprocessing and network; what makes it is not counted.

    Returns:
        The count; None for other precisions, and where the library cannot tell. It is none of all where the graph is
        computed in floating point here, as its 8-bit sums would saturate.
    """
    if precision != "int8":
        return None
    try:
        count = count_int8_layers(backend, model, network_input)
        return replace(count, int8_layers=0) if count is not None and is_computed_as_written(backend, model) else count
    except (ModelError, DeviceError) as err:
        logger.warning("%s: the layers that run in int8 were not counted: %s", backend, err)
        return None
