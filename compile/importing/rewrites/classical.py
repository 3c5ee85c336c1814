"""Write classifiers of ONNX's classical domain, as skl2onnx puts them behind a network, in standard operators.

A linear classifier is a matrix product, its scores through a sigmoid or a softmax; a normalizer divides by the sum; a
scaler subtracts and multiplies; ``ZipMap`` only makes dictionaries of the scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from weckd_edge.compile.importing.rewrites.operators import CLASSICAL
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

KNOWN = ("LinearClassifier", "Normalizer", "Scaler", "ZipMap")


def drop_zip_maps(graph: GraphProto) -> None:
    """Replace, in place, outputs that are dictionaries of scores by the scores themselves."""
    onnx = require("onnx", "read an ONNX file")
    zips = {node.output[0]: node for node in graph.node if (node.domain, node.op_type) == (CLASSICAL, "ZipMap")}
    for output in graph.output:
        if output.name in zips:
            node = zips[output.name]
            name = output.name
            kind = output.type.sequence_type.elem_type.map_type.value_type.tensor_type.elem_type
            output.CopyFrom(onnx.helper.make_empty_tensor_value_info(name))
            output.type.tensor_type.elem_type = kind or onnx.TensorProto.FLOAT
            node.CopyFrom(onnx.helper.make_node("Identity", [node.input[0]], [name], node.name))


def class_names(graph: GraphProto) -> tuple[str, ...] | None:
    """Return the class names that a classifier or a dictionary of scores holds, in the order of its scores."""
    onnx = require("onnx", "read an ONNX file")
    for node in graph.node:
        if node.domain == CLASSICAL:
            for attribute in node.attribute:
                if attribute.name == "classlabels_strings" and attribute.strings:
                    names = onnx.helper.get_attribute_value(attribute)
                    return tuple(name.decode(errors="replace") for name in names)
    return None


def write_classical_out(name: str, model: ModelProto) -> None:
    """Write such classifiers in standard operators, in place.

    Args:
        name: Name of the network, for messages.
        model: Network after ``drop_zip_maps``, without nodes that no output needs.

    Raises:
        ModelError: The network has another operator of that domain, or a form of one that is not read here.
    """
    graph = model.graph
    if not any(node.domain == CLASSICAL for node in graph.node):
        return
    writer = _Writer(name, graph)
    nodes: list[NodeProto] = []
    for node in graph.node:
        nodes += writer.written(node) if node.domain == CLASSICAL else [_copied(node)]
    del graph.node[:]
    graph.node.extend(nodes)
    for entry in [entry for entry in model.opset_import if entry.domain == CLASSICAL]:
        model.opset_import.remove(entry)


def _copied(node: NodeProto) -> NodeProto:
    onnx = require("onnx", "read an ONNX file")
    copied: NodeProto = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied


class _Writer:
    def __init__(self, name: str, graph: GraphProto) -> None:
        self.name = name
        self.graph = graph
        self.read = {entry for node in graph.node for entry in node.input} | {entry.name for entry in graph.output}

    def written(self, node: NodeProto) -> list[NodeProto]:
        onnx = require("onnx", "read an ONNX file")
        given = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        how = {"LinearClassifier": self._linear, "Normalizer": self._normalizer, "Scaler": self._scaler}.get(node.op_type)
        if how is None:
            raise ModelError(
                f"{self.name}: '{node.name}' ({CLASSICAL}::{node.op_type}) cannot be compiled; of that domain "
                f"{', '.join(KNOWN)} are; export the network with such a classifier or with layers of its own",
                code="E_MODEL_OPERATOR",
            )
        return how(node, given)

    def _constant(self, stem: str, values: Any) -> str:
        onnx = require("onnx", "read an ONNX file")
        self.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(values, np.float32), stem))
        return stem

    def _linear(self, node: NodeProto, given: Mapping[str, Any]) -> list[NodeProto]:
        onnx = require("onnx", "read an ONNX file")
        make, out = onnx.helper.make_node, node.output[1]
        if node.output[0] in self.read:
            raise ModelError(
                f"{self.name}: '{node.name}' (LinearClassifier): its scores are read, its labels are not",
                code="E_MODEL_OPERATOR",
            )
        classes = len(given.get("classlabels_strings", ())) or len(given.get("classlabels_ints", ()))
        offsets = np.asarray(given.get("intercepts", [0.0]), np.float32)
        rows = len(offsets) if "intercepts" in given else classes
        matrix = np.asarray(given["coefficients"], np.float32).reshape(rows, -1)
        after = given.get("post_transform", b"NONE").decode()
        if rows == 1 and classes == 2:
            # One score for two classes: its negative is the first one's.
            matrix, offsets = np.concatenate([-matrix, matrix]), np.concatenate([-offsets, offsets])
        kinds = {"NONE": "Identity", "LOGISTIC": "Sigmoid", "SOFTMAX": "Softmax"}
        if after not in kinds or len(matrix) != classes:
            raise ModelError(
                f"{self.name}: '{node.name}' (LinearClassifier) of {classes} classes ends in {after}, which is not read",
                code="E_MODEL_OPERATOR",
            )
        weights, bias = self._constant(f"{out}/weights", matrix.T), self._constant(f"{out}/bias", offsets)
        more = {"axis": 1} if after == "SOFTMAX" else {}
        return [
            make("MatMul", [node.input[0], weights], [f"{out}/product"], f"{out}/product"),
            make("Add", [f"{out}/product", bias], [f"{out}/scores"], f"{out}/scores"),
            make(kinds[after], [f"{out}/scores"], [out], node.name or out, **more),
        ]

    def _normalizer(self, node: NodeProto, given: Mapping[str, Any]) -> list[NodeProto]:
        onnx = require("onnx", "read an ONNX file")
        make, out = onnx.helper.make_node, node.output[0]
        kinds = {"L1": 1, "L2": 2}
        norm = given.get("norm", b"MAX").decode()
        if norm not in kinds:
            raise ModelError(
                f"{self.name}: '{node.name}' (Normalizer) divides by the maximum, which is not read",
                code="E_MODEL_OPERATOR",
            )
        return [make("LpNormalization", [node.input[0]], [out], node.name or out, axis=-1, p=kinds[norm])]

    def _scaler(self, node: NodeProto, given: Mapping[str, Any]) -> list[NodeProto]:
        onnx = require("onnx", "read an ONNX file")
        make, out = onnx.helper.make_node, node.output[0]
        offset = self._constant(f"{out}/offset", given.get("offset", [0.0]))
        scale = self._constant(f"{out}/scale", given.get("scale", [1.0]))
        return [
            make("Sub", [node.input[0], offset], [f"{out}/centred"], f"{out}/centred"),
            make("Mul", [f"{out}/centred", scale], [out], node.name or out),
        ]
