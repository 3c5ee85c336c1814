"""Size of the picture that an AVIF really holds: its head may claim less than its decoder will make room for.

The head is a tree of boxes (ISO/IEC 14496-12, 23008-12); each item's data is a stream of AV1's units, whose sequence headers
say the size that is decoded (AV1 Bitstream and Decoding Process Specification, 5.3 to 5.5).
"""

from __future__ import annotations

from collections.abc import Iterator

from weckd_edge.core.errors import DataError

_MAX_ITEMS = 10_000
_MAX_UNITS = 10_000
_SEQUENCE_HEADER = 1


def check_coded_size(data: bytes, width: int, height: int) -> None:
    """Refuse an AVIF whose coded pictures are larger than it claims to be.

    Args:
        data: Bytes of the whole file.
        width: Width that the head claims, pixels.
        height: Height that the head claims, pixels.

    Raises:
        DataError: The picture is larger, the file is a sequence of pictures, or its head cannot be followed; the message is
            a short reason.
    """
    if data[8:12] == b"avis":
        raise DataError(
            "an animated AVIF is not read; save one of its frames as JPEG or PNG", code="E_DATA_IMAGE_UNSUPPORTED"
        )
    try:
        for item in _items(data):
            for coded in _coded_sizes(item):
                if min(coded) > min(width, height) or max(coded) > max(width, height):
                    text = f"holds {coded[0]} x {coded[1]} pixels, its head claims {width} x {height}"
                    raise DataError(f"{text}: damaged or crafted", code="E_DATA_IMAGE_DAMAGED")
    except (IndexError, ValueError) as err:
        raise DataError("damaged header (its parts do not lie where it says)", code="E_DATA_IMAGE_DAMAGED") from err


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each box, and the places where its body begins and ends."""
    while start + 8 <= end:
        size, body = int.from_bytes(data[start : start + 4], "big"), start + 8
        if size == 1:
            size, body = int.from_bytes(data[body : body + 8], "big"), body + 8
        stop = end if size == 0 else start + size
        if not body <= stop <= end:
            raise ValueError
        yield data[start + 4 : start + 8], body, stop
        start = stop


def _items(data: bytes) -> Iterator[bytes]:
    """Yield the data of each item."""
    for name, start, end in _boxes(data, 0, len(data)):
        if name != b"meta":
            continue
        inner = {kind: (body, stop) for kind, body, stop in _boxes(data, start + 4, end)}
        if b"iloc" in inner:
            idat = data[slice(*inner.get(b"idat", (0, 0)))]
            yield from _located(_Bits(data[slice(*inner[b"iloc"])]), data, idat)


def _located(bits: _Bits, data: bytes, idat: bytes) -> Iterator[bytes]:
    version = bits.take(8)
    bits.take(24)
    offset_size, length_size, base_size, index_size = (8 * bits.take(4) for _ in range(4))
    wide = 32 if version == 2 else 16
    count = bits.take(wide)
    if count > _MAX_ITEMS:
        raise ValueError
    held = 0
    for _ in range(count):
        bits.take(wide)
        method = bits.take(16) & 15 if version in (1, 2) else 0
        bits.take(16)
        base = bits.take(base_size)
        parts = []
        for _ in range(bits.take(16)):
            if version in (1, 2):
                bits.take(index_size)
            at, length = base + bits.take(offset_size), bits.take(length_size)
            source = idat if method == 1 else data
            parts.append(source[at : at + length] if length else source[at:])
            held += len(parts[-1])
            if held > 2 * len(data):  # parts that lie over each other
                raise ValueError
        yield b"".join(parts)


def _coded_sizes(units: bytes) -> Iterator[tuple[int, int]]:
    """Yield width and height of every sequence header in a stream of AV1's units; nothing of other data."""
    at = 0
    for _ in range(_MAX_UNITS):
        if at >= len(units) or units[at] & 0x81:  # the end, or no unit of AV1
            return
        kind, is_extended, has_size = units[at] >> 3 & 15, units[at] & 4, units[at] & 2
        at += 2 if is_extended else 1
        stop = len(units)
        if has_size:
            size, at = _leb128(units, at)
            stop = at + size
        if kind == _SEQUENCE_HEADER:
            yield _size_of_sequence(_Bits(units[at:stop]))
        at = stop
    raise ValueError


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that is written in seven bits a byte, and the place where it ends."""
    found = 0
    for shift in range(0, 56, 7):
        byte = data[at]
        at += 1
        found |= (byte & 127) << shift
        if byte < 128:
            return found, at
    raise ValueError


class _Bits:
    """Reader of the bits of some data, from the front.

    Args:
        data: The data.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> int:
        """Return the next ``count`` bits as a number."""
        end = self._at + count
        if end > 8 * len(self._data):
            raise IndexError
        found = int.from_bytes(self._data[self._at // 8 : (end + 7) // 8], "big") >> (-end % 8)
        self._at = end
        return found & ((1 << count) - 1)


def _size_of_sequence(bits: _Bits) -> tuple[int, int]:
    bits.take(4)  # profile, still picture
    is_reduced = bool(bits.take(1))
    if is_reduced:
        bits.take(5)
    else:
        _skip_operating_points(bits)
    wide, high = bits.take(4) + 1, bits.take(4) + 1
    width, height = bits.take(wide) + 1, bits.take(high) + 1
    # Where the header is not the short one, a frame may have any size that its numbers of bits can write.
    return (width, height) if is_reduced else (max(width, 1 << wide - 1), max(height, 1 << high - 1))


def _skip_operating_points(bits: _Bits) -> None:
    delay = 0
    if bits.take(1):  # timing
        bits.take(64)
        if bits.take(1):
            zeros = 0
            while not bits.take(1):
                zeros += 1
            bits.take(zeros)
        if bits.take(1):
            delay = bits.take(5) + 1
            bits.take(42)
    is_delayed = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        if bits.take(5) > 7:
            bits.take(1)
        if delay and bits.take(1):
            bits.take(2 * delay + 1)
        if is_delayed and bits.take(1):
            bits.take(4)
