"""Replace operators of a graph, each by the operators that a rule writes in its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.graph import OPSET, opset_of
from weckd_edge.compile.importing.rewrites.operators import EXPORT_AGAIN, STANDARD
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

Array = NDArray[Any]


class NodeWriter:
    """Writes the operators that stand in one operator's place.

    Args:
        name: Name of the network, for messages.
        model: The network.
    """

    def __init__(self, name: str, model: ModelProto) -> None:
        onnx = require("onnx", "import a network")
        self.onnx = onnx
        self.network = name
        self.opset = opset_of(model)
        self.graph = model.graph
        self.constants: Mapping[str, Any] = {tensor.name: tensor for tensor in model.graph.initializer}
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        infos = {info.name: info.type.tensor_type for info in (*inferred.value_info, *inferred.input, *inferred.output)}
        self.kinds = {tensor: info.elem_type for tensor, info in infos.items()}
        self.kinds.update({tensor.name: tensor.data_type for tensor in model.graph.initializer})
        self.shapes = {t: [d.dim_value for d in info.shape.dim] for t, info in infos.items() if info.HasField("shape")}
        self.shapes.update({tensor.name: list(tensor.dims) for tensor in model.graph.initializer})
        self.taken = {output for node in model.graph.node for output in node.output} | set(self.kinds)
        self.nodes: list[NodeProto] = []

    def begin(self, node: NodeProto) -> None:
        """Take up the next operator to replace."""
        self.node = node
        self.attributes = {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute}

    def fresh(self, stem: str) -> str:
        """Return a name that no tensor has."""
        count = 0
        while (made := f"{self.node.output[0]}/{stem}{count or ''}") in self.taken:
            count += 1
        self.taken.add(made)
        return made

    def constant(self, values: Array) -> str:
        """Add a constant; return its name."""
        made = self.fresh("constant")
        self.graph.initializer.append(self.onnx.numpy_helper.from_array(np.asarray(values), made))
        return made

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """Add an operator of one output; return the name of that output."""
        made = output or self.fresh(kind.lower())
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, [made], made, **attributes))
        return made

    def keep(self, inputs: list[str] | None = None, **changes: Any) -> None:
        """Write the node as it is, with other inputs, and attributes changed or (None) left out."""
        attributes = {**self.attributes, **changes}
        kept = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(
            self.onnx.helper.make_node(
                self.node.op_type,
                list(self.node.input) if inputs is None else inputs,
                list(self.node.output),
                self.node.name,
                **kept,
            )
        )

    def read(self, place: int) -> str:
        """Return the name of the input at a place; empty where there is none."""
        return self.node.input[place] if place < len(self.node.input) else ""

    def values(self, place: int) -> Array | None:
        """Return the constant input at a place; None where there is none.

        Raises:
            ModelError: The input depends on the image.
        """
        read = self.read(place)
        if not read:
            return None
        if read not in self.constants:
            raise self.refusal(f"its input '{read}' depends on the image")
        found: Array = self.onnx.numpy_helper.to_array(self.constants[read])
        return found

    def shape(self, tensor: str) -> list[int]:
        """Return the shape of a tensor.

        Raises:
            ModelError: The shape depends on the image.
        """
        found = self.shapes.get(tensor)
        if found is None or not all(found):
            raise self.refusal(f"the size of '{tensor}' depends on the image")
        return found

    def refusal(self, why: str) -> ModelError:
        """Return the error that the operator cannot be written in older ones, with the reason."""
        return ModelError(
            f"{self.network}: '{self.node.name}' ({self.node.op_type}) cannot be converted from opset {self.opset} to "
            f"{OPSET}: {why}; {EXPORT_AGAIN}",
            code="E_MODEL_OPSET",
        )


Rule = Callable[[NodeWriter], None]
"""Writes the operators that stand in place of the one that the writer has taken up."""


def rewrite_nodes(name: str, model: ModelProto, rules: Mapping[str, Rule]) -> ModelProto:
    """Replace, in place, every standard operator that has a rule; return the model.

    Args:
        name: Name of the network, for messages.
        model: The network.
        rules: Rule by operator.

    Raises:
        ModelError: A rule cannot write its operator out.
    """
    if not any(node.op_type in rules and node.domain in STANDARD for node in model.graph.node):
        return model
    writer = NodeWriter(name, model)
    for node in list(model.graph.node):
        if node.op_type in rules and node.domain in STANDARD:
            writer.begin(node)
            rules[node.op_type](writer)
        else:
            writer.nodes.append(copy_node(node))
    del model.graph.node[:]
    model.graph.node.extend(writer.nodes)
    return model


def copy_node(node: NodeProto) -> NodeProto:
    """Return a copy of a node."""
    onnx = require("onnx", "import a network")
    copied: NodeProto = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied
