"""Read a CSV as spreadsheets, programs and competitions write it, in any usual encoding and delimiter."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import DataNote
from weckd_edge.core.errors import DataError
from weckd_edge.core.files import read_bounded
from weckd_edge.train.data.listing import base
from weckd_edge.train.data.listing.notes import note

ENDINGS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson")
"""Endings of files that are read as tables."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8"),
    (codecs.BOM_UTF32_LE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
"""First bytes of a text, Python's name of its encoding and people's name; a mark that begins with another comes first."""

_HEAD_BYTES = 1 << 16
"""Part of a table that shows its columns; the character at its end may be cut."""

_SEP = re.compile(r'\s*"?sep=(.)"?[,;\t]*\r?\n', re.IGNORECASE)
_UNNAMED = re.compile(r"unnamed: \d+")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataTable:
    """Rows of a CSV, or of a file of JSON lines.

    Attributes:
        columns: Names in lower case, in the file's order; an index that a program wrote without a name is left out.
        titles: Names of the columns as they are written.
        repeated: Names that several columns have; the last one's cells count.
        rows: Line number, and cells by column, without the spaces around them; a cell may be missing.
        notes: Remarks on how the file had to be read.
    """

    columns: tuple[str, ...]
    titles: tuple[str, ...]
    repeated: frozenset[str]
    rows: tuple[tuple[int, dict[str, str]], ...]
    notes: tuple[DataNote, ...] = ()


def read_table(path: Path) -> DataTable:
    """Read a CSV, or a file with one JSON object a line.

    The delimiter is a comma, semicolon, tab or bar: the one that a line ``sep=`` names, or the commonest in the header.
    Texts in UTF-8, UTF-16 and UTF-32 are read, and anything else as Windows-1252, with a note.

    Raises:
        DataError: The file is none of these or too large, or a row has more cells than the header.
    """
    return _read(read_bounded(path, at_most=base.MAX_CSV_BYTES, where=str(path), error=DataError), path)


def read_columns(path: Path) -> tuple[str, ...]:
    """Return the names of a table's columns, in lower case, from its first lines alone, whatever its rows hold.

    A file that is no table has names as well, which nobody would give to columns.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as err:
        raise DataError(f"{path}: cannot be read ({err.strerror})", code="E_FILE_UNREADABLE") from err
    marked = next((encoding for mark, encoding, _ in _MARKS if head.startswith(mark)), None)
    text = head.decode(marked or next(_without_mark(head), "utf-8"), "replace")
    if _has_json_lines(path):
        return tuple(dict.fromkeys(name.strip().lower() for line in text.splitlines() for name in _names_of(line)))
    text, delimiter, _ = _open_lines(text)
    titles = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    return tuple(title.strip().lower() for title in titles)


def _names_of(line: str) -> tuple[str, ...]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return ()
    return tuple(found) if isinstance(found, dict) else ()


def _has_json_lines(path: Path) -> bool:
    return path.suffix.lower() in (".jsonl", ".ndjson")


def _read(data: bytes, path: Path) -> DataTable:
    text, notes = _decode(data, path)
    if _has_json_lines(path):
        return _from_json_lines(text, path, notes)
    rest, delimiter, named = _open_lines(text)
    if named:
        notes.append(note("I_SEP_LINE", f"the line 'sep={delimiter}' names the delimiter; it is no row"))
    return _from_lines(rest, delimiter, text[: len(text) - len(rest)].count("\n"), path, notes)


def _open_lines(text: str) -> tuple[str, str, bool]:
    """Return the lines of a CSV from its header on, the delimiter, and whether a line ``sep=`` names it."""
    if sep := _SEP.match(text):
        return text[sep.end() :], sep[1], True
    text = text.lstrip("\r\n")
    header = re.sub(r'"[^"]*"', "", text.partition("\n")[0])
    delimiter = max(",;\t", key=header.count)
    return text, "|" if delimiter not in header and "|" in header else delimiter, False


def _decode(data: bytes, path: Path) -> tuple[str, list[DataNote]]:
    for mark, encoding, name in _MARKS:
        if data.startswith(mark):
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError as err:
                raise DataError(
                    f"{path}: expected a CSV in {name}, as its first bytes say, cannot read it ({err})",
                    code="E_DATA_TABLE_ENCODING",
                ) from err
            notes = (
                [] if name == "UTF-8" else [note("I_ENCODING", f"the CSV is read as {name}; UTF-8 is what others expect")]
            )
            return _plain(text, path), notes
    for encoding in _without_mark(data):
        with contextlib.suppress(UnicodeDecodeError):
            return _plain(data.decode(encoding), path), [note("I_ENCODING", "the CSV is read as UTF-16")]
    try:
        return _plain(data.decode("utf-8"), path), []
    except UnicodeDecodeError as err:
        place = err.start
    try:
        text = _plain(data.decode("cp1252"), path)
    except UnicodeDecodeError:
        text = _plain(data.decode("latin-1"), path)
    return text, [
        note(
            "W_ENCODING",
            f"the CSV is not in UTF-8 and is read as Windows-1252 (Latin-1), in which byte {place} is '{text[place]}'; "
            "where that is wrong, save it as UTF-8",
        )
    ]


def _without_mark(data: bytes) -> Iterator[str]:
    """Yield the encodings in UTF-16 that NULs between the letters of a text without a mark point at."""
    return (encoding for encoding in ("utf-16-le", "utf-16-be") if _nul_fraction(data, encoding) > 0.3)


def _nul_fraction(data: bytes, encoding: str) -> float:
    high = data[1::2] if encoding.endswith("le") else data[::2]
    return high.count(0) / max(1, len(high))


def _plain(text: str, path: Path) -> str:
    """Refuse a file that is no text: one with NULs or control characters among its first."""
    head = text[:4096]
    if head.startswith("PK\x03\x04"):
        raise DataError(
            f"{path}: expected a CSV in UTF-8, found a workbook or an archive; save the sheet as CSV",
            code="E_DATA_TABLE_ENCODING",
        )
    odd = sum(c < " " and c not in "\t\r\n\f" for c in head)
    if odd > len(head) / 100:
        raise DataError(f"{path}: expected a CSV in UTF-8, found something other than text", code="E_DATA_TABLE_ENCODING")
    return text


def _from_lines(text: str, delimiter: str, skipped: int, path: Path, notes: list[DataNote]) -> DataTable:
    rows = []
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = skipped  # of the last line of the row before
    try:
        titles = tuple(cell.strip() for cell in next(lines, ()))
        number = lines.line_num + skipped
        columns = tuple(title.lower() for title in titles)
        for count, cells in enumerate(lines, start=2):
            if count > base.MAX_FILES + 1:
                raise DataError(f"{path}: expected at most {base.MAX_FILES} lines, found more", code="E_DATA_LIMIT")
            number = lines.line_num + skipped
            if not any(cell.strip() for cell in cells):
                continue
            if any(cell.strip() for cell in cells[len(columns) :]):
                raise DataError(
                    f"{path}, line {number}: expected {len(columns)} cells, as the header has, found {len(cells)}; a cell "
                    f"that holds '{delimiter}' stands in double quotes",
                    code="E_DATA_TABLE_SYNTAX",
                )
            rows.append((number, {key: cell.strip() for key, cell in zip(columns, cells, strict=False)}))
    except csv.Error as err:
        raise DataError(
            f"{path}, line {number + 1}: expected a row of a CSV, got something else ({err}); a cell that begins with a "
            "double quote ends with one, and those within it are doubled",
            code="E_DATA_TABLE_SYNTAX",
        ) from err
    return _table(titles, rows, path, notes)


def _from_json_lines(text: str, path: Path, notes: list[DataNote]) -> DataTable:
    titles: dict[str, None] = {}
    rows = []
    for number, line in enumerate(io.StringIO(text), start=1):
        if number > base.MAX_FILES:
            raise DataError(f"{path}: expected at most {base.MAX_FILES} lines, found more", code="E_DATA_LIMIT")
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError) as err:
            raise DataError(
                f"{path}, line {number}: expected a JSON object, found something else ({err})", code="E_DATA_TABLE_SYNTAX"
            ) from err
        if not isinstance(found, dict):
            raise DataError(
                f"{path}, line {number}: expected a JSON object such as {{'file_name': ..., 'label': ...}}",
                code="E_DATA_TABLE_SYNTAX",
            )
        titles.update(dict.fromkeys(found))
        rows.append((number, {key.strip().lower(): _cell(value) for key, value in found.items()}))
    return _table(tuple(title.strip() for title in titles), rows, path, notes)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(titles: tuple[str, ...], rows: list[tuple[int, dict[str, str]]], path: Path, notes: list[DataNote]) -> DataTable:
    kept = [title for title in titles if title and not _UNNAMED.fullmatch(title.lower())]
    count = Counter(title.lower() for title in kept)
    first = {title.lower(): title for title in reversed(kept)}
    columns = tuple(dict.fromkeys(title.lower() for title in kept))
    return DataTable(
        columns=columns,
        titles=tuple(first[column] for column in columns),
        repeated=frozenset(column for column in columns if count[column] > 1),
        rows=tuple(rows),
        notes=tuple(notes),
    )


def column(table: DataTable, name: str) -> Iterator[str]:
    """Return the cells of a column; empty where a row has none."""
    for _, row in table.rows:
        yield row.get(name, "")
