"""What a device has chosen to run, ``device/choice.json``: right ones, and each way to be wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import BuiltModel, FileRef, Manifest
from weckd_edge.core.serialization import to_data

Change = Callable[[dict[str, Any]], object]


def choice(manifest: Manifest, model: BuiltModel, **changes: Any) -> dict[str, Any]:
    """Return the record of a device that chose a model of a manifest."""
    return {
        "key": "a" * 64,
        "identity": {"manifest_sha256": manifest.manifest_sha256},
        "backend": model.backend,
        "precision": model.precision,
        "files": [to_data(ref) for ref in model.files],
        "takes": "pixels" if manifest.input.frame.resize == "area" else "frame",
        "graph_sha256": model.source_sha256,
        "expected": to_data(model.expected),
        "tolerance": model.tolerance,
        "frames": 4,
        "max_abs": 0.0,
        "flips": 0,
        "latency_ns": {f"{model.backend} {model.precision}": 1000.0},
        "left_out": {},
        "previous": None,
        "schema_version": 1,
        **changes,
    }


def write(folder: Path, record: dict[str, Any] | bytes) -> None:
    """Write what a device chose into a bundle's folder."""
    path = folder / "device/choice.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(record if isinstance(record, bytes) else json.dumps(record).encode())


def engine(manifest: Manifest, ref: FileRef, **changes: Any) -> dict[str, Any]:
    """Return the record of a device that built an engine of a manifest's recipe.

    Args:
        manifest: The manifest.
        ref: The engine, below ``device``.
        changes: Other values of the record.
    """
    recipe = next(model for model in manifest.models if model.kind == "recipe")
    record = choice(manifest, recipe, files=[to_data(ref)], graph_sha256=manifest.onnx.sha256)
    return {**record, "identity": {}, **changes}


def put(**changes: Any) -> Change:
    """Change the record."""
    return lambda data: data.update(changes)


def put_file(**changes: Any) -> Change:
    """Change the record's first file."""
    return lambda data: data["files"][0].update(changes)


WRONG: dict[str, Change] = {
    "a model that is not listed": put(precision="fp16"),
    "an unknown precision": put(precision="bf16"),
    "an unknown backend": put(backend="nosuch"),
    "another backend than the files'": put(backend="tensorrt"),
    "no file": put(files=[]),
    "a path outside the bundle": put_file(path="../bundle/model/model.onnx"),
    "a path from the root": put_file(path="/etc/passwd"),
    "a path that leaves device/": put_file(path="device/../model/model.onnx"),
    "a listed file in device/": put_file(path="device/model.onnx"),
    "another digest": put_file(sha256="0" * 64),
    "a digest in capitals": put_file(sha256="A" * 64),
    "another size": put_file(bytes=1),
    "a file twice": lambda data: data["files"].append(data["files"][0]),
    "another graph": put(graph_sha256="0" * 64),
    "another bundle": lambda data: data["identity"].update(manifest_sha256="0" * 64),
    "no predictions": lambda data: data.pop("expected"),
    "other predictions": lambda data: data["expected"].update(sha256="0" * 64),
    "no tolerance": lambda data: data.pop("tolerance"),
    "a tolerance that is not the model's": put(tolerance=0.25),
    "a tolerance beyond half": put(tolerance=0.75),
    "a tolerance below 0": put(tolerance=-1),
    "a tolerance in words": put(tolerance="0.1"),
    "what it takes is unknown": put(takes="tensor"),
    "it takes what the graph does not": lambda data: data.update(
        takes={"frame": "pixels", "pixels": "frame"}[data["takes"]]
    ),
    "nothing about what it takes": lambda data: data.pop("takes"),
    "a key that the format has not": put(more=1),
    "another schema": put(schema_version=2),
    "settings of its own": put(settings={"INFERENCE_PRECISION_HINT": "f16"}),
    "frames in words": put(frames="4"),
}
"""Changes of a right choice after which it is not followed."""

TEXTS: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "a key twice": b'{"key": "a", "key": "b"}',
    "too deep": b"[" * 5000,
    "over 1 MiB": b" " * ((1 << 20) + 1),
}
"""Texts that are no choice."""
