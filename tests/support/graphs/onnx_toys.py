"""Small random ONNX classifiers, written operator by operator as exporters write them in each opset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

T = TypeVar("T")
Choose = Callable[[list[Any]], Any]
"""Draws one of some values."""


class Toy:
    """A graph that grows by one operator after the other.

    Args:
        opset: Of the operators' form.
        choose: Draws.
    """

    def __init__(self, opset: int, choose: Choose) -> None:
        self.opset = opset
        self.choose = choose
        self.draw = np.random.default_rng(choose(list(range(1000))))
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def name(self) -> str:
        return f"t{len(self.nodes)}_{len(self.constants)}"

    def constant(self, values: Any, kind: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def weights(self, *shape: int) -> str:
        scale = 1 / np.sqrt(max(1, np.prod(shape[1:])))
        return self.constant(self.draw.normal(0, scale, shape))

    def add(self, kind: str, inputs: list[str], count: int = 1, **attributes: Any) -> str:
        outputs = [f"{self.name()}{'' if at == 0 else at}" for at in range(count)]
        self.nodes.append(helper.make_node(kind, inputs, outputs, outputs[0], **attributes))
        return outputs[0]

    # Operators whose form changed between opsets.

    def axes_of(self, kind: str, x: str, axes: list[int], **attributes: Any) -> str:
        newer = {"Squeeze": 13, "Unsqueeze": 13, "ReduceSum": 13}.get(kind, 18)
        if self.opset >= newer:
            return self.add(kind, [x, self.constant(axes, np.int64)], **attributes)
        return self.add(kind, [x], axes=axes, **attributes)

    def clip(self, x: str, low: float, high: float) -> str:
        if self.opset >= 11:
            return self.add("Clip", [x, self.constant(low), self.constant(high)])
        return self.add("Clip", [x], min=low, max=high)

    def pad(self, x: str, pads: list[int], mode: str = "constant", value: float = 0.0) -> str:
        if self.opset >= 18 and self.choose([True, False]):
            short = pads[2:4] + pads[6:]
            inputs = [x, self.constant(short, np.int64), self.constant(value), self.constant([2, 3], np.int64)]
            return self.add("Pad", inputs, mode=mode)
        if self.opset >= 11:
            return self.add("Pad", [x, self.constant(pads, np.int64), self.constant(value)], mode=mode)
        return self.add("Pad", [x], pads=pads, mode=mode, value=value)

    def split(self, x: str, sizes: list[int]) -> list[str]:
        count = len(sizes)
        if self.opset >= 18 and len(set(sizes)) == 1 and self.choose([True, False]):
            first = self.add("Split", [x], count, axis=1, num_outputs=count)
        elif self.opset >= 13:
            first = self.add("Split", [x, self.constant(sizes, np.int64)], count, axis=1)
        else:
            first = self.add("Split", [x], count, axis=1, split=sizes)
        return [first] + [f"{first}{at}" for at in range(1, count)]

    def batch_norm(self, x: str, channels: int) -> str:
        draw = self.draw
        values = [
            draw.uniform(0.5, 1.5, channels),
            draw.normal(0, 0.3, channels),
            draw.normal(0, 0.3, channels),
            draw.uniform(0.5, 1.5, channels),
        ]
        return self.add("BatchNormalization", [x, *(self.constant(v) for v in values)], epsilon=1e-3)

    def double(self, x: str) -> str:
        """Resize to twice the side."""
        mode = self.choose(["nearest", "linear"])
        scales = [1.0, 1.0, 2.0, 2.0]
        if self.opset < 9:
            return self.add("Upsample", [x], mode=mode, scales=scales)
        if self.opset < 10:
            return self.add("Upsample", [x, self.constant(scales)], mode=mode)
        if self.opset < 11:
            return self.add("Resize", [x, self.constant(scales)], mode=mode)
        how = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor", "mode": mode}
        if self.opset >= 18 and self.choose([True, False]):
            return self.add("Resize", [x, "", self.constant([2.0, 2.0])], axes=[2, 3], **how)
        return self.add("Resize", [x, self.constant(np.zeros(0)), self.constant(scales)], **how)


def activation(toy: Toy, x: str, channels: int) -> str:
    kinds = ["Relu", "LeakyRelu", "Sigmoid", "Tanh", "Clip", "Silu", "Elu", "Softplus", "PRelu", "HardSwish", "Gelu", "Erf"]
    kinds += ["HardSigmoid", "Selu", "Softsign", "Celu", "Mish", "Swish"]
    kind = toy.choose(kinds)
    if kind == "Clip":
        return toy.clip(x, 0.0, 6.0)
    if kind == "PRelu":
        return toy.add("PRelu", [x, toy.constant(np.full((channels, 1, 1), 0.2))])
    if kind == "HardSwish" and toy.opset < 14:
        return toy.add("Mul", [x, toy.add("HardSigmoid", [x], alpha=1 / 6, beta=0.5)])
    if kind == "Erf" and toy.opset >= 9:
        inner = toy.add("Erf", [toy.add("Div", [x, toy.constant(np.sqrt(2))])])
        return toy.add("Mul", [toy.add("Mul", [x, toy.add("Add", [inner, toy.constant(1)])]), toy.constant(0.5)])
    if kind == "Gelu" and toy.opset >= 20:
        return toy.add("Gelu", [x], **({"approximate": "tanh"} if toy.choose([True, False]) else {}))
    if kind == "Swish" and toy.opset >= 24:
        return toy.add("Swish", [x], alpha=toy.choose([1.0, 1.5]))
    if (kind == "Mish" and toy.opset >= 18) or (kind == "Celu" and toy.opset >= 12):
        return toy.add(kind, [x])
    if kind in ("Erf", "Gelu", "Swish", "Mish", "Celu", "Silu"):
        return toy.add("Mul", [x, toy.add("Sigmoid", [x])])
    return toy.add(kind, [x])


def norm(toy: Toy, x: str, channels: int, side: int) -> str:
    kind = toy.choose(["batch", "batch", "instance", "layer", "group", "l2"])
    ones, zeros = toy.draw.uniform(0.5, 1.5, channels), toy.draw.normal(0, 0.3, channels)
    if kind == "instance" and side > 1:
        return toy.add("InstanceNormalization", [x, toy.constant(ones), toy.constant(zeros)])
    if kind == "layer" and toy.opset >= 17:
        last = toy.add("Transpose", [x], perm=[0, 2, 3, 1])
        done = toy.add("LayerNormalization", [last, toy.constant(ones), toy.constant(zeros)], axis=-1)
        return toy.add("Transpose", [done], perm=[0, 3, 1, 2])
    if kind == "group" and toy.opset >= 18 and side > 1:
        size = 2 if toy.opset < 21 else channels
        return toy.add("GroupNormalization", [x, toy.constant(ones[:size]), toy.constant(zeros[:size])], num_groups=2)
    if kind == "l2" and side > 1:
        length = toy.axes_of(toy.choose(["ReduceL2", "ReduceMax", "ReduceSumSquare"]), x, [2, 3], keepdims=1)
        return toy.add("Div", [x, toy.add("Add", [toy.add("Abs", [length]), toy.constant(1.0)])])
    return toy.batch_norm(x, channels)


def convolution(toy: Toy, x: str, channels: int, side: int) -> tuple[str, int, int]:
    kind = toy.choose(["plain", "plain", "pointwise", "depthwise", "grouped", "strided", "dilated", "same", "uneven"])
    made = channels if kind == "depthwise" else toy.choose([4, 6, 8])
    groups = {"depthwise": channels, "grouped": 2}.get(kind, 1)
    size = 1 if kind == "pointwise" else 3
    more: dict[str, Any] = {"kernel_shape": [size, size], "group": groups}
    if kind == "same":
        more |= {"auto_pad": toy.choose(["SAME_UPPER", "SAME_LOWER"]), "strides": [2, 2]}
        after = -(-side // 2)
    elif kind == "uneven":
        more |= {"pads": [0, 1, 1, 0], "strides": [2, 2]} if side > 3 else {"pads": [0, 1, 2, 1]}
        after = (side + 1 - 3) // 2 + 1 if side > 3 else side
    elif kind == "dilated":
        more |= {"dilations": [2, 2], "pads": [2, 2, 2, 2]}
        after = side
    elif kind == "strided" and side > 2:
        more |= {"strides": [2, 2], "pads": [1, 1, 1, 1]}
        after = (side - 1) // 2 + 1
    else:
        more |= {"pads": [size // 2] * 4}
        after = side
    inputs = [x, toy.weights(made, channels // groups, size, size)]
    inputs += [toy.constant(toy.draw.normal(0, 0.2, made))] if toy.choose([True, False]) else []
    return toy.add("Conv", inputs, **more), made, after


def pool(toy: Toy, x: str, side: int) -> tuple[str, int]:
    kinds = ["max", "average", "padded max", "average whole", "double", "reflect", "shift"]
    kind = toy.choose(kinds if side > 3 else ["shift"])
    two: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
    if kind == "max":
        ceil = {"ceil_mode": 1} if toy.opset >= 10 and toy.choose([True, False]) else {}
        return toy.add("MaxPool", [x], **two, **ceil), -(-side // 2) if ceil else side // 2
    if kind == "average":
        more = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4, "count_include_pad": toy.choose([0, 1])}
        return toy.add("AveragePool", [x], **more), (side - 1) // 2 + 1
    if kind == "average whole":
        return toy.add("AveragePool", [x], **two, auto_pad="SAME_UPPER"), -(-side // 2)
    if kind == "padded max":
        value = toy.choose([-np.inf, -65504.0, 0.0])
        padded = toy.pad(x, [0, 0, 0, 0, 0, 0, 1, 1], value=value)
        return toy.add("MaxPool", [padded], kernel_shape=[3, 3], strides=[2, 2]), (side + 1 - 3) // 2 + 1
    if kind == "double" and side <= 8:
        return toy.double(x), 2 * side
    if kind == "reflect":
        padded = toy.pad(x, [0, 0, 1, 1, 0, 0, 1, 1], mode=toy.choose(["reflect", "edge", "constant"]))
        return toy.add("MaxPool", [padded], kernel_shape=[3, 3]), side
    return toy.add("Add", [x, toy.constant(0.25)]), side


def mixing(toy: Toy, x: str, channels: int, side: int) -> tuple[str, int]:
    """Residual sums, concatenations, shuffled halves, squeeze and excitation, attention."""
    kind = toy.choose(["residual", "concat", "shuffle", "squeeze", "attention"])
    if kind == "residual":
        inner = toy.add("Conv", [x, toy.weights(channels, channels, 3, 3)], pads=[1] * 4)
        return toy.add("Add", [x, activation(toy, inner, channels)]), channels
    if kind == "concat" and channels <= 8:
        inner = toy.add("Conv", [x, toy.weights(2, channels, 1, 1)])
        return toy.add("Concat", [x, activation(toy, inner, 2)], axis=1), channels + 2
    if kind == "shuffle" and channels % 2 == 0:
        halves = toy.split(x, [channels // 2, channels // 2])
        other = toy.add("Conv", [halves[1], toy.weights(channels // 2, channels // 2, 1, 1)])
        joined = toy.add("Concat", [halves[0], other], axis=1)
        shape = [1, 2, channels // 2, side, side]
        apart = toy.add("Reshape", [joined, toy.constant(shape, np.int64)])
        turned = toy.add("Transpose", [apart], perm=[0, 2, 1, 3, 4])
        return toy.add("Reshape", [turned, toy.constant([1, channels, side, side], np.int64)]), channels
    if kind == "attention" and toy.opset >= 23:
        heads = 2 if channels % 2 == 0 else 1
        flat = toy.add("Reshape", [x, toy.constant([1, channels, side * side], np.int64)])
        rows = toy.add("Transpose", [flat], perm=[0, 2, 1])
        parts = [toy.add("MatMul", [rows, toy.weights(channels, channels)]) for _ in range(3)]
        mixed = toy.add("Attention", parts, q_num_heads=heads, kv_num_heads=heads, **toy.choose([{}, {"is_causal": 1}]))
        back = toy.add("Transpose", [mixed], perm=[0, 2, 1])
        return toy.add("Reshape", [back, toy.constant([1, channels, side, side], np.int64)]), channels
    mean = toy.choose(["GlobalAveragePool", "ReduceMean"])
    squeezed = toy.add(mean, [x]) if mean == "GlobalAveragePool" else toy.axes_of(mean, x, [2, 3], keepdims=1)
    gate = toy.add("Conv", [squeezed, toy.weights(channels, channels, 1, 1)])
    return toy.add("Mul", [x, toy.add(toy.choose(["Sigmoid", "HardSigmoid"]), [gate])]), channels


def head(toy: Toy, x: str, channels: int, side: int, outputs: int) -> str:
    """Return logits ``[1, outputs]``."""
    kind = toy.choose(["gemm", "matmul", "conv", "flat", "mean"])
    if kind == "flat":
        flat = toy.add("Flatten", [x], axis=1)
        return toy.add("Gemm", [flat, toy.weights(outputs, channels * side * side), toy.weights(outputs)], transB=1)
    if kind == "mean":
        flat = toy.axes_of("ReduceMean", x, toy.choose([[2, 3], [-2, -1]]), keepdims=0)
    else:
        flat = toy.add("GlobalAveragePool", [x])
        if kind == "conv":
            made = toy.add("Conv", [flat, toy.weights(outputs, channels, 1, 1)])
            return toy.axes_of("Squeeze", made, [2, 3])
        flat = toy.add("Reshape", [flat, toy.constant([0, -1], np.int64)])
    if kind == "matmul":
        made = toy.add("MatMul", [flat, toy.weights(channels, outputs)])
        return toy.add("Add", [made, toy.constant(toy.draw.normal(0, 0.2, outputs))])
    return toy.add("Gemm", [flat, toy.weights(channels, outputs), toy.constant(toy.draw.normal(0, 0.2, outputs))])


ENDS = ("logits", "softmax", "softmax 1", "log softmax", "by hand", "reshaped", "four axes")


def end(toy: Toy, logits: str, kind: str) -> str:
    """Return what a network answers from its logits ``[1, N]``."""
    if kind == "sigmoid":
        return toy.add("Sigmoid", [logits])
    if kind == "softmax":
        return toy.add("Softmax", [logits], axis=-1)
    if kind == "softmax 1":
        return toy.add("Softmax", [logits], axis=1)
    if kind == "log softmax":
        return toy.add("LogSoftmax", [logits], axis=-1)
    if kind == "by hand":
        largest = toy.axes_of("ReduceMax", logits, [1], keepdims=1)
        powers = toy.add("Exp", [toy.add("Sub", [logits, largest])])
        return toy.add("Div", [powers, toy.axes_of("ReduceSum", powers, [1], keepdims=1)])
    if kind == "reshaped":
        return toy.add("Reshape", [toy.add("Softmax", [logits], axis=1), toy.constant([-1, 1, 3], np.int64)])
    if kind == "four axes":
        wide = toy.axes_of("Unsqueeze", logits, [2, 3])
        return toy.add("Flatten", [toy.add("Softmax", [wide], axis=1)], axis=1)
    return logits


def classifier(choose: Choose, *, opset: int, side: int, layout: str, kind: str, channels: int, answers: str) -> ModelProto:
    """Return a random classifier of three classes, or of two where it answers one value.

    Args:
        choose: Draws.
        opset: Of its operators.
        side: Of its input, pixels.
        layout: ``nchw`` or ``nhwc``.
        kind: Of its input, ``float32`` or ``uint8``.
        channels: Of its input.
        answers: One of ``ENDS``, or ``sigmoid`` or ``logit`` with one value.
    """
    toy = Toy(opset, choose)
    x = "image"
    turned_first = layout == "nhwc" and choose([True, False])
    if turned_first:
        x = toy.add("Transpose", [x], perm=[0, 3, 1, 2])
    if kind == "uint8":
        x = toy.add("Mul", [toy.add("Cast", [x], to=TensorProto.FLOAT), toy.constant(1 / 127.5)])
        x = toy.add("Sub", [x, toy.constant(1.0)])
    if layout == "nhwc" and not turned_first:
        x = toy.add("Transpose", [x], perm=[0, 3, 1, 2])
    if choose([True, True, True, False]):
        width, inner = 4, side
        x = toy.add("Conv", [x, toy.weights(width, channels, 3, 3)], pads=[1] * 4)
    else:
        width, inner = channels, side
    for _ in range(choose([1, 2, 3, 4])):
        step = choose(["convolution", "pool", "norm", "mixing"])
        if step == "convolution" and width % 2 == 0:
            x, width, inner = convolution(toy, x, width, inner)
        elif step == "pool":
            x, inner = pool(toy, x, inner)
        elif step == "norm" and width % 2 == 0:
            x = norm(toy, x, width, inner)
        elif step == "mixing":
            x, width = mixing(toy, x, width, inner)
        x = activation(toy, x, width)
    one = answers in ("sigmoid", "logit")
    y = end(toy, head(toy, x, width, inner, 1 if one else 3), answers)
    shape = [choose([1, "N"]), *((channels, side, side) if layout == "nchw" else (side, side, channels))]
    inputs = [helper.make_tensor_value_info("image", TensorProto.UINT8 if kind == "uint8" else TensorProto.FLOAT, shape)]
    if opset < 9:  # a file of IR version 3 lists its weights among the inputs
        inputs += [helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims) for tensor in toy.constants]
    outputs = [helper.make_tensor_value_info(y, TensorProto.FLOAT, None)]
    graph = helper.make_graph(toy.nodes, "toy", inputs, outputs, toy.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=3 if opset < 9 else 8)
