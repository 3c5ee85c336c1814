"""Charts of latencies: their distribution, and their course over the run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from weckd_edge.artifacts import Latency, MachineState
from weckd_edge.core.words import NBSP
from weckd_edge.report.charts import draw
from weckd_edge.report.charts.draw import WIDTH
from weckd_edge.report.numbers import milliseconds, significant

MARK_ROW = 17
"""Height of the row that each percentile's label, and the limit's, has to itself, pixels."""


def latency_histogram(latency: Latency, limit_ms: float | None) -> str:
    """Draw the distribution of latencies, with median, 90th and 99th percentile, and the limit if there is one.

    Latencies far above the 99th percentile are counted in words, so that one outlier does not flatten the rest.
    """
    height, left, right, top, bottom = 297, 14, 14, 81, 44
    start = min(latency.samples_ns)
    end = max(latency.p99_ns * 1.25 - start * 0.25, start * 1.02 + 1)
    if limit_ms is not None and start < limit_ms * 1e6 < end * 1.6:
        end = max(end, limit_ms * 1e6 * 1.04)
    bins = 48
    counts = [0] * bins
    slower = 0
    for sample in latency.samples_ns:
        index = int((sample - start) / (end - start) * bins)
        if index < bins:
            counts[index] += 1
        else:
            slower += 1

    def x(time_ns: float) -> float:
        return left + (time_ns - start) / (end - start) * (WIDTH - left - right)

    floor, peak, parts = height - bottom, max(counts), []
    step = (WIDTH - left - right) / bins
    for index, number in enumerate(counts):
        if number:
            tall = number / peak * (floor - top)
            parts.append(
                f'<rect class="bin" x="{draw.number(left + index * step + 0.5)}" y="{draw.number(floor - tall)}" '
                f'width="{draw.number(step - 1)}" height="{draw.number(tall)}"/>'
            )
    parts.append(draw.line(left, floor, WIDTH - right, floor, "axis"))
    for tick in draw.ticks(start / 1e6, end / 1e6, 6):
        parts.append(draw.line(x(tick * 1e6), floor, x(tick * 1e6), floor + 4, "axis"))
        parts.append(draw.text(x(tick * 1e6), floor + 18, significant(tick), "tick", "middle"))
    more = f"; {slower} slower, up to {milliseconds(max(latency.samples_ns))}" if slower else ""
    parts.append(draw.text(WIDTH / 2, height - 8, f"end-to-end latency (ms){more}", "label", "middle"))
    marks = [("p50", latency.p50_ns, "mark"), ("p90", latency.p90_ns, "mark strong"), ("p99", latency.p99_ns, "mark")]
    for row, (name, time_ns, style) in enumerate(marks):
        parts += _mark(x(time_ns), 14 + row * MARK_ROW, floor, f"{name} {milliseconds(time_ns)}", style)
    if limit_ms is not None and limit_ms * 1e6 <= end:
        row = 14 + len(marks) * MARK_ROW
        parts += _mark(x(limit_ms * 1e6), row, floor, f"limit {significant(limit_ms)}{NBSP}ms", "mark limit")
    description = f"{len(latency.samples_ns)} queries; " + ", ".join(f"{n} {milliseconds(t)}" for n, t, _ in marks)
    return draw.svg(height, "Histogram of end-to-end latencies", description, parts)


def time_line(latency: Latency, states: Sequence[MachineState] = ()) -> str:
    """Draw latencies over the time of the run, column by column: the median and the middle 80 %.

    A dot on the upper edge marks a moment at which the machine was throttled; outliers are counted in words.

    Args:
        latency: Latencies, in order.
        states: States of the machine during the run.
    """
    height, left, right, top, bottom = 250, 46, 14, 30, 50
    ends = list(accumulate(latency.samples_ns))
    total = ends[-1]
    columns = min(140, max(1, len(ends) // 4))
    held: list[list[int]] = [[] for _ in range(columns)]
    for end, sample in zip(ends, latency.samples_ns, strict=True):
        held[min(columns - 1, (end - sample) * columns // max(total, 1))].append(sample)
    spans = [_eight_tenths(sorted(times)) if times else None for times in held]
    low, high = 0.0, max(latency.p90_ns, min(latency.p99_ns, max(span[2] for span in spans if span)), 1) * 1.25
    slower = sum(sample > high for sample in latency.samples_ns)

    def x(time_ns: float) -> float:
        return left + min(time_ns / max(total, 1), 1.0) * (WIDTH - left - right)

    def y(value_ns: float) -> float:
        return top + (high - min(value_ns, high)) / (high - low) * (height - top - bottom)

    floor, parts = height - bottom, []
    for tick in draw.ticks(low / 1e6, high / 1e6, 4):
        parts.append(draw.line(left, y(tick * 1e6), WIDTH - right, y(tick * 1e6), "grid"))
        parts.append(draw.text(left - 8, y(tick * 1e6) + 4.5, significant(tick, 2), "tick", "end"))
    parts.append(draw.line(left, floor, WIDTH - right, floor, "axis"))
    for tick in draw.ticks(0.0, total / 1e9, 6):
        parts.append(draw.line(x(tick * 1e9), floor, x(tick * 1e9), floor + 4, "axis"))
        parts.append(draw.text(x(tick * 1e9), floor + 18, f"{tick:g}", "tick", "middle"))
    medians = []
    for index, span in enumerate(spans):
        if span:
            at = x((index + 0.5) / columns * total)
            parts.append(draw.line(at, y(span[2]), at, y(span[0]), "whisker"))
            medians.append(f"{draw.number(at)},{draw.number(y(span[1]))}")
    parts.append(f'<polyline class="thread deployed" points="{" ".join(medians)}"/>')
    parts.append(draw.line(left, y(latency.p90_ns), WIDTH - right, y(latency.p90_ns), "mark strong"))
    # Above the chart, where no latency is drawn over it.
    parts.append(draw.text(WIDTH - right, 14, f"line: p90 {milliseconds(latency.p90_ns)}", "mark strong text", "end"))
    throttled = [state for state in states if state.throttling]
    for state in throttled:
        parts.append(
            f'<circle class="dot deployed" cx="{draw.number(x(max(state.at_ns, 0)))}" cy="{draw.number(top - 5)}" r="3.5"/>'
        )
    note = f"; {slower} slower, up to {milliseconds(max(latency.samples_ns))}" if slower else ""
    note += "; dots: throttled" if throttled else ""
    parts.append(draw.text(6, 14, f"ms: median and middle 80{NBSP}%", "label"))
    parts.append(draw.text(WIDTH / 2, height - 8, f"time in the run (s){note}", "label", "middle"))
    return draw.svg(height, "Latency over the run", f"{len(ends)} queries in {total / 1e9:.1f} s", parts)


def _eight_tenths(ordered: Sequence[int]) -> tuple[int, int, int]:
    last = len(ordered) - 1
    return ordered[round(last * 0.1)], ordered[round(last * 0.5)], ordered[round(last * 0.9)]


def _mark(x: float, y: float, floor: float, text: str, style: str) -> list[str]:
    anchor, shift = ("end", -5) if x > WIDTH * 0.7 else ("start", 5)
    return [draw.line(x, y - 9, x, floor, style), draw.text(x + shift, y, text, f"{style} text", anchor)]
