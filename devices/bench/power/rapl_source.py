"""RAPL on x86: counters of energy under ``powercap``, in microjoule, that wrap around.

Linux shows one folder a package, ``intel-rapl:N`` (AMD's too), and one each for its parts: ``core``, ``uncore``, ``dram``.
Memory is not in the package's figure and is added. What the rest of the board takes is not measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.devices.bench.power.base import PowerSourceError, Reading, read_number
from weckd_edge.devices.machine.sysfs import read_text

_POWERCAP = "sys/class/powercap"


@dataclass(kw_only=True, slots=True)
class _Counter:
    """One counter of energy and the energy that was counted since it was opened, microjoules."""

    file: Path
    range_uj: float
    last_uj: float
    total_uj: float = 0.0

    def advance(self) -> float:
        now = read_number(self.file)
        step = now - self.last_uj
        # A counter that fell has wrapped once; read more often than it wraps, which takes a minute at the least.
        self.total_uj += step if step >= 0 else step + self.range_uj
        self.last_uj = now
        return self.total_uj


class RaplSource:
    """Energy of all processor packages and, where shown, their memory, since the source was opened."""

    name = "rapl"
    period_s = 0.05

    def __init__(self, root: Path = Path("/"), clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._counters: list[_Counter] = []
        names = []
        for folder in sorted((root / _POWERCAP).glob("intel-rapl:*")):
            name = read_text(folder / "name")
            if name.startswith("package-") or name == "dram":
                file = folder / "energy_uj"
                range_uj = read_number(folder / "max_energy_range_uj")
                self._counters.append(_Counter(file=file, range_uj=range_uj, last_uj=read_number(file)))
                names.append(name)
        if not names:
            raise PowerSourceError(
                f"no processor package is shown under /{_POWERCAP}/intel-rapl:*; a virtual machine shows none; "
                "name another source, or none",
                code="E_DEVICE_POWER_SOURCE",
            )
        self.rails = tuple(names)

    def read(self) -> Reading | None:
        at_ns = self._clock()
        return Reading(at_ns=at_ns, energy_mj=sum(counter.advance() for counter in self._counters) / 1000)

    def close(self) -> None:
        return None
