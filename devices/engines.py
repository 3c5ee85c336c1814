"""The engines a device has built for a bundle, below its ``device`` folder, outside what was signed.

``device/engine.json`` names the engine in use and is replaced in one rename; the engine before it stays, so that going
back (or switching between two power modes) builds nothing.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import SCHEMA_VERSION, FileRef
from weckd_edge.bundle import DEVICE_FOLDER
from weckd_edge.devices.jetson import EngineIdentity
from weckd_edge.errors import DeviceError, WeckdError
from weckd_edge.schema import from_json, to_json
from weckd_edge.store import check_ref, write_atomic

ENGINE_FILE = "model.engine"
RECORD_FILE = "engine.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineRecord:
    """One engine that has passed its self-test.

    Attributes:
        key: Digest of the identity.
        identity: What the engine depends on.
        engine: The file, relative to the bundle's ``device`` folder.
        precision: Of the graph.
        frames: Golden frames it was tested on.
        max_abs: Largest difference of a probability from the golden answers.
        flips: Golden frames whose decision differs.
        tolerance: Largest difference allowed.
        previous: Key of the engine that was in use before; None for the first.
        schema_version: Of this record.
    """

    key: str
    identity: EngineIdentity
    engine: FileRef
    precision: str
    frames: int
    max_abs: float
    flips: int
    tolerance: float
    previous: str | None = None
    schema_version: int = SCHEMA_VERSION


def engine_folder(bundle: Path, key: str) -> Path:
    """Return where the engine of a key lies."""
    return bundle / DEVICE_FOLDER / "engines" / key[:16]


def current_record(bundle: Path) -> EngineRecord | None:
    """Return the engine in use, its file checked; None where none was built or what is there is not whole."""
    return _load(bundle, bundle / DEVICE_FOLDER / RECORD_FILE)


def record_before(bundle: Path, key: str) -> str | None:
    """Return the key of the engine to go back to from the one of ``key``: the last in use that is another and whole."""
    named = _read(bundle / DEVICE_FOLDER / RECORD_FILE)
    candidates = (named.key, named.previous) if named is not None else ()
    for candidate in candidates:
        if candidate is not None and candidate != key and kept_record(bundle, candidate) is not None:
            return candidate
    return None


def kept_record(bundle: Path, key: str) -> EngineRecord | None:
    """Return the engine that was built under a key, its file checked; None where there is none."""
    record = _load(bundle, engine_folder(bundle, key) / RECORD_FILE)
    return record if record is not None and record.key == key == record.identity.key() else None


def current_engine(bundle: Path) -> Path:
    """Return the engine file in use.

    Raises:
        DeviceError: None was built here yet.
    """
    record = current_record(bundle)
    if record is None:
        raise DeviceError(f"{bundle}: no engine was built here yet; on the Jetson, run: weckd-edge finalize {bundle}")
    return bundle / DEVICE_FOLDER / record.engine.path


def make_current(bundle: Path, record: EngineRecord) -> None:
    """Put an engine in use, and forget every other but the one before it.

    Raises:
        StoreError: The bundle cannot be written.
    """
    write_atomic(bundle / DEVICE_FOLDER / RECORD_FILE, to_json(record))
    keep = {record.key[:16], (record.previous or "")[:16]}
    for folder in (bundle / DEVICE_FOLDER / "engines").iterdir():
        if folder.is_dir() and folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def _load(bundle: Path, path: Path) -> EngineRecord | None:
    record = _read(path)
    try:
        if record is not None:
            check_ref(bundle / DEVICE_FOLDER, record.engine)
    except (OSError, WeckdError):
        return None
    return record


def _read(path: Path) -> EngineRecord | None:
    try:
        return from_json(EngineRecord, path.read_bytes(), where=path.name, error=DeviceError)
    except (OSError, WeckdError):
        return None
