"""INA238 on the Thor carrier: ``power1_input`` under ``hwmon``, microwatt, of the supply ``VIN``."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from weckd_edge.devices.bench.power.base import PowerSourceError, Reading, read_number
from weckd_edge.devices.machine.sysfs import read_text

_DEVICES = "sys/bus/i2c/devices"
RAIL = "VIN"


class Ina238Source:
    """Power of the whole board."""

    name = "ina238"
    period_s = 0.05

    def __init__(self, root: Path = Path("/"), clock: Callable[[], int] = time.monotonic_ns) -> None:
        found = [
            path
            for name in sorted((root / _DEVICES).glob("*/name"))
            if read_text(name) == "ina238"
            for path in sorted(name.parent.glob("hwmon/hwmon*/power1_input"))
        ]
        if not found:
            raise PowerSourceError(
                f"no ina238 is shown under /{_DEVICES}; name another source, or none", code="E_DEVICE_POWER_SOURCE"
            )
        self._file, self._clock = found[0], clock
        self.rails: tuple[str, ...] = (RAIL,)
        self.read()

    def read(self) -> Reading | None:
        at_ns = self._clock()
        return Reading(at_ns=at_ns, power_mw=read_number(self._file) / 1000)

    def close(self) -> None:
        return None
