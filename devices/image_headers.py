"""What the head of an image file claims, looked at before a decoder believes it.

A decoder takes memory and time by what a file says of itself, and a few bytes can say anything. Here is what Pillow and the
libraries below it do not bound: tags of TIFF and EXIF, tiles of TIFF, and the passes of a JPEG.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from weckd_edge.errors import DataError

MAX_VALUES = 1 << 16
"""Numbers in one tag of TIFF or EXIF; each takes some 40 bytes once it is read."""
MAX_EXIF_BYTES = 1 << 20
"""EXIF data of a JPEG, all its segments together."""
MAX_SCANS = 100
"""Passes over a JPEG; a progressive one has about 10. Each costs as much time as a whole picture, and a few bytes."""
ROOMY_TILE = 1024
"""Pixels that the side of a TIFF's tile may always have; a larger one is no larger than the picture."""

_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_KEPT_AS_BYTES = (1, 2, 7)
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tag:
    number: int
    kind: int
    count: int
    bytes: int
    value: int  # the first number, where there is one and it is a whole one


def check_file(data: bytes) -> None:
    """Refuse a TIFF or JPEG whose head claims more than a picture needs; of other formats nothing is asked.

    Args:
        data: The whole file.

    Raises:
        DataError: With a short reason.
    """
    if data[:2] == b"\xff\xd8":
        _check_jpeg(data)
    elif data[:2] in (b"II", b"MM"):
        tags = check_tags(data)
        for side, tile in ((_WIDTH, _TILE_WIDTH), (_HEIGHT, _TILE_HEIGHT)):
            if tags.get(tile, 0) > max(ROOMY_TILE, tags.get(side, 0)):
                raise DataError(f"tiles of {tags[tile]} pixels, the picture has {tags.get(side, 0)}: damaged or crafted")


def check_tags(data: bytes) -> dict[int, int]:
    """Refuse a TIFF's or EXIF's first list of tags where they hold more than a picture needs, or more than there is.

    Args:
        data: From its byte order mark on.

    Returns:
        The first number of each tag, by the tag's own number; of damaged data what can be read.

    Raises:
        DataError: With a short reason.
    """
    found: dict[int, int] = {}
    held = 0
    for tag in _tags(data):
        if tag.kind not in _KEPT_AS_BYTES and tag.count > MAX_VALUES:
            raise DataError(f"{tag.count} numbers in one tag of its head; expected at most {MAX_VALUES}")
        held += tag.bytes
        if held > len(data):
            raise DataError("the tags of its head hold more than the whole file: damaged or crafted")
        found.setdefault(tag.number, tag.value)
    return found


def _tags(data: bytes) -> Iterator[_Tag]:
    """Yield the tags that lie in the data; what points beyond it is left out, as decoders do."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        is_big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
        word, size, count_bytes = ("Q", 20, 8) if is_big else ("I", 12, 2)
        (start,) = struct.unpack_from(f"{order}{word}", data, 8 if is_big else 4)
        (count,) = struct.unpack_from(f"{order}{'Q' if is_big else 'H'}", data, start)
    except (struct.error, OverflowError):
        return
    room = 8 if is_big else 4
    # Tags have numbers of 16 bits: more of them repeat themselves.
    for at in range(start + count_bytes, min(start + count_bytes + min(count, 1 << 16) * size, len(data) - size + 1), size):
        number, kind, values = struct.unpack_from(f"{order}HH{word}", data, at)
        place = at + size - room
        taken = values * _VALUE_BYTES.get(kind, 0)
        if taken > room:
            (place,) = struct.unpack_from(f"{order}{word}", data, place)
        if taken and place + taken <= len(data):
            code = {3: "H", 4: "I", 16: "Q"}.get(kind)
            first = struct.unpack_from(f"{order}{code}", data, place)[0] if code else 0
            yield _Tag(number=number, kind=kind, count=values, bytes=taken if taken > room else 0, value=first)


def _check_jpeg(data: bytes) -> None:
    scans, exif = 0, bytearray()
    at = 2
    while (marker := _MARKER.search(data, at)) is not None:
        kind, at = data[marker.start() + 1], marker.end()
        if kind == 0xD9:  # the end; what follows is not decoded
            break
        if at + 2 > len(data) or kind in (0x01, 0xD8):
            continue
        length = int.from_bytes(data[at : at + 2], "big")
        body = data[at + 2 : at + length]
        at += max(2, length)
        if kind == 0xDA:
            scans += 1
            if scans > MAX_SCANS:
                raise DataError(f"more than {MAX_SCANS} passes over one picture; save it anew")
        elif kind == 0xE1 and body[:6] == b"Exif\0\0":
            exif += body[6:]
            if len(exif) > MAX_EXIF_BYTES:
                raise DataError(f"more than {MAX_EXIF_BYTES >> 20} MiB of EXIF data; save it without")
        elif kind == 0xE2 and body[:4] == b"MPF\0":
            check_tags(body[4:])
    check_tags(bytes(exif))
