"""State of a machine from the files that Linux shows: clocks, temperatures, throttling, load, power mode.

Every path lies below a ``root``. The files are found once and held open, so that a look costs one read a file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from weckd_edge.artifacts import MachineState
from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.jetson.board import read_power_mode
from weckd_edge.devices.machine.clocks import core_folders, gpu_folders
from weckd_edge.devices.machine.detect import read_governors
from weckd_edge.devices.machine.sysfs import as_number, read_text
from weckd_edge.devices.machine.throttling import find_throttling_counters, find_throttling_signs

_ZONES = "sys/class/thermal/thermal_zone*"


class MachineFiles:
    """Files that show one machine's state, held open; use it as a context.

    Attributes:
        shown: Names of what can be watched here.
    """

    def __init__(self, root: Path = Path("/"), clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._root, self._clock = root, clock
        self._open: list[int] = []
        self._cpu = self._hold([folder / "scaling_cur_freq" for folder in core_folders(root)])
        self._gpu = self._hold([folder / "cur_freq" for folder in gpu_folders(root)])
        self._zones = [
            (read_text(zone / "type") or zone.name, file)
            for zone in sorted(root.glob(_ZONES))
            for file in self._hold([zone / "temp"])
        ]
        self._signs = [(sign, file) for sign in find_throttling_signs(root) for file in self._hold([sign.file])]
        self._load = self._hold([root / "proc/loadavg"])
        self._counts = [(count, file) for count in find_throttling_counters(root) for file in self._hold([count.file])]
        watched = {
            "processor clock": self._cpu,
            "GPU clock": self._gpu,
            "temperatures": self._zones,
            "throttling": [*self._signs, *self._counts],
            "load": self._load,
        }
        self.shown = tuple(name for name, files in watched.items() if files)

    def __enter__(self) -> MachineFiles:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every file."""
        while self._open:
            os.close(self._open.pop())

    def read_state(self) -> MachineState:
        """Read the state now; its ``at_ns`` is the clock's own time."""
        clocks = [value for file in self._cpu if (value := _number(file)) is not None]
        gpu = [value for file in self._gpu if (value := _number(file)) is not None]
        zones = [(value, name) for name, file in self._zones if (value := _number(file)) is not None]
        hottest = max(zones, default=None)
        load = _text(self._load[0]).split() if self._load else []
        return MachineState(
            at_ns=self._clock(),
            cpu_khz=max(clocks, default=None),
            gpu_hz=max(gpu, default=None),
            hottest_celsius=hottest[0] / 1000 if hottest else None,
            hottest_zone=hottest[1] if hottest else None,
            load_average=float(load[0]) if load else None,
            throttling=tuple(dict.fromkeys(words for sign, file in self._signs for words in sign.tell(_text(file)) or ())),
        )

    def read_counters(self) -> dict[str, int]:
        """Read every counter of throttling, by name; the Raspberry Pi's bits count as 0 or 1."""
        read = {count.name: count.read(_text(file)) for count, file in self._counts}
        return {name: value for name, value in read.items() if value is not None}

    def read_mode(self) -> str | None:
        """Return power mode, governors and turbo in one text that changes when one does; None where none is shown."""
        return read_power_state(self._root)

    def _hold(self, paths: list[Path]) -> list[int]:
        held = []
        for path in paths:
            try:
                held.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                continue
        self._open += held
        return held


def read_power_state(root: Path) -> str | None:
    """Return power mode, governors and turbo in one text that changes when one does; None where none is shown."""
    parts = []
    try:
        parts.append(f"power mode {read_power_mode(root)}")
    except DeviceError:
        profile = read_text(root / "sys/firmware/acpi/platform_profile")
        parts += [f"power profile {profile}"] if profile else []
    governors = read_governors(root)
    parts += [f"governor {', '.join(governors)}"] if governors else []
    turbo = read_text(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    parts += ["turbo off" if turbo == "1" else "turbo on"] if turbo else []
    return "; ".join(parts) or None


def counter_rises(before: dict[str, int], after: dict[str, int]) -> tuple[str, ...]:
    """Return the counters that rose, each with by how much, in words."""
    return tuple(f"{name} +{after[name] - count}" for name, count in before.items() if after.get(name, count) > count)


def _text(file: int) -> str:
    try:
        return os.pread(file, 128, 0).decode("ascii", "replace").strip()
    except OSError:  # a zone that is asleep fails so
        return ""


def _number(file: int) -> int | None:
    return as_number(_text(file))
