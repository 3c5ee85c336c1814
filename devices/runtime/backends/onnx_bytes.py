"""Check of an ONNX graph whose own bytes alone were proved: it may not take data from elsewhere.

A runtime that is given bytes would read such data from the working directory, or from an address. ONNX itself is not needed:
the walk goes over the protobuf's fields, and only into messages that may contain a tensor. The C library does the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

from weckd_edge.core.errors import ModelError

MAX_DEPTH = 64
"""Largest depth of messages within each other."""

_INNER: dict[tuple[str, int], str] = {
    ("model", 7): "graph",
    ("model", 20): "training",
    ("model", 25): "function",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("graph", 15): "sparse",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 6): "graph",
    ("attribute", 10): "tensor",
    ("attribute", 11): "graph",
    ("attribute", 22): "sparse",
    ("attribute", 23): "sparse",
    ("sparse", 1): "tensor",
    ("sparse", 2): "tensor",
    ("function", 7): "node",
    ("function", 11): "attribute",
    ("training", 1): "graph",
    ("training", 2): "graph",
}
"""Fields of a message, by number, that are messages and may contain a tensor."""

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_VARINT, _BITS_64, _BYTES, _BITS_32 = 0, 1, 2, 5
"""Wire types: how a field of a protobuf is written."""


def check_onnx(data: bytes, where: str) -> None:
    """Refuse bytes that are no ONNX graph, or one that takes a tensor's data from anywhere but these bytes.

    Args:
        data: Bytes of the protobuf.
        where: Name of the graph for messages.

    Raises:
        ModelError: The bytes are no ONNX graph, are damaged, or name data elsewhere.
    """
    levels, at, has_graph = [("model", len(data))], 0, False
    while levels:
        message, end = levels[-1]
        if at == end:
            levels.pop()
            continue
        start = at
        try:
            key, at = _read_varint(data, at, end)
            field, wire = key >> 3, key & 7
            value, at = _read_varint(data, at, end) if wire in (_VARINT, _BYTES) else ({_BITS_64: 8, _BITS_32: 4}[wire], at)
        except (IndexError, KeyError):
            _damaged(where, start)
        if not 0 < key < 1 << 32 or field == 0 or (wire != _VARINT and value > end - at):
            _damaged(where, start)
        if message == "tensor" and (field == _EXTERNAL_DATA or (field == _DATA_LOCATION and (wire, value) != (_VARINT, 0))):
            raise ModelError(
                f"{where}: the graph takes a tensor's data from outside its file, where nothing is proved; save it with its "
                "data inside",
                code="E_MODEL_EXTERNAL_DATA",
            )
        inner = _INNER.get((message, field)) if wire == _BYTES else None
        if inner is None:
            at += value if wire != _VARINT else 0
            continue
        if len(levels) == MAX_DEPTH:
            raise ModelError(
                f"{where}: expected messages at most {MAX_DEPTH} deep in each other, found more", code="E_MODEL_ONNX_FILE"
            )
        has_graph = has_graph or inner == "graph"
        levels.append((inner, at + value))
    if not has_graph:
        raise ModelError(f"{where}: expected an ONNX graph, found none", code="E_MODEL_ONNX_FILE")


def fields_of(message: memoryview, where: str) -> Iterator[tuple[int, memoryview, memoryview]]:
    """Yield the fields of one message in their order: number, bytes of the whole field, and bytes of its content.

    Args:
        message: Bytes of the message.
        where: Name of the graph for messages.

    Raises:
        ModelError: The message is damaged.
    """
    at, end = 0, len(message)
    while at < end:
        start = at
        try:
            key, at = _read_varint(message, at, end)
            size = 0
            if key & 7 == _VARINT:
                size = _read_varint(message, at, end)[1] - at
            elif key & 7 == _BYTES:
                size, at = _read_varint(message, at, end)
            else:
                size = {_BITS_64: 8, _BITS_32: 4}[key & 7]
        except (IndexError, KeyError):
            _damaged(where, start)
        if size > end - at:
            _damaged(where, start)
        yield key >> 3, message[start : at + size], message[at : at + size]
        at += size


def _read_varint(data: bytes | memoryview, at: int, end: int) -> tuple[int, int]:
    """Return the number at a place of a protobuf, and the place behind it.

    Args:
        data: Bytes of the protobuf.
        at: Place where the number begins.
        end: Place that it may not reach.

    Raises:
        IndexError: No number ends before ``end``.
    """
    value = 0
    for shift in range(0, 70, 7):
        if at == end:
            raise IndexError
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    raise IndexError


def _damaged(where: str, at: int) -> NoReturn:
    raise ModelError(f"{where}: expected an ONNX graph, found one that is damaged at byte {at}", code="E_MODEL_ONNX_FILE")
