"""Measured latencies of networks with their counts, which estimates are fitted to: a JSON line each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import SCHEMA_VERSION
from weckd_edge.core.errors import ModelError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_data
from weckd_edge.core.store import explain_os_errors
from weckd_edge.devices.latency_model.counts import NetworkCounts, counts_from_data, counts_to_data

MAX_BYTES = 256 << 20
"""Largest file of measurements, bytes."""

NOISY = 0.1
"""Spread over which a time is doubtful, as a fraction of the median."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedNetwork:
    """Measured latency of one network on one device.

    Attributes:
        device: Id of the device's profile.
        host: Processor or board in words.
        backend: Backend that ran the network.
        backend_version: Version of the backend's library.
        threads: Number of processor threads.
        precision: Precision of most of its MACs: ``int8`` or ``float32``.
        network: Name of the network, for people.
        family: Family of the network; networks of one family are left out together, as their errors are alike.
        latency_ns: Lowest of the turns' medians, nanoseconds: that of the turn that was disturbed least.
        noise: Interquartile range of the turns' medians divided by their median.
        counts: Counts of its layers.
        schema_version: Version of this record's fields.
    """

    device: str
    host: str
    backend: str
    backend_version: str
    threads: int
    precision: str
    network: str
    family: str
    latency_ns: int
    noise: float
    counts: NetworkCounts
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if self.latency_ns <= 0:
            raise ModelError(f"latency_ns = {self.latency_ns}: expected a time over 0", code="E_MODEL_MEASUREMENTS")
        if self.schema_version != SCHEMA_VERSION:
            raise ModelError(
                f"schema_version = {self.schema_version}: this version reads {SCHEMA_VERSION}", code="E_MODEL_MEASUREMENTS"
            )

    @property
    def setting(self) -> tuple[str, int]:
        """Backend and threads; latencies of different settings are never fitted together."""
        return self.backend, self.threads


def to_line(timed: TimedNetwork) -> str:
    """Return a measurement as a JSON line without its end, with the digest of the counts."""
    data: dict[str, Any] = {field.name: getattr(timed, field.name) for field in fields(timed)}
    data["counts"] = counts_to_data(timed.counts)
    data["counts_sha256"] = timed.counts.sha256
    return json.dumps(data, sort_keys=True, separators=(",", ":"))


def from_line(line: str, *, where: str) -> TimedNetwork:
    """Read a measurement from a JSON line.

    Raises:
        ModelError: The line is no measurement, or its counts do not have its digest.
    """
    try:
        data = json.loads(line)
    except (ValueError, RecursionError) as err:
        raise ModelError(
            f"{where}: expected a JSON line, found something else ({err})", code="E_MODEL_MEASUREMENTS"
        ) from err
    if not isinstance(data, dict) or "counts" not in data:
        raise ModelError(f"{where}: expected a measurement with the counts of its network", code="E_MODEL_MEASUREMENTS")
    counts = counts_from_data(data.pop("counts"), where=f"{where}: counts")
    digest = data.pop("counts_sha256", None)
    if digest != counts.sha256:
        raise ModelError(
            f"{where}: the counts are not those that were measured (their digest differs); measure again",
            code="E_MODEL_MEASUREMENTS",
        )
    plain = from_data(_MeasurementLine, data, where=where, error=ModelError)
    return TimedNetwork(**{field.name: getattr(plain, field.name) for field in fields(_MeasurementLine)}, counts=counts)


def read_measurements(path: Path) -> tuple[TimedNetwork, ...]:
    """Read a file of measurements; empty lines are left out.

    Raises:
        ModelError: The file cannot be read, or a line is no measurement.
    """
    data = read_bounded(path, at_most=MAX_BYTES, where=str(path), error=ModelError)
    try:
        text = data.decode()
    except UnicodeDecodeError as err:
        raise ModelError(
            f"{path}: expected a file of measurements, cannot read it ({err})", code="E_MODEL_MEASUREMENTS"
        ) from err
    lines = enumerate(text.splitlines(), start=1)
    return tuple(from_line(line, where=f"{path}:{number}") for number, line in lines if line.strip())


def append_measurements(path: Path, measured: Iterable[TimedNetwork]) -> None:
    """Add measurements to a file; it is made where there is none.

    Raises:
        StoreError: The file cannot be written.
    """
    with explain_os_errors(path), path.open("a", encoding="utf-8") as file:
        file.writelines(to_line(timed) + "\n" for timed in measured)


def settings_of(measured: Sequence[TimedNetwork]) -> tuple[tuple[str, int], ...]:
    """Return the settings of measurements, the one with the most measurements first."""
    found: dict[tuple[str, int], int] = {}
    for timed in measured:
        found[timed.setting] = found.get(timed.setting, 0) + 1
    return tuple(sorted(found, key=lambda setting: (-found[setting], setting)))


@dataclass(frozen=True, kw_only=True, slots=True)
class _MeasurementLine:
    """A measurement without its counts."""

    device: str
    host: str
    backend: str
    backend_version: str
    threads: int
    precision: str
    network: str
    family: str
    latency_ns: int
    noise: float
    schema_version: int = SCHEMA_VERSION
