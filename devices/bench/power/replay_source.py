"""A recorded file in place of a meter: of a bench elsewhere, or of a meter that this package does not know.

A line is a JSON object: ``at_ns`` with ``power_mw`` or ``energy_mj``. ``bench --out`` writes such a file (``power.jsonl``).
"""

from __future__ import annotations

import json
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path

from weckd_edge.core.errors import ConfigError, WeckdError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_data, to_data
from weckd_edge.devices.bench.power.base import PowerSourceError, Reading

MAX_BYTES = 256 << 20
"""Largest recorded file, bytes."""


class ReplaySource:
    """Plays recorded readings back by the time since the first ``read``; after the last one the source has gone."""

    name = "replay"

    def __init__(self, path: Path, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._readings = read_recording(path)
        self._times = [reading.at_ns - self._readings[0].at_ns for reading in self._readings]
        self._path, self._clock = path, clock
        self._start_ns: int | None = None
        self.rails: tuple[str, ...] = (path.name,)
        steps = [after - before for before, after in pairwise(self._times)]
        self.period_s = max(min(steps, default=1_000_000_000) / 1e9, 0.001)

    def read(self) -> Reading | None:
        now = self._clock()
        if self._start_ns is None:
            self._start_ns = now
        passed = now - self._start_ns
        index = bisect_right(self._times, passed) - 1
        if index == len(self._times) - 1 and passed > self._times[-1] + self.period_s * 1e9:
            raise PowerSourceError(
                f"{self._path}: the record ends after {self._times[-1] / 1e9:.1f} s; record a longer run",
                code="E_DEVICE_POWER_SOURCE",
            )
        found = self._readings[index]
        return Reading(at_ns=self._start_ns + self._times[index], power_mw=found.power_mw, energy_mj=found.energy_mj)

    def close(self) -> None:
        return None


def read_recording(path: Path) -> list[Reading]:
    """Read a recorded file.

    Raises:
        ConfigError: The file is missing or empty, or holds something else.
    """
    data = read_bounded(path, at_most=MAX_BYTES, where=f"{path}: expected a recorded power file", error=ConfigError)
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as err:
        raise ConfigError(
            f"{path}: expected a recorded power file, but it cannot be read ({err})", code="E_CONFIG_POWER_FILE"
        ) from err
    found: list[Reading] = []
    for number, line in enumerate(lines, start=1):
        try:
            reading = from_data(Reading, json.loads(line))
        except (ValueError, RecursionError, WeckdError) as err:
            raise ConfigError(
                f"{path}:{number}: expected at_ns with power_mw or energy_mj ({err})", code="E_CONFIG_POWER_FILE"
            ) from err
        if (reading.power_mw is None) == (reading.energy_mj is None):
            raise ConfigError(f"{path}:{number}: expected either power_mw or energy_mj", code="E_CONFIG_POWER_FILE")
        if found and (reading.at_ns < found[-1].at_ns or (reading.power_mw is None) != (found[-1].power_mw is None)):
            raise ConfigError(
                f"{path}:{number}: expected a later reading of the same kind as the line before", code="E_CONFIG_POWER_FILE"
            )
        found.append(reading)
    if not found:
        raise ConfigError(f"{path}: expected at least one reading, got none", code="E_CONFIG_POWER_FILE")
    return found


def to_lines(readings: Iterable[Reading]) -> str:
    """Write readings as the text of a file that can be replayed."""
    return "".join(json.dumps({k: v for k, v in to_data(r).items() if v is not None}) + "\n" for r in readings)
