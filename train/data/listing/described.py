"""Read folders of images with a table beside them, as Hugging Face and Roboflow lay them out, one for each split or one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from weckd_edge.artifacts import Split
from weckd_edge.config import DataConfig
from weckd_edge.train.data.listing.base import Listing
from weckd_edge.train.data.listing.notes import note
from weckd_edge.train.data.listing.rows import read_csv
from weckd_edge.train.data.listing.splits import is_filler, split_name
from weckd_edge.train.data.listing.system_files import IMAGE_ENDINGS, entries

NAMES = ("metadata.csv", "metadata.jsonl", "_classes.csv")
"""File names of these tables."""


def read_described(root: Path, config: DataConfig) -> Listing | None:
    """Read a folder, or folders of splits, whose images lie beside a table that names their classes.

    Returns:
        The data set's files; None where the folder is laid out otherwise.

    Raises:
        DataError: A table cannot be read.
    """
    found = list(_tables(root))
    if not found:
        return None
    images, bad, notes = [], [], []
    for folder, split, table in found:
        listing = read_csv(table, config)
        before = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        images += [
            replace(image, path=before + image.path, published_split=split or image.published_split)
            for image in listing.images
        ]
        bad += [replace(file, path=before + file.path) for file in listing.bad_files]
        text = f"classes are read from {before}{table.name}" + (f", as the split {split}" if split else "")
        notes += [note("I_TABLE_IN_FOLDER", text), *listing.notes]
    return Listing(images=tuple(images), bad_files=tuple(bad), notes=tuple(dict.fromkeys(notes)))


def _tables(root: Path) -> Iterator[tuple[Path, Split | None, Path]]:
    """Yield the folders whose images a table describes, the split of each, and the table."""
    if table := _table(root):
        yield root, None, table
        return
    for folder in entries(root, Counter()):
        name = split_name(folder.name) if folder.is_dir() else None
        if name is not None and name.split != "unlabelled" and (table := _table(folder)):
            yield folder, name.split, table


def _table(folder: Path) -> Path | None:
    """Return the table of a folder that holds images, or one folder of them, and no folders of classes."""
    inside = entries(folder, Counter())
    table = next((entry for entry in inside if entry.name.lower() in NAMES and entry.is_file()), None)
    folders = [entry for entry in inside if entry.is_dir()]
    loose = any(entry.suffix.lower() in IMAGE_ENDINGS for entry in inside)
    plain = all(is_filler(entry.name) or split_name(entry.name) for entry in folders)
    return table if loose or plain or len(folders) == 1 else None
