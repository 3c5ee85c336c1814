"""The page of one benchmark: the latencies, their order in time, and the state of the machine.

It is written without a template, so that the base package is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

from weckd_edge.artifacts import MachineRecord, MachineState, Measurement
from weckd_edge.core.store import write_atomic
from weckd_edge.core.words import plural
from weckd_edge.devices.bench.verdict import verdict_of
from weckd_edge.report import charts
from weckd_edge.report.html_shell import document
from weckd_edge.report.numbers import milliseconds, significant, size

PAGE = "bench.html"


def write_bench_page(folder: Path, measurement: Measurement) -> Path:
    """Write the page of a bench into its folder, and return the page's path.

    Raises:
        StoreError: The page cannot be written.
    """
    path = folder / PAGE
    write_atomic(path, bench_page(measurement, *verdict_of(measurement)))
    return path


def bench_page(measurement: Measurement, verdict: str | None = None, reason: str | None = None) -> str:
    """Return the page as HTML that needs no network.

    Args:
        measurement: The benchmark, with every latency.
        verdict: ``VALID`` or ``INVALID``; None leaves it out.
        reason: Reason for the verdict.
    """
    latency, machine = measurement.end_to_end, measurement.machine
    states = machine.during if machine else ()
    banner = ""
    if verdict is not None:
        kind = "pass" if verdict == "VALID" else "open"
        banner = f'<div class="verdict {kind}"><div><b>{escape(verdict)}</b><span>{escape(reason or "")}</span></div></div>'
    warnings = "".join(f"<li>{escape(warning)}</li>" for warning in measurement.warnings)
    body = [
        f'<header class="card"><p class="kicker">Benchmark</p><h1>{escape(measurement.host)}</h1>'
        f'<p class="lead">{escape(measurement.rules)}. {escape(measurement.backend)} '
        f"{escape(measurement.backend_version)}, {escape(measurement.precision)}"
        f"{', chosen on this device' if measurement.by_device else ''}, {plural(measurement.threads, 'thread')}; "
        f"queries by {escape(measurement.generator)}.</p>{banner}</header>",
        '<div class="pair">'
        f'<section class="card"><h2>Distribution of latencies</h2>{charts.latency_histogram(latency, None)}</section>'
        f'<section class="card"><h2>Latency over the run</h2>{charts.time_line(latency, states)}</section>'
        "</div>",
        f'<section class="card"><h2>Results</h2>{_facts(_latency_numbers(measurement))}'
        + (f'<ul class="plain small">{warnings}</ul>' if warnings else "")
        + "</section>",
    ]
    if machine is not None:
        body.append(f'<section class="card"><h2>Machine during the run</h2>{_machine(machine)}</section>')
    return document(f"{measurement.host}: benchmark", "\n".join(body), kind="bench")


def _latency_numbers(measurement: Measurement) -> list[tuple[str, str]]:
    latency, power = measurement.end_to_end, measurement.power
    times = " / ".join(milliseconds(ns) for ns in (latency.p50_ns, latency.p90_ns, latency.p99_ns))
    rows = [("end-to-end latency, p50 / p90 / p99", times)]
    for stop in measurement.early_stopping:
        proven = f"at most {milliseconds(stop.estimate_ns)}" if stop.estimate_ns is not None else "too few queries"
        rows.append((f"p{stop.percent} with {stop.confidence:.0%} confidence", f"{proven} (needs {stop.needed} queries)"))
    if measurement.network is not None:
        network = measurement.network
        shown = " / ".join(milliseconds(ns) for ns in (network.p50_ns, network.p90_ns, network.p99_ns))
        rows.append(("network alone, p50 / p90 / p99", shown))
    rows += _part_numbers(measurement)
    if measurement.int8 is not None:
        rows.append(("layers that run in int8", str(measurement.int8)))
    if measurement.pixels is not None:
        rows.append(("front end computed by", measurement.pixels))
    rows.append(("cold start, until the first prediction", milliseconds(measurement.cold_start_ns)))
    rss = measurement.peak_rss_bytes
    rows.append(("peak memory", "cannot be measured on this machine" if rss is None else size(rss)))
    if measurement.energy_mj is not None:
        rows.append(("energy per frame above idle", f"{significant(measurement.energy_mj)} mJ"))
    if power is not None:
        if power.gross_mj is not None and power.resolution_mj is not None:
            known = f"{significant(power.gross_mj)} mJ ± {significant(power.resolution_mj, 2)} mJ"
            rows.append(("energy per frame, idle included", known))
        for name, mw in (("idle power", power.idle_mw), ("power during the run", power.run_mw)):
            if mw is not None:
                rows.append((name, f"{significant(mw / 1000)} W ({power.source}: {', '.join(power.rails)})"))
        if power.reason is not None:
            rows.append(("energy not measured", power.reason))
    rows.append(("spread (IQR / median)", significant(latency.iqr_over_median, 2)))
    return rows


def _part_numbers(measurement: Measurement) -> list[tuple[str, str]]:
    parts = measurement.parts
    if parts is None:
        return []
    rows = [
        (f"{name}, p50 / p90 / p99", " / ".join(milliseconds(ns) for ns in (one.p50_ns, one.p90_ns, one.p99_ns)))
        for name, one in parts.named
    ]
    if parts.end_to_end_over_network is not None:
        rows.append(("end to end over network alone", f"{parts.end_to_end_over_network:.2f}"))
    return rows


def _machine(machine: MachineRecord) -> str:
    states = [
        ("before", machine.before),
        *(("during", state) for state in _spread_out(machine.during)),
        ("after", machine.after),
    ]
    columns: list[tuple[str, Callable[[MachineState], str]]] = [
        ("time", lambda state: f"{round(state.at_ns / 1e9, 1) + 0.0:.1f} s"),  # + 0.0: a moment before is 0.0, not -0.0
        ("processor", lambda state: "" if state.cpu_khz is None else f"{state.cpu_khz / 1e3:.0f} MHz"),
        ("GPU", lambda state: "" if state.gpu_hz is None else f"{state.gpu_hz / 1e6:.0f} MHz"),
        ("hottest zone", _hottest),
        ("load", lambda state: "" if state.load_average is None else f"{state.load_average:.2f}"),
        ("throttling", lambda state: ", ".join(state.throttling)),
    ]
    # A value that this machine never shows would be a column of dashes; the list below says what was recorded.
    shown = [(head, cell) for head, cell in columns if any(cell(state) for _, state in states)]
    table = "".join(f'<th scope="col">{head}</th>' for head in ("state", *(head for head, _ in shown)))
    rows = []
    for name, state in states:
        text = "".join(
            f'<td class="{"words" if head == "throttling" else "whole"}">{escape(cell(state) or "-")}</td>'
            for head, cell in shown
        )
        rows.append(f'<tr><th scope="row">{name}</th>{text}</tr>')
    facts = [
        ("power mode", machine.mode_before or "not shown"),
        ("recorded", ", ".join(machine.shown) or "nothing: this machine shows no state"),
    ]
    if machine.mode_after != machine.mode_before:
        facts.append(("power mode after", machine.mode_after or "not shown"))
    if machine.throttle_events:
        facts.append(("throttling events", ", ".join(machine.throttle_events)))
    body = f"<thead><tr>{table}</tr></thead><tbody>{''.join(rows)}</tbody>"
    caption = '<caption class="quiet">State of the machine before, during and after the run</caption>'
    scroll = '<div class="scroll" role="region" aria-label="State of the machine" tabindex="0">'
    return f"{scroll}<table>{caption}{body}</table></div>{_facts(facts)}"


def _hottest(state: MachineState) -> str:
    return "" if state.hottest_celsius is None else f"{state.hottest_celsius:.1f} °C ({state.hottest_zone})"


def _spread_out(states: Sequence[MachineState], maximum: int = 12) -> list[MachineState]:
    step = max(1, -(-len(states) // maximum))
    return list(states[::step])


def _facts(rows: Sequence[tuple[str, str]]) -> str:
    return '<dl class="facts">' + "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in rows) + "</dl>"
