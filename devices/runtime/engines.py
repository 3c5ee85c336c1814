"""Engines that a device has built for a bundle, below its ``device`` folder, which the signature does not cover.

``device/engine.json`` names the engine in use and is replaced in one rename; the engine before it stays, so that going
back (or switching between two power modes) builds nothing.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from weckd_edge.artifacts import SCHEMA_VERSION, FileRef, Precision
from weckd_edge.bundle.files import BundleFolder
from weckd_edge.bundle.reader import DEVICE_FOLDER
from weckd_edge.core.errors import DeviceError, WeckdError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.core.store import check_ref, write_atomic
from weckd_edge.devices.jetson.board import EngineIdentity
from weckd_edge.devices.jetson.engine_layers import EngineLayer, Processor
from weckd_edge.devices.runtime.backends.base import ModelBytes

ENGINE_FILE = "model.engine"
RECORD_FILE = "engine.json"
LAYERS_FILE = "layers.json"
_MAX_RECORD_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerTable:
    """Table of an engine's layers, kept beside it as ``layers.json``.

    Attributes:
        layers: Processor and types of each layer, in the engine's order; empty where TensorRT does not say.
        schema_version: Version of this record's fields.
    """

    layers: tuple[EngineLayer, ...]
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineRecord:
    """One engine that has passed its self-test.

    Attributes:
        key: Digest of the identity.
        identity: Everything that the engine depends on.
        engine: The engine's file, relative to the bundle's ``device`` folder.
        precision: Precision of the graph.
        frames: Number of golden frames that it was tested on.
        max_abs: Largest difference of a probability from the golden predictions.
        flips: Number of golden frames whose decision differs.
        tolerance: Largest difference of a probability that is allowed.
        target: Processor that the engine was built for.
        float_layers: Convolutions and matrix products of an int8 graph that run in floating point.
        fallback_layers: Layers of a DLA's engine that run on the GPU.
        latency_ns: Median time of one golden frame by target, nanoseconds, where both were tried; the faster is in use.
        rival: Key of the engine for the other target, kept for the next comparison.
        previous: Key of the engine that was in use before; None for the first.
        schema_version: Version of this record's fields.
    """

    key: str
    identity: EngineIdentity
    engine: FileRef
    precision: Precision
    frames: int
    max_abs: float
    flips: int
    tolerance: float
    target: Processor = "GPU"
    float_layers: tuple[str, ...] = ()
    fallback_layers: tuple[str, ...] = ()
    latency_ns: dict[str, float] = field(default_factory=dict)
    rival: str | None = None
    previous: str | None = None
    schema_version: int = SCHEMA_VERSION


def engine_folder(bundle: Path, key: str) -> Path:
    """Return the folder of the engine with a key."""
    return bundle / DEVICE_FOLDER / "engines" / key[:16]


def current_record(bundle: Path) -> EngineRecord | None:
    """Return the engine in use, its file checked; None where none was built, or its files are not whole."""
    return _load_record(bundle, bundle / DEVICE_FOLDER / RECORD_FILE)


def named_record(bundle: Path) -> EngineRecord | None:
    """Return the record in ``device/engine.json``, whether or not the engine is whole; None where there is none."""
    return _read_record(bundle / DEVICE_FOLDER / RECORD_FILE)


def record_before(bundle: Path, identity: EngineIdentity) -> EngineRecord | None:
    """Return the engine to go back to from that of an identity: the last other one in use that is whole; None if none is.

    An engine of another module does not count, as the folder was then copied from another device.
    """
    named = named_record(bundle)
    for key in (named.key, named.previous) if named is not None else ():
        kept = stored_record(bundle, key) if key is not None and key != identity.key() else None
        if kept is not None and kept.identity.module == identity.module:
            return kept
    return None


def stored_record(bundle: Path, key: str) -> EngineRecord | None:
    """Return the engine that was built under a key, its file checked; None where there is none."""
    record = _load_record(bundle, engine_folder(bundle, key) / RECORD_FILE)
    return record if record is not None and record.key == key == record.identity.key() else None


def read_engine(bundle: Path, record: EngineRecord) -> ModelBytes:
    """Read an engine and check its digest against the record.

    Raises:
        BundleError: The engine was changed, or is not there any more.
    """
    engine = record.engine
    with BundleFolder(bundle / DEVICE_FOLDER) as below:
        data = below.prove(engine.path, engine.bytes, engine.sha256, keep=True)
    return ModelBytes(path=str(bundle / DEVICE_FOLDER / engine.path), graph=data)


def current_engine(bundle: Path) -> Path:
    """Return the path of the engine in use.

    Raises:
        DeviceError: No engine was built here yet.
    """
    record = current_record(bundle)
    if record is None:
        raise DeviceError(
            f"{bundle}: no engine was built here yet; on the Jetson, run: weckd-edge finalize {bundle}",
            code="E_DEVICE_NO_ENGINE",
        )
    return bundle / DEVICE_FOLDER / record.engine.path


def make_current(bundle: Path, record: EngineRecord) -> None:
    """Put an engine in use, and remove all others but its rival and the one before it.

    Raises:
        StoreError: The bundle cannot be written.
    """
    write_atomic(bundle / DEVICE_FOLDER / RECORD_FILE, to_json(record))
    keep = {record.key[:16], (record.previous or "")[:16], (record.rival or "")[:16]}
    for folder in (bundle / DEVICE_FOLDER / "engines").iterdir():
        if folder.is_dir() and folder.name not in keep:
            shutil.rmtree(folder, ignore_errors=True)


def _load_record(bundle: Path, path: Path) -> EngineRecord | None:
    record = _read_record(path)
    try:
        if record is not None:
            check_ref(bundle / DEVICE_FOLDER, record.engine)
    except (OSError, WeckdError):
        return None
    return record


def _read_record(path: Path) -> EngineRecord | None:
    try:
        raw = read_bounded(path, at_most=_MAX_RECORD_BYTES)
        return from_json(EngineRecord, raw, where=path.name, error=DeviceError)
    except WeckdError:
        return None
