"""What room a machine has now: memory, swap and disk, below a ``root`` that tests replace."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.devices.machine.sysfs import read_text


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
