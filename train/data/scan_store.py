"""Store of images that were read, so that no image is decoded twice.

It is a database that goes away with the process, or a folder of them, which a later run reads. One process at a time reads
images into ``images.sqlite`` of a folder, and takes from the shards beside it what other processes or machines read. These
write a database of each shard, all at the same time: no two of them write one file, which a network drive may not bear.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.errors import StoreError
from weckd_edge.core.fingerprint import key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Workspace, digest_of, explain_os_errors
from weckd_edge.train.data.duplicates.thumbnails import COLOUR_SIDE, GREY_SIDE, Thumbnails
from weckd_edge.train.data.scan_database import (
    MEMORY_KIB,
    THUMBNAIL_BYTES,
    FileStamp,
    ReadImage,
    ScanDatabase,
    fault_of,
    open_database,
    remove_database,
    temporary_database,
)

DATABASE = "images.sqlite"
SHARD_FILES = "shard-*.sqlite"
_FOLDER = "read-images"
_GREY_BYTES = GREY_SIDE * GREY_SIDE
_NUMBERS = 1 << 40


class ScanStore:
    """Store of images that were read, of one process: a database that it writes, and further ones that it only reads.

    The numbers of images in the n-th further database begin at n times 2^40.

    Attributes:
        place: File that it writes.
        shards: Number of shards that it reads.
    """

    def __init__(self, own: ScanDatabase, further: Sequence[ScanDatabase] = ()) -> None:
        self._own, self._databases = own, (own, *further)
        self.place = own.place
        self._shards = [one for one in further if one.place.name != DATABASE]
        self.shards = len(self._shards)

    def find(self, root: Path, stamps: Sequence[FileStamp]) -> dict[str, tuple[int, ReadImage]]:
        """Return the number and the image of each file that was read before and is unchanged, by its path.

        Args:
            root: Folder that paths are relative to.
            stamps: Files, sorted by path.
        """
        found: dict[str, tuple[int, ReadImage]] = {}
        for n, database in enumerate(self._databases):
            rest = [stamp for stamp in stamps if stamp.path not in found]
            found |= {path: (n * _NUMBERS + number, image) for path, (number, image) in database.find(root, rest).items()}
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
        return self._own.add(root, images, thumbnails)

    def keep_only(self, root: Path, numbers: Sequence[int]) -> None:
        """Forget the images of a folder that are not among these and whose files are gone; shards are left as they are."""
        self._own.keep_only(root, numbers)

    def count_in_shards(self, root: Path) -> int:
        """Return how many images of a folder the shards hold, of files that may have changed."""
        return sum(shard.count(root) for shard in self._shards)

    def thumbnails(self, numbers: NDArray[np.int64]) -> Thumbnails:
        """Return the thumbnails of images by their rising numbers ``[N]``, in this order.

        Raises:
            StoreError: One is missing or damaged.
        """
        found = np.empty((len(numbers), THUMBNAIL_BYTES), np.uint8)
        borders = np.searchsorted(numbers, np.arange(len(self._databases) + 1) * _NUMBERS)
        for n, database in enumerate(self._databases):
            here = slice(borders[n], borders[n + 1])
            database.read_thumbnails(numbers[here] - n * _NUMBERS, found[here])
        return Thumbnails(
            grey=found[:, :_GREY_BYTES].reshape(-1, GREY_SIDE, GREY_SIDE),
            colour=found[:, _GREY_BYTES:].reshape(-1, COLOUR_SIDE, COLOUR_SIDE, 3),
        )


@contextlib.contextmanager
def open_scan_store(
    cache: Path | ScanStore | None, progress: Progress, shard_file: str | None = None
) -> Iterator[ScanStore]:
    """Open a store of read images.

    Args:
        cache: Folder that keeps it, made where it is missing; None for a temporary store, which goes away; a store that is
            open is used.
        progress: Receiver of a note where what is in the folder cannot be used.
        shard_file: Name of the shard's database that is written, beside other processes that write other shards; None writes
            ``images.sqlite`` and reads all shards.

    Raises:
        StoreError: The folder cannot be written, or another process uses it.
    """
    if isinstance(cache, ScanStore):
        yield cache
    elif cache is None:
        with temporary_database() as database:
            yield ScanStore(database)
    else:
        with _opened(cache, progress, shard_file) as store:
            yield store


@contextlib.contextmanager
def _opened(folder: Path, progress: Progress, shard_file: str | None) -> Iterator[ScanStore]:
    own = folder / (shard_file or DATABASE)
    with contextlib.ExitStack() as stack:
        with explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        # Shards share the folder's lock: they are read when no process writes one, and each is written by one process.
        stack.enter_context(_locked(folder, folder / f".{DATABASE}.lock", shared=shard_file is not None))
        if shard_file is not None:
            stack.enter_context(_locked(own, folder / f".{shard_file}.lock"))
        version = digest_of(key_of(None, "weckd_edge.train.data.scan"))
        fault = fault_of(own, version) if own.exists() else None
        if fault is not None:
            progress.note(f"{own}: {fault}; it is removed, and images are read anew")
            remove_database(own)
        named = sorted(folder.glob(SHARD_FILES if shard_file is None else DATABASE))
        further = [place for place in named if _is_usable(place, version, progress)]
        yield ScanStore(
            stack.enter_context(open_database(own, version)),
            [stack.enter_context(open_database(place, version, MEMORY_KIB // len(further))) for place in further],
        )


def _is_usable(place: Path, version: str, progress: Progress) -> bool:
    """Return whether a database that another process wrote can be used; it is left where it is in any case."""
    fault = fault_of(place, version)
    if fault is not None:
        progress.note(f"{place}: {fault}; it is not used, and its images are read anew; remove it, or read it again")
    return fault is None


def scan_folder(workspace: Workspace) -> Path:
    """Return the folder of a workspace that keeps the store of read images."""
    return workspace.root / _FOLDER


@contextlib.contextmanager
def _locked(place: Path, lock: Path, *, shared: bool = False) -> Iterator[None]:
    with explain_os_errors(lock):
        handle = lock.open("a+")
    with handle:
        with explain_os_errors(lock):
            try:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            except BlockingIOError as err:
                raise StoreError(
                    f"{place}: another process reads images there; wait for it, or give another folder",
                    code="E_STORE_LOCKED",
                ) from err
        yield
