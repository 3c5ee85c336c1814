"""Files and folders that are written whole or not at all, with digests, and steps of a build that resume.

A step is a pure function from a key (everything its result depends on) to one artefact in one folder. A finished step is a
folder ``<name>-<key>`` whose ``artifact.json`` names every other file with its digest. The folder is made under a temporary
name and renamed, so a process killed at any moment leaves the whole result or none of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import io
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from weckd_edge.core.errors import StoreError, WeckdError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.fingerprint import Key
from weckd_edge.core.serialization import from_json, to_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)
T = TypeVar("T")

SCHEMA_VERSION = 1
"""Version of every record that is written to disk."""

ARTIFACT_FILE = "artifact.json"
_MAX_ARTIFACT_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRef:
    """A file below a folder, identified by its content.

    Attributes:
        path: Path relative to the folder, with forward slashes.
        sha256: SHA-256 of the file's bytes, hexadecimal.
        bytes: Size of the file, bytes.
    """

    path: str
    sha256: str
    bytes: int


def sha256_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of(value: object) -> str:
    """Return the SHA-256 of a value's canonical JSON, hexadecimal."""
    return sha256_bytes(to_json(value).encode())


def file_ref(folder: Path, path: Path) -> FileRef:
    """Return a reference to a file: its path below ``folder``, its digest and its size."""
    return FileRef(path=path.relative_to(folder).as_posix(), sha256=sha256_file(path), bytes=path.stat().st_size)


def check_ref(folder: Path, ref: FileRef) -> Path:
    """Return the path of a referenced file, after a check of its size and digest.

    Raises:
        StoreError: The path leaves the folder, the file is a link or is missing, or its size or digest differs.
    """
    relative = PurePosixPath(ref.path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts:
        raise StoreError(f"{ref.path}: a path must stay below its folder", code="E_STORE_PATH")
    path = folder / relative
    if path.is_symlink() or not path.is_file():
        raise StoreError(f"{ref.path}: expected a file in {folder}, found none", code="E_STORE_FILE_MISSING")
    size = path.stat().st_size
    if size != ref.bytes:
        raise StoreError(f"{ref.path}: expected {ref.bytes} bytes, found {size}", code="E_STORE_DIGEST")
    found = sha256_file(path)
    if found != ref.sha256:
        raise StoreError(
            f"{ref.path}: expected SHA-256 {ref.sha256[:12]}..., found {found[:12]}...; it was changed",
            code="E_STORE_DIGEST",
        )
    return path


@contextlib.contextmanager
def explain_os_errors(path: Path) -> Iterator[None]:
    """Turn an ``OSError`` of writing to ``path`` (full disk, missing permission, impossible name) into one clear line.

    An error that names a file elsewhere, such as an image that is read meanwhile, is left as it is.

    Raises:
        StoreError: Raised instead of the ``OSError``.
    """
    try:
        yield
    except OSError as err:
        if err.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise no_space(path) from err
        if err.errno is None or isinstance(err, ConnectionError):  # of a picture's decoder, or of whoever reads our output
            raise
        if err.filename is not None and not _is_beside(path, err.filename):
            raise
        if err.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreError(
                f"{path}: not allowed to write here ({err.strerror}); choose another folder", code="E_STORE_UNWRITABLE"
            ) from err
        raise StoreError(
            f"{path}: cannot be written ({err.strerror or err}); choose another name or place", code="E_STORE_UNWRITABLE"
        ) from err


def no_space(path: Path) -> StoreError:
    """Return the error for a full disk, with the free space at the path."""
    free = shutil.disk_usage(_existing_parent(path)).free >> 20
    return StoreError(
        f"{path}: no space left to write ({free} MiB free); free some space, then run again",
        code="E_STORE_NO_SPACE",
    )


def _is_beside(path: Path, name: str | bytes | int) -> bool:
    """Return whether an error is about a path, its temporary file, something below it, or a folder above it."""
    if isinstance(name, int):
        return True
    place, named = path.absolute(), Path(os.fsdecode(name)).absolute()
    if named.is_relative_to(place) or place.is_relative_to(named):
        return True
    return named.is_relative_to(place.parent) and named.relative_to(place.parent).parts[0].startswith(f".{place.name}.")


def _existing_parent(path: Path) -> Path:
    path = path.absolute()
    while not os.path.exists(path):  # noqa: PTH110 - Path's own raises where a name is too long
        path = path.parent
    return path


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file atomically: a reader, or a process killed now, sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with explain_os_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array as ``.npy``, whole or not at all.

    Raises:
        StoreError: The file cannot be written; NumPy's own writer leaves out why.
    """
    import numpy as np

    written = io.BytesIO()
    np.save(written, array, allow_pickle=False)
    write_atomic(path, written.getvalue())


def refuse_link(path: Path) -> None:
    """Refuse a link where a folder is to be replaced whole: the link would be replaced, and not what it points to.

    Raises:
        StoreError: ``path`` is a link.
    """
    if path.is_symlink():
        raise StoreError(
            f"{path}: expected a folder or a new name, found a link to {path.readlink()}; name the folder itself",
            code="E_STORE_OCCUPIED",
        )


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``, which replaces ``path`` when the block ends without an error.

    What stood at ``path`` is moved aside first and removed last. After an error nothing of the new folder is left.

    Raises:
        StoreError: ``path`` is a link, or cannot be written.
    """
    refuse_link(path)
    temporary = path.with_name(f".{path.name}.tmp")
    old = path.with_name(f".{path.name}.old")
    with explain_os_errors(path):
        if old.exists() and not path.exists():
            old.replace(path)
        for leftover in (temporary, old):
            if leftover.is_symlink():
                leftover.unlink()
            shutil.rmtree(leftover, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            yield temporary
            _sync_tree(temporary)
            if path.exists():
                path.replace(old)
            temporary.replace(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if path.exists():
                shutil.rmtree(old, ignore_errors=True)


def _sync_tree(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage(Generic[T]):
    """One finished step of a build, with its artefact.

    Attributes:
        name: Name of the step in reports.
        artifact: Record that the step made.
        folder: Folder of the files that the artefact names.
        seconds: Duration in this run, seconds; where an earlier result was reused, of loading it.
        reused: Whether the result of an earlier run was used.
    """

    name: str
    artifact: T
    folder: Path
    seconds: float
    reused: bool


class Workspace:
    """Folder in which a build keeps its finished steps, so that the same command resumes after an interruption."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextlib.contextmanager
    def locked(self, patience_s: float = 0.0) -> Iterator[None]:
        """Lock the folder for this process.

        Args:
            patience_s: Time to wait for another process to let go of it, seconds.

        Raises:
            StoreError: Another process holds it.
        """
        end = time.monotonic() + patience_s
        while (handle := self._try_lock()) is None:
            if time.monotonic() >= end:
                raise StoreError(
                    f"{self.root}: another build is running there; wait for it or stop it", code="E_STORE_LOCKED"
                )
            time.sleep(0.2)
        with handle:
            yield

    def _try_lock(self) -> IO[str] | None:
        """Return the lock file, open and locked; None where another process holds it."""
        path = self.root / ".lock"
        while True:
            with explain_os_errors(self.root):
                self.root.mkdir(parents=True, exist_ok=True)
                handle = path.open("a")
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                handle.close()
                return None
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                    return handle
            handle.close()  # the process that held it has removed the folder: what is locked is no longer the lock

    @contextlib.contextmanager
    def in_use(self, patience_s: float = 0.0) -> Iterator[None]:
        """Lock the folder for this process; remove it afterwards where nothing was finished in it.

        Args:
            patience_s: Time to wait for another process to let go of it, seconds.

        Raises:
            StoreError: Another process holds it.
        """
        with self.locked(patience_s):
            try:
                yield
            finally:
                self._remove_if_empty()

    def _remove_if_empty(self) -> None:
        """Remove the folder, which this process has locked, where no step was finished and none is in progress."""
        if self.root.is_dir() and not any(path.name != ".lock" for path in self.root.iterdir()):
            shutil.rmtree(self.root, ignore_errors=True)

    def scratch(self, name: str, key: Key) -> Path:
        """Return a folder for a step's work in progress, which stays until that step is finished."""
        folder = self.root / "scratch" / f"{name}-{digest_of(key)[:16]}"
        with explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def stage(self, name: str, kind: type[T], key: Key, make: Callable[[Path], T]) -> Stage[T]:
        """Return a step's artefact; make it only if no earlier run has.

        Args:
            name: Name of the step.
            kind: Class of the artefact.
            key: Everything that the result depends on, code included.
            make: Function that is called with an empty folder, writes its files there and returns the artefact.
        """
        start_ns = time.monotonic_ns()
        folder = self._folder(name, key)
        artifact = self._load(folder, kind)
        reused = artifact is not None
        if artifact is None:
            with atomic_folder(folder) as temporary:
                artifact = make(temporary)
                write_atomic(temporary / ARTIFACT_FILE, to_json(artifact))
            shutil.rmtree(self.root / "scratch" / folder.name, ignore_errors=True)
        seconds = (time.monotonic_ns() - start_ns) / 1e9
        return Stage(name=name, artifact=artifact, folder=folder, seconds=seconds, reused=reused)

    def find(self, name: str, kind: type[T], key: Key) -> Stage[T] | None:
        """Return a step that an earlier run has finished, or None."""
        folder = self._folder(name, key)
        artifact = self._load(folder, kind)
        return None if artifact is None else Stage(name=name, artifact=artifact, folder=folder, seconds=0.0, reused=True)

    def _folder(self, name: str, key: Key) -> Path:
        return self.root / f"{name}-{digest_of(key)[:16]}"

    def _load(self, folder: Path, kind: type[T]) -> T | None:
        path = folder / ARTIFACT_FILE
        if not path.is_file():
            return None
        try:
            data = read_bounded(path, at_most=_MAX_ARTIFACT_BYTES, where=str(path), error=StoreError)
            artifact = from_json(kind, data, where=str(path), error=StoreError)
            for ref in refs_in(artifact):
                check_ref(folder, ref)
        except WeckdError as err:
            logger.warning("%s is not whole and is made again: %s", folder.name, err)
            return None
        return artifact


def refs_in(value: object) -> Iterator[FileRef]:
    """Yield every file that an artefact names."""
    if isinstance(value, FileRef):
        yield value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from refs_in(getattr(value, field.name))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from refs_in(item)
