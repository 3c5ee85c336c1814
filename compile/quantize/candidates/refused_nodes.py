"""Find the operators that a backend's message refuses of an int8 graph, to leave them in floating point."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weckd_edge.compile.graph import consumers, producers
from weckd_edge.compile.quantize.qdq_nodes import PAIR, WEIGHTED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnx import GraphProto, NodeProto

MAX_TRIES = 4
"""Most times that a graph is tried again with more of it in floating point."""

_SHORTEST_NAME = 4
"""Length of the shortest name that is looked for: a shorter one may stand in any message by chance."""


def layers_to_leave_in_float(error: Exception, graph: GraphProto) -> tuple[str, ...]:
    """Return the names of the int8 operators to leave in floating point before a graph is tried again.

    They are those that the message names, or whose tensors or pairs it names. Where it names none, they are the operators
    without weights, and after those, all but the convolutions.

    Args:
        error: Error of the backend; its cause is read too.
        graph: The int8 graph that was refused.

    Returns:
        Names of operators; empty where nothing is left to try.
    """
    int8 = _int8_operators(graph)
    named = _named(_words(error), graph, int8)
    if named:
        return named
    layers = [node for node in int8 if node.op_type in WEIGHTED]
    convolutions = [node for node in layers if node.op_type == "Conv"]
    for kept in (layers, convolutions):
        if kept and len(kept) < len(int8):
            return tuple(node.name for node in int8 if node not in kept)
    return ()


def _words(error: Exception) -> str:
    cause = error.__cause__
    return f"{error}\n{cause}" if cause is not None else str(error)


def _int8_operators(graph: GraphProto) -> list[NodeProto]:
    made_by = producers(graph)
    dequantized = {name for name, maker in made_by.items() if maker.op_type == "DequantizeLinear"}
    return [node for node in graph.node if node.op_type not in PAIR and dequantized.intersection(node.input)]


def _named(words: str, graph: GraphProto, int8: list[NodeProto]) -> tuple[str, ...]:
    """Return the operators that a message names; of names that contain each other, the longest counts."""
    made_by, read_by = producers(graph), consumers(graph)
    owners: dict[str, dict[str, None]] = {}
    for node in int8:
        for name in _names_of(node, made_by, read_by):
            if len(name) >= _SHORTEST_NAME and name in words:
                owners.setdefault(name, {})[node.name] = None
    longest = [name for name in owners if not any(name != other and name in other for other in owners)]
    return tuple(dict.fromkeys(node for name in longest for node in owners[name]))


def _names_of(node: NodeProto, made_by: dict[str, NodeProto], read_by: dict[str, list[NodeProto]]) -> Iterator[str]:
    """Yield the names of an operator, of its outputs, and of the pairs in front of it and behind it."""
    yield node.name
    for output in node.output:
        yield output
        for reader in read_by.get(output, []):
            if reader.op_type == "QuantizeLinear":
                yield from (reader.name, *reader.output)
    for name in node.input:
        for _ in range(2):
            maker = made_by.get(name)
            if maker is None or maker.op_type not in PAIR:
                break
            yield from (maker.name, *maker.output)
            name = maker.input[0]
