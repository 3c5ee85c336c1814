"""Read an ONNX file, and the weights that lie beside it.

Nothing in the file is trusted: it may be cut short, name files outside of its folder, or hold more than can be worked
through.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from weckd_edge.compile.graph import MAX_NODES
from weckd_edge.core.errors import ModelError, first_line
from weckd_edge.core.files import read_bounded
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

MAX_BYTES = 1 << 30
"""Largest size of the file and the weights beside it, bytes; an ONNX file alone cannot be larger than 2 GiB."""

MAX_TENSORS = 100_000
DEEPEST_CALLS = 32
"""Deepest nesting of functions that call each other."""

MAX_TENSOR_BYTES = 1 << 30
"""Largest size of one tensor that the graph makes, bytes."""

_EXTERNAL = 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class OnnxFile:
    """An ONNX file with the weights that lay beside it.

    Attributes:
        model: Network of the file, with the weights inside.
        sha256: Digest of the file and of the weights that lay beside it.
        bytes: Size of both, bytes.
    """

    model: ModelProto
    sha256: str
    bytes: int


def load_file(path: Path) -> OnnxFile:
    """Read an ONNX file.

    Raises:
        ModelError: The file is not ONNX, not whole, or holds too much.
    """
    onnx = require("onnx", "read an ONNX file")
    from google.protobuf.message import DecodeError

    if not path.is_file():
        raise ModelError(
            f"{path}: expected an ONNX file, found {'a folder' if path.is_dir() else 'nothing there'}",
            code="E_MODEL_FILE_MISSING",
        )
    size = path.stat().st_size
    _refuse_huge(path.name, size)
    data = read_bounded(path, at_most=MAX_BYTES, where=str(path), error=ModelError)
    try:
        model: ModelProto = onnx.load_model_from_string(data)
    except (DecodeError, ValueError) as err:
        raise ModelError(
            f"{path.name}: expected an ONNX file, found none that can be read; is it whole?", code="E_MODEL_ONNX_FILE"
        ) from err
    if not model.ir_version or not model.graph.node or not model.opset_import:
        raise ModelError(
            f"{path.name}: expected an ONNX file with a graph in it, found none; is it whole?", code="E_MODEL_ONNX_FILE"
        )
    digest = hashlib.sha256(data)
    total = size + _load_beside(path, model, digest, size)
    _refuse_many(path.name, model)
    return OnnxFile(model=model, sha256=digest.hexdigest(), bytes=total)


def _refuse_huge(name: str, size: int) -> None:
    if size > MAX_BYTES:
        raise ModelError(
            f"{name}: expected at most {MAX_BYTES >> 20} MiB of weights, found {size >> 20} MiB; "
            "a network for a small device is a hundred times smaller: distil it with weckd-edge build",
            code="E_MODEL_LIMIT",
        )


def _refuse_many(name: str, model: ModelProto) -> None:
    """Refuse a graph that, with its functions written out, has more operators or tensors than seconds of work allow."""
    bodies = {(function.domain, function.name): function.node for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Sequence[NodeProto], depth: int) -> int:
        if depth > DEEPEST_CALLS:
            raise ModelError(
                f"{name}: its functions call each other in a circle, or more than {DEEPEST_CALLS} deep; "
                "export it without them",
                code="E_MODEL_GRAPH",
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

    for what, found, maximum in (
        ("operators", size(model.graph.node, 0), MAX_NODES),
        ("tensors", sum(1 for _ in tensors_of(model)), MAX_TENSORS),
    ):
        if found > maximum:
            raise ModelError(
                f"{name}: expected at most {maximum} {what}, found {found}; "
                "a network for a small device has hundreds of them",
                code="E_MODEL_LIMIT",
            )


def check_sizes(name: str, model: ModelProto) -> None:
    """Refuse a graph that makes a tensor larger than any device could hold, as far as its shapes are known beforehand.

    Raises:
        ModelError: The graph makes such a tensor.
    """
    onnx = require("onnx", "read an ONNX file")
    try:
        graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    except Exception:  # wrong shapes are reported when the network is imported
        return
    for info in (*graph.value_info, *graph.output):
        kind = info.type.tensor_type
        dims = [max(dim.dim_value, 1) for dim in kind.shape.dim]
        needed = math.prod(dims) * _item_bytes(kind.elem_type)
        if needed > MAX_TENSOR_BYTES:
            raise ModelError(
                f"{name}: '{info.name}' takes {needed >> 20} MiB ({dims}), expected at most {MAX_TENSOR_BYTES >> 20} MiB; "
                "is its shape right?",
                code="E_MODEL_LIMIT",
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
    tensors = [t for t in tensors_of(model) if t.data_location == _EXTERNAL]
    places: dict[str, Path] = {}
    for tensor in tensors:
        place = {entry.key: entry.value for entry in tensor.external_data}
        name = place.get("location", "")
        if name not in places:
            places[name] = _beside(path, name)
        here = places[name].stat().st_size
        try:
            offset = int(place.get("offset", 0))
            length = int(place.get("length", max(here - offset, 0)))
        except ValueError as err:
            raise ModelError(
                f"{path.name}: the place of '{tensor.name}' in {name} is no number; export it again",
                code="E_MODEL_EXTERNAL_DATA",
            ) from err
        if offset < 0 or length < 0 or offset + length > here:
            raise ModelError(
                f"{path.name}: '{tensor.name}' expects {length} bytes at {offset} of {name}, which has {here}; is it whole?",
                code="E_MODEL_EXTERNAL_DATA",
            )
    total = sum(place.stat().st_size for place in places.values())
    _refuse_huge(path.name, already + total)
    for name in sorted(places):
        digest.update(read_bounded(places[name], at_most=MAX_BYTES, where=name, error=ModelError))
    try:
        for tensor in tensors:
            onnx.external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
            tensor.data_location = onnx.TensorProto.DEFAULT
            del tensor.external_data[:]
    except (OSError, ValueError, onnx.checker.ValidationError) as err:
        raise ModelError(
            f"{path.name}: the weights beside it cannot be read ({first_line(err)})", code="E_MODEL_EXTERNAL_DATA"
        ) from err
    return total


def _beside(path: Path, name: str) -> Path:
    """Return the file that holds weights, which must lie in the model's folder or below."""
    plain = PurePosixPath(name)
    if not name or plain.is_absolute() or ".." in plain.parts or PureWindowsPath(name).drive or "\\" in name:
        raise ModelError(
            f"{path.name}: its weights are said to lie in '{name}'; expected a file beside it, export it again",
            code="E_MODEL_EXTERNAL_DATA",
        )
    found = path.parent / plain
    if not found.is_file():
        raise ModelError(
            f"{path.name}: its weights are said to lie in {name}, found no such file; put it beside {path.name}",
            code="E_MODEL_EXTERNAL_DATA",
        )
    if not found.resolve().is_relative_to(path.parent.resolve()):
        raise ModelError(
            f"{path.name}: its weights in {name} are a link out of its folder; put the file itself there",
            code="E_MODEL_EXTERNAL_DATA",
        )
    return found


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
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
