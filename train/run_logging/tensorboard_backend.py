"""TensorBoard: a folder of event files for each link, beside one for the run with its settings, table and bundle.

Events are written by the process itself when a checkpoint is due, and not by the thread of torch's ``SummaryWriter``: an
error of the disk is then raised where it can be caught.
"""

from __future__ import annotations

import io
import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import summary

from weckd_edge.bundle.signing import MANIFEST_FILE
from weckd_edge.train.run_logging.base import Curves, RunLogger, Values

OUTSIDE_KEYS = "shows curves; no result depends on it"


def open_run(name: str, settings: Mapping[str, str], folder: Path, workspace: Path) -> RunLogger:
    """Open the run ``name`` in a folder of event files; ``weckd_edge.train.run_logging.open_run`` says more."""
    return TensorBoardRun(folder / _as_path(name), settings)


class TensorBoardRun:
    """A run in a folder, with a folder below it for each link.

    Args:
        folder: The run's own.
        settings: Every setting by its dotted name.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.path = folder
        self._events = _EventFile(folder, 0)
        self._events.write(summary.text("settings", _table_in_words(("setting", "value"), list(settings.items()))), 0)
        self._events.save()

    def link(self, name: str, settings: Mapping[str, str], scratch: Path) -> Curves:
        # The end of its scratch folder's name is the link's key: links that are called alike stay apart.
        key = scratch.name.rpartition("-")[2][:8]
        return TensorBoardCurves(self.path / f"{_as_path(name)}-{key}", settings)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        self._events.write(summary.text(name, _table_in_words(columns, rows)), 0)
        self._events.save()

    def folder(self, path: Path) -> None:
        manifest = (path / MANIFEST_FILE).read_text(encoding="utf-8")
        self._events.write(summary.text("bundle", f"`{path}`\n\n```json\n{manifest}\n```"), 0)
        self._events.save()

    def close(self, *, failed: bool) -> None:
        self._events.save()


class TensorBoardCurves:
    """Curves of one link in a folder of event files.

    Args:
        folder: The link's own.
        settings: Settings of its training, by their names.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._settings = settings
        self._events: _EventFile | None = None

    def start(self, step: int) -> None:
        self._events = _EventFile(self._folder, step + 1)
        if not step:
            rows = list(self._settings.items())
            self._events.write(summary.text("settings", _table_in_words(("setting", "value"), rows)), 1)
        self._events.save()

    def add(self, step: int, values: Values) -> None:
        if self._events is not None:
            for name, value in values.items():
                self._events.write(summary.scalar(name, value), step)

    def save(self) -> None:
        if self._events is not None:
            self._events.save()

    def end(self) -> None:
        self.save()


class _EventFile:
    """One file of events, which is open only while it is written.

    Args:
        folder: Folder of the file, which is made.
        first: First step of the file; TensorBoard hides what earlier files of the folder hold from this step on.
    """

    def __init__(self, folder: Path, first: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns() // 1000:017d}.weckd-edge.{os.getpid()}"
        self._path = folder / name
        self._waiting = io.BytesIO()
        self._records: Any = RecordWriter(self._waiting)
        self._write(Event(file_version="brain.Event:2"))
        self._write(Event(step=first, session_log=SessionLog(status=SessionLog.START)))

    def write(self, shown: Any, step: int) -> None:
        """Write a summary at a step."""
        self._write(Event(step=step, summary=shown))

    def save(self) -> None:
        """Append what was written since the last time to the file."""
        with self._path.open("ab") as file:
            file.write(self._waiting.getvalue())
        self._waiting.seek(0)
        self._waiting.truncate()

    def _write(self, event: Any) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())


def _as_path(name: str) -> str:
    """Return a name with nothing in it that a folder's name may not hold; slashes stay."""
    return re.sub(r"[^\w./+-]+", "-", name)


def _table_in_words(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table in Markdown, which TensorBoard draws."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)
