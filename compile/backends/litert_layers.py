"""Write the layers of a graph with weights, and its windows: convolutions, linear layers and pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.backends.litert_tensors import FUSED, GraphTensors, Int8Result, WeightCodes
from weckd_edge.compile.backends.tflite_file import Quantization
from weckd_edge.core.errors import ModelError

if TYPE_CHECKING:
    from onnx import NodeProto

_SAME, _VALID = 0, 1


def refusal(node: NodeProto, expected: str) -> ModelError:
    """Return the error for a node that is not written."""
    return ModelError(
        f"node '{node.name}': LiteRT's form holds no such {node.op_type}; expected {expected}", code="E_MODEL_OPERATOR"
    )


def write_conv(tensors: GraphTensors, node: NodeProto) -> None:
    """Write a convolution: in int8 where it stands between codes, else in floating point."""
    weights = _weights(tensors, node, axes=4)
    channels, groups = tensors.shape(node.input[0])[1], tensors.attribute(node, "group", 1)
    deep = groups == channels and groups > 1
    order = (1, 2, 3, 0) if deep else (0, 2, 3, 1)
    stride, dilation = tensors.attribute(node, "strides", [1, 1]), tensors.attribute(node, "dilations", [1, 1])
    settings = {
        "strideH": stride[0],
        "strideW": stride[1],
        "dilationHFactor": dilation[0],
        "dilationWFactor": dilation[1],
    }
    kind, options = "CONV_2D", "Conv2DOptions"
    if deep:
        settings["depthMultiplier"] = weights.shape[0] // channels
        kind, options = "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions"
    int8 = _int8(tensors, node)
    data = tensors.floats(node.input[0]) if int8 is None else int8[0]
    data, padding = _pad(tensors, node, data, [(k - 1) * d + 1 for k, d in zip(weights.shape[2:], dilation, strict=True)])
    inputs, made, activation = _layer(tensors, node, weights, order, int8, data)
    tensors.file.add_operator(
        kind, inputs, [made], options, fusedActivationFunction=FUSED[activation], padding=padding, **settings
    )


def write_linear(tensors: GraphTensors, node: NodeProto) -> None:
    """Write a linear layer: in int8 where it stands between codes, else in floating point."""
    weights = _weights(tensors, node, axes=2)
    plain = all(tensors.attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta"))
    if not plain or tensors.attribute(node, "transA", 0) or len(tensors.shape(node.input[0])) != 2:
        raise refusal(node, "two axes, and no factor")
    order = (0, 1) if node.op_type == "Gemm" and tensors.attribute(node, "transB", 0) else (1, 0)
    int8 = _int8(tensors, node)
    data = tensors.floats(node.input[0]) if int8 is None else int8[0]
    inputs, made, activation = _layer(tensors, node, weights, order, int8, data)
    tensors.file.add_operator(
        "FULLY_CONNECTED",
        inputs,
        [made],
        "FullyConnectedOptions",
        fusedActivationFunction=FUSED[activation],
        keepNumDims=True,
    )


def write_pool(tensors: GraphTensors, node: NodeProto) -> None:
    """Write a pool on what it is given; codes keep their meaning, as LiteRT asks."""
    source, result, is_largest = node.input[0], node.output[0], node.op_type == "MaxPool"
    kernel, stride = tensors.attribute(node, "kernel_shape", []), tensors.attribute(node, "strides", [1, 1])
    codes = tensors.codes(source)
    data = tensors.floats(source) if codes is None else codes
    quantization = tensors.quantization(data)
    is_padded = any(tensors.attribute(node, "pads", [0]))
    if is_padded and not is_largest:
        raise refusal(node, "no padding")
    if is_padded and not _is_never_negative(tensors, source, quantization):
        raise refusal(node, "padding of values that are never negative")
    if any(d != 1 for d in tensors.attribute(node, "dilations", [1])) or len(kernel) != 2:
        raise refusal(node, "a plain window")
    data, padding = _pad(tensors, node, data, kernel)
    made = tensors.add_floats(result) if quantization is None else tensors.add_codes(result, quantization)
    tensors.file.add_operator(
        "MAX_POOL_2D" if is_largest else "AVERAGE_POOL_2D",
        [data],
        [made],
        "Pool2DOptions",
        padding=padding,
        strideH=stride[0],
        strideW=stride[1],
        filterHeight=kernel[0],
        filterWidth=kernel[1],
    )
    if quantization is not None:
        tensors.share_codes([result], made)


def _is_never_negative(tensors: GraphTensors, name: str, quantization: Quantization | None) -> bool:
    """Tell whether a padding by 0 leaves every maximum as it is."""
    if quantization is not None:
        return quantization.zero_points == (-128,)
    maker = tensors.maker(name)
    return maker is not None and tensors.fused_activation(maker) != ""


def _weights(tensors: GraphTensors, node: NodeProto, *, axes: int) -> NDArray[Any]:
    weights = tensors.constant(node.input[1])
    if weights is None or weights.ndim != axes:
        raise refusal(node, f"constant weights of {axes} axes")
    return weights


def _int8(tensors: GraphTensors, node: NodeProto) -> tuple[int, WeightCodes, Int8Result] | None:
    """Return the codes that a layer reads, those of its weights, and its result; None where it computes in float."""
    codes, weights = tensors.codes(node.input[0]), tensors.weight_codes(node.input[1])
    if codes is None or weights is None or not tensors.is_symmetric_int8(weights):
        return None
    result = tensors.int8_result(node.output[0])
    return None if result is None else (codes, weights, result)


def _layer(
    tensors: GraphTensors,
    node: NodeProto,
    weights: NDArray[Any],
    order: tuple[int, ...],
    int8: tuple[int, WeightCodes, Int8Result] | None,
    data: int,
) -> tuple[list[int], int, str]:
    """Return the inputs, the result and the activation of a layer; ``order`` is that of its weights' axes in the file."""
    outputs = weights.shape[1 if order == (1, 0) else 0]
    bias: NDArray[Any] | None = np.zeros(outputs, np.float32)
    if len(node.input) > 2 and node.input[2]:
        bias = tensors.constant(node.input[2])
    if bias is None or bias.size != outputs:
        raise refusal(node, "a constant bias")
    if int8 is None:
        numbers = tensors.put(node.input[1], weights.transpose(order).astype(np.float32))
        made, activation = tensors.add_float_result(node.output[0])
        return [data, numbers, tensors.put(f"{node.output[0]}_bias", bias.reshape(-1).astype(np.float32))], made, activation
    _, codes, result = int8
    quantization = tensors.quantization(data)
    if quantization is None:
        raise ValueError(f"{node.name} reads no codes")
    steps = np.broadcast_to(codes.steps, (outputs,)).astype(np.float64)
    by_channel = Quantization(scales=tuple(steps), zero_points=(0,) * outputs, axis=order.index(int(order == (1, 0))))
    bias_steps = steps * quantization.scales[0]
    rounded = np.clip(np.rint(bias.reshape(-1).astype(np.float64) / bias_steps), -(2**31), 2**31 - 1).astype(np.int32)
    inputs = [
        data,
        tensors.put(node.input[1], codes.codes.transpose(order), by_channel),
        tensors.put(f"{node.output[0]}_bias", rounded, Quantization(scales=tuple(bias_steps), zero_points=(0,) * outputs)),
    ]
    return inputs, tensors.add_int8_result(node.output[0], result), result.activation


def _pad(tensors: GraphTensors, node: NodeProto, data: int, reach: Sequence[int]) -> tuple[int, int]:
    """Return the tensor that a window reads and the kind of its padding; write a padding that LiteRT has no name for.

    Args:
        tensors: The tensors.
        node: The window's node.
        data: Tensor that it reads.
        reach: Height and width of the window, with its dilation.
    """
    if tensors.attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise refusal(node, "explicit padding")
    top, left, bottom, right = tensors.attribute(node, "pads", [0, 0, 0, 0])
    batch, channels, height, width = tensors.shape(node.input[0])
    stride = tensors.attribute(node, "strides", [1, 1])
    same = [_same(length, step, window) for length, step, window in zip((height, width), stride, reach, strict=True)]
    rows, columns = tensors.shape(node.output[0])[2:]
    padded = (height + top + bottom, width + left + right)
    floor = [(p - w) // s + 1 for p, w, s in zip(padded, reach, stride, strict=True)]
    if [rows, columns] != floor:
        raise refusal(node, "windows that do not reach beyond the padding")
    if not any((top, left, bottom, right)):
        return data, _VALID
    if [(top, bottom), (left, right)] == same:
        return data, _SAME
    quantization, shape, name = tensors.quantization(data), (batch, *padded, channels), f"{node.output[0]}_padded"
    if quantization is None:
        made = tensors.file.add_tensor(name, shape, "float32")
    else:
        made = tensors.add_codes(name, quantization, shape=shape)
    around = tensors.put(f"{name}_by", np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32))
    tensors.file.add_operator("PAD", [data, around], [made], "PadOptions")
    return made, _VALID


def _same(length: int, step: int, window: int) -> tuple[int, int]:
    """Return the padding before and after that LiteRT calls SAME."""
    total = max((-(-length // step) - 1) * step + window - length, 0)
    return total // 2, total - total // 2
