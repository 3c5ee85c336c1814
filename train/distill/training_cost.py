"""Measure the cost of training a link: wall time, processor time, and energy where the machine reports it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.artifacts import SCHEMA_VERSION
from weckd_edge.core.errors import StoreError
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.core.store import write_atomic
from weckd_edge.devices.bench.poller import Poller
from weckd_edge.devices.bench.power.base import PowerSource, PowerSourceError, Reading
from weckd_edge.devices.bench.power.null_source import NullSource
from weckd_edge.devices.bench.power.table import open_source
from weckd_edge.train.distill.nvml_backend import read_gpu_joules

OUTSIDE_KEYS = "stands beside the result, which does not depend on it"

FILE = "cost.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingCost:
    """Cost of one training.

    Attributes:
        seconds: Wall time, seconds.
        cpu_seconds: Processor time of all threads of this process, seconds.
        joules: Energy of the processor packages with their memory and the GPUs, whoever used them meanwhile; None where
            neither can be read.
        schema_version: Schema version of this record.
    """

    seconds: float
    cpu_seconds: float
    joules: float | None
    schema_version: int = SCHEMA_VERSION


@contextmanager
def metered(
    folder: Path, root: Path = Path("/"), period_s: float = 10.0, clock: Callable[[], int] = time.monotonic_ns
) -> Iterator[None]:
    """Write the cost of a block to ``cost.json`` in a folder, beside the artefact, which must not depend on it.

    Args:
        folder: Folder for the file.
        root: Folder that holds ``sys``.
        period_s: Seconds between readings of the processor's counters, which wrap around after a minute at the least.
        clock: Monotonic clock, nanoseconds; it is also read with each reading of the counters.
    """
    start_ns, cpu_ns, gpus = clock(), time.process_time_ns(), read_gpu_joules()
    packages = _open_rapl(root, clock)
    with Poller(packages.read, period_s) as watch:
        yield
    spent = _sum_known(_package_joules(packages, watch), spent_joules(gpus, read_gpu_joules()))
    cost = TrainingCost(
        seconds=round((clock() - start_ns) / 1e9, 1),
        cpu_seconds=round((time.process_time_ns() - cpu_ns) / 1e9, 1),
        joules=None if spent is None else round(spent, 1),
    )
    write_atomic(folder / FILE, to_json(cost))


def total_cost(folders: Iterable[Path]) -> TrainingCost:
    """Return the cost of the links in these folders together; a link that another process trained was measured there."""
    paths = [folder / FILE for folder in folders]
    found = [
        from_json(TrainingCost, path.read_bytes(), where=str(path), error=StoreError) for path in paths if path.is_file()
    ]
    joules = [cost.joules for cost in found if cost.joules is not None]
    return TrainingCost(
        seconds=round(sum(cost.seconds for cost in found), 1),
        cpu_seconds=round(sum(cost.cpu_seconds for cost in found), 1),
        joules=round(sum(joules), 1) if joules and len(joules) == len(found) else None,
    )


def _open_rapl(root: Path, clock: Callable[[], int]) -> PowerSource:
    try:
        return open_source("rapl", root, clock)
    except PowerSourceError as err:  # a virtual machine has none, and since 2020 only the superuser may read it
        return NullSource(str(err))


def _package_joules(packages: PowerSource, watch: Poller[Reading | None]) -> float | None:
    """Return the energy of the processor's packages since they were opened, joules; None where a reading is missing."""
    if watch.failure is not None:
        return None
    try:
        last = packages.read()
    except PowerSourceError:
        return None
    finally:
        packages.close()
    return None if last is None or last.energy_mj is None else last.energy_mj / 1e3


def _sum_known(*parts: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def spent_joules(before: dict[str, float], after: dict[str, float]) -> float | None:
    """Return the rise of the counters that were read twice, joules; None without any, or where one began anew."""
    both = before.keys() & after.keys()
    rises = [after[name] - before[name] for name in both]
    return sum(rises) if rises and min(rises) >= 0 else None
