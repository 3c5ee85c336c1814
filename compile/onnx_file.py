"""Read an ONNX classifier that a user brings: every reason to refuse it is found here, before any work is done.

Nothing in the file is trusted: it may be cut short, name files outside of its folder, or hold what no target can run.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Literal

import numpy as np

from weckd_edge.compile.graph import MOST_NODES
from weckd_edge.compile.qdq_rules import find_violations
from weckd_edge.errors import ConfigError, ModelError
from weckd_edge.files import read_bounded
from weckd_edge.optional import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

Layout = Literal["nchw", "nhwc"]

MOST_BYTES = 1 << 30
"""Of the file and the weights beside it; an ONNX file itself cannot be larger than 2 GiB."""

MOST_SIDE = 2048
"""Of the network's input, pixels."""

MOST_TENSORS = 100_000
DEEPEST_CALLS = 32
"""Functions inside each other."""

MOST_TENSOR_BYTES = 1 << 30
"""Of one tensor that the graph makes."""

OLDEST_OPSET = 7
"""The oldest operator set that ONNX's own converter raises reliably (broadcasting changed there)."""

_STANDARD = ("", "ai.onnx")
_QUANTIZED = ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear")
_QUANTIZED_OPERATORS = ("QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")
_EXTERNAL = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class InputHints:
    """What an ONNX file may not tell.

    Attributes:
        input_size: Side of the network's input, pixels.
        layout: Channels before rows (``nchw``) or behind columns (``nhwc``).
        mean: Per RGB channel, of values in 0..1, that its pixels are normalised with.
        std: Likewise.
    """

    input_size: int | None = None
    layout: Layout | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if self.input_size is not None and not 8 <= self.input_size <= MOST_SIDE:
            raise ConfigError(f"--input-size {self.input_size}: expected 8 to {MOST_SIDE} pixels")
        if (self.mean is None) != (self.std is None):
            raise ConfigError("give both --mean and --std, or neither")
        if self.std is not None and not all(np.isfinite(v) and v > 0 for v in self.std):
            raise ConfigError(f"--std {','.join(f'{v:g}' for v in self.std)}: expected three numbers over 0")
        if self.mean is not None and not all(np.isfinite(v) for v in self.mean):
            raise ConfigError("--mean: expected three finite numbers")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OnnxNetwork:
    """An ONNX classifier that was read, checked, and fixed to one image.

    Attributes:
        name: The file's name without its ending.
        model: As it was brought, with its weights inside, local functions written out and every input dimension fixed.
        sha256: Digest of the file and of the weights that lay beside it.
        bytes: Their size.
        opset: Of the file.
        layout: Of its input.
        kind: Type of its input.
        input_size: Side of its input, pixels.
        mean: See ``InputHints``; for a uint8 input 0.
        std: See ``InputHints``; for a uint8 input such that the pixels stay as they are.
        said: What was found and decided, in words.
    """

    name: str
    model: ModelProto
    sha256: str
    bytes: int
    opset: int
    layout: Layout
    kind: Literal["float32", "uint8"]
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    said: tuple[str, ...]


def read_onnx(path: Path, hints: InputHints) -> OnnxNetwork:
    """Read an ONNX file and the weights that lie beside it.

    Raises:
        ConfigError: The file does not tell something, and neither do the hints; or they contradict it.
        ModelError: It cannot be used, with the reason.
    """
    onnx = require("onnx", "read an ONNX file")
    model, digest, size = _load(path)
    _refuse_many(path.name, model)
    opset = _check_operators(path.name, model)
    if model.functions:
        model = _inlined(path.name, model)
        _check_operators(path.name, model)
    _check_weights(path.name, model)
    _refuse_quantized(path.name, model)
    entry, _ = _only_input(path.name, model.graph), _only_output(path.name, model.graph)
    types = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.UINT8: "uint8"}
    code = entry.type.tensor_type.elem_type
    if code not in types:
        raise ModelError(
            f"{path.name}: expected an input of type float32 or uint8, found {_type_name(code)}; export it with float32"
        )
    kind: Literal["float32", "uint8"] = "uint8" if types[code] == "uint8" else "float32"
    layout, side = _shape(path.name, entry, hints)
    _fix_shape(model.graph, entry, layout, side)
    check_sizes(path.name, model)
    mean, std, said = _normalisation(path.name, kind, hints)
    order = "channels first" if layout == "nchw" else "channels last"
    return OnnxNetwork(
        name=path.stem,
        model=model,
        sha256=digest,
        bytes=size,
        opset=opset,
        layout=layout,
        kind=kind,
        input_size=side,
        mean=mean,
        std=std,
        said=(f"ONNX file {path.name}: opset {opset}, {kind} input of {side} by {side} pixels, {order}.", said),
    )


def _load(path: Path) -> tuple[ModelProto, str, int]:
    onnx = require("onnx", "read an ONNX file")
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise ModelError(f"{path}: expected an ONNX file, found {'a folder' if path.is_dir() else 'nothing there'}")
    size = path.stat().st_size
    _refuse_huge(path.name, size)
    data = read_bounded(path, at_most=MOST_BYTES, where=str(path), error=ModelError)
    try:
        model: ModelProto = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as err:
        raise ModelError(f"{path.name}: expected an ONNX file, found none that can be read; is it whole?") from err
    if not model.ir_version or not model.graph.node or not model.opset_import:
        raise ModelError(f"{path.name}: expected an ONNX file with a graph in it, found none; is it whole?")
    digest = hashlib.sha256(data)
    total = size + _load_beside(path, model, digest, size)
    return model, digest.hexdigest(), total


def _refuse_huge(name: str, size: int) -> None:
    if size > MOST_BYTES:
        raise ModelError(
            f"{name}: expected at most {MOST_BYTES >> 20} MiB of weights, found {size >> 20} MiB; "
            "a network for a small device is a hundred times smaller: distil it with weckd-edge build"
        )


def _refuse_many(name: str, model: ModelProto) -> None:
    """Refuse a graph of more operators or tensors than can be worked through in seconds, functions written out."""
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Sequence[NodeProto], depth: int) -> int:
        if depth > DEEPEST_CALLS:
            raise ModelError(
                f"{name}: its functions call each other in a circle, or more than {DEEPEST_CALLS} deep; export it without them"
            )
        total = 0
        for node in nodes:
            called = (node.domain, node.op_type)
            if called in bodies and called not in sizes:
                sizes[called] = size(bodies[called], depth + 1)
            total += sizes.get(called, 1)
            for attribute in node.attribute:
                graphs = [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
                total += sum(size(graph.node, depth + 1) for graph in graphs)
        return total

    for what, found, most in (
        ("operators", size(model.graph.node, 0), MOST_NODES),
        ("tensors", sum(1 for _ in _tensors(model)), MOST_TENSORS),
    ):
        if found > most:
            raise ModelError(
                f"{name}: expected at most {most} {what}, found {found}; a network for a small device has hundreds of them"
            )


def _inlined(name: str, model: ModelProto) -> ModelProto:
    """Return a model with its local functions written out."""
    inliner = require("onnx.inliner", "write local functions out")
    try:
        written: ModelProto = inliner.inline_local_functions(model)
    except Exception as err:  # its C++ side raises errors of its own
        raise ModelError(
            f"{name}: its local functions cannot be written out ({str(err).splitlines()[0][:160]}); export it without them"
        ) from err
    del written.functions[:]  # a call that is left is no standard operator
    return written


def check_sizes(name: str, model: ModelProto) -> None:
    """Refuse a graph that makes a tensor larger than any device could hold, as far as its shapes can be told beforehand.

    Raises:
        ModelError: It does.
    """
    onnx = require("onnx", "read an ONNX file")
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # what is wrong with its shapes is told when it is adopted
        return
    for info in (*graph.value_info, *graph.output):
        kind = info.type.tensor_type
        dims = [max(dim.dim_value, 1) for dim in kind.shape.dim]
        needed = math.prod(dims) * _item_bytes(kind.elem_type)
        if needed > MOST_TENSOR_BYTES:
            raise ModelError(
                f"{name}: '{info.name}' takes {needed >> 20} MiB ({dims}), expected at most {MOST_TENSOR_BYTES >> 20} MiB; "
                "is its shape right?"
            )


def _item_bytes(code: int) -> int:
    onnx = require("onnx", "read an ONNX file")
    try:
        return int(onnx.helper.tensor_dtype_to_np_dtype(code).itemsize)
    except (KeyError, ValueError):
        return 1


def _load_beside(path: Path, model: ModelProto, digest: hashlib._Hash, already: int) -> int:
    """Read the weights that lie in files beside the model, and add their bytes to the digest; return their size."""
    onnx = require("onnx", "read an ONNX file")
    tensors = [t for t in _tensors(model) if t.data_location == _EXTERNAL]
    places: dict[str, Path] = {}
    for tensor in tensors:
        place = {entry.key: entry.value for entry in tensor.external_data}
        name = place.get("location", "")
        if name not in places:
            places[name] = _beside(path, name)
        here = places[name].stat().st_size
        try:
            offset, length = int(place.get("offset", 0)), int(place.get("length", here))
        except ValueError as err:
            raise ModelError(f"{path.name}: the place of '{tensor.name}' in {name} is no number; export it again") from err
        if offset < 0 or length < 0 or offset + length > here:
            raise ModelError(
                f"{path.name}: '{tensor.name}' expects {length} bytes at {offset} of {name}, which has {here}; is it whole?"
            )
    total = sum(place.stat().st_size for place in places.values())
    _refuse_huge(path.name, already + total)
    for name in sorted(places):
        digest.update(read_bounded(places[name], at_most=MOST_BYTES, where=name, error=ModelError))
    try:
        for tensor in tensors:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    except (OSError, ValueError, onnx.checker.ValidationError) as err:
        raise ModelError(f"{path.name}: the weights beside it cannot be read ({str(err).splitlines()[0]})") from err
    return total


def _beside(path: Path, name: str) -> Path:
    """Return the file that holds weights, which must lie in the model's folder or below."""
    plain = PurePosixPath(name)
    if not name or plain.is_absolute() or ".." in plain.parts or PureWindowsPath(name).drive or "\\" in name:
        raise ModelError(f"{path.name}: its weights are said to lie in '{name}'; expected a file beside it, export it again")
    found = path.parent / plain
    if not found.is_file():
        raise ModelError(
            f"{path.name}: its weights are said to lie in {name}, found no such file; put it beside {path.name}"
        )
    if not found.resolve().is_relative_to(path.parent.resolve()):
        raise ModelError(f"{path.name}: its weights in {name} are a link out of its folder; put the file itself there")
    return found


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Yield every constant of a model, in graphs below it and in local functions too."""

    def below(nodes: Sequence[NodeProto]) -> Iterator[TensorProto]:
        for node in nodes:
            for attribute in node.attribute:
                yield from [attribute.t] if attribute.HasField("t") else []
                yield from attribute.tensors
                for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                    yield from within(graph)

    def within(graph: GraphProto) -> Iterator[TensorProto]:
        yield from graph.initializer
        yield from below(graph.node)

    yield from within(model.graph)
    for function in model.functions:
        yield from below(function.node)


def _check_operators(name: str, model: ModelProto) -> int:
    """Refuse what is no graph of standard float operators; return its opset."""
    onnx = require("onnx", "read an ONNX file")
    versions = {entry.domain: entry.version for entry in model.opset_import if entry.domain in _STANDARD}
    if not versions:
        raise ModelError(f"{name}: expected standard ONNX operators, it names no version of them; export it again")
    opset, newest = int(max(versions.values())), int(onnx.defs.onnx_opset_version())
    if opset > newest:
        raise ModelError(
            f"{name}: opset {opset} is newer than {newest}, the newest that onnx {onnx.__version__} knows; "
            "export it with opset_version=17, or update onnx"
        )
    if opset < OLDEST_OPSET:
        raise ModelError(
            f"{name}: opset {opset} is too old; expected {OLDEST_OPSET} or newer, export it with opset_version=17"
        )
    local = {(function.domain, function.name) for function in model.functions}
    nodes = list(model.graph.node)
    own = [n for n in nodes if n.domain not in _STANDARD and (n.domain, n.op_type) not in local]
    if own:
        kinds = ", ".join(dict.fromkeys(f"{n.domain}::{n.op_type}" for n in own[:5]))
        raise ModelError(
            f"{name}: {len(own)} operators are not standard ONNX ({kinds}; the first is '{own[0].name}'); no target runs "
            "them, export the network without custom operators or vendor optimizations"
        )
    flow = [n for n in nodes if any(a.HasField("g") or a.graphs for a in n.attribute)]
    if flow:
        raise ModelError(
            f"{name}: '{flow[0].name}' ({flow[0].op_type}) decides at run time what is computed, which TensorRT and "
            "OpenVINO cannot compile into one network; export it without branches and loops"
        )
    return opset


def _refuse_quantized(name: str, model: ModelProto) -> None:
    nodes = list(model.graph.node)
    integer = [n for n in nodes if n.op_type in _QUANTIZED_OPERATORS]
    pairs = [n for n in nodes if n.op_type in _QUANTIZED]
    advice = "bring the float network it was made from: int8 is calibrated and compared with it here"
    if integer:
        raise ModelError(
            f"{name}: is quantized already, with integer operators ('{integer[0].name}' is {integer[0].op_type}) that "
            f"TensorRT does not read; {advice}"
        )
    if not pairs:
        return
    broken = find_violations(model)
    why = "its Q/DQ nodes keep the rules of both targets, but there is no float network to compare them with"
    if broken:
        why = f"{len(broken)} Q/DQ nodes break the rules of both targets ({broken[0].node}: {broken[0].rule})"
    raise ModelError(f"{name}: is quantized already; {why}; {advice}")


def _check_weights(name: str, model: ModelProto) -> None:
    """Refuse weights that are no numbers, or fewer than their shape says."""
    onnx = require("onnx", "read an ONNX file")
    for tensor in _tensors(model):
        try:
            values = onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as err:
            raise ModelError(f"{name}: the weights '{tensor.name}' are not whole; is the file cut short?") from err
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = int((~np.isfinite(values)).sum())
            raise ModelError(
                f"{name}: '{tensor.name}' holds {bad} values that are NaN or infinite; its training has failed, "
                "bring an earlier checkpoint"
            )


def _only_input(name: str, graph: GraphProto) -> ValueInfoProto:
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in constants]
    if len(inputs) != 1:
        shown = ", ".join(f"'{entry.name}'" for entry in inputs[:5]) or "none"
        raise ModelError(
            f"{name}: expected one input, an image, found {len(inputs)} ({shown}); export it with the image alone"
        )
    only: ValueInfoProto = inputs[0]
    return only


def _only_output(name: str, graph: GraphProto) -> ValueInfoProto:
    if len(graph.output) != 1:
        shown = ", ".join(f"'{entry.name}'" for entry in list(graph.output)[:5]) or "none"
        raise ModelError(
            f"{name}: expected one output, the classes, found {len(graph.output)} ({shown}); export these alone"
        )
    only: ValueInfoProto = graph.output[0]
    return only


def _type_name(code: int) -> str:
    onnx = require("onnx", "read an ONNX file")
    return str(onnx.TensorProto.DataType.Name(code)).lower() if code else "none"


def _shape(name: str, entry: ValueInfoProto, hints: InputHints) -> tuple[Layout, int]:
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in entry.type.tensor_type.shape.dim]
    shown = "[" + ", ".join("?" if d is None else str(d) for d in dims) + "]"
    if len(dims) != 4:
        raise ModelError(f"{name}: expected an image as input, [1, 3, S, S] or [1, S, S, 3], found {shown}")
    if dims[0] not in (None, 1):
        raise ModelError(
            f"{name}: expected one image at a time, found a batch of {dims[0]}; export it with batch 1 or dynamic"
        )
    first, last = dims[1] == 3, dims[3] == 3
    layout: Layout
    if hints.layout is not None:
        layout = hints.layout
    elif first != last:
        layout = "nchw" if first else "nhwc"
    elif first or None in (dims[1], dims[3]):
        raise ConfigError(f"{name}: its input {shown} does not tell where the channels are; give --layout nchw or nhwc")
    else:
        raise ModelError(f"{name}: expected 3 channels (RGB), found an input of {shown}")
    channels = dims[1] if layout == "nchw" else dims[3]
    if channels not in (None, 3):
        raise ConfigError(f"{name}: expected 3 channels where {layout} has them, found an input of {shown}; change --layout")
    if any(d is not None and d > MOST_SIDE for d in dims):
        raise ModelError(f"{name}: expected an image of at most {MOST_SIDE} pixels a side, found an input of {shown}")
    sides = set(dims[2:] if layout == "nchw" else dims[1:3]) - {None}
    if len(sides) > 1:
        raise ModelError(f"{name}: expected a square input, found {shown}; export it for a square image")
    told = next(iter(sides), None)
    if told is None and hints.input_size is None:
        raise ConfigError(f"{name}: its input {shown} leaves height and width open; give --input-size, as it was trained")
    if told is not None and hints.input_size not in (None, told):
        raise ConfigError(f"{name}: --input-size {hints.input_size} contradicts its input {shown}; leave the option out")
    return layout, told or hints.input_size or 0


def _fix_shape(graph: GraphProto, entry: ValueInfoProto, layout: Layout, side: int) -> None:
    dims = entry.type.tensor_type.shape.dim
    for dim, value in zip(dims, (1, 3, side, side) if layout == "nchw" else (1, side, side, 3), strict=True):
        dim.dim_value = value
    # What was inferred for an open batch or size no longer holds.
    del graph.value_info[:]
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")


def _normalisation(
    name: str, kind: str, hints: InputHints
) -> tuple[tuple[float, float, float], tuple[float, float, float], str]:
    if kind == "uint8":
        if hints.mean is not None:
            raise ConfigError(f"{name}: takes uint8 pixels and normalises them itself; leave --mean and --std out")
        plain = 1 / 255
        return (0.0, 0.0, 0.0), (plain, plain, plain), "It takes pixels of 0 to 255 and normalises them itself."
    if hints.mean is None or hints.std is None:
        raise ConfigError(
            f"{name}: an ONNX file does not tell how its pixels are normalised; give --mean and --std as it was trained, "
            "of values in 0..1 (ImageNet's are --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225; "
            "for plain 0 to 255 --mean 0 --std 1/255)"
        )
    return hints.mean, hints.std, "Mean and standard deviation of its pixels are as the user said."
