"""Compute beforehand all that does not depend on the image: shapes, branches chosen by them, constants of constants.

ONNX Runtime does it, with all its other optimizations switched off. The rest (it expands no constant) is then run as a
small network of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weckd_edge.compile.graph import consumers, run_basic_optimizations
from weckd_edge.compile.importing.rewrites.operators import STANDARD
from weckd_edge.compile.importing.running import bounded_memory, error_line, open_session
from weckd_edge.core.errors import ModelError
from weckd_edge.core.optional_imports import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_NOT_CONSTANT_FOLDING = [
    "Level1_RuleBasedTransformer",
    "CommonSubexpressionElimination",
    "ConstantSharing",
    "DoubleQDQPairsRemover",
    "EnsureUniqueDQForNodeUnit",
    "GeluFusionL1",
    "GemmActivationFusion",
    "LayerNormFusionL1",
    "MatMulAddFusion",
    "MatMul_BatchNormalization_Fusion",
    "Pad_Fusion",
    "QDQPropagationTransformer",
    "ReshapeFusion",
    "TransposeOptimizer",
    "WeightBiasQuantization",
]
"""Names of ONNX Runtime's other basic optimizations."""

_PURPOSE = "read an ONNX file"
_KEPT = ("DequantizeLinear", "QuantizeLinear", "RandomNormal", "RandomUniform")


def fold_constants(name: str, model: ModelProto) -> ModelProto:
    """Return a model without operators that could be computed without an image.

    Args:
        name: Name of the network, for messages.
        model: Network whose input has a fixed shape.

    Raises:
        ModelError: ONNX Runtime cannot load the model.
    """

    def refused(err: Exception) -> ModelError:
        version = require("onnxruntime", _PURPOSE).__version__
        return ModelError(f"{name}: ONNX Runtime {version} cannot load it ({error_line(err)})", code="E_MODEL_BACKEND_LOAD")

    with bounded_memory():
        folded = run_basic_optimizations(model, disabled=_NOT_CONSTANT_FOLDING, purpose=_PURPOSE, refused=refused)
    kept = [entry for entry in folded.opset_import if entry.domain in {n.domain for n in folded.graph.node} | {""}]
    del folded.opset_import[:]
    folded.opset_import.extend(kept)
    del folded.graph.value_info[:]
    _name_constants(folded.graph)
    _run_constant_nodes(name, folded)
    return folded


def _name_constants(graph: GraphProto) -> None:
    """Turn constants that are nodes into initializers, so that all constants are found in one place."""
    onnx = require("onnx", _PURPOSE)
    for node in [n for n in graph.node if n.op_type == "Constant" and n.domain in STANDARD]:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                tensor = onnx.TensorProto()
                tensor.CopyFrom(attribute.t)
                tensor.name = node.output[0]
            elif attribute.type in (onnx.AttributeProto.FLOAT, onnx.AttributeProto.FLOATS):
                values = attribute.floats if attribute.type == onnx.AttributeProto.FLOATS else attribute.f
                tensor = onnx.numpy_helper.from_array(onnx.helper.np.asarray(values, "float32"), node.output[0])
            elif attribute.type in (onnx.AttributeProto.INT, onnx.AttributeProto.INTS):
                values = attribute.ints if attribute.type == onnx.AttributeProto.INTS else attribute.i
                tensor = onnx.numpy_helper.from_array(onnx.helper.np.asarray(values, "int64"), node.output[0])
            else:
                continue
            graph.initializer.append(tensor)
            graph.node.remove(node)
            break


def _run_constant_nodes(name: str, model: ModelProto) -> None:
    """Run the nodes that read constants alone, and put their outputs in their place."""
    onnx = require("onnx", _PURPOSE)
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    made: set[str] = set()
    for node in graph.node:
        constant = all(read in known or read in made for read in node.input if read)
        if constant and node.domain in STANDARD and node.op_type not in _KEPT:
            nodes.append(node)
            made.update(name for name in node.output if name)
    if not nodes:
        return
    inside = {node.output[0] for node in nodes}
    readers = consumers(graph)
    final = {entry.name for entry in graph.output}
    wanted = [
        output
        for node in nodes
        for output in node.output
        if output in final or any(reader.output[0] not in inside for reader in readers.get(output, []))
    ]
    read = {entry for node in nodes for entry in node.input}
    small = onnx.helper.make_graph(
        nodes,
        "constants",
        [],
        [onnx.helper.make_empty_tensor_value_info(output) for output in wanted],
        [tensor for tensor in graph.initializer if tensor.name in read],
    )
    part = onnx.helper.make_model(small, opset_imports=model.opset_import, ir_version=model.ir_version)
    with bounded_memory():
        try:
            session = open_session(part)
            values = session.run(wanted, {})
        except Exception as err:  # ONNX Runtime's own errors have no common base class
            raise ModelError(f"{name}: its constants cannot be computed ({error_line(err)})", code="E_MODEL_GRAPH") from err
    _replace_nodes(graph, [node for node in graph.node if node.output[0] not in inside])
    graph.initializer.extend(
        onnx.numpy_helper.from_array(value, output) for output, value in zip(wanted, values, strict=True)
    )


def sort_nodes(name: str, graph: GraphProto) -> None:
    """Sort nodes, in place, so that each stands behind those it reads from; some converters do not.

    Raises:
        ModelError: Nodes read each other in a circle, or a tensor that no node makes.
    """
    made_by = {output: node for node in graph.node for output in node.output if output}
    ready = {tensor.name for tensor in graph.initializer} | {entry.name for entry in graph.input} | {""}
    waiting = list(graph.node)
    ordered: list[NodeProto] = []
    while waiting:
        left = []
        for node in waiting:
            if _reads(node) & set(made_by) <= ready:
                ordered.append(node)
                ready.update(node.output)
            else:
                left.append(node)
        if len(left) == len(waiting):
            raise ModelError(
                f"{name}: '{left[0].name}' ({left[0].op_type}) reads what is made of it; export it again",
                code="E_MODEL_GRAPH",
            )
        waiting = left
    if any(one is not other for one, other in zip(ordered, graph.node, strict=True)):
        _replace_nodes(graph, ordered)


def _reads(node: NodeProto) -> set[str]:
    """Return the names of the tensors that a node reads, in graphs below it too."""
    read = set(node.input)
    for attribute in node.attribute:
        for below in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            read |= {entry.name for entry in below.output}
            for inner in below.node:
                read |= _reads(inner)
    return read


def _replace_nodes(graph: GraphProto, nodes: Sequence[NodeProto]) -> None:
    copies = [_copy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def drop_unread(graph: GraphProto) -> None:
    """Remove, in place, nodes and constants of which nothing reaches an output; nodes stand behind those they read from."""
    wanted = {entry.name for entry in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if any(output in wanted for output in node.output):
            kept.append(node)
            wanted.update(_reads(node))
    _replace_nodes(graph, kept[::-1])
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in wanted]:
        graph.initializer.remove(tensor)


def _copy(node: NodeProto) -> NodeProto:
    onnx = require("onnx", _PURPOSE)
    copied: NodeProto = onnx.NodeProto()
    copied.CopyFrom(node)
    return copied
