"""Write the operators of a graph without weights: the way from pixels, sums, means, activations, changes of shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.compile.backends.litert_layers import refusal, write_conv, write_linear, write_pool
from weckd_edge.compile.backends.litert_tensors import CHANNELS_LAST, FUSED, GraphTensors

if TYPE_CHECKING:
    from onnx import NodeProto

_BINARY = {"Add": "ADD", "Mul": "MUL", "Sub": "SUB", "Div": "DIV"}
_UNARY = {"HardSwish": ("HARD_SWISH", "HardSwishOptions"), "Sigmoid": ("LOGISTIC", ""), "Tanh": ("TANH", "")}
_TO_MAP = (0, 3, 1, 2)


def whole_mean(tensors: GraphTensors, name: str) -> int | None:
    """Return the whole grey level that is taken off the pixels to make a tensor; None where it is made otherwise.

    The codes of such a tensor are made of the pixels' own bytes, with no number in floating point between.
    """
    sub = tensors.maker(name)
    if sub is None or sub.op_type != "Sub":
        return None
    mean, value, between = tensors.constant(sub.input[1]), sub.input[0], []
    while (maker := tensors.maker(value)) is not None:
        between.append(maker.op_type)
        value = maker.input[0]
    if sorted(between) != ["Cast", "Transpose"] or mean is None or np.unique(mean).size != 1:
        return None
    level = float(mean.reshape(-1)[0])
    return int(level) if level.is_integer() and 0 <= level <= 255 else None


def _read_as_codes_alone(tensors: GraphTensors, node: NodeProto) -> bool:
    """Tell whether everything behind a node of the preprocessing takes codes that are made of the pixels' own bytes."""
    readers = tensors.readers(node.output[0])
    if node.op_type == "Sub":
        return whole_mean(tensors, node.output[0]) is not None and all(n.op_type == "QuantizeLinear" for n in readers)
    return bool(readers) and all(n.op_type in ("Transpose", "Sub") and _read_as_codes_alone(tensors, n) for n in readers)


def _write_cast(tensors: GraphTensors, node: NodeProto) -> None:
    if node.input[0] != tensors.graph.input[0].name:
        raise refusal(node, "a cast of the pixels")
    tensors.keep_layout(node.output[0])
    if not _read_as_codes_alone(tensors, node):
        kinds, source = tensors.file.schema.TensorType, tensors.floats(node.input[0])
        tensors.file.add_operator(
            "CAST",
            [source],
            [tensors.add_floats(node.output[0])],
            "CastOptions",
            inDataType=kinds.UINT8,
            outDataType=kinds.FLOAT32,
        )


def _write_transpose(tensors: GraphTensors, node: NodeProto) -> None:
    if not tensors.has_layout_kept(node.input[0]) or tuple(tensors.attribute(node, "perm", ())) != _TO_MAP:
        raise refusal(node, "the pixels' channels moved to the front")
    if not _read_as_codes_alone(tensors, node):
        tensors.share_floats(node.output[0], tensors.floats(node.input[0]))  # the file has channels last


def _write_quantize(tensors: GraphTensors, node: NodeProto) -> None:
    name, quantization = node.input[0], tensors.quantization_of(node)
    if tensors.maker(name) is None and tensors.constant(name) is not None:
        return  # weights: their layer writes them
    if quantization is None:
        raise refusal(node, "one step for the tensor")
    source = tensors.codes(name)
    if source is not None and tensors.quantization(source) == quantization:
        tensors.share_codes([node.output[0]], source)
        return
    if whole_mean(tensors, name) is not None:
        source = tensors.floats(tensors.graph.input[0].name)
    elif source is None:
        source = tensors.floats(name)
    made = tensors.add_codes(name, quantization)
    tensors.share_codes([node.output[0]], made)
    tensors.file.add_operator("QUANTIZE", [source], [made], "QuantizeOptions")


def _write_dequantize(tensors: GraphTensors, node: NodeProto) -> None:
    codes = tensors.codes(node.input[0])
    if codes is not None:
        tensors.share_codes([node.output[0]], codes)


def _operand(tensors: GraphTensors, node: NodeProto, name: str) -> int:
    """Return the number of a tensor in floating point that an operator of two reads.

    With channels last, a constant of fewer axes than a map no longer meets those axes that it met; it gets all four.
    """
    constant = tensors.constant(name)
    if constant is None or constant.size == 1 or len(tensors.shape(node.output[0])) != 4:
        return tensors.floats(name)
    whole = constant.reshape((1,) * (4 - constant.ndim) + constant.shape)
    return tensors.put(f"{node.output[0]}_{name}", whole.transpose(CHANNELS_LAST).astype(np.float32))


def _write_binary(tensors: GraphTensors, node: NodeProto) -> None:
    kind, name = _BINARY[node.op_type], node.output[0]
    options = f"{node.op_type}Options"
    computed = [value for value in node.input if tensors.constant(value) is None]
    if len(tensors.shape(name)) == 4 and any(len(tensors.shape(value)) != 4 for value in computed):
        raise refusal(node, "maps of four axes")  # with channels last, others would meet other axes than they do
    if _read_as_codes_alone(tensors, node) and node.op_type == "Sub":
        return
    result, inputs = tensors.int8_result(name), tensors.all_codes(node.input)
    if result is not None and inputs is not None and kind in ("ADD", "MUL"):
        made, activation = tensors.add_int8_result(name, result), result.activation
    else:
        inputs = [_operand(tensors, node, value) for value in node.input]
        made, activation = tensors.add_float_result(name)
    tensors.file.add_operator(kind, inputs, [made], options, fusedActivationFunction=FUSED[activation])


def _write_mean(tensors: GraphTensors, node: NodeProto) -> None:
    source, name = node.input[0], node.output[0]
    is_global = node.op_type == "GlobalAveragePool"
    axes = [2, 3] if is_global else sorted(axis % 4 for axis in tensors.attribute(node, "axes", ()))
    if axes != [2, 3] or len(tensors.shape(source)) != 4:
        raise refusal(node, "a mean of rows and columns")
    keep = is_global or bool(tensors.attribute(node, "keepdims", 1))
    where = tensors.put(f"{name}_axes", np.array([1, 2], np.int32))
    codes, result = tensors.codes(source), tensors.int8_result(name)
    if codes is not None and result is not None and not result.activation:
        inputs, made = [codes, where], tensors.add_int8_result(name, result)
    else:
        inputs, made = [tensors.floats(source), where], tensors.add_floats(name)
    tensors.file.add_operator("MEAN", inputs, [made], "ReducerOptions", keepDims=keep)


def _write_reshape(tensors: GraphTensors, node: NodeProto) -> None:
    source, name = node.input[0], node.output[0]
    for value in (source, name):
        shape = tensors.shape(value)
        if len(shape) == 4 and shape[2:] != (1, 1):
            raise refusal(node, "maps of one pixel")  # of others the values would change their order
    codes, shape = tensors.codes(source), tensors.stored_shape(name)
    data = tensors.floats(source) if codes is None else codes
    quantization = tensors.quantization(data)
    made = tensors.add_floats(name) if quantization is None else tensors.add_codes(name, quantization)
    inputs = [data, tensors.put(f"{name}_shape", np.array(shape, np.int32))]
    tensors.file.add_operator("RESHAPE", inputs, [made], "ReshapeOptions", newShape=list(shape))
    if quantization is not None:
        tensors.share_codes([name], made)


def _write_unary(tensors: GraphTensors, node: NodeProto) -> None:
    kind, options = (tensors.fused_activation(node), "") if node.op_type in ("Relu", "Clip") else _UNARY[node.op_type]
    if not kind:
        raise refusal(node, "limits of 0 and 6")
    source = tensors.floats(node.input[0])
    tensors.file.add_operator(kind, [source], [tensors.add_floats(node.output[0])], options)


def _write_hard_sigmoid(tensors: GraphTensors, node: NodeProto) -> None:
    slope, offset = tensors.attribute(node, "alpha", 0.2), tensors.attribute(node, "beta", 0.5)
    if abs(slope - 1 / 6) > 1e-6 or abs(offset - 0.5) > 1e-6:
        raise refusal(node, "alpha 1/6 and beta 1/2")
    name, source = node.output[0], tensors.floats(node.input[0])
    three, sixth = (tensors.put(f"{name}_{word}", np.array(v, np.float32)) for word, v in (("three", 3), ("sixth", 1 / 6)))
    clipped = tensors.file.add_tensor(f"{name}_clipped", tensors.stored_shape(name), "float32")
    tensors.file.add_operator("ADD", [source, three], [clipped], "AddOptions", fusedActivationFunction=FUSED["RELU6"])
    tensors.file.add_operator("MUL", [clipped, sixth], [tensors.add_floats(name)], "MulOptions")


def _write_softmax(tensors: GraphTensors, node: NodeProto) -> None:
    axes = len(tensors.shape(node.input[0]))
    if axes != 2 or tensors.attribute(node, "axis", -1) % axes != 1:
        raise refusal(node, "a softmax of logits")
    source = tensors.floats(node.input[0])
    tensors.file.add_operator("SOFTMAX", [source], [tensors.add_floats(node.output[0])], "SoftmaxOptions", beta=1.0)


def _pass_on(tensors: GraphTensors, node: NodeProto) -> None:
    codes = tensors.codes(node.input[0])
    if tensors.has_layout_kept(node.input[0]):
        tensors.keep_layout(node.output[0])
    if codes is not None:
        tensors.share_codes([node.output[0]], codes)
    else:
        tensors.share_floats(node.output[0], tensors.floats(node.input[0]))


WRITERS: dict[str, Callable[[GraphTensors, NodeProto], None]] = {
    **dict.fromkeys(_BINARY, _write_binary),
    **dict.fromkeys((*_UNARY, "Relu", "Clip"), _write_unary),
    **dict.fromkeys(("AveragePool", "MaxPool"), write_pool),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _write_reshape),
    **dict.fromkeys(("Gemm", "MatMul"), write_linear),
    **dict.fromkeys(("GlobalAveragePool", "ReduceMean"), _write_mean),
    "Cast": _write_cast,
    "Conv": write_conv,
    "DequantizeLinear": _write_dequantize,
    "HardSigmoid": _write_hard_sigmoid,
    "Identity": _pass_on,
    "QuantizeLinear": _write_quantize,
    "Softmax": _write_softmax,
    "Transpose": _write_transpose,
}
"""What writes each operator of a graph; another operator is refused."""
