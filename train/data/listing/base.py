"""Records that every layout of a data set is read into."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import Attribute, BadFile, DataNote, Split
from weckd_edge.core.bounds import MAX_CLASSES, MAX_LABEL_BYTES
from weckd_edge.core.errors import DataError
from weckd_edge.core.files import through_stored_links

MAX_CSV_BYTES = 256 << 20
MAX_FILES = 1_000_000
"""Most files of one data set, and lines of a CSV; so many take some gigabytes of memory."""

DEEPEST = 64
"""Deepest nesting of folders."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedImage:
    """File that is named as an image of a data set, not yet opened.

    Attributes:
        path: Path relative to the data set's root, POSIX.
        label: Class name.
        group: Group that the user named; None without one.
        exam: Examination that the user named, which lies in one group; None without one.
        time_s: Time in its examination, seconds; None without one.
        published_split: Split that the data set puts it in; None without one.
        attributes: Cells of further columns.
    """

    path: str
    label: str
    group: str | None = None
    exam: str | None = None
    time_s: float | None = None
    published_split: Split | None = None
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """Data set whose files are named and not yet opened.

    Attributes:
        images: Images, sorted by path.
        bad_files: Images that a CSV gives no label, or several, sorted by path.
        notes: Decisions, and possible faults.
    """

    images: tuple[ListedImage, ...]
    bad_files: tuple[BadFile, ...] = ()
    notes: tuple[DataNote, ...] = ()


def stamp(root: Path, path: str) -> tuple[str, int, int]:
    """Return a file's path, size in bytes and time in ns, which change where it was written; -1 where there is none."""
    try:
        entry = through_stored_links(root / path).stat()
    except (OSError, ValueError):  # the file does not exist, or no file can have this name; reading it says which
        return utf8_path(path), -1, -1
    return utf8_path(path), entry.st_size, entry.st_mtime_ns


def utf8_path(path: str) -> str:
    """Return a path with the bytes that are not UTF-8 written as escapes, so that it can be printed and stored."""
    return path.encode("utf-8", "backslashreplace").decode()


def check_classes(path: Path, images: Sequence[ListedImage]) -> None:
    """Refuse classes that no bundle can hold, and names that a reader cannot tell apart.

    Raises:
        DataError: There are fewer than two classes, too many, or names that cannot be told apart, printed or stored.
    """
    example = {image.label: utf8_path(image.path) for image in reversed(images)}
    labels = sorted(example)
    if len(labels) < 2:
        only = f"only '{labels[0]}'" if labels else "none"
        raise DataError(
            f"{path}: expected images of at least two classes, got {only}; one sub-folder for each class",
            code="E_DATA_FEW_CLASSES",
        )
    if len(labels) > MAX_CLASSES:
        raise DataError(
            f"{path}: expected at most {MAX_CLASSES} classes, as a bundle holds no more, found {len(labels)}",
            code="E_DATA_LIMIT",
        )
    seen: dict[str, str] = {}
    for label in labels:
        plain = " ".join(unicodedata.normalize("NFKC", label).casefold().replace("_", " ").replace("-", " ").split())
        if plain in seen:
            raise DataError(
                f"{path}: the class names '{seen[plain]}' and '{label}' differ only in case, spaces or dashes (such as "
                f"{example[seen[plain]]} and {example[label]}); if they are one class, give it one name",
                code="E_DATA_CLASS_NAME",
            )
        seen[plain] = label
        if not label.isprintable():
            raise DataError(
                f"{path}: the class name {label!r} holds characters that cannot be printed; rename it",
                code="E_DATA_CLASS_NAME",
            )
        if len(label.encode()) > MAX_LABEL_BYTES:
            raise DataError(
                f"{path}: expected class names of at most {MAX_LABEL_BYTES} bytes in UTF-8, as a bundle holds no longer, "
                f"found one of {len(label.encode())} ('{label[:40]}...'); rename it",
                code="E_DATA_CLASS_NAME",
            )
