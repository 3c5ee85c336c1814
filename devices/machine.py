"""The machine's state, from the files Linux shows: clocks, temperatures, throttling, load, power mode.

Every path lies below a ``root``. The files are found once and held open, so that a look costs one read a file.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from weckd_edge.artifacts import MachineState
from weckd_edge.devices.detect import read_governors
from weckd_edge.devices.jetson import read_power_mode
from weckd_edge.errors import DeviceError

_CPU_CLOCKS = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"
_DEVFREQ = "sys/class/devfreq"
_GPU = re.compile(r"gpu|ga10b|gv11b|gp10b|gb10b|v3d|mali", re.IGNORECASE)
_ZONES = "sys/class/thermal/thermal_zone*"
_COOLING = "sys/class/thermal/cooling_device*"
_SLOWS_DOWN = re.compile(r"cpu|processor|gpu|devfreq", re.IGNORECASE)
"""Kinds of cooling devices that lower a clock; a fan does not, and others show settings there."""
_COUNTERS = (
    "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count",
    "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/package_throttle_count",
    "sys/class/hwmon/hwmon*/oc*_event_cnt",
)
"""x86's thermal interrupts, and the over-current events of a Jetson's soctherm."""
_PI_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
_PI_BITS = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}
_PI_SEEN = 16
"""Bits of the same meaning, this much higher, say that it happened since the start of the system."""


class Machine:
    """The files of one machine, held open; use it as a context.

    Attributes:
        shown: What can be watched here, in words.
    """

    def __init__(self, root: Path = Path("/"), clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._root, self._clock = root, clock
        self._open: list[int] = []
        self._cpu = self._hold(sorted(root.glob(_CPU_CLOCKS)))
        gpus = [folder for folder in sorted((root / _DEVFREQ).glob("*")) if _GPU.search(_gpu_name(folder))]
        self._gpu = self._hold([folder / "cur_freq" for folder in gpus])
        self._zones = self._hold_named(sorted(root.glob(_ZONES)), "temp")
        cooling = self._hold_named(sorted(root.glob(_COOLING)), "cur_state")
        self._cooling = [(name, file) for name, file in cooling if _SLOWS_DOWN.search(name)]
        self._alarms = self._hold(sorted(root.glob("sys/class/hwmon/hwmon*/curr*_crit_alarm")))
        self._pi = self._hold([root / _PI_THROTTLED])
        self._load = self._hold([root / "proc/loadavg"])
        self._counters = [
            (path, file) for pattern in _COUNTERS for path in sorted(root.glob(pattern)) for file in self._hold([path])
        ]
        watched = {
            "processor clock": self._cpu,
            "GPU clock": self._gpu,
            "temperatures": self._zones,
            "throttling": [*self._cooling, *self._counters, *self._pi, *self._alarms],
            "load": self._load,
        }
        self.shown = tuple(name for name, files in watched.items() if files)

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close every file."""
        while self._open:
            os.close(self._open.pop())

    def look(self) -> MachineState:
        """Return the state now; ``at_ns`` is the clock's own time."""
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
            throttling=self._throttling(),
        )

    def _throttling(self) -> tuple[str, ...]:
        found = [
            f"{name} lowers its clock (step {state})" for name, file in self._cooling if (state := _number(file) or 0) > 0
        ]
        bits = self._pi_bits()
        found += [text for bit, text in _PI_BITS.items() if bits >> bit & 1]
        if any(_number(file) for file in self._alarms):
            found.append("the supply's current is over its critical limit")
        return tuple(dict.fromkeys(found))

    def counters(self) -> dict[str, int]:
        """Return every counter of throttling, by name; the Raspberry Pi's bits count as 0 or 1."""
        found = {}
        for path, file in self._counters:
            value = _number(file)
            if value is not None:
                found[f"{path.parents[1].name} {path.name}" if "thermal_throttle" in path.parts else path.name] = value
        if self._pi:
            bits = self._pi_bits()
            found |= {f"{text} since the start": bits >> (bit + _PI_SEEN) & 1 for bit, text in _PI_BITS.items()}
        return found

    def _pi_bits(self) -> int:
        try:
            return int(_text(self._pi[0]), 16) if self._pi else 0
        except ValueError:
            return 0

    def mode(self) -> str | None:
        """Return power mode, governors and turbo in one text that changes when one does; None where none is shown."""
        parts = []
        try:
            parts.append(f"power mode {read_power_mode(self._root)}")
        except DeviceError:
            profile = _read(self._root / "sys/firmware/acpi/platform_profile")
            parts += [f"power profile {profile}"] if profile else []
        governors = read_governors(self._root)
        parts += [f"governor {', '.join(governors)}"] if governors else []
        turbo = _read(self._root / "sys/devices/system/cpu/intel_pstate/no_turbo")
        parts += ["turbo off" if turbo == "1" else "turbo on"] if turbo else []
        return "; ".join(parts) or None

    def _hold(self, paths: list[Path]) -> list[int]:
        held = []
        for path in paths:
            try:
                held.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
            except OSError:
                continue
        self._open += held
        return held

    def _hold_named(self, folders: list[Path], name: str) -> list[tuple[str, int]]:
        return [(_read(folder / "type") or folder.name, file) for folder in folders for file in self._hold([folder / name])]


def rises(before: dict[str, int], after: dict[str, int]) -> tuple[str, ...]:
    """Return the counters that went up, with how much, in words."""
    return tuple(f"{name} +{after[name] - count}" for name, count in before.items() if after.get(name, count) > count)


def _gpu_name(folder: Path) -> str:
    return f"{folder.name} {_read(folder / 'name')}"


def _text(file: int) -> str:
    try:
        return os.pread(file, 128, 0).decode("ascii", "replace").strip()
    except OSError:  # a zone that is asleep answers so
        return ""


def _number(file: int) -> int | None:
    try:
        return int(_text(file))
    except ValueError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
