"""What LiteRT makes of a model: how many of its layers run in int8."""

from __future__ import annotations

import numpy as np

from weckd_edge.artifacts import Int8Count
from weckd_edge.devices.runtime.backends.base import ModelSource
from weckd_edge.devices.runtime.backends.litert_backend import make_interpreter

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def count_int8_layers(model: ModelSource, network_input: str) -> Int8Count:
    """Count the convolutions and matrix products of a model, and those of them that run in int8.

    The types of an operator's tensors, which the file fixes, decide its kernel: what reads and makes int8 runs in int8.

    Args:
        model: The ``.tflite`` file.
        network_input: Not used, as what makes the network's input holds no such layer.

    Raises:
        ModelError: LiteRT refuses the model.
        MissingDependency: LiteRT is absent or broken.
    """
    del network_input
    interpreter, _ = make_interpreter(model, threads=1, reference=True)
    kinds = {tensor["index"]: (tensor["dtype"], tensor["name"]) for tensor in interpreter.get_tensor_details()}
    weighted = [op for op in interpreter._get_ops_details() if op["op_name"] in _WEIGHTED]
    in_float = tuple(
        kinds[op["outputs"][0]][1]
        for op in weighted
        if any(kinds[number][0] != np.int8 for number in (op["inputs"][0], op["outputs"][0]))
    )
    return Int8Count(int8_layers=len(weighted) - len(in_float), layers=len(weighted), float_layers=in_float)
