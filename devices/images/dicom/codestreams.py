"""Size that a compressed frame claims: a decoder makes room for it, whatever the header around the frame says."""

from __future__ import annotations

import itertools
import struct

from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.headers import check_file

_JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # F7 is JPEG-LS
_RLE_HEAD = 64


def check_frame(data: bytes, kind: str, rows: int, columns: int, samples: int, sample_bytes: int) -> None:
    """Refuse a compressed frame that holds another size than the header around it says.

    Args:
        data: The frame.
        kind: pydicom's name of its decoder.
        rows: Height by the header, pixels.
        columns: Width by the header, pixels.
        samples: Values of a pixel by the header.
        sample_bytes: Bytes of a value by the header.

    Raises:
        DataError: The sizes differ, or the frame does not begin as such a frame does; the message is a short reason.
    """
    try:
        if kind == "pydicom":
            _check_run_lengths(data, rows * columns, samples * sample_bytes)
            return
        found = _jpeg_2000_size(data) if kind == "pylibjpeg" else _jpeg_size(data)
    except (IndexError, struct.error):
        found = None
    if found is None:
        raise DataError("damaged: a frame does not begin as its compression says", code="E_DATA_IMAGE_DAMAGED")
    if found != (rows, columns, samples):
        raise DataError(
            f"damaged or crafted: a frame of {found[1]} x {found[0]} pixels of {found[2]} values, {columns} x {rows} of "
            f"{samples} by its header",
            code="E_DATA_IMAGE_DAMAGED",
        )
    check_file(data)


def _jpeg_size(data: bytes) -> tuple[int, int, int] | None:
    """Return height, width and values of a pixel of a JPEG or JPEG-LS; None where it is neither."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while data[at] == 0xFF:
        kind = data[at + 1]
        if kind == 0xFF:  # a fill byte
            at += 1
            continue
        if kind in _JPEG_FRAMES:
            height, width, samples = struct.unpack_from(">HHB", data, at + 5)
            return height, width, samples
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _jpeg_2000_size(data: bytes) -> tuple[int, int, int] | None:
    """Return height, width and values of a pixel of a JPEG 2000 codestream; None of anything else, boxes around it too."""
    if data[:4] != b"\xff\x4f\xff\x51":
        return None
    right, bottom, left, top = struct.unpack_from(">4I", data, 8)
    return bottom - top, right - left, struct.unpack_from(">H", data, 40)[0]


def _check_run_lengths(data: bytes, pixels: int, segments: int) -> None:
    """Refuse run lengths that would grow to more than the frame: pydicom writes all of them before it counts.

    Raises:
        struct.error: The head is cut short.
    """
    count, *offsets = struct.unpack_from("<16I", data)
    if count != segments:
        raise DataError("damaged: the frame has another number of planes than its header says", code="E_DATA_IMAGE_DAMAGED")
    bounds = [*offsets[:count], len(data)]
    for start, stop in itertools.pairwise(bounds):
        if not _RLE_HEAD <= start <= stop <= len(data) or _grown(data[start:stop]) > pixels + 256:
            raise DataError("damaged or crafted: run lengths of another size than the frame", code="E_DATA_IMAGE_DAMAGED")


def _grown(segment: bytes) -> int:
    """Return how many bytes run lengths stand for."""
    at = grown = 0
    while at < len(segment):
        step = segment[at]
        if step < 128:
            grown, at = grown + step + 1, at + step + 2
        elif step > 128:
            grown, at = grown + 257 - step, at + 2
        else:
            at += 1
    return grown
