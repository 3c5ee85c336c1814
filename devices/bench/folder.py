"""Folder of a bench: its record, every time and the power readings; times are safe while the run goes on.

While queries are timed the folder holds ``started.json`` (the record as far as it is known) and ``NAME.ns.partial`` (times
so far, 8 bytes each). At the end these two give way to ``measurement.json`` and ``samples.npz``. So a folder without
``measurement.json`` is a run that was cut off, and what it had is read by ``recover_run``.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Latency, Measurement
from weckd_edge.core.errors import StoreError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.core.store import explain_os_errors, write_atomic
from weckd_edge.devices.bench.early_stopping import early_stop
from weckd_edge.devices.bench.percentiles import summarize_latency
from weckd_edge.devices.bench.power.base import Reading
from weckd_edge.devices.bench.power.replay_source import to_lines

RECORD, STARTED, SAMPLES, POWER = "measurement.json", "started.json", "samples.npz", "power.jsonl"
MAX_BYTES = 256 << 20
"""Largest record, and largest file of times beside it, bytes."""

FRAME, NETWORK = "end_to_end", "network"
"""Names of the two runs of a bench, as fields of its record and as file names."""

_PARTIAL = ".ns.partial"


class BenchFolder:
    """The folder of one bench.

    Args:
        folder: The folder; it is made where it is missing.

    Raises:
        StoreError: The folder holds a bench already, or cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        if (folder / RECORD).exists() or (folder / STARTED).exists():
            raise StoreError(
                f"{folder}: expected an empty folder, found a bench; name another one, or remove this one",
                code="E_STORE_OCCUPIED",
            )
        self.folder = folder
        with explain_os_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    @classmethod
    def reopen(cls, folder: Path) -> BenchFolder:
        """Return the folder of a run that was cut off, to finish it."""
        found = cls.__new__(cls)
        found.folder = folder
        return found

    @contextmanager
    def stream(self, name: str, draft: Measurement) -> Iterator[_SampleStream]:
        """Open a file that takes times while a run goes on, with the record so far beside it.

        Args:
            name: Name of the run: ``end_to_end`` or ``network``.
            draft: The record so far; its times are not written.
        """
        write_atomic(self.folder / STARTED, to_json(_without_samples(draft)))
        path = self.folder / f"{name}{_PARTIAL}"
        with explain_os_errors(path), path.open("wb") as file:
            yield _SampleStream(file.fileno())

    def finish(self, measurement: Measurement, readings: Sequence[Reading] = ()) -> None:
        """Write the record and its times, and remove the files that marked the run as unfinished.

        Raises:
            StoreError: A file cannot be written.
        """
        arrays = {FRAME: _as_array(measurement.end_to_end)}
        if measurement.network is not None:
            arrays[NETWORK] = _as_array(measurement.network)
        with explain_os_errors(self.folder):
            temporary = self.folder / f".{SAMPLES}"
            with temporary.open("wb") as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stub wants a bool of every keyword
            temporary.replace(self.folder / SAMPLES)
        if readings:
            write_atomic(self.folder / POWER, to_lines(readings))
        write_atomic(self.folder / RECORD, to_json(_without_samples(measurement)))
        with explain_os_errors(self.folder):
            for path in (self.folder / STARTED, *self.folder.glob(f"*{_PARTIAL}")):
                path.unlink(missing_ok=True)


class _SampleStream:
    """Appends times to an open file, little-endian, and leaves them with the kernel at once."""

    def __init__(self, file: int) -> None:
        self._file = file

    def __call__(self, samples_ns: array[int]) -> None:
        data = memoryview(np.asarray(samples_ns, "<i8").tobytes())
        while data:
            data = data[os.write(self._file, data) :]


def read_bench(folder: Path) -> Measurement:
    """Read a finished bench with every time.

    Raises:
        StoreError: The bench is missing or unfinished (``recover_run`` reads that), or its files do not belong together.
    """
    if not (folder / RECORD).exists():
        hint = "the run was cut off" if (folder / STARTED).exists() else "weckd-edge bench BUNDLE --out FOLDER makes one"
        raise StoreError(f"{folder}: expected {RECORD}, found none; {hint}", code="E_STORE_BENCH")
    record = _read_draft(folder / RECORD)
    found = _read_samples(folder / SAMPLES)
    if FRAME not in found or (record.network is None) != (NETWORK not in found):
        raise StoreError(
            f"{folder / SAMPLES}: expected the times that {RECORD} names, got {', '.join(found) or 'none'}",
            code="E_STORE_BENCH",
        )
    whole = _with_samples(folder, record.end_to_end, found[FRAME])
    network = None if record.network is None else _with_samples(folder, record.network, found[NETWORK])
    return replace(record, end_to_end=whole, network=network)


def _read_samples(path: Path) -> dict[str, NDArray[np.int64]]:
    before = f"{path}: expected the times of this bench, but it cannot be read"
    packed = io.BytesIO(read_bounded(path, at_most=MAX_BYTES, where=before, error=StoreError))
    try:
        unpacked = sum(entry.file_size for entry in zipfile.ZipFile(packed).infolist())
        if unpacked > MAX_BYTES:  # a few bytes may stand for any number of zeros
            raise StoreError(
                f"{path}: expected at most {MAX_BYTES >> 20} MiB of times, found {unpacked >> 20}", code="E_STORE_BENCH"
            )
        packed.seek(0)
        with np.load(packed, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as err:
        raise StoreError(f"{before} ({err})", code="E_STORE_BENCH") from err
    for name, times in found.items():
        if times.ndim != 1 or times.dtype != np.dtype("<i8"):
            raise StoreError(
                f"{path}: expected times as a row of int64, found {times.dtype} {list(times.shape)} ({name})",
                code="E_STORE_BENCH",
            )
    return found


def close_cut_off(folder: Path, reason: str) -> Measurement:
    """Turn a run that was cut off into a finished bench, which can be read as any other and is never VALID.

    Args:
        folder: Folder of the run.
        reason: Why the run ended before its time.

    Raises:
        StoreError: There is no such run, it had no time yet, or a file cannot be written.
    """
    found = replace(recover_run(folder), cut_off=reason)
    BenchFolder.reopen(folder).finish(found)
    return found


def recover_run(folder: Path) -> Measurement:
    """Read a run that was cut off: its times so far, which are never VALID.

    Raises:
        StoreError: There is no such run, or it had no time yet.
    """
    draft = _read_draft(folder / STARTED)
    parts = {}
    for name in (FRAME, NETWORK):
        path = folder / f"{name}{_PARTIAL}"
        data = read_bounded(path, at_most=MAX_BYTES, where=str(path)) if path.exists() else b""
        parts[name] = np.frombuffer(data[: len(data) // 8 * 8], "<i8").tolist()
    if not parts[FRAME]:
        raise StoreError(
            f"{folder}: the run was cut off before its first times were written; run it again", code="E_STORE_BENCH"
        )
    return replace(
        draft,
        end_to_end=summarize_latency(parts[FRAME]),
        network=summarize_latency(parts[NETWORK]) if parts[NETWORK] else None,
        duration_ns=sum(parts[FRAME]),
        rules_met=False,
        early_stopping=tuple(early_stop(parts[FRAME], percent) for percent in (90, 99)),
        warnings=(*draft.warnings, f"the run was cut off after {len(parts[FRAME])} queries"),
    )


def _read_draft(path: Path) -> Measurement:
    text = read_bounded(path, at_most=MAX_BYTES, where=str(path))
    return from_json(Measurement, text, where=str(path), error=StoreError)


def _as_array(latency: Latency) -> NDArray[np.int64]:
    return np.asarray(latency.samples_ns, "<i8")


def _without_samples(measurement: Measurement) -> Measurement:
    network = measurement.network
    return replace(
        measurement,
        end_to_end=replace(measurement.end_to_end, samples_ns=()),
        network=None if network is None else replace(network, samples_ns=()),
    )


def _with_samples(folder: Path, record: Latency, samples_ns: NDArray[np.int64]) -> Latency:
    found = summarize_latency(samples_ns.tolist()) if len(samples_ns) else None
    if found is None or (found.p50_ns, found.p90_ns, found.p99_ns) != (record.p50_ns, record.p90_ns, record.p99_ns):
        raise StoreError(
            f"{folder / SAMPLES}: expected the times of {RECORD}, got others; the folder was changed", code="E_STORE_BENCH"
        )
    return found
