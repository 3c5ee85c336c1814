"""Find the roles of a CSV's columns: by the user's options, by the project's own names, and by names that others use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from weckd_edge.artifacts import DataNote
from weckd_edge.config import DataConfig
from weckd_edge.core.bounds import MAX_CLASSES
from weckd_edge.core.errors import DataError, did_you_mean
from weckd_edge.train.data.listing.labels import is_flag, is_missing, ones
from weckd_edge.train.data.listing.notes import counted, note, quoted
from weckd_edge.train.data.listing.splits import split_name, split_of_cell, word_set, words_of
from weckd_edge.train.data.listing.system_files import IMAGE_ENDINGS
from weckd_edge.train.data.listing.tables import DataTable, column

OWN = {
    "path": ("path", "file"),
    "label": ("label",),
    "group": ("group",),
    "split": ("split", "published_split"),
    "exam": ("exam",),
    "time": ("time_s",),
}
"""Names of the columns that the project knows by itself, by role."""

_PATHS: tuple[tuple[str, ...], ...] = (
    ("filename", "file_name", "filepath", "file_path", "image_path", "img_path", "image_file", "image_filename"),
    ("image", "img", "images", "image_name", "img_name", "photo", "picture", "imagename", "imagepath", "fname"),
    ("image_id", "img_id", "imageid", "image_index", "id_code", "isic_id", "isic", "file_id", "id", "name", "index"),
)
"""Names that others give the column of images, the surest first."""

_LABELS = word_set(
    "labels class classes class_name classname class_label label_name category categories diagnosis diagnoses diagnostic dx "
    "target targets finding findings finding_labels species breed grade condition disease pathology ground_truth gt "
    "outcome annotation tag tags class_id label_id class_index category_id y"
)
"""Names that others give the column of classes."""

_WHO = word_set(
    "patient patients patientid pat pid subject subjectid case caseid person participant individual donor animal exam "
    "examid examination study studyid visit encounter lesion lesionid series session specimen slide accession mrn video "
    "clip sequence"
)
_NUMBER = word_set("id ids uid uuid guid no nr num number code key hash")
_BESIDE = frozenset({"instance", "name", "anonymized", "anonymised", "pseudo"})
_CODE = re.compile(r"(?=.*[A-Za-z])(?=.*\d)[\w.\-]{2,40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnRoles:
    """Roles of a table's columns.

    Attributes:
        path: Column of the images.
        label: Column of the classes; None where each class has a column of its own.
        classes: Column of each class, with its title as it is written; empty where one column holds the class.
        group: Column of the groups, which no split cuts; None without one.
        split: Column of the split that the data came with; None without one.
        exam: Column of the examinations; None without one.
        time: Column of the times in an examination, seconds; None without one.
        notes: Decisions, and columns that look useful.
    """

    path: str
    label: str | None
    classes: tuple[tuple[str, str], ...]
    group: str | None
    split: str | None
    exam: str | None
    time: str | None
    notes: tuple[DataNote, ...]

    @property
    def used(self) -> frozenset[str]:
        """Columns that have a role; the others are kept beside each image."""
        own = {name for names in OWN.values() for name in names}
        named = (self.path, self.label, self.group, self.split, self.exam, self.time)
        found = {*named, *(name for name, _ in self.classes)} - {None}
        return frozenset(own | {str(name) for name in found})


def choose_columns(table: DataTable, config: DataConfig, path: Path, is_file: Callable[[str], bool]) -> ColumnRoles:
    """Find the roles of a table's columns.

    Args:
        table: Rows of the CSV.
        config: Settings, of which the columns that the user named are used.
        path: Path of the table, for messages.
        is_file: Returns whether a file lies where a cell says.

    Raises:
        DataError: A named column does not exist, there is none for images or classes, or several may be meant.
    """
    wanted = {
        "path": config.path_column,
        "label": config.label_column,
        "group": config.group_column,
        "split": config.split_column,
        "exam": config.exam_column,
        "time": config.time_column,
    }
    found: dict[str, str | None] = {role: _own(table, role, name, path) for role, name in wanted.items()}
    taken = {name for name in found.values() if name}
    notes = []
    image = found["path"] or _find_path(table, taken, path, is_file)
    if found["path"] is None:
        notes.append(note("I_PATH_COLUMN", f"images are taken from the column '{_title(table, image)}'"))
    taken.add(image)
    label, classes = found["label"], tuple[str, ...]()
    if label is None:
        label, classes = _find_label(table, taken, path)
        if label is not None:
            notes.append(note("I_LABEL_COLUMN", f"classes are taken from the column '{_title(table, label)}'"))
        else:
            names = quoted(some_titles(table, classes))
            notes.append(note("I_ONE_COLUMN_A_CLASS", f"each class has a column of its own: {names}"))
    taken |= {name for name in (label, *classes) if name}
    for name in taken & table.repeated:
        raise DataError(
            f"{path}: expected one column '{name}', found several; rename all but one", code="E_DATA_AMBIGUOUS_COLUMN"
        )
    others = [name for name in table.columns if name not in taken]
    notes += _name_lookalikes(table, others, label, found["group"], found["split"])
    return ColumnRoles(
        path=image,
        label=label,
        classes=tuple((name, _title(table, name)) for name in classes),
        group=found["group"],
        split=found["split"],
        exam=found["exam"],
        time=found["time"],
        notes=tuple(notes),
    )


def some_titles(table: DataTable, names: Sequence[str]) -> list[str]:
    """Return the first few of these columns' titles, as they are written."""
    return [_title(table, name) for name in names[:20]]


def plain(name: str) -> str:
    """Return a column's name in lower case, with one underscore for each run of other signs than letters and digits."""
    return re.sub(r"[\W_]+", "_", name.lower()).strip("_")


def names_label(columns: Sequence[str]) -> bool:
    """Tell whether one of these columns, in lower case, holds classes by its name."""
    return any(name in OWN["label"] or plain(name) in _LABELS for name in columns)


def has_ending(name: str) -> bool:
    """Tell whether a path ends as files of images do."""
    return PurePosixPath(name.replace("\\", "/")).suffix.lower() in IMAGE_ENDINGS


def _title(table: DataTable, name: str) -> str:
    return table.titles[table.columns.index(name)]


def _own(table: DataTable, role: str, name: str | None, path: Path) -> str | None:
    """Return the column of a role that is named, or has the project's own name for it."""
    if name is None:
        return next((own for own in OWN[role] if own in table.columns), None)
    wanted = name.strip().lower()
    if wanted not in table.columns:
        raise DataError(
            f"{path}: expected a column '{name}', as {role}_column (--{role}-column) says, found none"
            f"{did_you_mean(wanted, table.columns)}",
            code="E_DATA_COLUMN",
        )
    return wanted


def _find_path(table: DataTable, taken: set[str], path: Path, is_file: Callable[[str], bool]) -> str:
    free = [name for name in table.columns if name not in taken]
    if first := next((name for name in free if has_ending(name)), None):
        raise DataError(
            f"{path}: expected column names such as path,label in the first line, found one of an image: {first}",
            code="E_DATA_TABLE_SYNTAX",
        )
    for names in _PATHS:
        close = [name for name in free if plain(name) in names]
        if len(close) > 1:
            close = [name for name in close if _names_files(table, name, is_file)] or close
        if len(close) == 1:
            return close[0]
        if close:
            raise DataError(
                f"{path}: several columns may name the images: {quoted(close)}; name one by --path-column (path_column)",
                code="E_DATA_AMBIGUOUS_COLUMN",
            )
    sure = [name for name in free if _names_files(table, name, is_file)]
    if len(sure) == 1:
        return sure[0]
    known = ", ".join(table.columns) or "none"
    raise DataError(
        f"{path}: expected a column 'path (or file)', got the columns {known}; name it by --path-column (path_column)",
        code="E_DATA_COLUMN",
    )


def _names_files(table: DataTable, name: str, is_file: Callable[[str], bool]) -> bool:
    """Tell whether the first cells of a column name files, or look like names of files."""
    cells = [cell for cell in column(table, name) if cell][:20]
    return bool(cells) and all(has_ending(cell) or is_file(cell) for cell in cells)


def _find_label(table: DataTable, taken: set[str], path: Path) -> tuple[str | None, tuple[str, ...]]:
    free = [name for name in table.columns if name not in taken]
    close = [name for name in free if plain(name) in _LABELS]
    flags = _flags(table, free)
    if len(flags) > 1 and set(close) <= set(flags):
        single = _rows_of_one(table, flags)
        if len(close) == 1 and single < len(table.rows):  # a column of classes, and others beside it, such as is_left
            return close[0], ()
        if single * 2 > len(table.rows):
            return None, tuple(flags)
    if len(close) > 1:
        close = _same_labels_twice(table, close)
    if len(close) == 1:
        return close[0], ()
    if close:
        raise DataError(
            f"{path}: several columns may hold the class: {quoted(close)}; name one by --label-column (label_column)",
            code="E_DATA_AMBIGUOUS_COLUMN",
        )
    if len(free) == 1 and 2 <= len(set(column(table, free[0]))) <= min(MAX_CLASSES, len(table.rows) - 1):
        return free[0], ()
    raise DataError(
        f"{path}: expected a column 'label', got the columns {', '.join(table.columns)}; name it by --label-column "
        "(label_column)",
        code="E_DATA_COLUMN",
    )


def _flags(table: DataTable, names: Sequence[str]) -> list[str]:
    """Return the columns of 0 and 1, without those that name a split, unless with them each row has a single 1."""
    flags = [name for name in names if all(is_flag(cell) for cell in column(table, name))]
    classes = [name for name in flags if not _is_flag_of_split(name, [cell for cell in column(table, name) if cell])]
    return flags if classes and _rows_of_one(table, flags) == len(table.rows) else classes


def _rows_of_one(table: DataTable, names: Sequence[str]) -> int:
    """Return the number of rows in which one of these columns has a 1."""
    return sum(len(ones([row.get(name, "") for name in names])) == 1 for _, row in table.rows)


def _same_labels_twice(table: DataTable, names: list[str]) -> list[str]:
    """Return the one column of words, where the others number the same classes; else all of them."""
    pairs = {tuple(row.get(name, "") for name in names) for _, row in table.rows}
    one_to_one = all(len({pair[n] for pair in pairs}) == len(pairs) for n in range(len(names)))
    words = [name for name in names if not all(re.fullmatch(r"-?\d*\.?\d*", cell) for cell in column(table, name))]
    return words if one_to_one and len(words) == 1 else names


def _name_lookalikes(
    table: DataTable, names: Sequence[str], label: str | None, group: str | None, split: str | None
) -> list[DataNote]:
    """Return notes on columns that look like a patient, an examination or a split, with the option that uses them."""
    notes = []
    if split is None:
        for name in names:
            cells = [cell for cell in column(table, name) if not is_missing(cell)]
            kinds = {split_of_cell(cell) for cell in set(cells)}
            title = _title(table, name)
            use = f"use it with --split-column '{title}' (split_column)"
            if _is_flag_of_split(name, cells):
                use = "write train, val or test into a column 'split' to use it"
            elif not cells or None in kinds or (len(kinds) == 1 and "split" not in words_of(name)):
                continue
            notes.append(note("W_SPLIT_COLUMN", f"the column '{title}' looks like a split and is not used; {use}"))
    if group is None:
        for name in names:
            subject = _subject_of(table, name, label)
            if subject:
                title = _title(table, name)
                notes.append(
                    note(
                        "W_GROUP_COLUMN",
                        f"the column '{title}' looks like a patient or an examination ({subject}) and is not used: "
                        f"images of one may lie in training and in test; "
                        f"use it with --group-column '{title}' (group_column)",
                    )
                )
    return notes


def _is_flag_of_split(name: str, cells: Sequence[str]) -> bool:
    """Tell whether a column names a split by numbers: ``is_test``, or the folds of a cross-validation."""
    words = set(words_of(name))
    if words & {"fold", "folds", "kfold"}:
        return len(set(cells)) > 1 and all(cell.removesuffix(".0").isdecimal() for cell in cells)
    return split_name(name) is not None and len(set(cells)) == 2 and all(is_flag(cell) for cell in cells)


def _subject_of(table: DataTable, name: str, label: str | None) -> str:
    """Return the reason why a column looks like who or what was pictured; empty where it does not."""
    cells = [cell for cell in column(table, name) if not is_missing(cell)]
    count = Counter(cells)
    images = max(count.values(), default=0)
    if len(count) < 2 or images < 2 or 2 * len(cells) < len(table.rows):
        return ""
    words = [word for word in words_of(_title(table, name)) if not word.isdecimal()]
    # The name may also say that it is a number, as in "patient id"; "patient age" is no subject.
    named = plain(name) in _WHO or (
        any(word in _WHO for word in words) and all(word in _WHO | _NUMBER | _BESIDE for word in words)
    )
    numbered = any(word in _NUMBER for word in words) or sum(bool(_CODE.fullmatch(cell)) for cell in count) >= 0.9 * len(
        count
    )
    classes = len(set(column(table, label))) if label else 0
    if not named and not (numbered and len(count) > max(classes, 2) and not any(has_ending(cell) for cell in count)):
        return ""
    if not named and len(count) < len(cells) / 20:  # few values for many images name a device or a site
        return ""
    return f"{counted(len(count), 'value')} for {counted(len(cells), 'image')}"  # notes go into reports: no patient's number
