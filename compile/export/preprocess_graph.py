"""Make the preprocessing between frame and first convolution as cheap as it can be without changing a prediction.

The exported graph normalises by a subtraction and a product. The product goes into the convolution's weights: zeros, with
which the convolution pads, stay zeros. The rest is a whole number of grey levels, and where the middle of the scale was
taken off it fits int8 without rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.compile.graph import NETWORK_INPUT_NAME, consumers, producers
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

MIDDLE = 128
"""Grey level that becomes 0 where pixels are to fit int8: 0..255 become -128..127."""


def fold_scale(model: ModelProto) -> bool:
    """Multiply the first convolution's weights by the normalisation's scale, and take the product out of the graph.

    Nothing is changed where something else than one convolution reads the network's input.

    Returns:
        Whether the scale was folded; the network's input is then in grey levels, zero being the mean.
    """
    onnx = require("onnx", "export a network")
    graph = model.graph
    product, readers = producers(graph).get(NETWORK_INPUT_NAME), consumers(graph).get(NETWORK_INPUT_NAME, [])
    constants = {tensor.name: tensor for tensor in graph.initializer}
    if product is None or product.op_type != "Mul" or product.input[1] not in constants:
        return False
    if len(readers) != 1 or readers[0].op_type != "Conv" or not _has_own_weights(readers[0], constants, graph):
        return False
    weights = constants[readers[0].input[1]]
    values, scale = onnx.numpy_helper.to_array(weights), onnx.numpy_helper.to_array(constants[product.input[1]])
    if values.shape[1] != 3:  # a grouped convolution
        return False
    scaled = values.astype(np.float64) * np.broadcast_to(scale.reshape(1, -1, 1, 1), (1, 3, 1, 1))
    weights.CopyFrom(onnx.numpy_helper.from_array(scaled.astype(values.dtype), weights.name))
    centred = producers(graph)[product.input[0]]
    for info in [i for i in graph.value_info if i.name == centred.output[0]]:
        graph.value_info.remove(info)
    graph.node.remove(product)
    graph.initializer.remove(constants[product.input[1]])
    centred.output[0] = NETWORK_INPUT_NAME
    return True


def _has_own_weights(conv: NodeProto, constants: dict[str, TensorProto], graph: GraphProto) -> bool:
    return conv.input[1] in constants and sum(conv.input[1] in node.input for node in graph.node) == 1


def keep_pixels_whole(model: ModelProto) -> bool:
    """Quantize the network's input in steps of one grey level, where it then fits 8 bits, so that no pixel changes.

    A uint8 quantizer gets the middle as its zero point, so that a code is the pixel itself.

    Args:
        model: A Q/DQ graph of which ``fold_scale`` took the product.

    Returns:
        Whether the graph was changed.
    """
    onnx = require("onnx", "quantize a network")
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    centred = producers(graph).get(NETWORK_INPUT_NAME)
    if centred is None or centred.op_type != "Sub" or centred.input[1] not in constants:
        return False
    if (onnx.numpy_helper.to_array(constants[centred.input[1]]) != MIDDLE).any():
        return False
    quantizers = [n for n in consumers(graph).get(NETWORK_INPUT_NAME, []) if n.op_type == "QuantizeLinear"]
    if not quantizers:
        return False
    for node in quantizers:
        scale, zero = constants[node.input[1]], constants[node.input[2]]
        one, old = np.ones_like(onnx.numpy_helper.to_array(scale)), onnx.numpy_helper.to_array(zero)
        new = np.full_like(old, MIDDLE if old.dtype == np.uint8 else 0)
        scale.CopyFrom(onnx.numpy_helper.from_array(one, scale.name))
        zero.CopyFrom(onnx.numpy_helper.from_array(new, zero.name))
    return True
