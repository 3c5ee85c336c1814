"""Measure the cost of training a link: wall time, processor time, and energy where the machine reports it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    """Cost of one training, or of another step before it.

    Attributes:
        seconds: Wall time, seconds, without that of other steps which it called and which were measured by themselves.
        cpu_seconds: Processor time of all threads of this process, seconds.
        joules: Energy of the processor packages with their memory and the GPUs, whoever used them meanwhile; None where
            neither can be read.
        parts: Names of the folders of other steps that it needs, beside its own: their costs belong to it.
        schema_version: Schema version of this record.
    """

    seconds: float
    cpu_seconds: float
    joules: float | None
    parts: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(slots=True)
class _Block:
    """Block that is measured now: the folders of steps that it needs, and the costs of blocks within it."""

    parts: list[str] = field(default_factory=list)
    within: list[TrainingCost] = field(default_factory=list)


_OPEN: list[_Block] = []


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
    block = _Block()
    _OPEN.append(block)
    try:
        with Poller(packages.read, period_s) as watch:
            yield
    finally:
        _OPEN.pop()
    spent = _sum_known(_package_joules(packages, watch), spent_joules(gpus, read_gpu_joules()))
    whole = TrainingCost(
        seconds=(clock() - start_ns) / 1e9, cpu_seconds=(time.process_time_ns() - cpu_ns) / 1e9, joules=spent
    )
    if _OPEN:
        _OPEN[-1].within.append(whole)
    write_atomic(folder / FILE, to_json(_own_cost(whole, block)))


def needs(folder: Path) -> None:
    """Count what a step has made in a folder, now or in an earlier run, to the step that is measured now."""
    if _OPEN and folder.name not in _OPEN[-1].parts:
        _OPEN[-1].parts.append(folder.name)


def total_cost(folders: Iterable[Path]) -> TrainingCost:
    """Return the cost of the links in these folders together, with all that they need, each step once.

    A link that another process trained was measured there.
    """
    known: dict[Path, TrainingCost] = {}
    left = list(folders)
    while left:
        folder = left.pop()
        path = folder / FILE
        if folder not in known and path.is_file():
            known[folder] = from_json(TrainingCost, path.read_bytes(), where=str(path), error=StoreError)
            left += [folder.parent / name for name in known[folder].parts]
    found = known.values()
    joules = [cost.joules for cost in found if cost.joules is not None]
    return TrainingCost(
        seconds=round(sum(cost.seconds for cost in found), 1),
        cpu_seconds=round(sum(cost.cpu_seconds for cost in found), 1),
        joules=round(sum(joules), 1) if joules and len(joules) == len(found) else None,
    )


def _own_cost(whole: TrainingCost, block: _Block) -> TrainingCost:
    """Return the cost of a block without that of the blocks within it, which have files of their own."""
    joules = [cost.joules for cost in block.within]
    known = whole.joules is not None and None not in joules
    return TrainingCost(
        seconds=round(whole.seconds - sum(cost.seconds for cost in block.within), 1),
        cpu_seconds=round(whole.cpu_seconds - sum(cost.cpu_seconds for cost in block.within), 1),
        joules=round((whole.joules or 0.0) - sum(cost or 0.0 for cost in joules), 1) if known else None,
        parts=tuple(block.parts),
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
