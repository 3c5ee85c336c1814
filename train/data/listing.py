"""Which files there are and what each is labelled: from a folder of ``<label>/<image>`` or from a CSV."""

from __future__ import annotations

import csv
import io
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from weckd_edge.artifacts import Attribute, Split
from weckd_edge.bounds import MOST_CLASSES, MOST_LABEL_BYTES
from weckd_edge.errors import DataError, did_you_mean
from weckd_edge.files import read_bounded
from weckd_edge.store import digest_of, sha256_file

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""How a CSV may call its splits (in any case)."""

MOST_CSV_BYTES = 256 << 20
MOST_FILES = 1_000_000
"""Files of one data set, and lines of a CSV: some gigabytes of memory."""

DEEPEST = 64
"""Folders below each other."""

OWN_COLUMNS = frozenset({"path", "file", "label", "group", "split", "published_split"})
"""Columns of a CSV that have a meaning of their own; all others are kept as they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedImage:
    """One file that is named as data, not yet opened.

    Attributes:
        path: Relative to the data set's root, POSIX.
        label: Class name.
        group: The group the user named, or None.
        published_split: The split the user named, or None.
        attributes: What further columns say of it, by column.
    """

    path: str
    label: str
    group: str | None = None
    published_split: Split | None = None
    attributes: tuple[Attribute, ...] = ()


def data_root(path: Path) -> Path:
    """Return the folder that image paths are relative to: the folder itself, or the one a CSV lies in.

    Raises:
        DataError: There is no such folder or CSV.
    """
    try:
        if path.is_dir():
            return path
        exists = path.exists()
    except OSError as err:
        raise DataError(f"{path}: expected a folder of <label>/<image> or a CSV file ({err.strerror})") from err
    if not exists:
        raise DataError(f"{path}: expected a folder of <label>/<image> or a CSV file, found nothing there")
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise DataError(f"{path}: expected a folder of <label>/<image> or a CSV file, got another kind of file")
    return path.parent


def list_images(path: Path) -> tuple[ListedImage, ...]:
    """List a data set, sorted by path.

    Args:
        path: A folder of ``<label>/<image>`` (folders below a label count for it; hidden names and files beside
            the label folders do not), or a CSV with the columns ``path`` (or ``file``) and ``label`` and, if wanted,
            ``group`` and ``split`` (or ``published_split``); what other columns say is kept beside each image.

    Raises:
        DataError: Nothing is there, it is not laid out like that, or there are fewer than two classes.
    """
    root = data_root(path)
    images = _from_folder(root) if path.is_dir() else _from_csv(path)
    labels = sorted({image.label for image in images})
    if len(labels) < 2:
        only = f"only '{labels[0]}'" if labels else "none"
        raise DataError(f"{path}: expected images of at least two classes, got {only}; one sub-folder for each class")
    _refuse_labels(path, labels)
    return tuple(sorted(images, key=lambda image: image.path))


def fingerprint(path: Path) -> str:
    """Return a digest that changes when a file is added, removed, renamed or written (by its size and time).

    Raises:
        DataError: As ``list_images`` does.
    """
    root = data_root(path)
    entries = []
    for image in list_images(path):
        try:
            entry = (root / image.path).stat()
        except (OSError, ValueError):  # it is not there, or nothing can be called so; reading it says which
            entries.append((utf8_path(image.path), -1, -1))
        else:
            entries.append((utf8_path(image.path), entry.st_size, entry.st_mtime_ns))
    return digest_of([entries, None if path.is_dir() else sha256_file(path)])


def utf8_path(path: str) -> str:
    """Return a path with the bytes that are not UTF-8 written as escapes, so that it can be printed and stored."""
    return path.encode("utf-8", "backslashreplace").decode()


def _refuse_labels(path: Path, labels: Sequence[str]) -> None:
    """Refuse classes that no bundle can hold, and names that are one to a reader."""
    if len(labels) > MOST_CLASSES:
        raise DataError(f"{path}: expected at most {MOST_CLASSES} classes, as a bundle holds no more, found {len(labels)}")
    seen: dict[str, str] = {}
    for label in labels:
        plain = " ".join(unicodedata.normalize("NFKC", label).casefold().replace("_", " ").replace("-", " ").split())
        if plain in seen:
            raise DataError(
                f"{path}: the class names '{seen[plain]}' and '{label}' differ only in case, spaces or dashes; "
                "if they are one class, give it one name"
            )
        seen[plain] = label
        if not label.isprintable():
            raise DataError(f"{path}: the class name {label!r} holds characters that cannot be printed; rename it")
        if len(label.encode()) > MOST_LABEL_BYTES:
            raise DataError(
                f"{path}: expected class names of at most {MOST_LABEL_BYTES} bytes in UTF-8, as a bundle holds no longer, "
                f"found one of {len(label.encode())} ('{label[:40]}...'); rename it"
            )


def _from_folder(root: Path) -> list[ListedImage]:
    folders = sorted(entry for entry in _entries(root) if entry.is_dir())
    if not folders:
        raise DataError(f"{root}: expected one sub-folder for each class with its images inside, found no sub-folder")
    names = [folder.name for folder in folders]
    if all(name.lower() in SPLIT_NAMES for name in names):
        raise DataError(
            f"{root}: expected one sub-folder for each class, found the splits {', '.join(names)}; "
            "name their images in a CSV with a split column, or give one of the folders"
        )
    images = []
    for folder in folders:
        files = list(walk_files(folder))
        if not files:
            raise DataError(f"{folder}: expected images of the class '{folder.name}', found none; fill or remove it")
        images += [ListedImage(path=file.relative_to(root).as_posix(), label=folder.name) for file in files]
    return images


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    except OSError as err:
        raise DataError(f"{folder}: cannot be listed ({err.strerror})") from err


def _identity(folder: Path) -> tuple[int, int]:
    stat = folder.stat()
    return stat.st_dev, stat.st_ino


def walk_files(folder: Path) -> list[Path]:
    """Return every file below a folder, sorted, hidden names left out.

    Each folder is gone through once, however many links lead to it: by its own path where that lies below ``folder``.

    Raises:
        DataError: A folder cannot be listed, or there are too many files or too many folders below each other.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting, links = [folder], list[Path]()
    while waiting or links:
        here = waiting.pop() if waiting else links.pop()
        if len(here.parts) - len(folder.parts) > DEEPEST:
            raise DataError(f"{folder}: expected at most {DEEPEST} folders below each other, found more; lay it out flatter")
        try:
            identity = _identity(here)
            if identity in seen:
                continue
            seen.add(identity)
            for entry in _entries(here):
                if not entry.is_dir():
                    found.append(entry)
                elif entry.is_symlink():
                    links.append(entry)
                else:
                    waiting.append(entry)
        except OSError as err:
            raise DataError(f"{here}: cannot be listed ({err.strerror})") from err
        if len(found) > MOST_FILES:
            raise DataError(f"{folder}: expected at most {MOST_FILES} files, found more")
    return sorted(found)


def _from_csv(path: Path) -> list[ListedImage]:
    rows = _rows(path)
    file_column = "path" if "path" in rows.columns else "file"
    split_column = "split" if "split" in rows.columns else "published_split"
    for column in (file_column, "label"):
        if column not in rows.columns:
            known = ", ".join(rows.columns) or "none"
            wanted = "path (or file)" if column == file_column else column
            raise DataError(f"{path}: expected a column '{wanted}', got the columns {known}")
    further = sorted({c for c in rows.columns if c} - OWN_COLUMNS)
    images: dict[str, ListedImage] = {}
    for line, row in rows.values:
        where = f"{path}, line {line}"
        name = _relative(row.get(file_column, ""), path.parent, where)
        label = row.get("label", "")
        if not label:
            raise DataError(f"{where}: expected a label for {name}, got an empty cell")
        if name in images:
            raise DataError(f"{where}: {name} is named a second time; keep one line for each image")
        images[name] = ListedImage(
            path=name,
            label=label,
            group=row.get("group") or None,
            published_split=_split_name(row.get(split_column, ""), where),
            attributes=tuple(Attribute(column=column, value=row.get(column, "")) for column in further),
        )
    if not images:
        raise DataError(f"{path}: expected one line for each image below the header, found none")
    return list(images.values())


@dataclass(frozen=True, kw_only=True, slots=True)
class _Table:
    columns: tuple[str, ...]
    values: tuple[tuple[int, dict[str, str]], ...]


def _rows(path: Path) -> _Table:
    data = read_bounded(path, at_most=MOST_CSV_BYTES, where=str(path), error=DataError)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise DataError(f"{path}: expected a CSV in UTF-8, cannot read it ({err})") from err
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    values = []
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        columns = tuple(cell.strip().lower() for cell in next(lines, ()))
        for number, cells in enumerate(lines, start=2):
            if number > MOST_FILES + 1:
                raise DataError(f"{path}: expected at most {MOST_FILES} lines, found more")
            if any(cell.strip() for cell in cells):
                values.append((number, {key: cell.strip() for key, cell in zip(columns, cells, strict=False)}))
    except csv.Error as err:
        raise DataError(f"{path}: expected a CSV, got something else ({err})") from err
    return _Table(columns=columns, values=tuple(values))


def _relative(name: str, root: Path, where: str) -> str:
    if not name:
        raise DataError(f"{where}: expected the path of an image, got an empty cell")
    plain = PurePosixPath(name.replace("\\", "/"))
    if plain.is_absolute():
        try:
            plain = PurePosixPath(Path(os.path.normpath(plain)).relative_to(root.resolve()).as_posix())
        except ValueError as err:
            raise DataError(f"{where}: {name} does not lie below the CSV's folder; paths are relative to it") from err
    parts = [part for part in plain.parts if part != "."]
    if ".." in parts or not parts:
        raise DataError(f"{where}: {name} does not lie below the CSV's folder; put the CSV above its images")
    return "/".join(parts)


def _split_name(text: str, where: str) -> Split | None:
    if not text:
        return None
    split = SPLIT_NAMES.get(text.lower())
    if split is None:
        raise DataError(f"{where}: unknown split '{text}'{did_you_mean(text.lower(), SPLIT_NAMES)}")
    return split
