"""What a peer is asked to do, and what comes back: the one format of all peers, in plain JSON.

Importable in every peer's environment: the standard library, NumPy and Pillow alone. A peer is a module in ``programs/``
with three functions:

- ``build(job) -> Built``: from the folders of images to what a device would be given.
- ``open_deployed(job, built) -> Predict``: that, opened as a device would.
- ``open_trained(job, built) -> Predict``: the trained network before its conversion; None where it cannot be had.

``Predict`` takes a decoded frame, uint8 RGB ``[H, W, 3]`` of any size, and returns the probability of each class, in the
order of ``Job.labels``. What a user would write by hand stands between the marks of ``BEGIN`` and ``END``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

SCHEMA_VERSION = 1
SPLITS = ("train", "val", "test")
BEGIN, END = "# user: ", "# end of user"
"""Marks around what a user would write: ``# user: NAME`` and ``# end of user``."""
BUILT = "built.json"
"""File that holds what a build left."""
TIMES = "times: "
"""Beginning of a line of times; what libraries print beside it does not matter."""

Frame = NDArray[np.uint8]
Predict = Callable[[Frame], NDArray[np.float64]]
T = TypeVar("T")


class FormatError(ValueError):
    """A job or a result is not as it should be; the message is one line."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One piece of work for one peer.

    Attributes:
        peer: Name of the peer.
        data: Folder of ``train/CLASS``, ``val/CLASS`` and ``test/CLASS``; the last is never shown to ``build``'s training.
        labels: Class names, sorted.
        folder: Folder for everything that the peer writes.
        size: Side of the network's input, pixels.
        seconds: Wall-clock time of training in all, seconds.
        threads: Number of processor threads for the training.
        seed: Seed of everything that is drawn.
        weights: Checkpoint of the backbone (safetensors); None: the networks start from random weights.
        network: Folder of a finished piece of another peer whose trained network is taken over; None: none is.
        schema_version: Version of this record.
    """

    peer: str
    data: str
    labels: tuple[str, ...]
    folder: str
    size: int
    seconds: float
    threads: int
    seed: int
    weights: str | None
    network: str | None
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        _check(len(self.labels) >= 2, f"job of {self.peer}: expected two classes or more, got {len(self.labels)}")
        _check(self.seconds > 0, f"job of {self.peer}: expected seconds of training over 0, got {self.seconds}")
        _check(self.threads >= 1, f"job of {self.peer}: expected 1 thread or more, got {self.threads}")


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a peer's ``build`` leaves.

    Attributes:
        deployed: File or folder that a device would be given, relative to the job's folder.
        network: Files of the network in it, without what stands beside them.
        training_seconds: Wall-clock time of the training, seconds.
        steps: Number of gradient steps; None where the tool does not tell.
        verification_seconds: Time, within ``build``, of what checks and documents the artefact but does not make it,
            seconds; None where the tool has no such part.
        planning_seconds: Time, within ``build``, that it took to fit the training to the job's time, seconds; a user would
            not spend it, and it is taken off.
        seconds_before: Time of what was taken over from another peer's piece, seconds.
        notes: Sentences that a reader of the tables must know.
    """

    deployed: str
    network: tuple[str, ...]
    training_seconds: float
    steps: int | None
    verification_seconds: float | None = None
    planning_seconds: float = 0.0
    seconds_before: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Latency:
    """End-to-end latency on one core, from a decoded frame to probabilities.

    Attributes:
        p50_ms: Median, milliseconds.
        p90_ms: 90th percentile, milliseconds.
        frames: Number of frames that were timed.
        ours_p50_ms: Median of this project's artefact, timed in turn with it, milliseconds; None where there was none.
        over_ours: Its median over ours in one turn, the median over turns; None where there was none.
    """

    p50_ms: float
    p90_ms: float
    frames: int
    ours_p50_ms: float | None = None
    over_ours: float | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What comes back from a peer.

    Attributes:
        images: Path of each test image below ``test/``.
        deployed: Probabilities that the deployed artefact predicts, ``[N][classes]``, in the order of ``Job.labels``.
        trained: Those of the trained network before its conversion; None where it cannot be had.
        latency: Latency by the frames' size: ``own size`` or ``640x480``.
        deployed_bytes: Size on disk of all that is deployed.
        network_bytes: Size on disk of the network in it.
        resident_bytes: Resident memory of a process that opened the artefact and predicted some frames.
        peak_bytes: Its largest resident memory.
        seconds: From the folder of images to the artefact, wall-clock, with ``seconds_before`` and without
            ``planning_seconds``.
        built: What ``build`` told.
        lines: Lines that a user would have written.
        versions: Versions of the tool and of the libraries that it was run with.
        schema_version: Version of this record.
    """

    images: tuple[str, ...]
    deployed: tuple[tuple[float, ...], ...]
    trained: tuple[tuple[float, ...], ...] | None
    latency: dict[str, Latency]
    deployed_bytes: int
    network_bytes: int
    resident_bytes: int
    peak_bytes: int
    seconds: float
    built: Built
    lines: int
    versions: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION


def write(path: Path, record: Any) -> None:
    """Write a record as JSON."""
    path.write_text(json.dumps(asdict(record), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read_job(path: Path) -> Job:
    """Read a job.

    Raises:
        FormatError: It is none, or of another version.
    """
    return _record(Job, json.loads(path.read_text(encoding="utf-8")), {"labels": tuple})


def read_built(path: Path) -> Built:
    """Read what a peer's build left.

    Raises:
        FormatError: It is not what ``write`` writes.
    """
    return built_of(json.loads(path.read_text(encoding="utf-8")))


def built_of(data: Mapping[str, Any]) -> Built:
    """Return what a peer's build left, from plain data.

    Raises:
        FormatError: A field is missing or unknown.
    """
    return _record(Built, data, {"network": tuple, "notes": tuple})


def result_of(data: Mapping[str, Any], labels: Sequence[str]) -> Result:
    """Return a result from plain data.

    Args:
        data: The result as JSON holds it.
        labels: Class names of its job.

    Raises:
        FormatError: A field is missing or unknown, or a value cannot be; one line says which.
    """

    def rows(found: Sequence[Sequence[float]] | None) -> tuple[tuple[float, ...], ...] | None:
        return None if found is None else tuple(tuple(row) for row in found)

    def latencies(found: Mapping[str, Any]) -> dict[str, Latency]:
        return {size: _record(Latency, one, {}) for size, one in found.items()}

    result = _record(
        Result, data, {"images": tuple, "deployed": rows, "trained": rows, "latency": latencies, "built": built_of}
    )
    check(result, labels)
    return result


def check(result: Result, labels: Sequence[str]) -> None:
    """Refuse a result that cannot be one.

    Raises:
        FormatError: Probabilities are missing, are none, or do not sum to 1; or a measurement is not over 0.
    """
    for name, rows in (("deployed", result.deployed), ("trained", result.trained)):
        if rows is None:
            continue
        _check(
            len(rows) == len(result.images),
            f"{name}: expected a prediction for each of {len(result.images)} test images, got {len(rows)}",
        )
        for image, row in zip(result.images, rows, strict=True):
            _check(len(row) == len(labels), f"{name}: {image}: expected {len(labels)} probabilities, got {len(row)}")
            fine = all(math.isfinite(value) and -1e-6 <= value <= 1 + 1e-3 for value in row) and abs(sum(row) - 1) < 1e-2
            _check(fine, f"{name}: {image}: expected probabilities that sum to 1, got {[round(value, 4) for value in row]}")
    _check(bool(result.images), "expected predictions of at least one test image, got none")
    _check(bool(result.latency), "expected latencies of at least one size of frames, got none")
    for size, one in result.latency.items():
        _check(0 < one.p50_ms <= one.p90_ms, f"latency of {size}: expected 0 < p50 <= p90, got {one.p50_ms}, {one.p90_ms}")
    for name in ("deployed_bytes", "network_bytes", "resident_bytes", "seconds", "lines"):
        value = getattr(result, name)
        _check(value > 0, f"{name}: expected more than 0, got {value}")


def count_lines(source: str, parts: Sequence[str]) -> int:
    """Count the lines that a user would write: those between the marks, but for empty ones, comments and docstrings.

    Args:
        source: Text of a peer's program.
        parts: Names of the parts that are counted.

    Raises:
        FormatError: A part is not marked, or a mark has no end.
    """
    found: dict[str, int] = {}
    name: str | None = None
    quoted = False
    for line in (line.strip() for line in source.splitlines()):
        if line.startswith(BEGIN):
            _check(name is None, f"part '{name}': expected its end before '{line}'")
            name = line.removeprefix(BEGIN)
            found[name] = 0
        elif line == END:
            name = None
        elif name is not None:
            marks = line.count('"""')
            if not (quoted or marks or not line or line.startswith("#")):
                found[name] += 1
            quoted ^= marks % 2 == 1
    _check(name is None, f"part '{name}': expected '{END}' behind it, found the end of the file")
    missing = [part for part in parts if part not in found]
    _check(not missing, f"expected a part '{BEGIN}{''.join(missing[:1])}', found {', '.join(found) or 'none'}")
    return sum(found[part] for part in parts)


def _record(kind: type[T], data: Mapping[str, Any], convert: Mapping[str, Callable[[Any], Any]]) -> T:
    if not isinstance(data, Mapping):
        raise FormatError(f"{kind.__name__}: expected a table of fields, got {type(data).__name__}")
    version = data.get("schema_version", SCHEMA_VERSION)
    _check(version == SCHEMA_VERSION, f"{kind.__name__}: expected version {SCHEMA_VERSION} of the format, got {version}")
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]  # only dataclasses are read
    unknown = sorted(set(data) - names)
    _check(not unknown, f"{kind.__name__}: unknown field '{''.join(unknown[:1])}'")
    try:
        return kind(**{key: convert[key](value) if key in convert else value for key, value in data.items()})
    except TypeError as err:
        raise FormatError(f"{kind.__name__}: {err}") from err


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise FormatError(message)
