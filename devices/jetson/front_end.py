"""Put the front end before a graph that takes pixels, on the device, so that a bundle need not hold that graph twice.

Both graphs are joined as bytes, as no device has the library ``onnx``: a message of protobuf is a row of fields, and fields
of a list that stand in two messages may stand in one.
"""

from __future__ import annotations

from weckd_edge.core.errors import ModelError
from weckd_edge.devices.runtime.backends.onnx_bytes import fields_of

_GRAPH = 7
"""Field of a model."""

_NODE, _TENSOR, _INPUT = 1, 5, 11
"""Fields of a graph."""

_NAME = 1
"""Field of an input."""

PIXELS = b"pixels"
"""Name of what the front end makes, and of the input that takes it."""


def put_front_end_before(front_end: bytes, graph: bytes, where: str) -> bytes:
    """Return one graph from the frame to what a graph of pixels makes.

    The input ``pixels`` goes, as the front end makes a tensor of that name; its type may be another, as a cast reads it.

    Args:
        front_end: Bytes of the front end's model: nodes, constants and the input ``frame`` are taken.
        graph: Bytes of the graph's model, which keeps all else that it has.
        where: Name of the graph for messages.

    Raises:
        ModelError: A model is damaged, or the graph has no input ``pixels``.
    """
    before = [
        raw
        for field, raw, _ in fields_of(_graph_of(memoryview(front_end), where), where)
        if field in (_NODE, _TENSOR, _INPUT)
    ]
    behind, joined = [], False
    for field, raw, value in fields_of(_graph_of(memoryview(graph), where), where):
        if field == _INPUT and _name_of(value, where) == PIXELS:
            joined = True
        else:
            behind.append(raw)
    if not joined:
        raise ModelError(f"{where}: expected a graph with the input 'pixels', found none", code="E_MODEL_INPUT")
    inside = b"".join([*before, *behind])
    parts = [raw for field, raw, _ in fields_of(memoryview(graph), where) if field != _GRAPH]
    return b"".join([*parts, _key(_GRAPH), _varint(len(inside)), inside])


def _graph_of(model: memoryview, where: str) -> memoryview:
    graphs = [value for field, _, value in fields_of(model, where) if field == _GRAPH]
    if len(graphs) != 1:
        raise ModelError(f"{where}: expected one ONNX graph, found {len(graphs)}", code="E_MODEL_ONNX_FILE")
    return graphs[0]


def _name_of(value: memoryview, where: str) -> bytes:
    return b"".join(text for field, _, text in fields_of(value, where) if field == _NAME)


def _key(field: int) -> bytes:
    return bytes([field << 3 | 2])


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])
