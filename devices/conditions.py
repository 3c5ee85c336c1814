"""In what condition a machine is now: clocks, throttling, memory and disk, below a ``root`` that tests replace."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.devices.identity import read_text

_GPU = re.compile(r"gpu-gpc|\.(gpu|gv11b|gp10b|ga10b)$")
"""Names of a Jetson's GPU below ``/sys/class/devfreq``, from Nano (57000000.gpu) to Thor (gpu-gpc-0)."""
_FAN = re.compile(r"fan", re.IGNORECASE)
_PI_THROTTLED = "sys/devices/platform/soc*/soc:firmware/get_throttled"
_PI_NOW = ("its voltage is too low", "its clock is capped", "it is throttled", "its soft limit of temperature is reached")
"""Bits 0 to 3 of ``get_throttled``; 16 to 19 say that it was so since the start. From Raspberry Pi's documentation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clocks:
    """The span clocks may move in.

    Attributes:
        name: ``cpu0`` or the GPU's folder.
        low_khz: Lowest clock allowed now.
        high_khz: Highest clock allowed now.
        limit_khz: Highest the hardware can; None where it is not told.
    """

    name: str
    low_khz: int
    high_khz: int
    limit_khz: int | None = None

    @property
    def pinned(self) -> bool:
        """Whether the clock cannot move."""
        return self.low_khz == self.high_khz


def read_core_clocks(root: Path) -> tuple[Clocks, ...]:
    """Return the clocks of every core that shows them, in the order of their numbers."""
    found = []
    for folder in _numbered(root / "sys/devices/system/cpu", "cpu[0-9]*/cpufreq"):
        low, high = _number(folder / "scaling_min_freq"), _number(folder / "scaling_max_freq")
        if low is not None and high is not None:
            limit = _number(folder / "cpuinfo_max_freq")
            found.append(Clocks(name=folder.parent.name, low_khz=low, high_khz=high, limit_khz=limit))
    return tuple(found)


def read_gpu_clocks(root: Path) -> Clocks | None:
    """Return the clocks of a Jetson's GPU; None where there is none."""
    for folder in sorted((root / "sys/class/devfreq").glob("*")):
        low, high = _number(folder / "min_freq"), _number(folder / "max_freq")
        if _GPU.search(folder.name) and low is not None and high is not None:
            return Clocks(name=folder.name, low_khz=low // 1000, high_khz=high // 1000)
    return None


def read_throttling(root: Path) -> tuple[str, ...] | None:
    """Return what slows the machine down now, in words; empty where nothing does, None where nothing would tell.

    Looked at are: temperatures against the trips at which the kernel slows the chip, cooling devices at work (no fans),
    the current alarms of a Jetson's power sensors, and what a Raspberry Pi's firmware says.
    """
    looked = False
    said: list[str] = []
    for zone in _numbered(root / "sys/class/thermal", "thermal_zone*"):
        degrees, trip = _number(zone / "temp"), _passive_trip(zone)
        if degrees is not None and trip is not None:
            looked = True
            if degrees >= trip:
                said.append(f"{read_text(zone / 'type')} is at {degrees / 1000:.0f} C, its limit is {trip / 1000:.0f} C")
    for device in _numbered(root / "sys/class/thermal", "cooling_device*"):
        kind, state = read_text(device / "type"), _number(device / "cur_state")
        if state is None or _FAN.search(kind):
            continue
        looked = True
        if state > 0:
            said.append(f"{kind} is held back (step {state})")
    for alarm in sorted((root / "sys/bus/i2c/devices").glob("*/hwmon/hwmon*/curr*_alarm")):
        number = _number(alarm)
        if number is None:
            continue
        looked = True
        if number > 0:
            channel = re.sub(r"\D.*", "", alarm.name.removeprefix("curr"))
            rail = read_text(alarm.with_name(f"in{channel}_label")) or alarm.name
            said.append(f"{rail} draws more current than its limit")
    for path in root.glob(_PI_THROTTLED):
        bits = _hexadecimal(path)
        if bits is not None:
            looked = True
            said += [words for bit, words in enumerate(_PI_NOW) if bits >> bit & 1]
    return tuple(dict.fromkeys(said)) if looked else None


def read_throttled_before(root: Path) -> tuple[str, ...]:
    """Return what has slowed the machine down since it was started, in words; empty where nothing tells of any."""
    counts = [
        count
        for name in ("core_throttle_count", "package_throttle_count")
        for file in (root / "sys/devices/system/cpu").glob(f"cpu[0-9]*/thermal_throttle/{name}")
        if (count := _number(file))
    ]
    said = [f"the processor was throttled {max(counts)} times"] if counts else []
    for path in root.glob(_PI_THROTTLED):
        bits = _hexadecimal(path) or 0
        said += [f"{words.replace(' is ', ' was ')} once" for bit, words in enumerate(_PI_NOW) if bits >> 16 >> bit & 1]
    return tuple(said)


@dataclass(frozen=True, kw_only=True, slots=True)
class Swap:
    """Where memory is swapped to.

    Attributes:
        devices: Files and partitions, as Linux names them.
        total_mib: Their size.
        used_mib: How much of it is used.
    """

    devices: tuple[str, ...]
    total_mib: float
    used_mib: float

    @property
    def is_zram(self) -> bool:
        """Whether some of it lies in the memory itself, compressed."""
        return any("zram" in name for name in self.devices)


def read_swap(root: Path) -> Swap | None:
    """Return where memory is swapped to; None where ``/proc/swaps`` cannot be read."""
    text = read_text(root / "proc/swaps")
    if not text:
        return None
    rows = [line.split() for line in text.splitlines()[1:]]
    sizes = [(row[0], int(row[2]), int(row[3])) for row in rows if len(row) >= 4 and row[2].isdigit() and row[3].isdigit()]
    return Swap(
        devices=tuple(name for name, _, _ in sizes),
        total_mib=sum(total for _, total, _ in sizes) / 1024,
        used_mib=sum(used for _, _, used in sizes) / 1024,
    )


def read_memory_mib(root: Path) -> tuple[float, float] | None:
    """Return the memory that programs may still take, and all of it, MiB; None where Linux does not tell."""
    text = read_text(root / "proc/meminfo")
    found = {
        name: int(value) / 1024 for name, value in re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", text, re.MULTILINE)
    }
    return (found["MemAvailable"], found["MemTotal"]) if len(found) == 2 else None


def read_free_disk_mib(folder: Path) -> float | None:
    """Return the free space on a folder's disk, MiB; None where it cannot be asked."""
    try:
        return shutil.disk_usage(folder).free / 2**20
    except OSError:
        return None


def _passive_trip(zone: Path) -> int | None:
    """Return the lowest temperature, thousandths of a degree, at which the kernel slows the chip down."""
    trips = [
        degrees
        for kind in zone.glob("trip_point_*_type")
        if read_text(kind) == "passive"
        and (degrees := _number(kind.with_name(kind.name.replace("_type", "_temp")))) is not None
    ]
    return min((trip for trip in trips if trip > 0), default=None)


def _numbered(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern), key=lambda path: [int(n) for n in re.findall(r"\d+", str(path.relative_to(folder)))])


def _number(path: Path) -> int | None:
    text = read_text(path)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _hexadecimal(path: Path) -> int | None:
    text = read_text(path)
    return int(text, 16) if re.fullmatch(r"(0x)?[0-9a-fA-F]+", text) else None
