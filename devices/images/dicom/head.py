"""What a DICOM file's header says of its pixels, checked before any of them is decoded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.dicom.elements import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT,
    PIXEL_DATA,
    DicomFile,
    Place,
    Value,
    read_elements,
)

MAX_FRAMES = 1 << 17
"""Most frames of one file; at 30 frames a second they last over an hour."""

CLASS, FRAMES, FRAME_TIME, FRAME_TIMES, CINE_RATE = 0x00080016, 0x00280008, 0x00181063, 0x00181065, 0x00180040
WINDOW_CENTRE, WINDOW_WIDTH, WINDOW_FUNCTION = 0x00281050, 0x00281051, 0x00281056
INTERCEPT, SLOPE = 0x00281052, 0x00281053
PALETTE_DESCRIPTOR, PALETTE_DATA, SEGMENTED_DATA = 0x00281101, 0x00281201, 0x00281221
MODALITY_TABLE, VOI_TABLE = 0x00283000, 0x00283010
FRAME_VOI, FRAME_RESCALE, SHARED_GROUPS, FRAME_GROUPS = 0x00289132, 0x00289145, 0x52009229, 0x52009230
TABLE_DESCRIPTOR, TABLE_DATA = 0x00283002, 0x00283006
"""Tags of the elements that are read, by the names that the standard gives them."""

_SAMPLES, _PHOTOMETRIC, _PLANAR, _ROWS, _COLUMNS = 0x00280002, 0x00280004, 0x00280006, 0x00280010, 0x00280011
_ALLOCATED, _STORED, _HIGH_BIT, _SIGNED = 0x00280100, 0x00280101, 0x00280102, 0x00280103

WANTED = frozenset(
    (
        *(CLASS, FRAME_TIME, FRAME_TIMES, CINE_RATE, WINDOW_CENTRE, WINDOW_WIDTH, WINDOW_FUNCTION, INTERCEPT, SLOPE),
        *(_SAMPLES, _PHOTOMETRIC, _PLANAR, FRAMES, _ROWS, _COLUMNS, _ALLOCATED, _STORED, _HIGH_BIT, _SIGNED),
        *(SEGMENTED_DATA, *(PALETTE_DESCRIPTOR + n for n in range(3)), *(PALETTE_DATA + n for n in range(3))),
    )
)
SEQUENCES = frozenset((MODALITY_TABLE, VOI_TABLE, SHARED_GROUPS, FRAME_GROUPS))

_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_GREYS = ("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR")

NATIVE = (IMPLICIT, "1.2.840.10008.1.2.1", BIG_ENDIAN, DEFLATED)
"""Transfer syntaxes without compression."""

PLUGINS: Mapping[str, str] = MappingProxyType(
    {
        "1.2.840.10008.1.2.5": "pydicom",  # run lengths
        **dict.fromkeys(("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"), "pillow"),  # JPEG
        **dict.fromkeys(("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"), "pyjpegls"),  # JPEG-LS
        **dict.fromkeys([f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203)], "pylibjpeg"),  # JPEG 2000
    }
)
"""pydicom's decoder of each transfer syntax: always the same one, so that what else is installed changes no pixel."""

_LOSSLESS_JPEG = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
_FILMS = tuple(f"1.2.840.10008.1.2.4.{n}" for n in range(100, 109))
_NOT_PICTURES = (
    ("1.2.840.10008.1.3.10", "a DICOMDIR, the index of a disc; name the images that lie beside it"),
    ("1.2.840.10008.5.1.4.1.1.88.", "a structured report in DICOM, which is text"),
    ("1.2.840.10008.5.1.4.1.1.104.", "a document (such as a PDF) in DICOM; save its pictures as files of their own"),
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Head:
    """What a DICOM file's header says of its pixels.

    Attributes:
        source: The file.
        rows: Height, pixels.
        columns: Width, pixels.
        samples: Values of a pixel: 1 or 3.
        allocated: Bits that a value takes: 8 or 16.
        stored: Bits of them that are used, 2 to 16.
        signed: Whether values may be negative.
        photometric: Meaning of the values, such as ``MONOCHROME2``.
        planar: 1 where each colour has a plane of its own, else 0.
        frames: Number of frames.
    """

    source: DicomFile
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    signed: bool
    photometric: str
    planar: int
    frames: int

    @property
    def compressed(self) -> bool:
        """Whether the frames are compressed."""
        return self.source.transfer_syntax not in NATIVE

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame without compression."""
        values = self.rows * self.columns * self.samples
        if self.photometric == "YBR_FULL_422" and not self.compressed:
            values = values // 3 * 2
        return values * self.allocated // 8


def read_head(file: BinaryIO) -> Head:
    """Read what a DICOM file says of its pixels.

    Raises:
        DataError: The file holds no pixels, or such as are not read, or is damaged; the message is a short reason and quotes
            no text of the header.
    """
    source = read_elements(file, WANTED, SEQUENCES)
    _check_kind(source)
    head = Head(
        source=source,
        rows=_number(source, _ROWS),
        columns=_number(source, _COLUMNS),
        samples=_number(source, _SAMPLES, 1),
        allocated=_number(source, _ALLOCATED),
        stored=_number(source, _STORED),
        signed=_number(source, _SIGNED, 0) == 1,
        photometric=text_of(source.elements.values.get(_PHOTOMETRIC)),
        planar=_number(source, _PLANAR, 0),
        frames=count_frames(source),
    )
    _check_values(head)
    _check_colours(head)
    _check_syntax(head)
    _check_length(head)
    return head


def count_frames(source: DicomFile) -> int:
    """Return the number of frames that a file's header names; 1 where it names none.

    Raises:
        DataError: The header names no such number, or one that is too large.
    """
    text = text_of(source.elements.values.get(FRAMES)) or "1"
    frames = int(text) if text.isascii() and text.removeprefix("+").isdecimal() and len(text) <= 12 else 0
    if frames < 1:
        raise _damaged("its number of frames is none")
    if frames > MAX_FRAMES:
        raise DataError(f"{frames} frames; expected at most {MAX_FRAMES}", code="E_DATA_IMAGE_LIMIT")
    return frames


def text_of(value: Value | None) -> str:
    """Return the first of an element's texts; empty where there is none."""
    return "" if value is None else value.data.decode("ascii", "replace").partition("\\")[0].strip("\0 ")


def decimal_of(value: Value | None) -> float | None:
    """Return the first of an element's decimal numbers; None where there is none, or none that is finite."""
    try:
        number = float(text_of(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def whole_numbers(source: DicomFile, value: Value, count: int) -> tuple[int, ...]:
    """Return an element's first whole numbers of 16 bits, none of them negative.

    Raises:
        DataError: There are fewer.
    """
    if len(value.data) < 2 * count:
        raise _damaged("a number is missing")
    order = "little" if source.encoding.order == "<" else "big"
    return tuple(int.from_bytes(value.data[2 * n : 2 * n + 2], order) for n in range(count))  # type: ignore[arg-type]


def frames_of(head: Head) -> Iterator[bytes]:
    """Yield the bytes of each compressed frame.

    Raises:
        DataError: The fragments cannot be put together to as many frames.
    """
    pixels, file = head.source.pixels, head.source.file
    if pixels is None or pixels.fragments is None:
        return
    for fragments in _by_frame(head, pixels.fragments):
        yield b"".join(read_place(file, fragment) for fragment in fragments)


def read_place(file: BinaryIO, place: Place) -> bytes:
    """Return the bytes of a part of a file."""
    file.seek(place.start)
    return file.read(place.stop - place.start)


def _by_frame(head: Head, found: tuple[Place, ...]) -> list[tuple[Place, ...]]:
    table, fragments = found[0], found[1:]
    if head.frames == 1:
        return [fragments]
    if len(fragments) == head.frames:
        return [(fragment,) for fragment in fragments]
    # Offsets count from the first fragment's head, 8 bytes before its data.
    data = read_place(head.source.file, table)
    offsets = {int.from_bytes(data[at : at + 4], "little") + fragments[0].start for at in range(0, len(data), 4)}
    starts = [n for n, fragment in enumerate(fragments) if fragment.start in offsets]
    if not starts:  # without a table, a frame begins where a JPEG or JPEG 2000 does
        marks = (b"\xff\xd8", b"\xff\x4f")
        starts = [
            n
            for n, place in enumerate(fragments)
            if read_place(head.source.file, Place(place.start, place.start + 2)) in marks
        ]
    if len(starts) != head.frames or starts[0] != 0:
        raise _damaged(f"{head.frames} frames in its header, {len(starts)} in the file")
    return [fragments[start:stop] for start, stop in zip(starts, [*starts[1:], len(fragments)], strict=True)]


def _check_kind(source: DicomFile) -> None:
    """Refuse a file that holds no pixels, or none whose black and white is known."""
    pixels = source.pixels
    if pixels is None or pixels.place.start == pixels.place.stop:
        held = text_of(source.elements.values.get(CLASS)) or source.media_class
        words = next((words for start, words in _NOT_PICTURES if held.startswith(start)), None)
        raise DataError(
            f"not an image but {words}"
            if words
            else "a DICOM file without pixels: no image (such as a plan or a curve), or cut short",
            code="E_DATA_IMAGE_FORMAT",
        )
    if pixels.tag != PIXEL_DATA:
        raise _unsupported("floating-point values, whose black and white nobody says; scale them to 8 or 16 bits")


def _number(source: DicomFile, tag: int, default: int | None = None) -> int:
    value = source.elements.values.get(tag)
    if value is None or not value.data:
        if default is None:
            raise _damaged("what describes its pixels is missing")
        return default
    return whole_numbers(source, value, 1)[0]


def _check_values(head: Head) -> None:
    if head.allocated not in (8, 16):
        what = "1 bit a pixel, as masks have" if head.allocated == 1 else f"{head.allocated} bits a value"
        raise _unsupported(f"{what}; save it with 8 or 16 bits")
    if min(head.rows, head.columns) < 1 or not 2 <= head.stored <= head.allocated:
        raise _damaged("its size, or the bits of its values, cannot be")
    if _number(head.source, _HIGH_BIT, head.stored - 1) != head.stored - 1:
        raise _unsupported("its values do not begin at the lowest bit; save it with pydicom or DCMTK")


def _check_colours(head: Head) -> None:
    known = {1: _GREYS, 3: _COLOURS}.get(head.samples, ())
    if head.photometric not in known:
        several = f"{head.samples} values a pixel" if head.samples not in (1, 3) else "colours of an unusual kind"
        raise _unsupported(f"{several}; save it as grey, RGB or YBR_FULL")
    if head.samples == 3 and head.signed:
        raise _damaged("its colours may be negative")
    if head.photometric.startswith("YBR") and head.allocated != 8:
        raise _unsupported("YBR of more than 8 bits; save it as RGB")
    if head.photometric in ("YBR_ICT", "YBR_RCT") and not head.compressed:
        raise _damaged("colours of JPEG 2000 without JPEG 2000")
    if head.photometric == "YBR_FULL_422" and head.columns % 2 and not head.compressed:
        raise _damaged("YBR_FULL_422 with an odd number of columns")
    if head.photometric == "PALETTE COLOR" and SEGMENTED_DATA in head.source.elements.values:
        raise _unsupported("a palette in segments; save it as RGB")


def _check_syntax(head: Head) -> None:
    syntax = head.source.transfer_syntax
    pixels = head.source.pixels
    if syntax in _LOSSLESS_JPEG:
        raise _unsupported("lossless JPEG is not read; decompress it first, such as with dcmdjpeg of DCMTK")
    if syntax in _FILMS:
        raise _unsupported("a film (MPEG) in DICOM is not read; save the film as a file of its own")
    if syntax not in NATIVE and syntax not in PLUGINS:
        raise _unsupported("compressed in a way that is not read; save it without compression or as RLE, JPEG or JPEG 2000")
    if PLUGINS.get(syntax) == "pillow" and head.stored > 8:
        raise _unsupported("JPEG of 12 bits is not read; decompress it first, such as with dcmdjpeg of DCMTK")
    if pixels is not None and head.compressed != (pixels.fragments is not None):
        raise _damaged("compressed by its header and not by its pixels, or the other way round")


def _check_length(head: Head) -> None:
    """Refuse fewer compressed frames than the header says, or pixels that are fewer or by half a frame more."""
    pixels = head.source.pixels
    if pixels is None:
        return
    if pixels.fragments is not None:
        found, expected, what = len(pixels.fragments) - 1, head.frames, "frames"
    else:
        found, expected, what = pixels.place.stop - pixels.place.start, head.frames * head.frame_bytes, "bytes of pixels"
    if found < expected:
        raise DataError(f"cut short: {found} {what}, {expected} by its header", code="E_DATA_IMAGE_DAMAGED")
    if pixels.fragments is None and found - expected >= max(4, head.frame_bytes // 2):
        raise _damaged(f"{found} {what}, {expected} by its header")


def _damaged(reason: str) -> DataError:
    return DataError(f"damaged header ({reason})", code="E_DATA_IMAGE_DAMAGED")


def _unsupported(reason: str) -> DataError:
    return DataError(f"DICOM: {reason}", code="E_DATA_IMAGE_UNSUPPORTED")
