"""Files of a bundle: opened without following a link, and verified by the very bytes that are used."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from weckd_edge.core.errors import BundleError

DEVICE_FOLDER = "device"
"""Folder of what is built on the device itself; the manifest does not list it."""

MAX_FOLDERS = 16
"""Largest depth of nested folders in a bundle."""

MAX_PATH_BYTES = 511
"""Largest length of a path below the bundle's folder, bytes."""

_CHUNK = 1 << 20
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # without O_NONBLOCK a pipe waits for its writer
_CODES: dict[int | None, str] = {
    errno.ENOENT: "E_BUNDLE_FILE_MISSING",
    errno.ENOTDIR: "E_BUNDLE_FILE_MISSING",
    errno.ELOOP: "E_BUNDLE_LINK",
}


def is_device(path: str) -> bool:
    """Return whether a path belongs to the folder that is built on the device and is not listed."""
    return path.partition("/")[0] == DEVICE_FOLDER


class BundleFolder:
    """A bundle's folder, held open: this folder is read, whatever its path leads to later.

    Args:
        folder: Path of the folder; use the object as a context manager.

    Raises:
        BundleError: The path is not a folder, or it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self._handle = os.open(folder, _FOLDER)
        except (FileNotFoundError, NotADirectoryError) as err:
            raise BundleError(f"{folder}: expected a bundle, found no such folder", code="E_BUNDLE_IO") from err
        except (OSError, ValueError) as err:  # a path with a NUL is a ValueError
            raise BundleError(f"{folder}: expected a bundle, cannot open it ({_why(err)})", code="E_BUNDLE_IO") from err

    def __enter__(self) -> BundleFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._handle)

    def names(self) -> Iterator[str]:
        """Yield the relative path of every file below the folder, sorted within each folder.

        In the device's own folder, where another process may rename and remove files at any time, what has just gone is left
        out.

        Raises:
            BundleError: There is a link or a special file, a path is too long or too deep, or a folder cannot be listed.
        """
        yield from self._walk(os.dup(self._handle), "")

    def read(self, path: str, at_most: int) -> bytes:
        """Return a file's bytes.

        Args:
            path: Path relative to the folder, with forward slashes; no part may be a link.
            at_most: Largest size that such a file may have, bytes.

        Raises:
            BundleError: There is no such file (``E_BUNDLE_FILE_MISSING``), it is a link, too large, or cannot be read.
        """
        with self._open(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > at_most:
                raise self._error(path, f": expected at most {at_most} bytes, found {size}", "E_BUNDLE_LIMIT")
            data = self._read(file, path, at_most + 1)
        if len(data) > at_most:
            raise self._error(path, f": expected at most {at_most} bytes, found more", "E_BUNDLE_LIMIT")
        return data

    def prove(self, path: str, size: int, sha256: str, *, keep: bool) -> bytes:
        """Read a file once, and compare it with its listed size and digest.

        Args:
            path: Path relative to the folder, with forward slashes; no part may be a link.
            size: Listed size, bytes.
            sha256: Listed SHA-256, hexadecimal.
            keep: Whether to return the bytes; False returns nothing, so that a large file does not stay in memory.

        Raises:
            BundleError: The file is missing, a link or unreadable, or its bytes differ from what is listed
                (``E_BUNDLE_DIGEST``).
        """
        digest, kept, left = hashlib.sha256(), [], size
        with self._open(path) as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                raise self._error(path, f": expected {size} bytes, found {found}", "E_BUNDLE_DIGEST")
            while left and (chunk := self._read(file, path, min(left, _CHUNK))):
                digest.update(chunk)
                left -= len(chunk)
                if keep:
                    kept.append(chunk)
        if left or digest.hexdigest() != sha256:
            raise self._error(
                path,
                f": expected SHA-256 {sha256[:12]}..., found {digest.hexdigest()[:12]}...; it was changed",
                "E_BUNDLE_DIGEST",
            )
        return b"".join(kept)

    def _open(self, path: str) -> io.FileIO:
        """Open a file folder by folder, so that no part of the path can be a link."""
        *folders, name = path.split("/")
        at = os.dup(self._handle)
        try:
            for part in folders:
                below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
                os.close(at)
                at = below
            handle = os.open(name, _FILE, dir_fd=at)
        except (OSError, ValueError) as err:
            code = _CODES.get(getattr(err, "errno", None), "E_BUNDLE_IO")
            raise self._error(path, f": {_why(err)}" if code != "E_BUNDLE_LINK" else " is a link", code) from err
        finally:
            os.close(at)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise self._error(path, " is a special file; a bundle holds plain files only", "E_BUNDLE_LINK")
        return io.FileIO(handle)

    def _read(self, file: io.FileIO, path: str, count: int) -> bytes:
        parts, left = [], count
        try:
            while left and (part := file.read(min(left, _CHUNK))):
                parts.append(part)
                left -= len(part)
        except OSError as err:
            raise self._error(path, f": cannot be read ({_why(err)})", "E_BUNDLE_IO") from err
        return b"".join(parts)

    def _walk(self, handle: int, below: str) -> Iterator[str]:
        try:
            with os.scandir(handle) as entries:
                found = sorted(entry.name for entry in entries)
            for name in found:
                path = f"{below}/{name}" if below else name
                if (mode := self._mode(handle, name, path)) is None:
                    continue
                if len(os.fsencode(path)) > MAX_PATH_BYTES:
                    raise self._error(path[:80], f": expected a path of at most {MAX_PATH_BYTES} bytes", "E_BUNDLE_LIMIT")
                if stat.S_ISREG(mode):
                    yield path
                elif not stat.S_ISDIR(mode):
                    kind = "a link" if stat.S_ISLNK(mode) else "a special file"
                    raise self._error(path, f" is {kind}; a bundle holds plain files only", "E_BUNDLE_LINK")
                elif path.count("/") == MAX_FOLDERS:
                    raise self._error(
                        path[:80], f": expected at most {MAX_FOLDERS} folders below each other", "E_BUNDLE_LIMIT"
                    )
                elif (folder := self._down(handle, name, path)) is not None:
                    yield from self._walk(folder, path)
        except OSError as err:
            raise self._error(below or ".", f": cannot be listed ({_why(err)})", "E_BUNDLE_IO") from err
        finally:
            os.close(handle)

    def _mode(self, handle: int, name: str, path: str) -> int | None:
        """Return the kind of an entry; None where it has just gone from the device's own folder."""
        try:
            return os.stat(name, dir_fd=handle, follow_symlinks=False).st_mode
        except FileNotFoundError:
            if is_device(path):
                return None
            raise

    def _down(self, handle: int, name: str, path: str) -> int | None:
        """Open a folder; None where it has just gone from the device's own folder."""
        try:
            return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=handle)
        except OSError as err:
            if isinstance(err, FileNotFoundError) and is_device(path):
                return None
            raise self._error(path, f": cannot be opened ({_why(err)})", "E_BUNDLE_IO") from err

    def _error(self, path: str, found: str, code: str) -> BundleError:
        return BundleError(f"{self.folder}: {path}{found}", code=code)


def _why(err: Exception) -> str:
    return getattr(err, "strerror", None) or str(err)
