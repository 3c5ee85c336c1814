"""Claims of an image file's head, checked before a decoder believes them.

A decoder takes memory and time by what a file says of itself, and a few bytes can say anything. This module bounds what
Pillow and the libraries below it do not: tags of TIFF and EXIF, tiles of TIFF, and the passes of a JPEG.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from weckd_edge.core.errors import DataError

MAX_VALUES = 1 << 16
"""Most numbers in one tag of TIFF or EXIF; each takes some 40 bytes once it is read."""

MAX_EXIF_BYTES = 1 << 20
"""Most EXIF data of a JPEG, all its segments together, bytes."""

MAX_SCANS = 100
"""Most passes over a JPEG; a progressive one has about 10. A pass is a few bytes and costs as much time as a picture."""

ROOMY_TILE = 1024
"""Longest side of a TIFF's tile in a smaller picture, pixels; other tiles are no larger than the picture."""

_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE = {3: "H", 4: "I", 16: "Q"}
_KEPT_AS_BYTES = (1, 2, 7)
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]", re.DOTALL)
_WIDTH, _HEIGHT, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 322, 323
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLE_FORMAT, _SUBFILE, _DNG_VERSION = 258, 259, 262, 339, 254, 50706
_YCBCR = 6
_MAX_PAGES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """Claims of an image file's head about its pixels and pages.

    Attributes:
        bits: Bits a channel; 8 where it is not looked for.
        white_is_zero: Whether the largest value is black; TIFF only.
        numbers: Kind of the values where they are not plain whole numbers: ``signed`` or ``floating-point``; TIFF only.
        several: Whether there are further pages of full size; TIFF only.
    """

    bits: int = 8
    white_is_zero: bool = False
    numbers: str | None = None
    several: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tag:
    number: int
    kind: int
    count: int
    bytes: int
    value: int  # the first number, where there is one and it is a whole one
    place: int  # where in the data that number lies


def check_file(data: bytes) -> Claims:
    """Refuse a TIFF or JPEG whose head claims more than a picture needs; other formats are not checked.

    Args:
        data: Bytes of the whole file.

    Returns:
        Claims of a PNG or TIFF; the usual ones for other formats.

    Raises:
        DataError: The head claims too much, or the form of TIFF is not read; the message is a short reason.
    """
    if data[:2] == b"\xff\xd8":
        _check_jpeg(data)
    elif data[:2] in (b"II", b"MM"):
        tags = check_tags(data)
        if _DNG_VERSION in tags:
            raise DataError(
                "DNG (a camera's raw data) is not read; convert it to JPEG or PNG", code="E_DATA_IMAGE_UNSUPPORTED"
            )
        if tags.get(_PHOTOMETRIC) == _YCBCR and tags.get(_COMPRESSION, 1) == 1:
            raise DataError(
                "a TIFF of uncompressed YCbCr is not read, as Pillow misreads it up to 12.0; save it as PNG",
                code="E_DATA_IMAGE_UNSUPPORTED",
            )
        for side, tile in ((_WIDTH, _TILE_WIDTH), (_HEIGHT, _TILE_HEIGHT)):
            if tags.get(tile, 0) > max(ROOMY_TILE, tags.get(side, 0)):
                raise DataError(
                    f"tiles of {tags[tile]} pixels, the picture has {tags.get(side, 0)}: damaged or crafted",
                    code="E_DATA_IMAGE_DAMAGED",
                )
        return Claims(
            bits=tags.get(_BITS, 1),
            white_is_zero=_white_tag(data) is not None,
            numbers={2: "signed", 3: "floating-point"}.get(tags.get(_SAMPLE_FORMAT, 1)),
            several=_has_pages(data),
        )
    elif data[:4] == b"\x89PNG" and data[12:16] == b"IHDR" and len(data) > 24:
        return Claims(bits=data[24])
    return Claims()


def black_is_zero(data: bytes) -> bytes:
    """Return a TIFF with its claim that zero is white turned to black; the caller inverts its values.

    Decoders invert the values for some depths and byte orders, read others as if nothing had been said, and refuse the rest.

    Args:
        data: Bytes of the whole file.
    """
    tag = _white_tag(data)
    if tag is None:
        return data
    one = (1).to_bytes(_VALUE_BYTES[tag.kind], "little" if data[:2] == b"II" else "big")
    return data[: tag.place] + one + data[tag.place + len(one) :]


def _white_tag(data: bytes) -> _Tag | None:
    """Return the tag in which a TIFF says that its zero is white; None where it does not say so."""
    tag = next((tag for tag in _tags(data, _first_list(data)) if tag.number == _PHOTOMETRIC), None)
    return tag if tag is not None and tag.kind in _WHOLE and tag.value == 0 else None


def _has_pages(data: bytes) -> bool:
    """Tell whether a TIFF holds a further picture of full size, among its first pages."""
    start = _next_list(data, _first_list(data))
    for _ in range(_MAX_PAGES):
        if not start:
            return False
        kind = next((tag.value for tag in _tags(data, start) if tag.number == _SUBFILE), 0)
        if not kind & 0b101:  # a reduced picture, or a mask
            return True
        start = _next_list(data, start)
    return True


def check_tags(data: bytes) -> dict[int, int]:
    """Refuse the first list of tags of a TIFF or of EXIF data that holds more than a picture needs, or more than there is.

    Args:
        data: The data from its byte order mark on.

    Returns:
        First number of each tag, by the tag's own number; of damaged data, the tags that can be read.

    Raises:
        DataError: The tags hold too much; the message is a short reason.
    """
    found: dict[int, int] = {}
    held = 0
    for tag in _tags(data, _first_list(data)):
        if tag.kind not in _KEPT_AS_BYTES and tag.count > MAX_VALUES:
            raise DataError(
                f"{tag.count} numbers in one tag of its head; expected at most {MAX_VALUES}", code="E_DATA_IMAGE_LIMIT"
            )
        held += tag.bytes
        if held > len(data):
            raise DataError(
                "the tags of its head hold more than the whole file: damaged or crafted", code="E_DATA_IMAGE_DAMAGED"
            )
        found.setdefault(tag.number, tag.value)
    return found


def _shape(data: bytes) -> tuple[str, str, int, int]:
    """Return a TIFF's byte order, the letter of its offsets, the bytes of a tag and the bytes of a count of tags."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in (b"\x2b\0", b"\0\x2b")
    return (order, "Q", 20, 8) if is_big else (order, "I", 12, 2)


def _number(data: bytes, code: str, place: int) -> int:
    """Return a whole number of the data; 0 where it ends before."""
    try:
        found: int = struct.unpack_from(code, data, place)[0]
    except (struct.error, OverflowError):
        return 0
    return found


def _first_list(data: bytes) -> int:
    order, word, size, _ = _shape(data)
    return _number(data, order + word, 8 if size == 20 else 4)


def _next_list(data: bytes, start: int) -> int:
    order, word, size, count_bytes = _shape(data)
    count = _number(data, order + ("Q" if size == 20 else "H"), start)
    return _number(data, order + word, start + count_bytes + count * size)


def _tags(data: bytes, start: int) -> Iterator[_Tag]:
    """Yield the tags of a list that lie in the data; tags that point beyond it are left out, as decoders do."""
    order, word, size, count_bytes = _shape(data)
    count = _number(data, order + ("Q" if size == 20 else "H"), start)
    room = 8 if size == 20 else 4
    # Tags have numbers of 16 bits: more of them repeat themselves.
    for at in range(start + count_bytes, min(start + count_bytes + min(count, 1 << 16) * size, len(data) - size + 1), size):
        number, kind, values = struct.unpack_from(f"{order}HH{word}", data, at)
        place = at + size - room
        taken = values * _VALUE_BYTES.get(kind, 0)
        if taken > room:
            place = _number(data, order + word, place)
        if taken and place + taken <= len(data):
            code = _WHOLE.get(kind)
            first = _number(data, order + code, place) if code else 0
            bytes_held = taken if taken > room else 0
            yield _Tag(number=number, kind=kind, count=values, bytes=bytes_held, value=first, place=place)


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
                raise DataError(f"more than {MAX_SCANS} passes over one picture; save it anew", code="E_DATA_IMAGE_LIMIT")
        elif kind == 0xE1 and body[:6] == b"Exif\0\0":
            exif += body[6:]
            if len(exif) > MAX_EXIF_BYTES:
                raise DataError(
                    f"more than {MAX_EXIF_BYTES >> 20} MiB of EXIF data; save it without", code="E_DATA_IMAGE_LIMIT"
                )
        elif kind == 0xE2 and body[:4] == b"MPF\0":
            check_tags(body[4:])
    check_tags(bytes(exif))
