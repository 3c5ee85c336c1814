"""SQLite database of images that were read: digests, sizes, remarks and thumbnails, in one file.

Images are committed in batches, so that a run that was stopped goes on where it was. A file counts as unchanged while its
size and its time of writing are the same. Values of DICOM headers, and what stands for them, are never written.
"""

from __future__ import annotations

import contextlib
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
from weckd_edge.core.store import no_space, sha256_bytes
from weckd_edge.train.data.duplicates.thumbnails import COLOUR_SIDE, GREY_SIDE, Thumbnails

THUMBNAIL_BYTES = GREY_SIDE * GREY_SIDE + COLOUR_SIDE * COLOUR_SIDE * 3
"""Size of the two thumbnails of an image, the grey one first, bytes."""

MEMORY_KIB = 65536
"""Memory for pages of databases, KiB."""

_PAGE_BYTES = 16384
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


class ScanDatabase:
    """Open database of images that were read; each has a number, from 1.

    Attributes:
        place: File, or the folder of a temporary database.
    """

    def __init__(self, connection: sqlite3.Connection, place: Path) -> None:
        self.place = place
        self._connection = connection
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

    def count(self, root: Path) -> int:
        """Return the number of images of a folder, of files that may have changed."""
        with self._explained():
            return int(
                self._connection.execute("SELECT count(*) FROM image WHERE folder = ?", (_folder_key(root),)).fetchone()[0]
            )

    def read_thumbnails(self, numbers: NDArray[np.int64], pictures: NDArray[np.uint8]) -> None:
        """Read the thumbnails of images by their numbers.

        Args:
            numbers: Numbers ``[N]``.
            pictures: Receives both thumbnails of each image ``[N, THUMBNAIL_BYTES]``.

        Raises:
            StoreError: One is missing or damaged.
        """
        with self._explained():
            for place, number in enumerate(numbers.tolist()):
                row = self._connection.execute("SELECT pictures FROM thumbnail WHERE number = ?", (number,)).fetchone()
                data = row[0] if row else b""
                if len(data) != THUMBNAIL_BYTES + 4 or zlib.crc32(data[:-4]).to_bytes(4, "little") != data[-4:]:
                    raise StoreError(
                        f"{self.place}: the store of read images is damaged; remove it and run again", code="E_STORE_DIGEST"
                    )
                pictures[place] = np.frombuffer(data, np.uint8, THUMBNAIL_BYTES)

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
            raise _explain(err, self.place) from err


@contextlib.contextmanager
def temporary_database() -> Iterator[ScanDatabase]:
    """Open a database that goes away with the process."""
    # A database without a name is a temporary file that no longer has a name, as soon as it outgrows the cache.
    with contextlib.closing(_connect("")) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        _begin(connection, "")
        yield ScanDatabase(connection, Path(tempfile.gettempdir()))


@contextlib.contextmanager
def open_database(place: Path, version: str, memory_kib: int = MEMORY_KIB) -> Iterator[ScanDatabase]:
    """Open a database, made where it is missing.

    Args:
        place: File.
        version: Version of the code and the libraries that read images, which a new one is given.
        memory_kib: Most memory for pages of the file, KiB.

    Raises:
        StoreError: The file cannot be read or written.
    """
    is_new = not place.exists()
    try:
        connection = _connect(str(place), memory_kib)
    except sqlite3.Error as err:
        raise _explain(err, place) from err
    with contextlib.closing(connection):
        try:
            if is_new:
                _begin(connection, version)
            connection.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.Error as err:
            raise _explain(err, place) from err
        yield ScanDatabase(connection, place)


def fault_of(place: Path, version: str) -> str | None:
    """Return why a database cannot be used, in words; None where it can.

    Args:
        place: File.
        version: Version of the code and the libraries that read images; results of another one are not believed.

    Raises:
        StoreError: The file cannot be read.
    """
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


def remove_database(place: Path) -> None:
    """Remove a database that nobody uses."""
    for file in (place, place.with_name(f"{place.name}-journal")):
        file.unlink(missing_ok=True)


def _connect(place: str, memory_kib: int = MEMORY_KIB) -> sqlite3.Connection:
    connection = sqlite3.connect(place, timeout=_WAIT_S)
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute(f"PRAGMA cache_size = -{memory_kib}")
    return connection


def _begin(connection: sqlite3.Connection, version: str) -> None:
    connection.executescript(f"BEGIN; {_TABLES}")
    connection.execute("INSERT INTO about VALUES (?)", (version,))
    connection.commit()


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
