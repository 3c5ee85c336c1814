"""Free memory, swap and disk of a machine now, below a ``root``."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.devices.machine.sysfs import read_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Swap:
    """Swap space of a machine.

    Attributes:
        devices: Names of files and partitions that hold it, as Linux shows them.
        total_mib: Size of all of them, MiB.
        used_mib: Used part of that size, MiB.
    """

    devices: tuple[str, ...]
    total_mib: float
    used_mib: float

    @property
    def is_zram(self) -> bool:
        """Whether some of the swap lies in the memory itself, compressed."""
        return any("zram" in name for name in self.devices)


def read_swap(root: Path) -> Swap | None:
    """Read the swap space of a machine; None where ``/proc/swaps`` cannot be read."""
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
    """Return the memory that is available to programs, and all memory, MiB; None where Linux does not show it."""
    text = read_text(root / "proc/meminfo")
    found = {
        name: int(value) / 1024 for name, value in re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", text, re.MULTILINE)
    }
    return (found["MemAvailable"], found["MemTotal"]) if len(found) == 2 else None


def read_free_disk_mib(folder: Path) -> float | None:
    """Return the free space on a folder's disk, MiB; None where it cannot be read."""
    try:
        return shutil.disk_usage(folder).free / 2**20
    except OSError:
        return None
