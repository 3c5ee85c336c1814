"""Read a data set from a CSV, each row an image, its class and further columns."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from weckd_edge.artifacts import Attribute, BadFile, DataNote, Split
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import DataError, did_you_mean
from weckd_edge.train.data.listing.base import ListedImage, Listing
from weckd_edge.train.data.listing.columns import ColumnRoles, choose_columns
from weckd_edge.train.data.listing.labels import find_combined, is_flag, is_missing, may_be_missing, ones, parts_of, single
from weckd_edge.train.data.listing.lookup import find_listed_files, is_elsewhere, is_file, relative
from weckd_edge.train.data.listing.notes import counted, note, quoted, some_names
from weckd_edge.train.data.listing.splits import split_of_cell
from weckd_edge.train.data.listing.tables import DataTable, read_table

_SPLITS = ("train", "val", "test", "training", "validation", "testing", "valid", "dev")


def read_csv(path: Path, config: DataConfig) -> Listing:
    """Read a data set from a CSV; images without one label are listed as bad files.

    Raises:
        DataError: The file is no such table, or a row names no image, one twice, or an unknown split.
    """
    table = read_table(path)
    if not table.columns:
        raise DataError(f"{path}: expected a column 'path (or file)', got the columns none", code="E_DATA_COLUMN")
    roles = choose_columns(table, config, path, lambda cell: _is_named(path.parent, cell))
    names = _names(table, roles, path)
    if not names:
        raise DataError(f"{path}: expected one line for each image below the header, found none", code="E_DATA_TABLE_EMPTY")
    found, notes = find_listed_files(names, path.parent, path)
    files = [found.get(name, name) for name in names]
    for file, (line, _) in zip(files, table.rows, strict=True):
        if is_elsewhere(file):
            raise DataError(
                f"{path}, line {line}: {file} does not lie below the CSV's folder, nor does a file of this name; paths are "
                "relative to it",
                code="E_DATA_TABLE_PATH",
            )
    splits, remarks = _splits(table, roles, files, path)
    _refuse_half_named(table, roles, path)
    labels, reasons = _labels(table, roles, path)
    further = sorted(set(table.columns) - roles.used)
    images, bad = [], []
    for file, label, reason, split, (line, row) in zip(files, labels, reasons, splits, table.rows, strict=True):
        if reason:
            bad.append(BadFile(path=file, reason=f"{reason} (line {line})"))
            continue
        images.append(
            ListedImage(
                path=file,
                label=label,
                group=_name(row.get(roles.group or "", "")) or _name(row.get(roles.exam or "", "")),
                exam=_exam(row, roles),
                time_s=_time(row.get(roles.time or "", ""), f"{path}, line {line}"),
                published_split=split,
                attributes=tuple(Attribute(column=column, value=row.get(column, "")) for column in further),
            )
        )
    twice = [file for file, count in Counter([i.path for i in images] + [b.path for b in bad]).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}: {twice[0]} is named by several lines; keep one line for each image", code="E_DATA_TABLE_TWICE"
        )
    notes = [
        *table.notes,
        *roles.notes,
        *notes,
        *remarks,
        *_label_notes(reasons, [image.label for image in images], [title for _, title in roles.classes]),
    ]
    return Listing(images=tuple(images), bad_files=tuple(bad), notes=tuple(notes))


def _is_named(root: Path, cell: str) -> bool:
    try:
        return is_file(root, relative(cell, root, ""))
    except DataError:
        return False


def _names(table: DataTable, roles: ColumnRoles, path: Path) -> list[str]:
    seen: set[str] = set()
    names = []
    for line, row in table.rows:
        name = relative(row.get(roles.path, ""), path.parent, f"{path}, line {line}")
        if name in seen:
            raise DataError(
                f"{path}, line {line}: {name} is named a second time; keep one line for each image",
                code="E_DATA_TABLE_TWICE",
            )
        seen.add(name)
        names.append(name)
    return names


def _labels(table: DataTable, roles: ColumnRoles, path: Path) -> tuple[list[str], list[str]]:
    """Return the label of each row, and the reason why it has none."""
    labels, reasons = [], []
    if roles.label is None:
        titles = [title for _, title in roles.classes]
        for line, row in table.rows:
            cells = [row.get(name, "") for name, _ in roles.classes]
            odd = [cell for cell in cells if not is_flag(cell)]
            if odd:
                raise DataError(
                    f"{path}, line {line}: expected 0 or 1 in the column of each class, found '{odd[0]}'",
                    code="E_DATA_TABLE_CELL",
                )
            marked = ones(cells)
            labels.append(titles[marked[0]] if len(marked) == 1 else "")
            reason = f"several labels: {', '.join(titles[n] for n in marked)}" if marked else "no label: no class has a 1"
            reasons.append("" if len(marked) == 1 else reason)
        return labels, reasons
    cells = [single(row.get(roles.label, "")) for _, row in table.rows]
    combined = find_combined(cell for cell in cells if not is_missing(cell))
    for cell in cells:
        labels.append(cell)
        if is_missing(cell):
            reasons.append(f"no label: the cell is '{cell}'" if cell else "no label: the cell is empty")
        else:
            reasons.append(f"several labels: {', '.join(parts_of(cell))}" if cell in combined else "")
    return labels, reasons


def _label_notes(reasons: Sequence[str], labels: Sequence[str], classes: Sequence[str]) -> list[DataNote]:
    notes = []
    counts = Counter(reason for reason in reasons if reason)
    for start, code, text in (
        ("no label", "W_NO_LABEL", "{} no label ({}) and are left out; a value that is a class needs another name"),
        (
            "several labels",
            "W_SEVERAL_LABELS",
            "{} more than one label ({}) and are left out: classes exclude each other here; keep one label for each image",
        ),
    ):
        kinds = {
            reason.partition(": ")[2].replace(", ", " and "): count
            for reason, count in counts.items()
            if reason.startswith(start)
        }
        if kinds:
            images = counted(sum(kinds.values()), "image has", "images have")
            notes.append(note(code, text.format(images, some_names(sorted(kinds, key=lambda kind: (-kinds[kind], kind))))))
    if classes and (idle := sorted(set(classes) - set(labels))):
        notes.append(note("W_CLASS_WITHOUT_IMAGES", f"no image has the class {quoted(idle)}; it is left out"))
    return [*notes, *label_notes(labels)]


def label_notes(labels: Sequence[str]) -> list[DataNote]:
    """Return notes on classes that may stand for a missing class, or for several in one."""
    classes = Counter(labels)
    notes = []
    if odd := sorted(label for label in classes if may_be_missing(label)):
        notes.append(
            note(
                "W_LABEL_LIKE_MISSING",
                f"the class {quoted(odd)} may stand for images without a label ({sum(classes[label] for label in odd):,}); "
                "they are used as a class",
            )
        )
    if combined := sorted(find_combined(classes)):
        notes.append(
            note(
                "W_LABELS_LOOK_COMBINED", f"{quoted(combined[:3])} looks like several labels in one; it is used as one class"
            )
        )
    return notes


def _name(text: str) -> str | None:
    return None if is_missing(text) else text


def _refuse_half_named(table: DataTable, roles: ColumnRoles, path: Path) -> None:
    """Refuse an examination of which some rows name a group and others none: a split could cut it."""
    if roles.exam is None or roles.group is None:
        return
    has_group: dict[str, bool] = {}
    for line, row in table.rows:
        exam, group = _name(row.get(roles.exam, "")), _name(row.get(roles.group, ""))
        if exam is not None and has_group.setdefault(exam, group is not None) != (group is not None):
            raise DataError(
                f"{path}, line {line}: expected a group in every row of an examination, or in none; this one's has rows of "
                "both kinds",
                code="E_DATA_TABLE_CELL",
            )


def _exam(row: Mapping[str, str], roles: ColumnRoles) -> str | None:
    """Return the name of a row's examination, which lies in one group: two patients may each have an examination 1."""
    exam, group = _name(row.get(roles.exam or "", "")), _name(row.get(roles.group or "", ""))
    return f"{group}/{exam}" if exam and group and group != exam else exam


def _time(text: str, where: str) -> float | None:
    if is_missing(text):
        return None
    try:
        time_s = float(text)
    except ValueError:
        time_s = math.nan
    if not math.isfinite(time_s):
        raise DataError(
            f"{where}: expected the time of the frame in its examination, seconds, found '{text}'", code="E_DATA_TABLE_CELL"
        )
    return time_s


def _splits(
    table: DataTable, roles: ColumnRoles, files: Sequence[str], path: Path
) -> tuple[list[Split | None], list[DataNote]]:
    """Return the split of each image, by its column, or by the folders that all images lie in."""
    if roles.split is not None:
        return [_split(row.get(roles.split, ""), f"{path}, line {line}") for line, row in table.rows], []
    by_folder = [_split_of_folders(file) for file in files]
    if None in by_folder or len(set(by_folder)) < 2:
        return [None] * len(files), []
    return by_folder, [note("I_SPLIT_FOLDERS", "the folders in the images' paths are read as published splits")]


def _split_of_folders(file: str) -> Split | None:
    found = {split for part in PurePosixPath(file).parts[:-1] if (split := split_of_cell(part)) is not None}
    return found.pop() if len(found) == 1 else None


def _split(text: str, where: str) -> Split | None:
    if is_missing(text):
        return None
    split = split_of_cell(text)
    if split is None:
        raise DataError(f"{where}: unknown split '{text}'{did_you_mean(text.lower(), _SPLITS)}", code="E_DATA_TABLE_CELL")
    return split
