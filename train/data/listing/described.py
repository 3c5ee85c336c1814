"""Read folders of images with a table beside them: of classes, as Hugging Face and Roboflow lay it out, or of groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from weckd_edge.artifacts import DataNote, Split
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import DataError
from weckd_edge.train.data.listing.base import Listing
from weckd_edge.train.data.listing.columns import OWN, names_label
from weckd_edge.train.data.listing.notes import counted, note, quoted, some_names
from weckd_edge.train.data.listing.rows import read_csv
from weckd_edge.train.data.listing.splits import is_filler, split_name
from weckd_edge.train.data.listing.system_files import IMAGE_ENDINGS, entries, walk
from weckd_edge.train.data.listing.tables import ENDINGS, read_columns

NAMES = ("metadata.csv", "metadata.jsonl", "_classes.csv")
"""File names of tables that name classes."""


def read_described(root: Path, config: DataConfig) -> Listing | None:
    """Read a folder, or folders of splits, whose images lie beside a table that names their classes.

    Returns:
        The data set's files; None where the folder is laid out otherwise.

    Raises:
        DataError: A table cannot be read, or a split has folders of classes instead of one.
    """
    found = list(_tables(root))
    if not found:
        return None
    images, bad, notes = [], [], list(_without_table(root, found))
    for folder, split, table in found:
        listing = read_csv(table, config)
        before = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        images += [
            replace(image, path=before + image.path, published_split=split or image.published_split)
            for image in listing.images
        ]
        bad += [replace(file, path=before + file.path) for file in listing.bad_files]
        text = f"classes are read from {before}{table.name}" + (f", as the split {split}" if split else "")
        notes += [note("I_TABLE_IN_FOLDER", text), *_left_out(folder, listing, f"{before}{table.name}"), *listing.notes]
    return Listing(images=tuple(images), bad_files=tuple(bad), notes=tuple(dict.fromkeys(notes)))


def _without_table(root: Path, found: Sequence[tuple[Path, Split | None, Path]]) -> Iterator[DataNote]:
    """Yield notes on the folders beside those with a table whose images are left out.

    Raises:
        DataError: A folder without a table is a split, and has folders of classes.
    """
    described = {folder for folder, _, _ in found}
    if root in described:
        return
    for folder in entries(root, Counter()):
        if folder in described or not folder.is_dir():
            continue
        files = [file.relative_to(folder) for file in walk(folder).files if file.suffix.lower() in IMAGE_ENDINGS]
        images, name = counted(len(files), "image"), split_name(folder.name)
        if not files:
            continue
        if name is None:
            yield note("W_NOT_IN_TABLE", f"no table names the {images} of the folder '{folder.name}', which are left out")
        elif name.split == "unlabelled" or _are_plain({part for file in files for part in file.parts[:-1]}):
            yield note("W_UNLABELLED_SPLIT", f"the folder '{folder.name}' has no table: its {images} are left out")
        else:
            raise DataError(
                f"{root}: expected a table in each split, as {found[0][2].relative_to(root).as_posix()} is, found "
                f"folders of classes in '{folder.name}', with {images}; write a table beside its images, or move the others "
                "away, so that all classes are read from folders",
                code="E_DATA_LAYOUT",
            )


def read_grouped(root: Path, config: DataConfig) -> Listing | None:
    """Read a folder of classes beside a table that says, in this project's columns, which images belong together.

    Without the table, a split could cut what its user knows to be one patient.

    Returns:
        What the table names; None where there is no such table.

    Raises:
        DataError: There are several, or the table cannot be read.
    """
    tables = [entry for entry in entries(root, Counter()) if entry.is_file() and _names_groups(entry)]
    if not tables:
        return None
    if len(tables) > 1:
        raise DataError(
            f"{root}: several tables say which images belong together: {quoted(table.name for table in tables)}; give one "
            "of them instead of the folder",
            code="E_DATA_AMBIGUOUS_TABLE",
        )
    listing, name = read_csv(tables[0], config), tables[0].name
    groups = counted(len({image.group for image in listing.images}), "group")
    table = note("I_TABLE_IN_FOLDER", f"images, classes and {groups} are read from {name}")
    return replace(listing, notes=(table, *_left_out(root, listing, name), *listing.notes))


def _left_out(folder: Path, listing: Listing, table: str) -> Iterator[DataNote]:
    """Yield a note on the images of a folder that its table does not name."""
    named = {image.path for image in listing.images} | {file.path for file in listing.bad_files}
    files = (file.relative_to(folder).as_posix() for file in walk(folder).files if file.suffix.lower() in IMAGE_ENDINGS)
    others = sorted(file for file in files if file not in named)
    if others:
        images = counted(len(others), "image")
        yield note(
            "W_NOT_IN_TABLE", f"{table} does not name {images} of the folder, which are left out: {some_names(others)}"
        )


def _names_groups(path: Path) -> bool:
    """Tell whether a file is a table with columns of images, of classes, and of groups or examinations."""
    if path.suffix.lower() not in ENDINGS:
        return False
    columns = set(read_columns(path))
    roles = {role for role, names in OWN.items() if columns & set(names)}
    return {"path", "label"} <= roles and bool(roles & {"group", "exam"})


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
    if table is None or loose or len(folders) == 1:
        return table
    return table if _are_plain([entry.name for entry in folders], has_labels=names_label(read_columns(table))) else None


def _are_plain(names: Collection[str], *, has_labels: bool = False) -> bool:
    """Tell whether folders of these names only hold images, and are no classes.

    Several numbers are classes, unless a table has a column of classes by its name: they are parts of a large folder then.
    """
    numbers = sum(name.isdecimal() for name in names)
    return all(is_filler(name) or split_name(name) for name in names) and (numbers < 2 or has_labels)
