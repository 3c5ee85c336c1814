"""Image files that are none, or claim more than a picture needs: a few bytes that would cost gigabytes or minutes."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

from PIL import Image

Tag = tuple[int, int, tuple[int, ...]]

SHORT, LONG, BYTE = 3, 4, 1
RGB_8 = ((258, SHORT, (8, 8, 8)), (262, SHORT, (2,)), (277, SHORT, (3,)))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def tags(listed: list[Tag], *, pixels: bytes = b"", big: bool = False) -> bytes:
    """Return a TIFF, or EXIF data: its pixels from byte 16 on, then its tags, then their values."""
    room, size = (8, 20) if big else (4, 12)
    start = 16 + len(pixels)
    values = start + (8 if big else 2) + size * len(listed) + room
    found, more = [], b""
    for number, kind, numbers in sorted(listed):
        raw = struct.pack(f"<{len(numbers)}{ {BYTE: 'B', SHORT: 'H', LONG: 'I'}[kind] }", *numbers)
        held = raw.ljust(room, b"\0") if len(raw) <= room else struct.pack("<Q" if big else "<I", values + len(more))
        more += raw if len(raw) > room else b""
        found.append(struct.pack("<HHQ" if big else "<HHI", number, kind, len(numbers)) + held)
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, start) if big else struct.pack("<2sHI8x", b"II", 42, start)
    count = struct.pack("<Q" if big else "<H", len(listed))
    return head + pixels + count + b"".join(found) + bytes(room) + more


def tiled(tile: int, *, side: int = 64, big: bool = False) -> bytes:
    """Return a TIFF of one deflated tile."""
    pixels = zlib.compress(bytes(tile * tile * 3), 1) if tile < 2048 else b"x"
    sides = [(256, LONG, (side,)), (257, LONG, (side,)), (322, LONG, (tile,)), (323, LONG, (tile,))]
    return tags(
        [*RGB_8, *sides, (259, SHORT, (8,)), (324, LONG, (16,)), (325, LONG, (len(pixels),))], pixels=pixels, big=big
    )


def strips(count: int, *, big: bool = False) -> bytes:
    """Return a TIFF that says of so many strips where each begins."""
    sides: list[Tag] = [(256, LONG, (64,)), (257, LONG, (count,)), (278, LONG, (1,)), (259, SHORT, (1,))]
    where: list[Tag] = [(273, LONG, (16,) * count), (279, LONG, (192,) * count)]
    return tags([*RGB_8, *sides, *where], pixels=bytes(192), big=big)


def shared(count: int, size: int) -> bytes:
    """Return EXIF data with tags that all hold the same bytes."""
    start = 16
    values = start + 2 + 12 * count + 4
    listed = b"".join(struct.pack("<HHII", 1000 + n, BYTE, size, values) for n in range(count))
    return struct.pack("<2sHI8x", b"II", 42, start) + struct.pack("<H", count) + listed + bytes(4 + size)


def jpeg_with(segments: list[tuple[int, bytes]]) -> bytes:
    """Return a JPEG with further segments, by marker."""
    plain = encoded(Image.new("RGB", (8, 8)), "JPEG")
    return plain[:2] + b"".join(struct.pack(">BBH", 255, m, len(body) + 2) + body for m, body in segments) + plain[2:]


def jpeg_with_exif(exif: bytes) -> bytes:
    parts = [exif[at : at + 65_000] for at in range(0, len(exif), 65_000)]
    return jpeg_with([(0xE1, b"Exif\0\0" + part) for part in parts])


def jpeg_of_scans(more: int, side: int = 64) -> bytes:
    """Return a progressive JPEG whose last pass is there so many times more."""
    plain = encoded(Image.new("L", (side, side), 99), "JPEG", progressive=True)
    last = plain.rindex(b"\xff\xda")
    return plain[:-2] + plain[last:-2] * more + plain[-2:]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(chunk: bytes, image: Image.Image | None = None) -> bytes:
    """Return a PNG with a further chunk after its head."""
    plain = encoded(image or Image.new("RGB", (8, 8)))
    return plain[:33] + chunk + plain[33:]


def png_of(width: int, height: int) -> bytes:
    """Return a grey PNG of any size, black and well compressed."""
    rows = zlib.compress(bytes(height * (width + 1)), 9)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def profile_chunk(exif: bytes) -> bytes:
    """Return EXIF data as older programs keep it in a PNG: hexadecimal text."""
    text = f"\nexif\n{len(exif)}\n{exif.hex()}\n".encode()
    return png_chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text, 9))


def write_bad(folder: Path) -> dict[str, str]:
    """Write one bad image of each kind.

    Returns:
        What is said of each, by its name.
    """
    whole = encoded(Image.effect_noise((60, 60), 90).convert("RGB"))
    files = {
        "tall.png": (png_of(1, 100_000), "1 x 100000 pixels; a side may have 8192"),
        "cut.png": (whole[: len(whole) // 2], "damaged or cut short"),
        "bomb.tif": (tiled(20_000), "tiles of 20000 pixels"),
        "scans.jpg": (jpeg_of_scans(200), "more than 100 passes"),
        "text.png": (b"hello", "not an image"),
        "empty.png": (b"", "empty file"),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "pipe.png")
    (folder / "dead.png").symlink_to("nowhere.png")
    with (folder / "sparse.png").open("wb") as file:
        file.truncate(20 << 30)
    said = {name: words for name, (_, words) in files.items()}
    return said | {
        "pipe.png": "not a regular file",
        "dead.png": "a link to a file that does not exist",
        "sparse.png": "expected at most 256 MiB, found 21474836480 bytes",
    }
