"""Store of images that were read: digests, sizes, remarks and thumbnails, so that no image is decoded twice.

It is a SQLite database: a temporary one that goes away with the process, or one in a folder, which a later run reads. Images
are committed in batches, so that a run that was stopped goes on where it was. A file counts as unchanged while its size and
its time of writing are the same. Values of DICOM headers, and what stands for them, are never written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import sqlite3
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import DataNote
from weckd_edge.core.errors import StoreError
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Workspace, digest_of, explain_os_errors, no_space, sha256_bytes
from weckd_edge.train.data.duplicates.thumbnails import COLOUR_SIDE, GREY_SIDE, Thumbnails

DATABASE = "images.sqlite"
_FOLDER = "read-images"
_GREY_BYTES = GREY_SIDE * GREY_SIDE
_COLOUR_BYTES = COLOUR_SIDE * COLOUR_SIDE * 3
_PAGE_BYTES = 16384
_CACHE_KIB = 65536
_WAIT_S = 60

_TABLES = """
CREATE TABLE about (version TEXT NOT NULL);
CREATE TABLE image (
  number INTEGER PRIMARY KEY, folder BLOB NOT NULL, path TEXT NOT NULL, size INTEGER NOT NULL, time_ns INTEGER NOT NULL,
  sha256 BLOB NOT NULL, pixels_sha256 BLOB NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,
  two_levels INTEGER NOT NULL, picture_hash INTEGER NOT NULL, notes TEXT NOT NULL, sum INTEGER NOT NULL,
  UNIQUE (folder, path)
);
CREATE TABLE thumbnail (number INTEGER PRIMARY KEY, pictures BLOB NOT NULL);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileStamp:
    """File as it was when it was read.

    Attributes:
        path: Path relative to the data set's root.
        size: Size, bytes; -1 where there is no such file.
        time_ns: Time when it was last written, ns.
    """

    path: str
    size: int
    time_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadImage:
    """What is kept of an image.

    Attributes:
        sha256: Digest of the file; of a DICOM file, of its pixels as they are stored.
        pixels_sha256: Digest of size and RGB pixels.
        width: Width, pixels.
        height: Height, pixels.
        two_levels: Whether it has one or two grey levels.
        picture_hash: Perceptual hash, 64 bits.
        notes: Remarks on the picture.
    """

    sha256: str
    pixels_sha256: str
    width: int
    height: int
    two_levels: bool
    picture_hash: int
    notes: tuple[DataNote, ...]


class ScanStore:
    """Store of images that were read, of one process."""

    def __init__(self, connection: sqlite3.Connection, place: Path) -> None:
        self._connection = connection
        self._place = place
        self._notes: dict[str, tuple[DataNote, ...]] = {"[]": ()}

    def find(self, root: Path, stamps: Sequence[FileStamp]) -> dict[str, tuple[int, ReadImage]]:
        """Return the number and the image of each file that was read before and is unchanged, by its path.

        Args:
            root: Folder that paths are relative to.
            stamps: Files, sorted by path.
        """
        wanted = {stamp.path: stamp for stamp in stamps if stamp.size >= 0}
        if not wanted:
            return {}
        with self._explained():
            rows = self._connection.execute(
                "SELECT * FROM image WHERE folder = ? AND path BETWEEN ? AND ?",
                (_folder_key(root), min(wanted), max(wanted)),
            ).fetchall()
        found = {}
        for number, _, path, size, time_ns, *values, check in rows:
            stamp = wanted.get(path)
            if stamp is not None and (size, time_ns) == (stamp.size, stamp.time_ns) and check == _sum(path, values):
                found[path] = number, self._image(values)
        return found

    def add(self, root: Path, images: Mapping[FileStamp, ReadImage], thumbnails: Thumbnails) -> list[int]:
        """Keep images, and return their numbers.

        Args:
            root: Folder that paths are relative to.
            images: Images by their files.
            thumbnails: Thumbnails of these images, in the same order.

        Raises:
            StoreError: The store cannot be written.
        """
        folder, numbers = _folder_key(root), []
        with self._explained(), self._connection:
            self._forget("folder = ? AND path = ?", [(folder, stamp.path) for stamp in images])
            for stamp, image, grey, colour in zip(images, images.values(), thumbnails.grey, thumbnails.colour, strict=True):
                values = _values(image)
                row = (folder, stamp.path, stamp.size, stamp.time_ns, *values, _sum(stamp.path, values))
                done = self._connection.execute(f"INSERT INTO image VALUES (NULL{', ?' * len(row)})", row)
                numbers.append(int(done.lastrowid or 0))
                pictures = grey.tobytes() + colour.tobytes()
                pictures += zlib.crc32(pictures).to_bytes(4, "little")
                self._connection.execute("INSERT INTO thumbnail VALUES (?, ?)", (numbers[-1], pictures))
        return numbers

    def keep_only(self, root: Path, numbers: Sequence[int]) -> None:
        """Forget the images of a folder that are not among these and whose files are gone."""
        kept, folder = set(numbers), _folder_key(root)
        with self._explained(), self._connection:
            rows = self._connection.execute("SELECT number, path FROM image WHERE folder = ?", (folder,))
            gone = [(number,) for number, path in rows if number not in kept and not (root / path).exists()]
            self._forget("number = ?", gone)

    def thumbnails(self, numbers: NDArray[np.int64]) -> Thumbnails:
        """Return the thumbnails of images by their rising numbers ``[N]``, in this order.

        Raises:
            StoreError: One is missing or damaged.
        """
        found = np.empty((len(numbers), _GREY_BYTES + _COLOUR_BYTES), np.uint8)
        with self._explained():
            for place, number in enumerate(numbers.tolist()):
                row = self._connection.execute("SELECT pictures FROM thumbnail WHERE number = ?", (number,)).fetchone()
                pictures = row[0] if row else b""
                if len(pictures) != found.shape[1] + 4 or zlib.crc32(pictures[:-4]).to_bytes(4, "little") != pictures[-4:]:
                    raise StoreError(
                        f"{self._place}: the store of read images is damaged; remove it and run again", code="E_STORE_DIGEST"
                    )
                found[place] = np.frombuffer(pictures, np.uint8, found.shape[1])
        return Thumbnails(
            grey=found[:, :_GREY_BYTES].reshape(-1, GREY_SIDE, GREY_SIDE),
            colour=found[:, _GREY_BYTES:].reshape(-1, COLOUR_SIDE, COLOUR_SIDE, 3),
        )

    def _forget(self, condition: str, rows: Sequence[tuple[Any, ...]]) -> None:
        which = f"(SELECT number FROM image WHERE {condition})"
        self._connection.executemany(f"DELETE FROM thumbnail WHERE number IN {which}", rows)
        self._connection.executemany(f"DELETE FROM image WHERE {condition}", rows)

    def _image(self, values: Sequence[Any]) -> ReadImage:
        sha256, pixels_sha256, width, height, two_levels, picture_hash, notes = values
        if notes not in self._notes:
            self._notes[notes] = tuple(DataNote(code=code, text=text) for code, text in json.loads(notes))
        return ReadImage(
            sha256=sha256.hex(),
            pixels_sha256=pixels_sha256.hex(),
            width=width,
            height=height,
            two_levels=bool(two_levels),
            picture_hash=picture_hash & (1 << 64) - 1,
            notes=self._notes[notes],
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as err:
            raise _explain(err, self._place) from err


@contextlib.contextmanager
def open_scan_store(cache: Path | ScanStore | None, progress: Progress) -> Iterator[ScanStore]:
    """Open a store of read images.

    Args:
        cache: Folder that keeps it, made where it is missing; None for a temporary store, which goes away; a store that is
            open is used.
        progress: Receiver of a note where what is in the folder cannot be used and is removed.

    Raises:
        StoreError: The folder cannot be written, or another process uses it.
    """
    if isinstance(cache, ScanStore):
        yield cache
    elif cache is None:
        # A database without a name is a temporary file that no longer has a name, as soon as it outgrows the cache.
        with contextlib.closing(_connect("")) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            _begin(connection, "")
            yield ScanStore(connection, Path(tempfile.gettempdir()))
    else:
        with _opened(cache, progress) as store:
            yield store


@contextlib.contextmanager
def _opened(folder: Path, progress: Progress) -> Iterator[ScanStore]:
    place = folder / DATABASE
    with _locked(folder):
        version = digest_of(key_of(None, "weckd_edge.train.data.scan"))
        fault = _fault(place, version) if place.exists() else None
        if fault is not None:
            progress.note(f"{place}: {fault}; it is removed, and images are read anew")
            for name in (DATABASE, f"{DATABASE}-journal"):
                (folder / name).unlink(missing_ok=True)
        is_new = not place.exists()
        try:
            connection = _connect(str(place))
        except sqlite3.Error as err:
            raise _explain(err, place) from err
        with contextlib.closing(connection):
            try:
                if is_new:
                    _begin(connection, version)
                connection.execute("PRAGMA synchronous = NORMAL")
            except sqlite3.Error as err:
                raise _explain(err, place) from err
            yield ScanStore(connection, place)


def scan_folder(workspace: Workspace) -> Path:
    """Return the folder of a workspace that keeps the store of read images."""
    return workspace.root / _FOLDER


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".lock").open("a")
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise StoreError(
                f"{folder}: another process reads images there; wait for it, or give another folder", code="E_STORE_LOCKED"
            ) from err
        yield


def _connect(place: str) -> sqlite3.Connection:
    connection = sqlite3.connect(place, timeout=_WAIT_S)
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    return connection


def _begin(connection: sqlite3.Connection, version: str) -> None:
    connection.executescript(f"BEGIN; {_TABLES}")
    connection.execute("INSERT INTO about VALUES (?)", (version,))
    connection.commit()


def _fault(place: Path, version: str) -> str | None:
    """Return why a store cannot be used, in words; None where it can."""
    try:
        with contextlib.closing(_connect(str(place))) as connection:
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return "the store of read images is damaged"
            if connection.execute("SELECT version FROM about").fetchall() != [(version,)]:
                return "the store of read images was written by another version"
    except sqlite3.OperationalError as err:
        if "no such table" not in str(err):
            raise _explain(err, place) from err
        return "the store of read images is damaged"
    except sqlite3.DatabaseError:
        return "the store of read images is damaged"
    return None


def _explain(err: sqlite3.Error, place: Path) -> StoreError:
    if "full" in str(err) or _cannot_write(err):
        return no_space(place)
    if isinstance(err, sqlite3.OperationalError):
        return StoreError(
            f"{place}: the store of read images cannot be used ({err}); choose another folder", code="E_STORE_UNWRITABLE"
        )
    return StoreError(
        f"{place}: the store of read images is damaged ({err}); remove it and run again", code="E_STORE_DIGEST"
    )


def _cannot_write(err: sqlite3.Error) -> bool:
    """Return whether a file could not grow, as under a quota; Python 3.10 says no more than "disk I/O error"."""
    unknown = "SQLITE_IOERR_WRITE" if "disk I/O" in str(err) else ""
    return getattr(err, "sqlite_errorname", unknown) == "SQLITE_IOERR_WRITE"


def _folder_key(root: Path) -> bytes:
    return bytes.fromhex(sha256_bytes(bytes(root.resolve())))


def _values(image: ReadImage) -> tuple[Any, ...]:
    signed = image.picture_hash - (1 << 64) if image.picture_hash >> 63 else image.picture_hash
    notes = json.dumps([[note.code, note.text] for note in image.notes])
    digests = bytes.fromhex(image.sha256), bytes.fromhex(image.pixels_sha256)
    return *digests, image.width, image.height, int(image.two_levels), signed, notes


def _sum(path: str, values: Sequence[Any]) -> int:
    return zlib.crc32(repr((path, *values)).encode())
