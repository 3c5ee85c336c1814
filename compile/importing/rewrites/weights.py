"""Check an imported network's weights, that they are whole and numbers, and turn them into float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from weckd_edge.compile.importing.file import tensors_of
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto

TRAINED = (
    "BatchNormalization",
    "Conv",
    "ConvTranspose",
    "Gemm",
    "GroupNormalization",
    "InstanceNormalization",
    "LayerNormalization",
    "MatMul",
    "PRelu",
)
"""Operators whose constants are weights; elsewhere an infinite value may be a bound, a mask or a padding."""

_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype", "softmax_precision", "stash_type")


def check_weights(name: str, model: ModelProto) -> None:
    """Refuse weights that are not numbers, fewer than their shape says, or in a type that is not computed in.

    Raises:
        ModelError: A weight is such; the message names the first.
    """
    onnx = require("onnx", "read an ONNX file")
    trained = {read for node in nodes_of(model.graph) if node.op_type in TRAINED for read in node.input}
    named = [node for node in nodes_of(model.graph) if node.op_type == "Constant" and node.output[0] in trained]
    for tensor in tensors_of(model):
        if tensor.data_type == onnx.TensorProto.BFLOAT16:
            raise ModelError(
                f"{name}: '{tensor.name}' is of type bfloat16, in which a processor does not compute; export it in float32",
                code="E_MODEL_GRAPH",
            )
        _refuse_no_numbers(name, tensor.name, tensor, bounds_allowed=tensor.name not in trained)
    for node in named:
        for attribute in node.attribute:
            _refuse_no_numbers(name, node.output[0], attribute.t, bounds_allowed=False)


def _refuse_no_numbers(name: str, called: str, tensor: TensorProto, *, bounds_allowed: bool) -> None:
    onnx = require("onnx", "read an ONNX file")
    try:
        values = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as err:
        raise ModelError(
            f"{name}: the weights '{called}' are not whole; is the file cut short?", code="E_MODEL_WEIGHTS_FILE"
        ) from err
    if values.dtype.kind != "f" or np.isfinite(values).all() or (bounds_allowed and not np.isnan(values).any()):
        return
    bad = int((~np.isfinite(values)).sum())
    raise ModelError(
        f"{name}: '{called}' holds {bad} values that are NaN or infinite; its training has failed, "
        "bring an earlier checkpoint",
        code="E_MODEL_NOT_FINITE",
    )


def nodes_of(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes of a graph and of the graphs below it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for below in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from nodes_of(below)


def half_of(model: ModelProto) -> str | None:
    """Return the floating type that the network computes in (``float16``, ``double``); None for float32."""
    onnx = require("onnx", "read an ONNX file")
    kinds = {onnx.TensorProto.FLOAT16: "float16", onnx.TensorProto.DOUBLE: "double"}
    found = {tensor.data_type for tensor in tensors_of(model)}
    found |= {entry.type.tensor_type.elem_type for entry in model.graph.input}
    for node in nodes_of(model.graph):
        found |= {a.i for a in node.attribute if node.op_type == "Cast" and a.name == "to"}
    return next((kinds[code] for code in kinds if code in found), None)


def to_float32(model: ModelProto) -> None:
    """Let operators that compute in float16 or double compute in float32, in place; float16 values stay as they are."""
    onnx = require("onnx", "read an ONNX file")
    others = (onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)

    def turn_tensor(tensor: TensorProto) -> None:
        if tensor.data_type in others:
            values = onnx.numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    def turn_types(entries: Sequence[ValueInfoProto]) -> None:
        for entry in entries:
            if entry.type.tensor_type.elem_type in others:
                entry.type.tensor_type.elem_type = onnx.TensorProto.FLOAT

    def turn_graph(graph: GraphProto) -> None:
        turn_types(graph.input)
        turn_types(graph.output)
        del graph.value_info[:]
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    turn_graph(attribute.g)
                if attribute.name in _TYPE_ATTRIBUTES and attribute.i in others:
                    attribute.i = onnx.TensorProto.FLOAT

    for tensor in tensors_of(model):
        turn_tensor(tensor)
    turn_graph(model.graph)
