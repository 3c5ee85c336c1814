"""Energy of a timed run, from readings around it: integrated over the run alone, idle power taken off and told apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from weckd_edge.artifacts import PowerRecord
from weckd_edge.devices.bench.power.base import PowerSource, Reading

FEWEST_READINGS = 10
"""In the timed run; with fewer, how the readings fall decides the figure."""


def energy_of(
    source: PowerSource,
    readings: Sequence[Reading],
    *,
    idle: tuple[int, int],
    run: tuple[int, int],
    frames: int,
    trouble: str | None = None,
) -> PowerRecord:
    """Work out power and energy.

    Args:
        source: Where the readings come from.
        readings: In order of time, from before the idle span to after the run.
        idle: Start and end of a span in which nothing ran, nanoseconds of the readings' clock.
        run: Start and end of the timed run.
        frames: Queries in it, at least 1.
        trouble: Why readings ended early, in words; None where they did not.
    """
    held = distinct_readings(readings)
    inside = sum(run[0] <= reading.at_ns <= run[1] for reading in held)
    idle_mw, run_mw = mean_power_mw(held, *idle), mean_power_mw(held, *run)
    reason = trouble
    if run_mw is None and reason is None:
        reason = f"the readings of {source.name} do not span the timed run"
    if reason is None and inside < FEWEST_READINGS:
        seconds = (run[1] - run[0]) / 1e9
        reason = f"{inside} readings in a run of {seconds:.2f} s; energy needs {FEWEST_READINGS}: run it longer"
    if reason is not None or run_mw is None:
        return _power_record(source, idle_mw, run_mw, inside, reason)
    seconds = (run[1] - run[0]) / 1e9
    gross_mj = run_mw * seconds / frames
    resolution_mj = gross_mj / inside
    if idle_mw is None:
        return _power_record(
            source, None, run_mw, inside, "idle power was not read before the run", gross_mj, None, resolution_mj
        )
    net_mj = (run_mw - idle_mw) * seconds / frames
    if net_mj <= 0:
        reason = f"the run drew {run_mw:.0f} mW, no more than idle ({idle_mw:.0f} mW): what one frame adds is not seen"
        return _power_record(source, idle_mw, run_mw, inside, reason, gross_mj, None, resolution_mj)
    return _power_record(source, idle_mw, run_mw, inside, None, gross_mj, net_mj, resolution_mj)


def _power_record(
    source: PowerSource,
    idle_mw: float | None,
    run_mw: float | None,
    readings: int,
    reason: str | None,
    gross_mj: float | None = None,
    net_mj: float | None = None,
    resolution_mj: float | None = None,
) -> PowerRecord:
    return PowerRecord(
        source=source.name,
        rails=source.rails,
        idle_mw=idle_mw,
        run_mw=run_mw,
        gross_mj=gross_mj,
        net_mj=net_mj,
        resolution_mj=resolution_mj,
        readings=readings,
        reason=reason,
    )


def distinct_readings(readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings at which the source had something new to say: times must rise, a counter must have moved.

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
    """Return mean power over a span; None where readings do not span it.

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
