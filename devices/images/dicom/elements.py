"""Find the elements of a DICOM file that describe its pixels, and read no other.

Written by DICOM PS3.5 7 and PS3.10 7, because pydicom's reader makes an object of every element, people's names among them,
quotes values in its warnings, and inflates a deflated file without a bound. It decodes the pixels that are found here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

from weckd_edge.core.errors import DataError

MAX_HEADERS = 1 << 18
"""Most elements and items of a file that are gone through, those inside sequences of unknown length among them."""

MAX_VALUE_BYTES = 1 << 20
"""Longest value that is read, bytes; the longest one of use lists the times of frames."""

MAX_INFLATED_BYTES = 64 << 20
"""Most that a deflated file may hold, bytes."""

PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS = 0x7FE00010, 0x7FE00008, 0x7FE00009
IMPLICIT, BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"

_META_SYNTAX, _META_CLASS = 0x00020010, 0x00020002
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
_DEEPEST = 32
_FIRST = 132  # a preamble and "DICM"


class Encoding(NamedTuple):
    """How elements are written: whether each says its type, and the order of bytes, ``<`` or ``>``."""

    explicit: bool
    order: str


class Value(NamedTuple):
    """Value of an element as it is written, and its type (``US``); the type is empty where the file does not say it."""

    vr: str
    data: bytes


class Place(NamedTuple):
    """First byte, and the byte behind the last one."""

    start: int
    stop: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Elements:
    """Elements that were asked for.

    Attributes:
        values: Values by tag.
        items: Places of the items of sequences, by the sequence's tag.
    """

    values: dict[int, Value] = field(default_factory=dict)
    items: dict[int, list[Place]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelPlace:
    """Place of a file's pixels.

    Attributes:
        tag: Tag of the pixels, which tells whole numbers from floating-point ones.
        vr: Type of the element.
        place: Place of uncompressed pixels; of compressed ones, from the first fragment's head on.
        fragments: Places of the fragments of compressed pixels, the table of offsets first; None of uncompressed ones.
    """

    tag: int
    vr: str
    place: Place
    fragments: tuple[Place, ...] | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DicomFile:
    """A DICOM file whose elements were found.

    Attributes:
        file: Bytes of the file; of a deflated one, what they hold.
        transfer_syntax: Identifier of how pixels are compressed.
        media_class: Identifier of what the file holds, as its first group says; empty where it does not.
        encoding: How its elements are written.
        elements: Elements that were asked for.
        pixels: Place of the pixels; None where there are none.
    """

    file: BinaryIO
    transfer_syntax: str
    media_class: str
    encoding: Encoding
    elements: Elements
    pixels: PixelPlace | None

    def inside(self, item: Place, wanted: Collection[int], sequences: Collection[int] = ()) -> Elements:
        """Return the elements of one item of a sequence that are asked for.

        Raises:
            DataError: The item is damaged.
        """
        return _Walk(self.file, item).elements(self.encoding, wanted, sequences)[0]


def is_dicom(head: bytes) -> bool:
    """Tell whether a file's first bytes are those of a DICOM file."""
    return head[128:132] == b"DICM"


def read_elements(file: BinaryIO, wanted: Collection[int], sequences: Collection[int] = ()) -> DicomFile:
    """Find elements of a DICOM file that lie before its pixels, and the pixels.

    Args:
        file: The file.
        wanted: Tags of the values to read; values that may be long are not among them.
        sequences: Tags of the sequences whose items are to be found.

    Raises:
        DataError: The file is damaged, cut short, or claims more than a picture needs; the message is a short reason and
            quotes nothing of the file.
    """
    walk = _Walk(file, Place(_FIRST, file.seek(0, io.SEEK_END)))
    meta, _ = walk.elements(Encoding(explicit=True, order="<"), (_META_SYNTAX, _META_CLASS), group=2)
    syntax, media_class = (_identifier(meta.values, tag) for tag in (_META_SYNTAX, _META_CLASS))
    if not syntax:
        raise DataError("damaged header (it names no transfer syntax)", code="E_DATA_IMAGE_DAMAGED")
    if syntax == DEFLATED:
        file.seek(walk.at)
        file = io.BytesIO(_inflated(file.read()))
        walk = _Walk(file, Place(0, file.seek(0, io.SEEK_END)))
    encoding = walk.encoding(syntax)
    elements, pixels = walk.elements(encoding, wanted, sequences)
    return DicomFile(
        file=file,
        transfer_syntax=syntax,
        media_class=media_class,
        encoding=encoding,
        elements=elements,
        pixels=pixels,
    )


def _identifier(values: Mapping[int, Value], tag: int) -> str:
    return values[tag].data.decode("ascii", "replace").strip("\0 ") if tag in values else ""


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = inflater.decompress(data, MAX_INFLATED_BYTES + 1)
    except zlib.error as err:
        raise DataError("damaged: its deflated part cannot be inflated", code="E_DATA_IMAGE_DAMAGED") from err
    if len(found) > MAX_INFLATED_BYTES:
        raise DataError(
            f"holds more than {MAX_INFLATED_BYTES >> 20} MiB once it is inflated; save it without deflation",
            code="E_DATA_IMAGE_LIMIT",
        )
    return found


class _Walk:
    """Goes through the elements of a part of a file.

    Args:
        file: The file.
        part: The part.
    """

    def __init__(self, file: BinaryIO, part: Place) -> None:
        self._file = file
        self._end = part.stop
        self._headers = 0
        self.at = part.start

    def encoding(self, syntax: str) -> Encoding:
        """Return how elements are written: as the transfer syntax says, unless the first one shows that it is not so."""
        first = self._peek(6)[4:]
        explicit = first.isalpha() and first.isupper() if len(first) == 2 else syntax != IMPLICIT
        return Encoding(explicit=explicit, order=">" if syntax == BIG_ENDIAN else "<")

    def elements(
        self, encoding: Encoding, wanted: Collection[int], sequences: Collection[int] = (), *, group: int | None = None
    ) -> tuple[Elements, PixelPlace | None]:
        """Return the elements that are asked for, and where the pixels lie.

        Args:
            encoding: How the elements are written.
            wanted: Tags of the values to read.
            sequences: Tags of the sequences whose items are to be found.
            group: Number of the only group that is read, of those that begin a file; None reads all.
        """
        found = Elements()
        while self._end - self.at >= 8:
            if group is not None and struct.unpack("<H", self._peek(2))[0] != group:
                break
            tag, vr, length = self._header(encoding)
            if tag in (PIXEL_DATA, FLOAT_PIXELS, DOUBLE_PIXELS):
                return found, self._pixels(encoding, tag, vr, length)
            if tag in sequences and vr in (b"SQ", b""):
                found.items[tag] = self._items(encoding, length, 0)
            elif tag in wanted and length is not None:
                if length > MAX_VALUE_BYTES:
                    raise DataError(
                        f"one value of its header has {length} bytes; expected at most {MAX_VALUE_BYTES}",
                        code="E_DATA_IMAGE_LIMIT",
                    )
                found.values[tag] = Value(vr.decode("ascii", "replace"), self._take(length))
            else:
                self._skip(encoding, vr, length, 0)
        if group is None and self.at < self._end:
            raise DataError("cut short in its header", code="E_DATA_IMAGE_DAMAGED")
        return found, None

    def _pixels(self, encoding: Encoding, tag: int, vr: bytes, length: int | None) -> PixelPlace:
        start = self.at
        fragments = tuple(self._items(encoding, None, 0)) if length is None else None
        if length is not None:
            self._go(start + length)
        return PixelPlace(tag=tag, vr=vr.decode("ascii", "replace"), place=Place(start, self.at), fragments=fragments)

    def _items(self, encoding: Encoding, length: int | None, depth: int) -> list[Place]:
        """Return the places of a sequence's items, from its first one on; None is a length that a delimiter ends."""
        if depth > _DEEPEST:
            raise _damaged(f"over {_DEEPEST} sequences in each other")
        stop = None if length is None else self.at + length
        found = []
        while stop is None or self.at < stop:
            tag, _, size = self._header(encoding)
            if tag == _SEQUENCE_END:
                break
            if tag != _ITEM:
                raise _damaged("a sequence holds something else than items")
            start = self.at
            found.append(Place(start, self._to_item_end(encoding, depth + 1) if size is None else self._go(start + size)))
        return found

    def _to_item_end(self, encoding: Encoding, depth: int) -> int:
        """Go behind an item of unknown length, and return where its elements end."""
        while True:
            end = self.at
            tag, vr, length = self._header(encoding)
            if tag == _ITEM_END:
                return end
            self._skip(encoding, vr, length, depth)

    def _skip(self, encoding: Encoding, vr: bytes, length: int | None, depth: int) -> None:
        if length is not None:
            self._go(self.at + length)
            return
        # What is of unknown type and length is a sequence without types (PS3.5 6.2.2).
        self._items(Encoding(explicit=False, order="<") if vr == b"UN" else encoding, None, depth)

    def _header(self, encoding: Encoding) -> tuple[int, bytes, int | None]:
        """Return tag, type and length of the next element; None is an unknown length."""
        self._headers += 1
        if self._headers > MAX_HEADERS:
            raise DataError(f"more than {MAX_HEADERS} elements in its header", code="E_DATA_IMAGE_LIMIT")
        head = self._take(8)
        group, number = struct.unpack_from(encoding.order + "HH", head)
        vr = head[4:6]
        if not encoding.explicit or group == 0xFFFE or not (vr.isalpha() and vr.isupper()):
            vr, length = b"", struct.unpack_from(encoding.order + "I", head, 4)[0]
        elif vr in _LONG:
            length = struct.unpack(encoding.order + "I", self._take(4))[0]
        else:
            length = struct.unpack_from(encoding.order + "H", head, 6)[0]
        return group << 16 | number, vr, None if length == 0xFFFFFFFF else length

    def _go(self, to: int) -> int:
        if to > self._end:
            raise DataError("cut short: an element ends behind the end of the file", code="E_DATA_IMAGE_DAMAGED")
        self.at = to
        return to

    def _take(self, count: int) -> bytes:
        found = self._peek(count)
        self._go(self.at + count)
        return found

    def _peek(self, count: int) -> bytes:
        self._file.seek(self.at)
        return self._file.read(count)


def _damaged(reason: str) -> DataError:
    return DataError(f"damaged header ({reason})", code="E_DATA_IMAGE_DAMAGED")
