"""Write a ladder of small networks to time on a device: no framework, random weights, every kind of layer in mixtures.

The latency model is fitted to them (``weckd_edge.devices.latency_model``). They are families of blocks as classifiers
have them, not copies of any: plain and residual convolutions, bottlenecks with and without groups, inverted residuals with
each activation and gate, layers that are put together by concatenation, wide depthwise windows, and big fully connected
ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from weckd_edge.compile.graph import NETWORK_INPUT_NAME, OPSET, check_graph, stamp_versions
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import ModelProto

Block = Literal["plain", "residual", "bottleneck", "inverted", "separable", "dense", "aggregate", "partial", "wide"]
Activation = Literal["Relu", "Relu6", "HardSwish", "SiLU", "none"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkRecipe:
    """One network of the ladder.

    Attributes:
        block: Kind of block that its stages repeat.
        width: Channels of the first stage.
        growth: Factor by which channels grow from stage to stage, rounded to whole eights: real networks seldom have powers
            of two, and kernels that work on many channels at once pay for it.
        side: Side of the input, pixels.
        depth: Blocks of each of the four stages.
        activation: Activation behind every convolution but a block's last.
        window: Side of depthwise kernels, pixels.
        group: Channels of a group in a bottleneck.
        expand: Factor by which an inverted block is wider inside.
        gate: Whether blocks have squeeze-and-excitation.
        head: Width of a layer before the classes; 0 for none.
        frame: Height and width of the uint8 frame that the graph takes; None where it takes a float32 image.
    """

    block: Block
    width: int
    side: int
    depth: tuple[int, int, int, int] = (1, 1, 1, 1)
    activation: Activation = "Relu"
    window: int = 3
    group: int = 0
    expand: int = 4
    gate: bool = False
    head: int = 0
    frame: tuple[int, int] | None = None
    growth: float = 1.7

    @property
    def name(self) -> str:
        """Name that no other recipe of the ladder has."""
        more = [f"g{self.group}"] if self.group else []
        more += [f"k{self.window}"] if self.window != 3 else []
        more += [f"e{self.expand}"] if self.expand != 4 else []
        more += ["gate"] if self.gate else []
        more += [f"h{self.head}"] if self.head else []
        more += ["frame"] if self.frame else []
        depth = "".join(map(str, self.depth))
        return "-".join([self.block, str(self.width), depth, self.activation.lower(), *more]) + f"@{self.side}"


def _recipes() -> Iterator[NetworkRecipe]:
    yield from _plain_and_residual()
    yield from _bottlenecks()
    for width, side, activation, window, expand, gate, head in _INVERTED:
        yield NetworkRecipe(
            block="inverted",
            width=width,
            side=side,
            depth=(1, 2, 3, 2),
            activation=activation,
            window=window,
            expand=expand,
            gate=gate,
            head=head,
            growth=1.75,
        )
    for width, side, window, activation in _SEPARABLE:
        yield NetworkRecipe(
            block="separable", width=width, side=side, depth=(1, 2, 3, 2), window=window, activation=activation
        )
    for width, side, depth in _DENSE:
        yield NetworkRecipe(block="dense", width=width, side=side, depth=depth)
    for width, side, activation in _AGGREGATE:
        yield NetworkRecipe(block="aggregate", width=width, side=side, activation=activation, growth=1.5)
        yield NetworkRecipe(block="partial", width=width + 8, side=side, activation=activation, depth=(1, 2, 2, 1))
    yield from _from_frames()
    for width, side, window in _WIDE:
        yield NetworkRecipe(
            block="wide", width=width, side=side, depth=(1, 1, 3, 1), window=window, activation="SiLU", head=768
        )


def _plain_and_residual() -> Iterator[NetworkRecipe]:
    for width, side, depth, growth in (
        (16, 96, (1, 1, 1, 1), 2.0),
        (32, 128, (1, 1, 2, 1), 1.7),
        (48, 160, (1, 2, 2, 1), 1.5),
        (64, 96, (1, 1, 1, 2), 2.0),
        (40, 192, (1, 1, 2, 2), 1.7),
    ):
        yield NetworkRecipe(block="plain", width=width, side=side, depth=depth, growth=growth)
        activation: Activation = "SiLU" if width == 32 else "Relu"
        yield NetworkRecipe(block="residual", width=width, side=side, depth=depth, growth=growth, activation=activation)


def _bottlenecks() -> Iterator[NetworkRecipe]:
    for width, side, group, growth in (
        (16, 128, 0, 2.0),
        (32, 160, 0, 1.7),
        (24, 224, 8, 1.7),
        (32, 128, 16, 2.0),
        (48, 128, 24, 2.0),
        (64, 96, 0, 2.0),
        (16, 224, 32, 2.0),
    ):
        gate = group in (16, 24)
        yield NetworkRecipe(
            block="bottleneck", width=width, side=side, depth=(1, 2, 2, 1), group=group, gate=gate, growth=growth
        )


def _from_frames() -> Iterator[NetworkRecipe]:
    """Yield networks with the preprocessing of a camera frame in front."""
    frame, depth = (480, 640), (1, 2, 3, 2)
    yield NetworkRecipe(block="inverted", width=12, side=128, depth=depth, activation="Relu6", head=640, frame=frame)
    yield NetworkRecipe(block="separable", width=24, side=96, depth=depth, frame=frame)
    yield NetworkRecipe(block="residual", width=24, side=160, frame=frame)
    yield NetworkRecipe(block="inverted", width=16, side=224, depth=depth, activation="HardSwish", gate=True, frame=frame)


_INVERTED: tuple[tuple[int, int, Activation, int, int, bool, int], ...] = (
    (8, 96, "Relu6", 3, 6, False, 0),
    (16, 128, "Relu6", 3, 6, False, 1280),
    (20, 224, "Relu6", 3, 6, False, 1280),
    (24, 160, "Relu6", 3, 6, False, 0),
    (32, 128, "Relu", 5, 3, False, 640),
    (8, 224, "HardSwish", 5, 4, True, 1024),
    (16, 128, "HardSwish", 3, 4, True, 1280),
    (24, 160, "HardSwish", 5, 4, True, 1280),
    (12, 128, "SiLU", 3, 6, True, 1280),
    (16, 192, "SiLU", 5, 6, True, 1280),
    (24, 128, "SiLU", 3, 6, False, 960),
    (32, 96, "Relu", 3, 4, True, 0),
    (20, 224, "none", 3, 3, False, 0),
    (40, 160, "Relu", 5, 3, False, 960),
)
_SEPARABLE: tuple[tuple[int, int, int, Activation], ...] = (
    (16, 128, 3, "Relu"),
    (32, 160, 3, "HardSwish"),
    (40, 224, 5, "Relu"),
    (64, 128, 5, "SiLU"),
)
_AGGREGATE: tuple[tuple[int, int, Activation], ...] = (
    (24, 128, "Relu"),
    (40, 96, "Relu"),
    (32, 160, "SiLU"),
    (16, 224, "Relu"),
    (48, 128, "HardSwish"),
)

_DENSE: tuple[tuple[int, int, tuple[int, int, int, int]], ...] = (
    (16, 128, (2, 3, 4, 3)),
    (24, 160, (3, 3, 3, 3)),
    (32, 96, (4, 6, 6, 4)),
    (12, 224, (2, 2, 4, 4)),
)
_WIDE: tuple[tuple[int, int, int], ...] = ((24, 128, 7), (40, 96, 7), (32, 160, 7), (32, 128, 9))

RECIPES: tuple[NetworkRecipe, ...] = tuple(_recipes())
"""Every network of the ladder."""


def build_network(recipe: NetworkRecipe, *, classes: int = 10) -> ModelProto:
    """Write a recipe as an ONNX graph, batch 1, float32 ``[1, 3, side, side]`` to logits ``[1, classes]``.

    Raises:
        MissingDependency: ``onnx`` is not installed.
    """
    return _Writer(recipe, classes).model()


class _Writer:
    def __init__(self, recipe: NetworkRecipe, classes: int) -> None:
        self.onnx: Any = require("onnx", "write the calibration networks")
        self.recipe, self.classes = recipe, classes
        self.random = np.random.default_rng(0)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def model(self) -> ModelProto:
        recipe, onnx = self.recipe, self.onnx
        frame = [1, *recipe.frame, 3] if recipe.frame else [1, 3, recipe.side, recipe.side]
        x = self.pixels("frame", *recipe.frame) if recipe.frame else "frame"
        x, width = self.act(self.conv(x, 3, recipe.width, 3, stride=2)), recipe.width
        for stage, depth in enumerate(recipe.depth):
            wider = max(8, round(recipe.width * recipe.growth**stage / 8) * 8)
            for block in range(depth):
                x, width = self.block(x, width, wider, 2 if block == 0 else 1)
        if recipe.head:
            x, width = self.act(self.conv(x, width, recipe.head, 1)), recipe.head
        x = self.node("Flatten", self.node("GlobalAveragePool", x), axis=1)
        weights = self.constant((self.classes, width), width)
        x = self.node("Gemm", x, weights, self.constant((self.classes,), width), transB=1)
        info = onnx.helper.make_tensor_value_info
        image = info("frame", onnx.TensorProto.UINT8 if recipe.frame else onnx.TensorProto.FLOAT, frame)
        logits = info(x, onnx.TensorProto.FLOAT, [1, self.classes])
        graph = onnx.helper.make_graph(self.nodes, "ladder", [image], [logits], self.constants)
        made = onnx.helper.make_model(graph)
        stamp_versions(made, OPSET)
        made = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)
        check_graph(made)
        result: ModelProto = made
        return result

    def pixels(self, x: str, height: int, width: int) -> str:
        """Resize a frame inside the graph: each new pixel is the mean of two, which tables of places name."""
        side = self.recipe.side
        bands = math.gcd(height, side)
        x = self.node("Reshape", x, self._keep(np.array([1, bands, -1], np.int64)))
        rows, columns = (
            np.arange(count) * old // count for count, old in ((side // bands, height // bands), (side, height))
        )
        halves = []
        for step in (0, 1):
            places = ((rows[:, None] + step) % (height // bands) * width + columns[None] + step).reshape(
                -1, 1
            ) * 3 + np.arange(3)
            picked = self.node("Gather", x, self._keep(places.reshape(-1).astype(np.int64)), axis=2)
            halves.append(self.node("Cast", picked, to=self.onnx.TensorProto.FLOAT))
        mean = self.node("Round", self.node("Mul", self.node("Add", *halves), self.scalar(0.5)))
        image = self.node("Reshape", mean, self._keep(np.array([1, side, side, 3], np.int64)))
        planes = self.node("Transpose", image, perm=[0, 3, 1, 2])
        self.nodes.append(self.onnx.helper.make_node("Sub", [planes, self.scalar(128.0)], [NETWORK_INPUT_NAME], "centre"))
        return NETWORK_INPUT_NAME

    def block(self, x: str, width: int, wider: int, stride: int) -> tuple[str, int]:
        recipe, kind = self.recipe, self.recipe.block
        same = stride == 1 and width == wider
        if kind == "plain":
            y = self.act(self.conv(x, width, wider, 3, stride=stride))
        elif kind == "residual":
            y = self.conv(self.act(self.conv(x, width, wider, 3, stride=stride)), wider, wider, 3)
            short = x if same else self.conv(x, width, wider, 1, stride=stride)
            y = self.act(self.node("Add", y, short))
        elif kind == "bottleneck":
            inside = wider * 2 if recipe.group else wider
            groups = max(1, inside // recipe.group) if recipe.group else 1
            y = self.act(self.conv(x, width, inside, 1))
            y = self.gate(self.act(self.conv(y, inside, inside, 3, stride=stride, groups=groups)), inside)
            y = self.conv(y, inside, wider * 4, 1)
            short = x if stride == 1 and width == wider * 4 else self.conv(x, width, wider * 4, 1, stride=stride)
            return self.act(self.node("Add", y, short)), wider * 4
        elif kind == "inverted":
            inside = width * recipe.expand
            y = self.act(self.conv(x, width, inside, 1))
            y = self.act(self.conv(y, inside, inside, recipe.window, stride=stride, groups=inside))
            y = self.conv(self.gate(y, inside), inside, wider, 1)
            y = self.node("Add", y, x) if same else y
        elif kind == "separable":
            y = self.act(self.conv(x, width, width, recipe.window, stride=stride, groups=width))
            y = self.act(self.conv(y, width, wider, 1))
        elif kind == "wide":
            y = x if same else self.conv(x, width, wider, stride, stride=stride)
            z = self.conv(y, wider, wider, recipe.window, groups=wider)
            z = self.conv(self.act(self.conv(z, wider, wider * 3, 1)), wider * 3, wider, 1)
            y = self.node("Add", z, y)
        elif kind == "aggregate":
            y = self.halve(x) if stride == 2 else x
            parts = [y]
            for place in range(3):
                y = self.act(self.conv(y, width if place == 0 else wider, wider, 3))
                parts.append(y)
            y = self.act(self.conv(self.node("Concat", *parts, axis=1), width + 3 * wider, wider, 1))
        elif kind == "partial":
            y = x if same else self.act(self.conv(x, width, wider, 3, stride=stride))
            one, other = self.split(y, wider // 2, wider - wider // 2)
            z = self.node("Concat", self.conv(one, wider // 2, wider // 2, 3), other, axis=1)
            z = self.conv(self.act(self.conv(z, wider, wider * 2, 1)), wider * 2, wider, 1)
            y = self.node("Add", z, y)
        else:
            y = self.halve(x) if stride == 2 else x
            z = self.act(self.conv(self.act(self.conv(y, width, recipe.width * 2, 1)), recipe.width * 2, recipe.width, 3))
            return self.node("Concat", y, z, axis=1), width + recipe.width
        return y, wider

    def halve(self, x: str) -> str:
        return self.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)

    def split(self, x: str, *widths: int) -> tuple[str, ...]:
        name = f"Split_{len(self.nodes)}"
        parts = [f"{name}_{place}" for place in range(len(widths))]
        sizes = self._keep(np.array(widths, np.int64))
        self.nodes.append(self.onnx.helper.make_node("Split", [x, sizes], parts, name, axis=1))
        return tuple(parts)

    def conv(self, x: str, inputs: int, outputs: int, side: int, *, stride: int = 1, groups: int = 1) -> str:
        weights = self.constant((outputs, inputs // groups, side, side), inputs // groups * side * side)
        pad = (side - stride + 1) // 2 if side % 2 == 0 else side // 2
        return self.node(
            "Conv",
            x,
            weights,
            self.constant((outputs,), inputs),
            kernel_shape=[side, side],
            strides=[stride, stride],
            pads=[pad] * 4,
            group=groups,
        )

    def act(self, x: str) -> str:
        kind = self.recipe.activation
        if kind == "none":
            return x
        if kind == "SiLU":
            return self.node("Mul", x, self.node("Sigmoid", x))
        if kind == "Relu6":
            return self.node("Clip", x, self.scalar(0.0), self.scalar(6.0))
        return self.node(kind, x)

    def gate(self, x: str, width: int) -> str:
        if not self.recipe.gate:
            return x
        less = max(8, width // 8)
        y = self.node("ReduceMean", x, axes=[2, 3], keepdims=1)
        y = self.node("Relu", self.conv(y, width, less, 1))
        curve = "Sigmoid" if self.recipe.activation == "SiLU" else "HardSigmoid"
        return self.node("Mul", x, self.node(curve, self.conv(y, less, width, 1)))

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}_{len(self.nodes)}"
        self.nodes.append(self.onnx.helper.make_node(kind, list(inputs), [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def constant(self, shape: tuple[int, ...], fan_in: int) -> str:
        values = (self.random.standard_normal(shape) * (1.5 / max(1, fan_in)) ** 0.5).astype(np.float32)
        return self._keep(values)

    def scalar(self, value: float) -> str:
        return self._keep(np.array(value, np.float32))

    def _keep(self, values: Any) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(values, name))
        return name
