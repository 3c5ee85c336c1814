"""Forms of a network's input: layout, size, type, channels and their order; and how each becomes the one form.

In the end a network takes float32 ``[1, 3, height, width]``, red first. The operators for that go into the graph: whole grey
levels are rounded, halves to the even one, channels last are turned, blue and red are exchanged, and one channel is the
luminance 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601, as Pillow and OpenCV have it). The last two go into the weights of
the first convolution where that alone reads the image: they then cost nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from weckd_edge.artifacts import Colour
from weckd_edge.compile.graph import NETWORK_INPUT_NAME, consumers
from weckd_edge.compile.importing.hints import MAX_SIDE, ChannelOrder, InputHints, Layout
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

LUMINANCE = (0.299, 0.587, 0.114)

_FLOATS = ("float", "float16", "double")


@dataclass(frozen=True, kw_only=True, slots=True)
class InputForm:
    """Form of a network's input.

    Attributes:
        layout: ``nchw`` with channels first, or ``nhwc`` with channels last.
        kind: Type; a network that takes ``uint8`` takes whole grey levels and normalises them itself.
        size: Height and width of the image, pixels.
        channels: Number of channels: 3, or 1 for the luminance.
        order: Order of the three, ``rgb`` or ``bgr``.
        mean: Mean that its pixels are normalised with, of values in 0..1, in the order red, green, blue; 0 for ``uint8``.
        std: Standard deviation that its pixels are normalised with; for ``uint8`` such that pixels stay as they are.
    """

    layout: Layout
    kind: Literal["float32", "uint8"]
    size: tuple[int, int]
    channels: int
    order: ChannelOrder
    mean: Colour
    std: Colour

    def advice(self) -> str:
        """Return advice on the options to check where a network cannot run on its input."""
        other = "nhwc" if self.layout == "nchw" else "nchw"
        given = f"it was given {self.size[0]} rows of {self.size[1]} pixels as {self.layout}"
        return f"{given}: is --layout {other} or another --input-size right?"

    def notes(self, name: str, opset: int, source: str) -> tuple[str, ...]:
        """Return findings and decisions about the input, in words; ``source`` names who gave mean and deviation."""
        order = "channels first" if self.layout == "nchw" else "channels last"
        found = [f"ONNX file {name}: opset {opset}, {self.kind} input of {self.size[1]} by {self.size[0]} pixels, {order}."]
        if self.channels == 1:
            found.append("It takes one channel: it is given the luminance, 0.299 R + 0.587 G + 0.114 B.")
        if self.order == "bgr":
            found.append("It takes blue first, as the user said.")
        if self.kind == "uint8":
            found.append("It takes whole grey levels of 0 to 255 and normalises them itself: resized pixels are rounded.")
        else:
            found.append(f"Mean and standard deviation of its pixels are as {source}.")
        return tuple(found)


def only_input(name: str, graph: GraphProto) -> ValueInfoProto:
    """Return a network's input.

    Raises:
        ModelError: The network has several inputs, or none.
    """
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in constants]
    if len(inputs) != 1:
        shown = ", ".join(f"'{entry.name}'" for entry in inputs[:5]) or "none"
        raise ModelError(
            f"{name}: expected one input, an image, found {len(inputs)} ({shown}); export it with the image alone",
            code="E_MODEL_INPUT",
        )
    only: ValueInfoProto = inputs[0]
    return only


def is_floating(entry: ValueInfoProto) -> bool:
    """Tell whether an input is of floating point, so that its pixels are normalised before."""
    return _kind_of(entry) in _FLOATS


def _kind_of(entry: ValueInfoProto) -> str:
    onnx = require("onnx", "read an ONNX file")
    code = entry.type.tensor_type.elem_type
    return str(onnx.TensorProto.DataType.Name(code)).lower() if code else "none"


def read_form(name: str, entry: ValueInfoProto, hints: InputHints) -> InputForm:
    """Return the form of a network's input, from the file and the user's hints.

    Raises:
        ConfigError: The file does not tell something, and neither does the user; or they contradict each other.
        ModelError: The network takes something else than one image.
    """
    kind = _kind_of(entry)
    if kind not in (*_FLOATS, "uint8"):
        raise ModelError(
            f"{name}: expected an input of type float32 or uint8, found {kind}; export it with float32", code="E_MODEL_INPUT"
        )
    layout, size, channels = _shape(name, entry, hints)
    if channels == 1 and hints.channel_order != "rgb":
        raise ConfigError(
            f"{name}: takes one channel, which has no order; leave --channel-order out", code="E_CONFIG_OPTION_UNUSED"
        )
    mean, std = _normalisation(name, kind, channels, hints)
    return InputForm(
        layout=layout,
        kind="uint8" if kind == "uint8" else "float32",
        size=size,
        channels=channels,
        order=hints.channel_order,
        mean=mean,
        std=std,
    )


def _shape(name: str, entry: ValueInfoProto, hints: InputHints) -> tuple[Layout, tuple[int, int], int]:
    """Return an input's layout, its height and width in pixels, and its number of channels."""
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in entry.type.tensor_type.shape.dim]
    shown = "[" + ", ".join("?" if d is None else str(d) for d in dims) + "]"
    if len(dims) != 4:
        raise ModelError(
            f"{name}: expected an image as input, [1, 3, height, width] or [1, height, width, 3], found {shown}",
            code="E_MODEL_INPUT",
        )
    if dims[0] not in (None, 1):
        raise ModelError(
            f"{name}: expected one image at a time, found a batch of {dims[0]}; export it with batch 1 or dynamic",
            code="E_MODEL_INPUT",
        )
    layout, channels = _channels(name, dims, shown, hints)
    if any(d is not None and d > MAX_SIDE for d in dims):
        raise ModelError(
            f"{name}: expected an image of at most {MAX_SIDE} pixels a side, found an input of {shown}",
            code="E_MODEL_INPUT_SIZE",
        )
    height, width = dims[2:] if layout == "nchw" else dims[1:3]
    if (height is None) != (width is None) and hints.size is None:  # one open side: the image is square
        height = width = height or width
    if hints.size is None and (height is None or width is None):
        raise ConfigError(
            f"{name}: its input {shown} leaves height and width open; give --input-size, as it was trained",
            code="E_CONFIG_OPTION_MISSING",
        )
    wanted = hints.size or (height or 0, width or 0)
    if (height or wanted[0], width or wanted[1]) != wanted:
        raise ConfigError(
            f"{name}: --input-size {hints.size_text} contradicts its input {shown}; leave the option out",
            code="E_CONFIG_CONFLICT",
        )
    return layout, wanted, channels


def _channels(name: str, dims: list[int | None], shown: str, hints: InputHints) -> tuple[Layout, int]:
    places: dict[Layout, int | None] = {"nchw": dims[1], "nhwc": dims[3]}
    wanted = (1, 3) if hints.channels is None else (hints.channels,)
    fitting: list[Layout] = [layout for layout, found in places.items() if found in wanted]
    if hints.layout is not None:
        layout = hints.layout
    elif len(fitting) == 1:
        layout = fitting[0]
    elif fitting or None in places.values():
        raise ConfigError(
            f"{name}: its input {shown} does not tell where the channels are; give --layout nchw (channels before rows, as "
            "torch has them) or --layout nhwc (behind columns, as Keras has them)",
            code="E_CONFIG_OPTION_MISSING",
        )
    elif hints.channels is not None and {1, 3} & set(places.values()):
        raise ConfigError(
            f"{name}: --channels {hints.channels} contradicts its input {shown}; leave the option out",
            code="E_CONFIG_CONFLICT",
        )
    else:
        raise ModelError(
            f"{name}: expected 3 channels (RGB) or 1 (luminance), found an input of {shown}", code="E_MODEL_INPUT"
        )
    found = places[layout]
    if found is not None and found not in wanted:
        other: Layout = "nhwc" if layout == "nchw" else "nchw"
        advice = f"give --layout {other}" if places[other] in (*wanted, None) else "leave --layout and --channels out"
        expected = " or ".join(map(str, sorted(wanted, reverse=True)))
        raise ConfigError(
            f"{name}: expected {expected} channels where {layout} has them, found an input of {shown}; {advice}",
            code="E_CONFIG_CONFLICT",
        )
    return layout, found or hints.channels or 3


def _normalisation(name: str, kind: str, channels: int, hints: InputHints) -> tuple[Colour, Colour]:
    if kind == "uint8":
        if hints.mean is not None:
            raise ConfigError(
                f"{name}: takes uint8 pixels and normalises them itself; leave --mean and --std out",
                code="E_CONFIG_OPTION_UNUSED",
            )
        plain = 1 / 255
        return (0.0, 0.0, 0.0), (plain, plain, plain)
    if hints.mean is None or hints.std is None:
        raise ConfigError(
            f"{name}: an ONNX file does not tell how its pixels are normalised; give --mean and --std as it was trained, "
            "of values in 0..1 (ImageNet's are --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225; "
            "for plain 0 to 255 --mean 0 --std 1/255)",
            code="E_CONFIG_OPTION_MISSING",
        )
    if channels == 1 and (len(set(hints.mean)) > 1 or len(set(hints.std)) > 1):
        raise ConfigError(
            f"{name}: takes one channel, found three values of --mean or --std; give one number for each",
            code="E_CONFIG_CONFLICT",
        )
    return hints.mean, hints.std


def fix_shape(model: ModelProto, entry: ValueInfoProto, form: InputForm) -> None:
    """Fix an input to one image, and drop the shapes that belonged to an open one."""
    dims = entry.type.tensor_type.shape.dim
    (height, width), channels = form.size, form.channels
    for dim, value in zip(
        dims, (1, channels, height, width) if form.layout == "nchw" else (1, height, width, channels), strict=True
    ):
        dim.dim_value = value
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")


def plain_input(model: ModelProto, form: InputForm, prefix: str) -> None:
    """Give a network the input float32 ``[1, 3, height, width]``, red first, in place.

    Args:
        model: Network of one input.
        form: Form of that input.
        prefix: Prefix of the names of added nodes and tensors.
    """
    onnx = require("onnx", "import a network")
    graph = model.graph
    was = graph.input[0].name
    name = prefix + NETWORK_INPUT_NAME
    steps: list[NodeProto] = []

    def step(kind: str, more: list[str], stem: str, **attributes: object) -> None:
        before = steps[-1].output[0] if steps else name
        steps.append(onnx.helper.make_node(kind, [before, *more], [prefix + stem], prefix + stem, **attributes))

    rounds = form.kind == "uint8"
    if form.channels == 1 and (rounds or not _fold_luminance(graph, was, form.layout)):
        for stem, values in (("shares", np.array(LUMINANCE, np.float32).reshape(1, 3, 1, 1)), ("colours", np.array([1]))):
            graph.initializer.append(onnx.numpy_helper.from_array(values, f"{prefix}luminance_{stem}"))
        step("Mul", [prefix + "luminance_shares"], "shares")
        step("ReduceSum", [prefix + "luminance_colours"], "luminance", keepdims=1)
    if rounds:
        step("Round", [], "grey_levels")
    if form.order == "bgr" and not _fold_order(graph, was, form.layout):
        graph.initializer.append(onnx.numpy_helper.from_array(np.array([2, 1, 0], np.int64), prefix + "blue_first_places"))
        step("Gather", [prefix + "blue_first_places"], "blue_first", axis=1)
    inner = steps[-1].output[0] if steps else name
    for node in graph.node:
        if form.layout == "nhwc" and _turns(node, was):
            node.CopyFrom(onnx.helper.make_node("Identity", [inner], list(node.output), node.name))
    if form.layout == "nhwc" and any(was in node.input for node in graph.node):
        step("Transpose", [], "channels_last", perm=[0, 2, 3, 1])
        inner = steps[-1].output[0]
    for node in graph.node:
        for place, read in enumerate(node.input):
            if read == was:
                node.input[place] = inner
    nodes = [*steps, *graph.node]
    copies = [onnx.NodeProto() for _ in nodes]
    for copy, node in zip(copies, nodes, strict=True):
        copy.CopyFrom(node)
    del graph.node[:]
    graph.node.extend(copies)
    graph.input[0].CopyFrom(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, *form.size]))


def _turns(node: NodeProto, image: str) -> bool:
    """Tell whether a node turns an image with channels last to channels first."""
    turned = any(a.name == "perm" and list(a.ints) == [0, 3, 1, 2] for a in node.attribute)
    return node.op_type == "Transpose" and turned and node.input[0] == image


def _first_convolution(graph: GraphProto, image: str, layout: Layout) -> NodeProto | None:
    """Return the convolution that alone reads the image, channels first; None where there is none."""
    readers = consumers(graph)
    found = readers.get(image, [])
    if layout == "nhwc":
        if len(found) != 1 or not _turns(found[0], image):
            return None
        found = readers.get(found[0].output[0], [])
    elif any(_turns(node, image) for node in found):
        return None
    constants = {tensor.name for tensor in graph.initializer}
    if len(found) != 1 or found[0].op_type != "Conv" or found[0].input[1] not in constants:
        return None
    return found[0] if len(readers[found[0].input[1]]) == 1 else None


def _fold_order(graph: GraphProto, image: str, layout: Layout) -> bool:
    """Exchange the first convolution's weights of red and blue; tell whether there was one."""
    return _change_weights(graph, image, layout, 3, lambda weights: weights[:, ::-1])


def _fold_luminance(graph: GraphProto, image: str, layout: Layout) -> bool:
    """Let the first convolution take three channels and mix them into the luminance; tell whether there was one."""
    mix = np.array(LUMINANCE, np.float64).reshape(1, 3, 1, 1)
    return _change_weights(graph, image, layout, 1, lambda weights: weights.astype(np.float64) * mix)


def _change_weights(graph: GraphProto, image: str, layout: Layout, channels: int, change: object) -> bool:
    onnx = require("onnx", "import a network")
    conv = _first_convolution(graph, image, layout)
    if conv is None:
        return False
    tensor = next(tensor for tensor in graph.initializer if tensor.name == conv.input[1])
    weights = onnx.numpy_helper.to_array(tensor)
    if weights.ndim != 4 or weights.shape[1] != channels or any(a.name == "group" and a.i != 1 for a in conv.attribute):
        return False
    changed = np.ascontiguousarray(change(weights), dtype=np.float32)  # type: ignore[operator]
    tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
    return True
