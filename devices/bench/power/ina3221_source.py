"""INA3221 on Jetson modules: voltage and current of up to three rails a chip.

JetPack 5 and later show it under ``hwmon`` (``inX_label``, ``inX_input`` in mV, ``currX_input`` in mA), JetPack 4 under
``iio:deviceN`` (``rail_name_X``, ``in_voltageX_input``, ``in_currentX_input``, the same units).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.devices.bench.power.base import PowerSourceError, Reading, read_number
from weckd_edge.devices.machine.sysfs import read_text

_DEVICES = "sys/bus/i2c/devices"
_WHOLE_BOARD = ("VDD_IN", "VIN", "POM_5V_IN")
"""Rails that carry the whole board: of Orin Nano, Orin NX and Xavier NX; of Thor; of the first Nano."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rail:
    """One rail: its name, and the files of its voltage (mV) and current (mA)."""

    name: str
    voltage: Path
    current: Path


class Ina3221Source:
    """Power of the whole board, from one rail that carries it or from the sum of all."""

    name = "ina3221"
    period_s = 0.05

    def __init__(self, root: Path = Path("/"), clock: Callable[[], int] = time.monotonic_ns) -> None:
        found = sorted(find_rails(root), key=lambda rail: rail.name)
        if not found:
            raise PowerSourceError(
                f"no ina3221 is shown under /{_DEVICES}; name another source, or none", code="E_DEVICE_POWER_SOURCE"
            )
        whole = [rail for rail in found if rail.name in _WHOLE_BOARD]
        self._rails = whole[:1] or found
        self._clock = clock
        self.rails = tuple(rail.name for rail in self._rails)
        self.read()

    def read(self) -> Reading | None:
        at_ns = self._clock()
        power_mw = sum(read_number(rail.voltage) * read_number(rail.current) for rail in self._rails) / 1000
        return Reading(at_ns=at_ns, power_mw=power_mw)

    def close(self) -> None:
        return None


def find_rails(root: Path) -> Iterator[Rail]:
    """Yield every named rail of every INA3221, without the sums that the chip makes itself."""
    for device in sorted((root / _DEVICES).glob("*")):
        if read_text(device / "name") != "ina3221":
            continue
        for label in sorted(device.glob("hwmon/hwmon*/in*_label")):
            channel = label.name[2:].removesuffix("_label")
            current = label.with_name(f"curr{channel}_input")
            if current.exists():
                yield from _rail(label, label.with_name(f"in{channel}_input"), current)
        for label in sorted(device.glob("iio:device*/rail_name_*")):
            channel = label.name.removeprefix("rail_name_")
            voltage = label.with_name(f"in_voltage{channel}_input")
            yield from _rail(label, voltage, label.with_name(f"in_current{channel}_input"))


def _rail(label: Path, voltage: Path, current: Path) -> Iterator[Rail]:
    name = read_text(label)
    if name and name != "NC" and "sum" not in name.lower():
        yield Rail(name=name, voltage=voltage, current=current)
