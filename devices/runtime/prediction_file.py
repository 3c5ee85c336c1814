"""Predictions as a file: CSV for a table, JSON lines for a script, one row an image or a frame, written as they come."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, TextIO, TypeVar

from weckd_edge.core.errors import ConfigError
from weckd_edge.core.serialization import to_data
from weckd_edge.core.store import explain_os_errors
from weckd_edge.devices.runtime.decision import Prediction
from weckd_edge.devices.runtime.exam_run import SeenFrame

SUFFIXES = (".csv", ".jsonl")
Writer = TypeVar("Writer")


class PredictionWriter(Protocol):
    """An open file that takes predictions one after another."""

    def write(self, prediction: Prediction) -> None:
        """Write one prediction as one row."""


class FrameWriter(Protocol):
    """An open file that takes the frames of examinations one after another."""

    def write(self, frame: SeenFrame) -> None:
        """Write one frame as one row."""


def write_predictions(path: Path, labels: Sequence[str]) -> AbstractContextManager[PredictionWriter]:
    """Open a file of predictions: ``.csv`` or ``.jsonl``, by its suffix.

    Rows go to ``<path>.part``, which takes the place of ``path`` at the end. So ``path`` is always whole, and what an
    interrupted run had written is kept beside it.

    Args:
        path: The file; it is replaced where it exists.
        labels: Class names, in the order of the columns.

    Raises:
        ConfigError: The name ends in neither suffix.
        StoreError: The file cannot be written.
    """
    return _open_rows(path, lambda file: _CsvWriter(file, labels))


def write_frames(path: Path, labels: Sequence[str]) -> AbstractContextManager[FrameWriter]:
    """Open a file of the frames of examinations, as ``write_predictions`` does one of predictions.

    Raises:
        ConfigError: The name ends in neither suffix.
        StoreError: The file cannot be written.
    """
    return _open_rows(path, lambda file: _CsvFrameWriter(file, labels))


@contextmanager
def _open_rows(path: Path, table: Callable[[TextIO], Writer]) -> Iterator[Writer | _JsonLinesWriter]:
    check_suffix(path)
    part = path.with_name(f"{path.name}.part")
    is_csv = path.suffix.lower() == ".csv"
    with explain_os_errors(part):
        # The name of an image that is not UTF-8: a table keeps its bytes, JSON writes them as escapes.
        errors = "surrogateescape" if is_csv else "backslashreplace"
        with part.open("w", encoding="utf-8", errors=errors, newline="") as file:
            yield table(file) if is_csv else _JsonLinesWriter(file)
        part.replace(path)


def check_suffix(path: Path) -> None:
    """Refuse a file whose name does not say how it is written.

    Raises:
        ConfigError: The name ends in neither ``.csv`` nor ``.jsonl``.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"{path}: expected a name that ends in .csv (a table) or .jsonl (JSON lines)", code="E_CONFIG_VALUE"
        )


class _CsvWriter:
    def __init__(self, file: TextIO, labels: Sequence[str]) -> None:
        self._rows, self._labels = csv.writer(file, lineterminator="\n"), labels
        probabilities = [f"probability_{label}" for label in labels]
        self._rows.writerow(["file", "decision", "label", *probabilities, "code", "reason", "latency_ns"])

    def write(self, prediction: Prediction) -> None:
        probabilities = [prediction.probabilities.get(label, "") for label in self._labels]
        why = [prediction.code or "", prediction.reason or ""]
        latency = "" if prediction.latency_ns is None else prediction.latency_ns
        self._rows.writerow([prediction.file, prediction.decision, prediction.label or "", *probabilities, *why, latency])


class _CsvFrameWriter:
    def __init__(self, file: TextIO, labels: Sequence[str]) -> None:
        self._rows, self._labels = csv.writer(file, lineterminator="\n"), labels
        probabilities = [f"probability_{label}" for label in labels]
        self._rows.writerow(
            ["examination", "frame", "time_s", "file", "use", "label", *probabilities, "code", "reason", "latency_ns"]
        )

    def write(self, frame: SeenFrame) -> None:
        found = frame.found
        time_s = "" if found.time_ns is None else f"{found.time_ns / 1e9:.3f}"
        probabilities = [found.probabilities.get(label, "") for label in self._labels]
        what = [frame.exam, frame.number, time_s, frame.file, found.use, found.label or ""]
        self._rows.writerow([*what, *probabilities, found.code or "", found.reason or "", found.latency_ns])


class _JsonLinesWriter:
    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: Prediction | SeenFrame) -> None:
        self._file.write(json.dumps(to_data(row), ensure_ascii=False, allow_nan=False) + "\n")
