"""What training a link took: wall time, processor time, and energy where the machine tells it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import SCHEMA_VERSION
from weckd_edge.errors import StoreError
from weckd_edge.schema import from_json, to_json
from weckd_edge.store import write_atomic

FILE = "cost.json"
POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """Of one piece of work.

    Attributes:
        seconds: Wall time.
        cpu_seconds: Processor time of all threads of this process.
        joules: Of the processor packages and the GPU, whoever used them meanwhile; None where neither can be read.
        schema_version: Of this record.
    """

    seconds: float
    cpu_seconds: float
    joules: float | None
    schema_version: int = SCHEMA_VERSION


@contextmanager
def metered(folder: Path) -> Iterator[None]:
    """Write what the block took to ``cost.json`` in a folder: beside the artefact, which must not depend on it."""
    start_ns, cpu_ns, energy = time.monotonic_ns(), time.process_time_ns(), read_joules()
    yield
    spent = spent_joules(energy, read_joules())
    cost = Cost(
        seconds=round((time.monotonic_ns() - start_ns) / 1e9, 1),
        cpu_seconds=round((time.process_time_ns() - cpu_ns) / 1e9, 1),
        joules=None if spent is None else round(spent, 1),
    )
    write_atomic(folder / FILE, to_json(cost))


def total(folders: Iterable[Path]) -> Cost:
    """Return what the links in these folders took together; one that another process trained was measured there."""
    paths = [folder / FILE for folder in folders]
    found = [from_json(Cost, path.read_bytes(), where=str(path), error=StoreError) for path in paths if path.is_file()]
    joules = [cost.joules for cost in found if cost.joules is not None]
    return Cost(
        seconds=round(sum(cost.seconds for cost in found), 1),
        cpu_seconds=round(sum(cost.cpu_seconds for cost in found), 1),
        joules=round(sum(joules), 1) if joules and len(joules) == len(found) else None,
    )


def read_joules() -> dict[str, float]:
    """Return the energy counters that can be read, joules since some moment, by name (Linux powercap, NVML)."""
    found = {}
    for counter in sorted(POWERCAP.glob("*-rapl:*/energy_uj")):
        if counter.parent.name.count(":") > 1:
            continue  # a part of a package that is counted already
        try:
            found[counter.parent.name] = int(counter.read_text()) / 1e6
        except (OSError, ValueError):
            continue  # since 2020 only the superuser may read it
    return found | _gpu_joules()


def _gpu_joules() -> dict[str, float]:
    try:
        import pynvml

        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        handles = {f"gpu{i}": pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(count)}
        return {name: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3 for name, handle in handles.items()}
    except Exception:  # no library, no driver, or a GPU too old to count
        return {}


def spent_joules(before: dict[str, float], after: dict[str, float]) -> float | None:
    """Return what the counters that were read twice rose by; None without any, or where one began anew meanwhile."""
    both = before.keys() & after.keys()
    rises = [after[name] - before[name] for name in both]
    return sum(rises) if rises and min(rises) >= 0 else None
