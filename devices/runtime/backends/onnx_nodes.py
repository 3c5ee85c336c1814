"""Operators of an ONNX graph, read from its bytes where ONNX itself is not installed: as on a device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.core.errors import ModelError
from weckd_edge.devices.runtime.backends.onnx_bytes import fields_of

_GRAPH, _NODE = 7, 1
_INPUT, _OUTPUT, _NAME, _TYPE = 1, 2, 3, 4


@dataclass(frozen=True, kw_only=True, slots=True)
class OnnxNode:
    """One operator of a graph.

    Attributes:
        name: Name of the operator; may be empty.
        kind: ONNX type of the operator.
        reads: Names of its inputs.
        writes: Names of its outputs.
    """

    name: str
    kind: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


def read_nodes(data: bytes, where: str) -> tuple[OnnxNode, ...]:
    """Return the operators of a model's graph, in its order, without those of graphs within an operator.

    Args:
        data: Bytes of the protobuf.
        where: Name of the graph for messages.

    Raises:
        ModelError: The bytes are no ONNX graph.
    """
    try:
        return tuple(_read_node(node, where) for node in parts_of_graph(data, _NODE, where))
    except UnicodeDecodeError as err:
        raise ModelError(f"{where}: expected an ONNX graph, found one that is damaged", code="E_MODEL_ONNX_FILE") from err


def parts_of_graph(data: bytes, field: int, where: str) -> list[memoryview]:
    """Return the messages of one field of a model's graph, such as its operators, in their order.

    Args:
        data: Bytes of the protobuf.
        field: Number of the field in ONNX's ``GraphProto``.
        where: Name of the graph for messages.

    Raises:
        ModelError: The bytes are no ONNX graph.
    """
    graphs = [content for number, _, content in fields_of(memoryview(data), where) if number == _GRAPH]
    return [content for graph in graphs for number, _, content in fields_of(graph, where) if number == field]


def makers_of(nodes: Sequence[OnnxNode], tensor: str) -> tuple[OnnxNode, ...]:
    """Return the nodes that take part in making a tensor, in their order; none where it has no maker."""
    made_by = {name: node for node in nodes for name in node.writes}
    waiting, found = [tensor], set[int]()
    while waiting:
        node = made_by.get(waiting.pop())
        if node is not None and id(node) not in found:
            found.add(id(node))
            waiting.extend(node.reads)
    return tuple(node for node in nodes if id(node) in found)


def _read_node(message: memoryview, where: str) -> OnnxNode:
    texts: dict[int, list[str]] = {_INPUT: [], _OUTPUT: [], _NAME: [], _TYPE: []}
    for field, _, content in fields_of(message, where):
        if field in texts:
            texts[field].append(str(content, "utf-8"))
    return OnnxNode(
        name="".join(texts[_NAME]),
        kind="".join(texts[_TYPE]),
        reads=tuple(texts[_INPUT]),
        writes=tuple(texts[_OUTPUT]),
    )
