"""Read one shard of a data set: the part that one of several processes or machines decodes for all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import BadFile
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import Progress
from weckd_edge.core.serialization import to_data
from weckd_edge.core.store import sha256_bytes
from weckd_edge.train.data.listing import data_root, list_data, utf8_path
from weckd_edge.train.data.listing.notes import counted
from weckd_edge.train.data.scan import scan
from weckd_edge.train.data.scan_store import open_scan_store

MAX_SHARDS = 256
"""Most shards of one data set; a process that reads all of them opens so many files."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One of several parts of a data set, about equal; a file's path alone says which part it is in.

    Attributes:
        number: Number of the shard, from 1.
        count: Number of shards.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Return the shard that a text names, such as ``3/8``.

        Raises:
            ConfigError: The text is not written so, or there is no such shard.
        """
        numbers = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
        if numbers is None:
            raise ConfigError(
                f"--shard {text}: expected NUMBER/COUNT, such as 3/8 for the third of eight shards", code="E_CONFIG_VALUE"
            )
        number, count = int(numbers[1]), int(numbers[2])
        if not 1 <= count <= MAX_SHARDS:
            raise ConfigError(f"--shard {text}: expected 1 to {MAX_SHARDS} shards, got {count}", code="E_CONFIG_RANGE")
        if not 1 <= number <= count:
            raise ConfigError(
                f"--shard {text}: expected a shard from 1/{count} to {count}/{count}, got {number}", code="E_CONFIG_RANGE"
            )
        return cls(number=number, count=count)

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def file(self) -> str:
        """Name of the database that keeps what was read of it."""
        return f"shard-{self.number}-of-{self.count}.sqlite"

    def holds(self, path: str) -> bool:
        """Tell whether a file is in this shard.

        Args:
            path: Path relative to the data set's root, POSIX.
        """
        return int(sha256_bytes(utf8_path(path).encode())[:16], 16) % self.count == self.number - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardReport:
    """What was read of a shard.

    Attributes:
        shard: The shard.
        place: File that keeps what was read.
        images: Number of readable images in it.
        bad_files: Files in it that cannot be read.
    """

    shard: Shard
    place: Path
    images: int
    bad_files: tuple[BadFile, ...]

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints: stable keys, plain data."""
        return {
            "shard": self.shard.number,
            "shards": self.shard.count,
            "file": str(self.place),
            "images": self.images,
            "bad_files": to_data(self.bad_files),
        }


def read_shard(path: Path, shard: Shard, cache: Path, progress: Progress, config: DataConfig) -> ShardReport:
    """Decode the images of one shard and keep what was read, for a check, a split, an audit or a build of the data set.

    Images that this shard has read before, or a run of the whole data set, are not decoded again.

    Args:
        path: A folder or a CSV, in a layout of ``list_data``.
        shard: The part of the data set that is read.
        cache: Folder that keeps what was read, the same for every shard.
        progress: Receiver of the progress.
        config: Settings, of which the columns are used.

    Raises:
        ConfigError: Columns are named for a folder.
        DataError: Nothing is there, or it is not laid out as a data set.
        StoreError: The cache cannot be used.
    """
    with open_scan_store(cache, progress, shard.file) as store:
        root, listed = data_root(path), list_data(path, config).images
        own = [image for image in listed if shard.holds(image.path)]
        progress.note(f"shard {shard}: {len(own):,} of {counted(len(listed), 'image')}")
        found = scan(root, own, progress, store=store)
    return ShardReport(shard=shard, place=store.place, images=len(found.images), bad_files=found.bad_files)
