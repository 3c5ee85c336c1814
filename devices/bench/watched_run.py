"""A timed run while the state of the machine and its power are watched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from weckd_edge.artifacts import MachineRecord, PowerRecord
from weckd_edge.devices.bench.load_generator.generator import LoadGenerator
from weckd_edge.devices.bench.load_generator.rules import Rules
from weckd_edge.devices.bench.load_generator.single_stream import Sink, TimedRun, warm_up
from weckd_edge.devices.bench.machine_log import MachineFiles, counter_rises
from weckd_edge.devices.bench.poller import Poller
from weckd_edge.devices.bench.power.base import PowerSource, Reading
from weckd_edge.devices.bench.power.energy import energy_of
from weckd_edge.devices.bench.power.null_source import NullSource
from weckd_edge.devices.machine.detect import DetectedMachine, detect
from weckd_edge.devices.runtime.backends.base import AnyRunner

_EXPECTED_NS = 1_000_000
"""Assumed time of one query where none was run to warm up, nanoseconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BenchMachine:
    """The machine that a bench runs on, and how it is watched.

    Attributes:
        root: Folder that holds ``proc``, ``sys`` and ``etc``.
        power: Power source; it stays open. ``NullSource`` measures no energy.
        watch_period_s: Time between two looks at clocks, temperatures, throttling and load, seconds.
        clock: Monotonic clock, nanoseconds.
        architecture: Architecture that the kernel tells programs; None asks the kernel.
    """

    root: Path = Path("/")
    power: PowerSource = field(default_factory=NullSource)
    watch_period_s: float = 1.0
    clock: Callable[[], int] = time.monotonic_ns
    architecture: str | None = None

    def detect(self) -> DetectedMachine:
        """Find out which device this machine is."""
        return detect(self.root, machine=self.architecture)


THIS_MACHINE = BenchMachine()
"""The machine that the program runs on, without a power source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchedRun:
    """A timed run, the state of the machine around it, and its power.

    Attributes:
        run: The run with every time.
        machine: State of the machine before, during and after the run; its times count from the first query.
        power: Power and energy.
        readings: Readings of the power source, from before the idle span to after the run.
        unwatched: Why the machine was not watched to the end of the run; None where it was.
    """

    run: TimedRun
    machine: MachineRecord
    power: PowerRecord
    readings: tuple[Reading, ...]
    unwatched: str | None = None


def run_watched(
    runner: AnyRunner,
    frames: Sequence[NDArray[Any]],
    rules: Rules,
    generator: LoadGenerator,
    machine: BenchMachine,
    sink: Sink | None = None,
) -> WatchedRun:
    """Read idle power, warm up, and time the queries while the machine is watched.

    Args:
        runner: The open model.
        frames: Inputs as the runner takes them, used in turn.
        rules: Lengths of the idle span, the warm-up and the run.
        generator: Sends the queries.
        machine: The machine and its power source.
        sink: Takes the times while the run goes on.
    """
    source, clock = machine.power, machine.clock
    measures = source.read() is not None
    with (
        MachineFiles(machine.root, clock) as files,
        Poller(source.read, source.period_s) if measures else nullcontext() as meter,
    ):
        before, mode_before, counts = files.read_state(), files.read_mode(), files.read_counters()
        idle_start_ns = clock()
        if measures:
            time.sleep(rules.idle_seconds)
        idle_end_ns = clock()
        fastest_ns = warm_up(runner, frames, rules.warmup, clock) or _EXPECTED_NS
        with Poller(files.read_state, machine.watch_period_s) as watch:
            run = generator.send(runner, frames, rules, fastest_ns, sink, clock)
        after, mode_after, rose = files.read_state(), files.read_mode(), counter_rises(counts, files.read_counters())
        if measures:
            time.sleep(2 * source.period_s)  # so that readings span the run
        shown = files.shown
    readings = () if meter is None else tuple(reading for reading in meter.readings if reading is not None)
    record = MachineRecord(
        before=replace(before, at_ns=before.at_ns - run.start_ns),
        during=tuple(replace(state, at_ns=state.at_ns - run.start_ns) for state in watch.readings),
        after=replace(after, at_ns=after.at_ns - run.start_ns),
        mode_before=mode_before,
        mode_after=mode_after,
        throttle_events=rose,
        shown=shown,
    )
    power = energy_of(
        source,
        readings,
        idle=(idle_start_ns, idle_end_ns),
        run=(run.start_ns, run.end_ns),
        frames=len(run.samples_ns),
        trouble=_trouble(source, meter),
    )
    unwatched = None if watch.failure is None else str(watch.failure)
    return WatchedRun(run=run, machine=record, power=power, readings=readings, unwatched=unwatched)


def _trouble(source: PowerSource, meter: Poller[Reading | None] | None) -> str | None:
    """Return why there are no readings, or why they ended early; None where nothing went wrong."""
    if isinstance(source, NullSource):
        return source.reason
    return None if meter is None or meter.failure is None else str(meter.failure)
