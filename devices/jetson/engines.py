"""Engines that a Jetson has built for a bundle, each in a folder of its own below ``device/engines``."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import SCHEMA_VERSION, FileRef, Precision, Takes
from weckd_edge.bundle.reader import DEVICE_FOLDER
from weckd_edge.core.errors import DeviceError, WeckdError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_json
from weckd_edge.core.store import check_ref
from weckd_edge.devices.jetson.board import EngineIdentity
from weckd_edge.devices.jetson.engine_layers import EngineLayer, Processor
from weckd_edge.devices.runtime.device_choice import kept_choices

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
    """One engine that has passed its self-test, kept beside it as ``engine.json``.

    Attributes:
        key: Digest of the identity.
        identity: Everything that the engine depends on.
        engine: The engine's file, relative to the bundle's folder.
        precision: Precision that its layers with weights run in.
        takes: Input of the engine: the resized pixels, or the camera frame, which it crops and resizes itself.
        frames: Number of golden frames that it was tested on.
        max_abs: Largest difference of a probability from the golden predictions.
        flips: Number of golden frames whose decision differs.
        tolerance: Largest difference of a probability that is allowed.
        target: Processor that the engine was built for.
        float_layers: Convolutions and matrix products of an int8 graph that run in floating point.
        fallback_layers: Layers of a DLA's engine that run on the GPU.
        schema_version: Version of this record's fields.
    """

    key: str
    identity: EngineIdentity
    engine: FileRef
    precision: Precision
    takes: Takes
    frames: int
    max_abs: float
    flips: int
    tolerance: float
    target: Processor = "GPU"
    float_layers: tuple[str, ...] = ()
    fallback_layers: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


def engine_folder(bundle: Path, key: str) -> Path:
    """Return the folder of the engine with a key."""
    return bundle / DEVICE_FOLDER / "engines" / key[:16]


def stored_engine(bundle: Path, key: str) -> EngineRecord | None:
    """Return the engine that was built under a key, its file checked; None where there is none."""
    record = _read_record(engine_folder(bundle, key) / RECORD_FILE)
    try:
        if record is not None:
            check_ref(bundle, record.engine)
    except (OSError, WeckdError):
        return None
    return record if record is not None and record.key == key == record.identity.key() else None


def remove_other_engines(bundle: Path) -> None:
    """Remove all engines but those of the kept choices, and those that were built with them for a comparison.

    These have the same graph, TensorRT, module, L4T and power mode, in another form or for another processor.
    """
    identities = [choice.identity for choice in kept_choices(bundle)]
    kept = {place_of(identity) for identity in identities if isinstance(identity, EngineIdentity)}
    for folder in (bundle / DEVICE_FOLDER / "engines").iterdir():
        record = _read_record(folder / RECORD_FILE)
        if folder.is_dir() and (record is None or place_of(record.identity) not in kept):
            shutil.rmtree(folder, ignore_errors=True)


def place_of(identity: EngineIdentity) -> EngineIdentity:
    """Return what an engine depends on without its graph and flags: what all engines that are compared here share."""
    return replace(identity, graph_sha256="", flags=())


def _read_record(path: Path) -> EngineRecord | None:
    try:
        raw = read_bounded(path, at_most=_MAX_RECORD_BYTES)
        return from_json(EngineRecord, raw, where=path.name, error=DeviceError)
    except WeckdError:
        return None
