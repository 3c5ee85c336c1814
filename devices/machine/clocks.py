"""Clocks of a machine's cores and GPU: the files that show them, and the span they may move in, below a ``root``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.devices.machine.sysfs import as_number, numbered, read_text

_GPU = re.compile(r"gpu-gpc|\.(gpu|gv11b|gp10b|ga10b|gb10b)$|v3d|mali")
"""Names of a GPU below ``/sys/class/devfreq``: a Jetson's from Nano (57000000.gpu) to Thor (gpu-gpc-0), VideoCore, Mali."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clocks:
    """Span that a clock may move in.

    Attributes:
        name: Name of the core, such as ``cpu0``, or of the GPU's folder.
        low_khz: Lowest clock allowed now, kHz.
        high_khz: Highest clock allowed now, kHz.
        limit_khz: Highest clock of the hardware, kHz; None where it is not shown.
    """

    name: str
    low_khz: int
    high_khz: int
    limit_khz: int | None = None

    @property
    def pinned(self) -> bool:
        """Whether the clock cannot move."""
        return self.low_khz == self.high_khz


def core_folders(root: Path) -> list[Path]:
    """Return the folder of each core that shows clocks, in the order of their numbers."""
    return numbered(root / "sys/devices/system/cpu", "cpu[0-9]*/cpufreq")


def gpu_folders(root: Path) -> list[Path]:
    """Return the folder of each GPU that shows clocks."""
    folders = sorted((root / "sys/class/devfreq").glob("*"))
    return [folder for folder in folders if _GPU.search(folder.name) or _GPU.search(read_text(folder / "name"))]


def read_core_clocks(root: Path) -> tuple[Clocks, ...]:
    """Return the clocks of every core that shows them, in the order of their numbers."""
    found = []
    for folder in core_folders(root):
        low, high = _number(folder / "scaling_min_freq"), _number(folder / "scaling_max_freq")
        if low is not None and high is not None:
            limit = _number(folder / "cpuinfo_max_freq")
            found.append(Clocks(name=folder.parent.name, low_khz=low, high_khz=high, limit_khz=limit))
    return tuple(found)


def read_gpu_clocks(root: Path) -> Clocks | None:
    """Return the clocks of the GPU, the first where there are several; None where there is none."""
    for folder in gpu_folders(root):
        low, high = _number(folder / "min_freq"), _number(folder / "max_freq")
        if low is not None and high is not None:
            return Clocks(name=folder.name, low_khz=low // 1000, high_khz=high // 1000)
    return None


def _number(path: Path) -> int | None:
    return as_number(read_text(path))
