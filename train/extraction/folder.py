"""The folder of extracted frames: a sub-folder for each examination, the CSV that a build reads, and what was extracted.

An examination is written whole or not at all, and recorded before it is listed in the CSV. Lines of the CSV are only ever
added: a label that was filled in and a line that was deleted stay so.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import SCHEMA_VERSION
from weckd_edge.core.bounds import plain_name
from weckd_edge.core.errors import DataError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_data, parse_json, to_json
from weckd_edge.core.store import explain_os_errors, write_atomic

MARKER = "EXTRACTED.json"
"""Name of the file that says which videos a folder's frames were extracted from."""

TABLE = "frames.csv"
"""Name of the CSV of the frames."""

COLUMNS = ("path", "label", "group", "exam", "time_s")
"""Columns of the CSV, as a build reads them."""

_MAX_BYTES = 1 << 28


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractedFrame:
    """A frame that was written.

    Attributes:
        path: Path relative to the folder, POSIX.
        time_s: Time in its examination, seconds.
    """

    path: str
    time_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractedExam:
    """An examination whose frames were written.

    Attributes:
        exam: Name of the examination, and of its sub-folder.
        label: Class by the folder that the video lies in; empty where nobody named one.
        sha256: Digest of the video file; of a DICOM file, of its pixels as they are stored.
        frames: The frames, in the order of time; there may be none.
        is_listed: Whether the CSV was given its lines.
    """

    exam: str
    label: str
    sha256: str
    frames: tuple[ExtractedFrame, ...]
    is_listed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractionRecord:
    """Contents of the marker.

    Attributes:
        exams: Examinations, in the order in which they were extracted.
        schema_version: Version of this format.
    """

    exams: tuple[ExtractedExam, ...] = ()
    schema_version: int = SCHEMA_VERSION


class ExtractionFolder:
    """A folder of extracted frames that is open for more.

    Args:
        path: A new or empty folder, or one of an earlier extraction.

    Raises:
        DataError: The folder holds something else, or its table is not one that lines can be added to.
        StoreError: The folder cannot be read or made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        marker = path / MARKER
        with explain_os_errors(path):
            if path.exists() and not marker.exists() and (not path.is_dir() or any(path.iterdir())):
                raise DataError(
                    f"{path}: expected a new or empty folder, or one of an earlier extraction, found something else",
                    code="E_DATA_OUT_OCCUPIED",
                )
            path.mkdir(parents=True, exist_ok=True)
        self._record = ExtractionRecord()
        if marker.exists():
            data = read_bounded(marker, at_most=_MAX_BYTES, where=str(marker), error=DataError)
            self._record = from_data(
                ExtractionRecord, parse_json(data, where=str(marker), error=DataError), where=str(marker), error=DataError
            )
        else:
            self._save()
        self._list_unlisted()

    @property
    def table(self) -> Path:
        """The CSV of the frames."""
        return self.path / TABLE

    def find(self, sha256: str) -> ExtractedExam | None:
        """Return the examination that was extracted from a video file of this digest; None: there is none."""
        return next((exam for exam in self._record.exams if exam.sha256 == sha256), None)

    def free_name(self, wanted: str, sha256: str) -> str:
        """Return a name for an examination that no other one and no other folder here has."""
        name = plain_name(wanted)[:100] or "exam"
        taken = {exam.exam.casefold() for exam in self._record.exams}
        if name.casefold() in taken or (self.path / name).exists():
            name = f"{name}-{sha256[:8]}"
        return name

    def add(self, exam: ExtractedExam) -> None:
        """Record an examination whose frames were written, and list them in the CSV."""
        self._record = replace(self._record, exams=(*self._record.exams, exam))
        self._save()
        self._list_unlisted()

    def _save(self) -> None:
        write_atomic(self.path / MARKER, to_json(self._record))

    def _list_unlisted(self) -> None:
        """List the frames of each examination that was recorded, and whose lines the CSV was not given."""
        columns, text = self._read_table()
        waiting = [exam for exam in self._record.exams if not exam.is_listed]
        if not waiting and self.table.exists():
            return
        listed = {row.get("path", "") for row in csv.DictReader(io.StringIO(text))}
        added = io.StringIO()
        writer = csv.DictWriter(added, columns, restval="", extrasaction="ignore", lineterminator="\n")
        for exam in waiting:
            writer.writerows(row for row in _rows(exam) if row["path"] not in listed)
        write_atomic(self.table, text + added.getvalue())
        self._record = replace(self._record, exams=tuple(replace(exam, is_listed=True) for exam in self._record.exams))
        self._save()

    def _read_table(self) -> tuple[Sequence[str], str]:
        """Return the columns of the CSV, and its text, which ends with a whole line.

        Raises:
            DataError: The first line does not name the columns, or the file is not UTF-8.
        """
        if not self.table.exists():
            return COLUMNS, ",".join(COLUMNS) + "\n"
        data = read_bounded(self.table, at_most=_MAX_BYTES, where=str(self.table), error=DataError)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as err:
            raise DataError(
                f"{self.table}: expected UTF-8, found other bytes; save it as CSV in UTF-8", code="E_DATA_TABLE_ENCODING"
            ) from err
        columns = next(csv.reader(io.StringIO(text)), [])
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise DataError(
                f"{self.table}: expected the columns {', '.join(COLUMNS)}, separated by commas, found none called "
                f"{', '.join(missing)}; name another folder, or put them back",
                code="E_DATA_COLUMN",
            )
        return columns, text if text.endswith("\n") else f"{text}\n"


def _rows(exam: ExtractedExam) -> list[dict[str, str]]:
    return [
        {"path": one.path, "label": exam.label, "group": exam.exam, "exam": exam.exam, "time_s": f"{one.time_s:.3f}"}
        for one in exam.frames
    ]
