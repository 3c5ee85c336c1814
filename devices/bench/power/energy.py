"""Energy of a timed run from power readings: integrated over the run alone, with idle power told apart and subtracted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from weckd_edge.artifacts import PowerRecord
from weckd_edge.devices.bench.power.base import PowerSource, Reading

FEWEST_READINGS = 10
"""Fewest readings in the timed run; with fewer, the moments at which they fall decide the figure."""


def energy_of(
    source: PowerSource,
    readings: Sequence[Reading],
    *,
    idle: tuple[int, int],
    run: tuple[int, int],
    frames: int,
    trouble: str | None = None,
) -> PowerRecord:
    """Work out power and energy of a timed run.

    Args:
        source: The power source that was read.
        readings: Readings in order of time, from before the idle span to after the run.
        idle: Start and end of a span in which nothing ran, nanoseconds of the readings' clock.
        run: Start and end of the timed run, nanoseconds of the same clock.
        frames: Number of queries in the timed run, at least 1.
        trouble: Why the readings ended early, in words; None where they did not.
    """
    held = distinct_readings(readings)
    inside = sum(run[0] <= reading.at_ns <= run[1] for reading in held)
    seconds = (run[1] - run[0]) / 1e9
    idle_mw, run_mw = mean_power_mw(held, *idle), mean_power_mw(held, *run)
    record = PowerRecord(
        source=source.name,
        rails=source.rails,
        idle_mw=idle_mw,
        run_mw=run_mw,
        gross_mj=None,
        net_mj=None,
        resolution_mj=None,
        readings=inside,
        reason=trouble,
    )
    if run_mw is None or trouble is not None:
        return replace(record, reason=trouble or f"the readings of {source.name} do not span the timed run")
    if inside < FEWEST_READINGS:
        reason = f"{inside} readings in a run of {seconds:.2f} s; energy needs {FEWEST_READINGS}: run it longer"
        return replace(record, reason=reason)
    gross_mj = run_mw * seconds / frames
    record = replace(record, gross_mj=gross_mj, resolution_mj=gross_mj / inside)
    if idle_mw is None:
        return replace(record, reason="idle power was not read before the run")
    net_mj = (run_mw - idle_mw) * seconds / frames
    if net_mj <= 0:
        reason = f"the run drew {run_mw:.0f} mW, no more than idle ({idle_mw:.0f} mW): what one frame adds is not seen"
        return replace(record, reason=reason)
    return replace(record, net_mj=net_mj)


def distinct_readings(readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings that are new: their times rise, and a counter has moved since the one before.

    A counter that stands still is kept by its first and last reading, so that a span without use is not cut away.
    """
    found: list[Reading] = []
    for reading in readings:
        if found and reading.at_ns <= found[-1].at_ns:
            continue
        if (
            len(found) > 1
            and reading.energy_mj is not None
            and found[-2].energy_mj == found[-1].energy_mj == reading.energy_mj
        ):
            found[-1] = reading
            continue
        found.append(reading)
    return found


def mean_power_mw(readings: Sequence[Reading], start_ns: int, end_ns: int) -> float | None:
    """Return the mean power of a span, milliwatts; None where the readings do not span it.

    Between two readings power is taken as a straight line, and a counter's rise as even.
    """
    if end_ns <= start_ns or len(readings) < 2 or readings[0].at_ns > start_ns or readings[-1].at_ns < end_ns:
        return None
    total = 0.0
    for before, after in pairwise(readings):
        begin, finish = max(before.at_ns, start_ns), min(after.at_ns, end_ns)
        if finish <= begin:
            continue
        length = after.at_ns - before.at_ns
        if before.energy_mj is not None and after.energy_mj is not None:
            total += (after.energy_mj - before.energy_mj) * (finish - begin) / length
        elif before.power_mw is not None and after.power_mw is not None:
            slope = (after.power_mw - before.power_mw) / length
            middle = before.power_mw + slope * ((begin + finish) / 2 - before.at_ns)
            total += middle * (finish - begin) / 1e9
    return total / ((end_ns - start_ns) / 1e9)
