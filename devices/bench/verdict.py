"""Verdict on a bench: VALID where its times may be quoted, else INVALID with every reason."""

from __future__ import annotations

from collections.abc import Sequence

from weckd_edge.artifacts import Latency, MachineRecord, Measurement
from weckd_edge.devices.bench.load_generator.rules import MINIMUM_QUERIES

LARGEST_SPREAD = 0.1
"""Largest interquartile range of the times of a VALID bench, as a fraction of their median."""

LARGEST_CLOCK_SPAN = 0.1
"""Largest difference between two clocks of a VALID bench, as a fraction of their median."""


def verdict_of(measurement: Measurement) -> tuple[str, str]:
    """Return ``VALID`` or ``INVALID`` and the reason."""
    found = invalid_reasons(measurement)
    if found:
        return "INVALID", "; ".join(found)
    latency = measurement.end_to_end
    return "VALID", f"{len(latency.samples_ns)} queries, {spread_text(latency)}"


def invalid_reasons(measurement: Measurement) -> tuple[str, ...]:
    """Return every reason why the times may not be quoted; empty where they may."""
    latency = measurement.end_to_end
    count, found = len(latency.samples_ns), []
    if measurement.cut_off is not None:
        found.append(f"the run was cut off after {count} queries: {measurement.cut_off}")
    if measurement.machine is not None and measurement.machine.emulated is not None:
        reasons = measurement.machine.emulated
        found.append(f"an emulator ran it ({reasons}), whose times say nothing about a device; run it on the device")
    if count < MINIMUM_QUERIES:
        found.append(f"{count} queries; a 90th percentile needs at least {MINIMUM_QUERIES}")
    if not measurement.rules_met and measurement.cut_off is None:
        found.append("the run was shorter than its rules ask")
    if latency.iqr_over_median > LARGEST_SPREAD:
        found.append(f"{spread_text(latency)}; close other programs and run it again")
    if measurement.machine is not None:
        found += machine_reasons(measurement.machine)
    return tuple(found)


def only_noisy(measurement: Measurement) -> bool:
    """Tell whether the spread of the times is the only reason: other work on the machine, which only adds time."""
    return measurement.end_to_end.iqr_over_median > LARGEST_SPREAD and len(invalid_reasons(measurement)) == 1


def machine_reasons(machine: MachineRecord) -> list[str]:
    """Return the changes of the machine during the run for which its times may not be quoted, in words."""
    found = []
    slowed = dict.fromkeys(text for state in (*machine.during, machine.after) for text in state.throttling)
    slowed |= dict.fromkeys(machine.throttle_events)
    if slowed:
        found.append(f"the machine throttled ({', '.join(slowed)}); cool it, or give it a stronger supply, and run it again")
    if machine.mode_before != machine.mode_after:
        found.append(f"the power mode changed during the run, from {machine.mode_before} to {machine.mode_after}")
    found += _clock_change("processor", [s.cpu_khz for s in machine.during], 1e3)
    found += _clock_change("GPU", [s.gpu_hz for s in machine.during], 1e6)
    return found


def _clock_change(name: str, clocks: Sequence[int | None], mega: float) -> list[str]:
    known = sorted(clock for clock in clocks if clock is not None)
    if not known:
        return []
    low, middle, high = known[0], known[len(known) // 2], known[-1]
    if high - low <= LARGEST_CLOCK_SPAN * middle:
        return []
    return [f"the {name} clock changed during the run, {low / mega:.0f} to {high / mega:.0f} MHz; fix it and run it again"]


def spread_text(latency: Latency) -> str:
    """Return the spread of the times and its limit in words."""
    limit = f"at most {LARGEST_SPREAD:g} is quiet"
    return f"the middle half of the times spans {latency.iqr_over_median:.2f} of the median ({limit})"
