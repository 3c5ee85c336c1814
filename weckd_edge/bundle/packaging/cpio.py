"""A cpio archive in the form that SWUpdate reads: ``newc`` with checksums (070702), written the same way each time.

The standard library writes no cpio, and a binding to libarchive would be a compiled library for fifty lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO

_MAGIC = b"070702"
_PLAIN_FILE = 0o100644
_END = "TRAILER!!!"
_BLOCK_BYTES = 512


def write_cpio(out: Path, files: Sequence[tuple[str, Path]]) -> None:
    """Write files in the order given, without owner or time.

    Args:
        out: The archive.
        files: Name in the archive, and where the bytes lie; each under 4 GiB.
    """
    with out.open("wb") as archive:
        for number, (name, path) in enumerate(files, start=1):
            _write_header(archive, number, name, _PLAIN_FILE, path.stat().st_size, _checksum(path))
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    archive.write(chunk)
            _pad(archive, 4)
        _write_header(archive, 0, _END, 0, 0, 0)
        _pad(archive, _BLOCK_BYTES)


def _checksum(path: Path) -> int:
    total = 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            total += sum(chunk)
    return total & 0xFFFFFFFF


def _write_header(archive: IO[bytes], number: int, name: str, mode: int, size: int, checksum: int) -> None:
    raw = name.encode() + b"\0"
    # inode, mode, uid, gid, links, time, size, device and its special number (two each), length of the name, checksum
    values = (number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(raw), checksum)
    archive.write(_MAGIC + b"".join(b"%08X" % value for value in values) + raw)
    _pad(archive, 4)


def _pad(archive: IO[bytes], to: int) -> None:
    archive.write(bytes(-archive.tell() % to))
