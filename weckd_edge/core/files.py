"""Reading of files from outside: regular files only, and never more bytes than such a file may have."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from weckd_edge.core.errors import StoreError, WeckdError


def read_bounded(path: Path, *, at_most: int, where: str = "", error: type[WeckdError] = StoreError) -> bytes:
    """Return a regular file's bytes, after a check of its size.

    A pipe or a device is never waited for, and a file that grows while it is read is refused as too large.

    Args:
        path: The file; a link to one is followed.
        at_most: Largest size that such a file may have, bytes.
        where: Beginning of the error's message, usually the path.
        error: The kind of error that is raised.

    Returns:
        All of the file's bytes; they may be none.

    Raises:
        WeckdError: ``error``, where there is no such file, it is not a regular file, it is larger than ``at_most``, or it
            cannot be read. The message says which.
    """
    before = f"{where}: " if where else ""
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as err:
        found = "a link to a file that does not exist" if path.is_symlink() else "no such file"
        raise error(f"{before}{found}", code="E_FILE_MISSING") from err
    except OSError as err:
        raise error(f"{before}cannot be read ({err.strerror})", code="E_FILE_UNREADABLE") from err
    except ValueError as err:  # a name with a NUL
        raise error(f"{before}no such file ({err})", code="E_FILE_MISSING") from err
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise error(f"{before}not a regular file", code="E_FILE_KIND")
        if status.st_size > at_most:
            raise error(f"{before}expected at most {_size(at_most)}, found {status.st_size} bytes", code="E_FILE_LIMIT")
        with os.fdopen(handle, "rb", closefd=False) as file:
            data = file.read(at_most + 1)
    except OSError as err:
        raise error(f"{before}cannot be read ({err.strerror})", code="E_FILE_UNREADABLE") from err
    finally:
        os.close(handle)
    if len(data) > at_most:
        raise error(f"{before}expected at most {_size(at_most)}, found more", code="E_FILE_LIMIT")
    return data


def read_start(path: Path, count: int, *, error: type[WeckdError] = StoreError) -> bytes:
    """Return a regular file's first bytes, or all of them where there are fewer.

    Args:
        path: The file; a link to one is followed.
        count: Number of bytes.
        error: The kind of error that is raised.

    Raises:
        WeckdError: ``error``, where the file is not a regular file or cannot be read.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise error("not a regular file", code="E_FILE_KIND")
            return os.read(handle, count)
        finally:
            os.close(handle)
    except OSError as err:
        raise error(f"cannot be read ({err.strerror})", code="E_FILE_UNREADABLE") from err


def visible_files(folder: Path) -> list[Path]:
    """Return everything in a folder and below it that is no folder, sorted by path; what a dot hides is left out."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if not path.is_dir() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def describe_os_error(err: OSError) -> str:
    """Return what the system refused, the file where it is known, and what to do, in one line."""
    names = [os.fsdecode(name) for name in (err.filename, err.filename2) if isinstance(name, (str, bytes))]
    where = " and ".join(names) or "the output or a file"
    reason = err.strerror or str(err) or type(err).__name__
    if err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{where}: no space left to write ({reason}); free some space, then run again"
    if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where}: not allowed ({reason}); change its permissions or choose another folder"
    if err.errno == errno.ENAMETOOLONG:
        return f"{where}: the name is too long ({reason}); choose a shorter one"
    if err.errno in (errno.EMFILE, errno.ENFILE):
        return f"{where}: {reason}; raise the limit (ulimit -n), then run again"
    return f"{where}: {reason}; check that it exists and can be read, then run again"


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 and count % (1 << 20) == 0 else f"{count} bytes"


_MAX_LINK_BYTES = 4096
_MAX_LINKS = 8


def through_stored_links(path: Path) -> Path:
    """Return the path that is meant where a folder on the way is a symbolic link that Git stored as a text file.

    Git stores links so where there are none (on Windows, in downloaded archives): a small file with one line, the link's
    relative target.

    Args:
        path: Path of a file or folder.

    Returns:
        The path itself where no such file is on its way.
    """
    # So every folder on the way is one: the usual case, with a single question to the system.
    if os.path.exists(path):  # noqa: PTH110 - Path's own raises where a name is too long
        return path
    for _ in range(_MAX_LINKS):
        stored = next((parent for parent in path.parents if not parent.is_dir() and parent.is_file()), None)
        target = None if stored is None else _stored_target(stored)
        if stored is None or target is None:
            return path
        path = target / path.relative_to(stored)
    return path


def _stored_target(file: Path) -> Path | None:
    """Return the folder that a link stored as text leads to; None where the file is no such link."""
    if file.stat().st_size > _MAX_LINK_BYTES:
        return None
    try:
        text = read_bounded(file, at_most=_MAX_LINK_BYTES).decode().removesuffix("\n")
    except (WeckdError, UnicodeDecodeError):
        return None
    if not text or not text.isprintable() or Path(text).is_absolute():
        return None
    target = file.parent / text
    return target if target.is_dir() else None
