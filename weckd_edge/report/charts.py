"""Pictures as plain SVG text. Colours are CSS variables of the page, so that one picture serves light and dark.

Coordinates are rounded to a tenth of a pixel: equal numbers give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate

from weckd_edge.artifacts import CalibrationFigures, Latency, MachineState, Parting, Rate
from weckd_edge.report.numbers import NBSP, milliseconds, significant

WIDTH = 480
NAME_ROOM = 48
"""Two names nearer than this are put one above and one below their intervals."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One network in the picture of accuracy against cost.

    Attributes:
        name: Its label.
        cost: Multiply-adds, or a time in nanoseconds.
        accuracy: With its interval.
        kind: ``link`` is part of the chain, ``shipped`` is the one that ships, ``twin`` stands beside it.
    """

    name: str
    cost: float
    accuracy: Rate
    kind: str


def accuracy_against_cost(points: Sequence[Point], cost_name: str, unit: str, unit_size: float) -> str:
    """Draw accuracy with its 95 % interval over cost on a logarithmic axis; the chain is joined by a line.

    Args:
        points: The chain in order, and possibly the twin.
        cost_name: What the horizontal axis is.
        unit: Of the axis.
        unit_size: How much of ``Point.cost`` one unit is.
    """
    height, left, right, top, bottom = 310, 52, 18, 44, 48
    low, high, step = _axis([p.accuracy.low for p in points], [p.accuracy.high for p in points])
    costs = [math.log10(max(p.cost, 1e-9) / unit_size) for p in points]
    middle, half = (min(costs) + max(costs)) / 2, max((max(costs) - min(costs)) / 2 * 1.35, 0.3)

    def x(cost: float) -> float:
        at = math.log10(max(cost, 1e-9) / unit_size)
        return left + (at - middle + half) / (2 * half) * (WIDTH - left - right)

    def y(value: float) -> float:
        return top + (high - value) / (high - low) * (height - top - bottom)

    parts = _horizontal_grid(low, high, step, y, left, WIDTH - right)
    for tick in _log_ticks(10 ** (middle - half), 10 ** (middle + half)):
        at = x(tick * unit_size)
        parts.append(_text(at, height - bottom + 18, significant(tick, 2), "tick", "middle"))
        parts.append(_line(at, height - bottom, at, height - bottom + 4, "axis"))
    parts.append(_text((left + WIDTH - right) / 2, height - 10, f"{cost_name} ({unit}, logarithmic)", "label", "middle"))
    parts.append(_text(6, 14, "accuracy on the test split, 95 % interval", "label"))
    chain = [p for p in points if p.kind != "twin"]
    path = " ".join(f"{_n(x(p.cost))},{_n(y(p.accuracy.value))}" for p in chain)
    parts.append(f'<polyline class="chain" points="{path}"/>')
    named = -math.inf
    beside_twin = {p.cost for p in points if p.kind == "twin"}
    for point in sorted(points, key=lambda p: p.cost):
        at = x(point.cost) + (16 if point.kind == "twin" else 0)
        near = at - named < NAME_ROOM or point.cost in beside_twin  # a twin stands at the right of its own link's name
        parts += _marker(point, at, y, below=near and point.kind != "twin")
        if point.kind != "twin":
            named = at
    description = "; ".join(f"{p.name}: {p.accuracy.value:.1%} at {significant(p.cost / unit_size)} {unit}" for p in points)
    return _svg(height, "Accuracy against cost", description, parts)


def _marker(point: Point, x: float, y: Callable[[float], float], *, below: bool) -> list[str]:
    kind = point.kind
    upper, lower, at = y(point.accuracy.high), y(point.accuracy.low), y(point.accuracy.value)
    parts = [_line(x, upper, x, lower, f"whisker {kind}")]
    parts += [_line(x - 4, end, x + 4, end, f"whisker {kind}") for end in (upper, lower)]
    parts.append(f'<circle class="dot {kind}" cx="{_n(x)}" cy="{_n(at)}" r="{7 if kind == "shipped" else 5}"/>')
    if kind == "twin":
        parts.append(_text(x + 11, at + 4.5, point.name, "name twin"))
    else:
        parts.append(_text(x, lower + 16 if below else upper - 8, point.name, f"name {kind}", "middle"))
    return parts


def latency_histogram(latency: Latency, bar_ms: float | None) -> str:
    """Draw how often each time came, with the median, the 90th and the 99th percentile, and the bar if one was set.

    Times beyond a quarter over the 99th percentile are counted in words, so that one hiccup does not flatten the rest.
    """
    height, left, right, top, bottom = 280, 14, 14, 64, 44
    start = min(latency.samples_ns)
    end = max(latency.p99_ns * 1.25 - start * 0.25, start * 1.02 + 1)
    if bar_ms is not None and start < bar_ms * 1e6 < end * 1.6:
        end = max(end, bar_ms * 1e6 * 1.04)
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
                f'<rect class="bin" x="{_n(left + index * step + 0.5)}" y="{_n(floor - tall)}" '
                f'width="{_n(step - 1)}" height="{_n(tall)}"/>'
            )
    parts.append(_line(left, floor, WIDTH - right, floor, "axis"))
    for tick in _ticks(start / 1e6, end / 1e6, 6):
        parts.append(_line(x(tick * 1e6), floor, x(tick * 1e6), floor + 4, "axis"))
        parts.append(_text(x(tick * 1e6), floor + 18, significant(tick), "tick", "middle"))
    more = f"; {slower} slower, up to {milliseconds(max(latency.samples_ns))}" if slower else ""
    parts.append(_text(WIDTH / 2, height - 8, f"frame to answer (ms){more}", "label", "middle"))
    marks = [("p50", latency.p50_ns, "mark"), ("p90", latency.p90_ns, "mark strong"), ("p99", latency.p99_ns, "mark")]
    for row, (name, time_ns, style) in enumerate(marks):
        parts += _mark(x(time_ns), 14 + row * 17, floor, f"{name} {milliseconds(time_ns)}", style)
    if bar_ms is not None and bar_ms * 1e6 <= end:
        parts += _mark(x(bar_ms * 1e6), 14, floor, f"bar {significant(bar_ms)}{NBSP}ms", "mark bar")
    description = f"{len(latency.samples_ns)} queries; " + ", ".join(f"{n} {milliseconds(t)}" for n, t, _ in marks)
    return _svg(height, "Histogram of frame-to-answer times", description, parts)


def time_line(latency: Latency, states: Sequence[MachineState] = ()) -> str:
    """Draw each time over the moment of the run it came in, column by column: the median and the middle eight tenths.

    A dot on the upper edge is a moment at which the machine was throttled; a single hiccup is counted in words.

    Args:
        latency: With every time, in order.
        states: The machine during the run.
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
    for tick in _ticks(low / 1e6, high / 1e6, 4):
        parts.append(_line(left, y(tick * 1e6), WIDTH - right, y(tick * 1e6), "grid"))
        parts.append(_text(left - 8, y(tick * 1e6) + 4.5, significant(tick, 2), "tick", "end"))
    parts.append(_line(left, floor, WIDTH - right, floor, "axis"))
    for tick in _ticks(0.0, total / 1e9, 6):
        parts.append(_line(x(tick * 1e9), floor, x(tick * 1e9), floor + 4, "axis"))
        parts.append(_text(x(tick * 1e9), floor + 18, f"{tick:g}", "tick", "middle"))
    medians = []
    for index, span in enumerate(spans):
        if span:
            at = x((index + 0.5) / columns * total)
            parts.append(_line(at, y(span[2]), at, y(span[0]), "whisker"))
            medians.append(f"{_n(at)},{_n(y(span[1]))}")
    parts.append(f'<polyline class="thread shipped" points="{" ".join(medians)}"/>')
    parts.append(_line(left, y(latency.p90_ns), WIDTH - right, y(latency.p90_ns), "mark strong"))
    # Above the picture, where no time is drawn over it.
    parts.append(_text(WIDTH - right, 14, f"line: p90 {milliseconds(latency.p90_ns)}", "mark strong text", "end"))
    throttled = [state for state in states if state.throttling]
    for state in throttled:
        parts.append(f'<circle class="dot shipped" cx="{_n(x(max(state.at_ns, 0)))}" cy="{_n(top - 5)}" r="3.5"/>')
    note = f"; {slower} above, up to {milliseconds(max(latency.samples_ns))}" if slower else ""
    note += "; dots: throttled" if throttled else ""
    parts.append(_text(6, 14, f"ms: median, middle 80{NBSP}%", "label"))
    parts.append(_text(WIDTH / 2, height - 8, f"seconds{note}", "label", "middle"))
    return _svg(height, "Times over the run", f"{len(ends)} queries in {total / 1e9:.1f} s", parts)


def _eight_tenths(ordered: Sequence[int]) -> tuple[int, int, int]:
    last = len(ordered) - 1
    return ordered[round(last * 0.1)], ordered[round(last * 0.5)], ordered[round(last * 0.9)]


def _mark(x: float, y: float, floor: float, text: str, style: str) -> list[str]:
    anchor, shift = ("end", -5) if x > WIDTH * 0.7 else ("start", 5)
    return [_line(x, y - 9, x, floor, style), _text(x + shift, y, text, f"{style} text", anchor)]


def recall_by_class(labels: Sequence[str], before: Sequence[Rate | None], after: Sequence[Rate | None]) -> str:
    """Draw each class's recall with its interval, before (hollow) and after (filled) compiling."""
    row, top, left, right = 46, 34, 18, 20
    height = top + row * len(labels) + 30
    lows = [rate.low for rate in (*before, *after) if rate is not None]
    low = min(0.9, math.floor(min(lows, default=0.0) * 10) / 10)

    def x(value: float) -> float:
        return left + (value - low) / (1 - low) * (WIDTH - left - right)

    parts = []
    for tick in _ticks(low, 1.0, 6):
        parts.append(_line(x(tick), top - 12, x(tick), height - 26, "grid"))
        parts.append(_text(x(tick), height - 9, f"{tick * 100:.0f}{NBSP}%", "tick", "middle"))
    parts.append(f'<circle class="dot twin" cx="20" cy="10" r="4.5"/>{_text(30, 14.5, "fp32", "label")}')
    parts.append(f'<circle class="dot shipped" cx="84" cy="10" r="5"/>{_text(94, 14.5, "as shipped", "label")}')
    for index, label in enumerate(labels):
        y = top + index * row
        pair = ((before[index], "twin", 20), (after[index], "shipped", 32))
        images = next((rate.images for rate, _, _ in pair if rate is not None), 0)
        parts.append(_text(left, y + 8, f"{_shorten(label, 40)} ({images})", "name plain"))
        for rate, kind, shift in pair:
            if rate is not None:
                parts.append(_line(x(rate.low), y + shift, x(rate.high), y + shift, f"whisker {kind}"))
                parts.append(f'<circle class="dot {kind}" cx="{_n(x(rate.value))}" cy="{_n(y + shift)}" r="5"/>')
    return _svg(height, "Recall of each class, before and after compiling", ", ".join(labels), parts)


def accuracy_by_strategy(
    rows: Sequence[tuple[str, Sequence[float], float, float | None, float | None]],
) -> str:
    """Draw the mean of each strategy with its interval, and every seed beside it.

    Args:
        rows: Name, accuracy by seed, mean, lower and upper bound (None without an interval).
    """
    row_height, top, left, right = 34, 12, 132, 16
    height = top + row_height * len(rows) + 30
    low, high, _ = _axis(
        [min(*seeds, lo if lo is not None else mean) for _, seeds, mean, lo, _ in rows],
        [max(*seeds, hi if hi is not None else mean) for _, seeds, mean, _, hi in rows],
    )

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (WIDTH - left - right)

    parts = []
    for tick in _ticks(low, high, 6):
        parts.append(_line(x(tick), top - 6, x(tick), height - 26, "grid"))
        parts.append(_text(x(tick), height - 9, f"{tick * 100:.0f}{NBSP}%", "tick", "middle"))
    for index, (name, seeds, mean, lo, hi) in enumerate(rows):
        y = top + index * row_height + row_height / 2
        kind = "twin" if name.startswith("single") else "shipped"
        parts.append(_text(left - 12, y + 4.5, name, "name plain", "end"))
        parts += [f'<circle class="dot twin" cx="{_n(x(s))}" cy="{_n(y + 7)}" r="2.5"/>' for s in seeds]
        if lo is not None and hi is not None:
            parts.append(_line(x(lo), y, x(hi), y, f"whisker {kind}"))
        parts.append(f'<circle class="dot {kind}" cx="{_n(x(mean))}" cy="{_n(y)}" r="5"/>')
    description = "; ".join(f"{name}: {mean:.1%}" for name, _, mean, _, _ in rows)
    return _svg(height, "Accuracy of the last link by strategy", description, parts)


def reliability(before: CalibrationFigures, after: CalibrationFigures) -> str:
    """Draw how often answers are right over how sure they are, before (hollow) and after (filled) recalibration.

    A dot's area grows with the images in its bin; on the dashed line answers are as right as they are sure.
    """
    height, left, right, top, bottom = 300, 46, 16, 34, 46
    most = max(b.images for figures in (before, after) for b in figures.bins)

    def x(value: float) -> float:
        return left + value * (WIDTH - left - right)

    def y(value: float) -> float:
        return top + (1 - value) * (height - top - bottom)

    parts = _horizontal_grid(0.0, 1.0, 0.25, y, left, WIDTH - right)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(_text(x(tick), height - bottom + 18, f"{tick * 100:.0f}{NBSP}%", "tick", "middle"))
    parts.append(_text(x(0.5), height - 8, "how sure: mean of the largest probability", "label", "middle"))
    parts.append(_line(x(0), y(0), x(1), y(1), "mark"))
    for figures, kind in ((before, "twin"), (after, "shipped")):
        filled = [b for b in figures.bins if b.images]
        path = " ".join(f"{_n(x(b.confidence))},{_n(y(b.accuracy))}" for b in filled)
        parts.append(f'<polyline class="thread {kind}" points="{path}"/>')
        for b in filled:
            radius = 2.5 + 6 * math.sqrt(b.images / most)
            at = f'cx="{_n(x(b.confidence))}" cy="{_n(y(b.accuracy))}"'
            parts.append(f'<circle class="dot {kind}" {at} r="{_n(radius)}"><title>{b.images} images</title></circle>')
    parts.append(f'<circle class="dot twin" cx="20" cy="12" r="4.5"/>{_text(30, 16.5, "before", "label")}')
    parts.append(f'<circle class="dot shipped" cx="96" cy="12" r="5"/>{_text(106, 16.5, "as shipped", "label")}')
    parts.append(_text(WIDTH - right, 16.5, "how often right", "label", "end"))
    text = f"expected calibration error {before.ece.value:.3f} before, {after.ece.value:.3f} as shipped"
    return _svg(height, "How often answers are right over how sure they are", text, parts)


def layers(parting: Parting) -> str:
    """Draw every layer's SQNR in graph order, with the threshold; hollow dots are layers that reading disturbed.

    Layers that are equal lie on the upper edge.
    """
    height, left, right, top, bottom = 250, 46, 16, 34, 34
    values = [layer.sqnr_db for layer in parting.layers]
    known = [value for value in values if value is not None]
    high = max(parting.threshold_db * 2, min(max(known, default=0.0), 80.0)) + 8
    low = min(0.0, max(min(known, default=0.0), -40.0))

    def x(at: int) -> float:
        return left + (at + 0.5) / len(values) * (WIDTH - left - right)

    def y(value: float | None) -> float:
        held = high if value is None else min(max(value, low), high)
        return top + (high - held) / (high - low) * (height - top - bottom)

    parts = []
    for tick in _ticks(low, high, 5):
        parts.append(_line(left, y(tick), WIDTH - right, y(tick), "grid"))
        parts.append(_text(left - 8, y(tick) + 4.5, f"{tick:.0f}{NBSP}dB", "tick", "end"))
    bar = y(parting.threshold_db)
    parts.append(_line(left, bar, WIDTH - right, bar, "mark bar"))
    parts.append(_text(left + 4, bar + 15, f"{parting.threshold_db:g}{NBSP}dB", "mark bar text"))
    path = " ".join(f"{_n(x(at))},{_n(y(value))}" for at, value in enumerate(values))
    parts.append(f'<polyline class="thread shipped" points="{path}"/>')
    for at, layer in enumerate(parting.layers):
        kind, radius = "twin" if layer.disturbed else "shipped", 6 if at == parting.first else 3.5
        parts.append(
            f'<circle class="dot {kind}" cx="{_n(x(at))}" cy="{_n(y(layer.sqnr_db))}" r="{radius}">'
            f"<title>{escape(layer.name)}</title></circle>"
        )
    parts.append(f'<circle class="dot shipped" cx="20" cy="12" r="4"/>{_text(30, 16.5, "layer", "label")}')
    parts.append(
        f'<circle class="dot twin" cx="84" cy="12" r="4"/>{_text(94, 16.5, "reading it changed the fusion", "label")}'
    )
    parts.append(_text(x(len(values) // 2), height - 8, "layers in graph order, upper edge: equal", "label", "middle"))
    first = "none under the threshold" if parting.first is None else f"first under it: {parting.layers[parting.first].name}"
    return _svg(height, "SQNR of every layer", first, parts)


def two_answers(labels: Sequence[str], a: Sequence[float], b: Sequence[float], truth: int) -> str:
    """Draw two answers to one frame as bars, one above the other for each class; the true class is marked."""
    row, width, room = 36, 150, 24
    parts = []
    for index, label in enumerate(labels):
        y = index * row
        mark = " ✓" if index == truth else ""
        parts.append(_text(0, y + 12, _shorten(label, 24) + mark, "name plain" if index == truth else "tick"))
        for shift, value, kind in ((16, a[index], "before"), (23, b[index], "after")):
            at = f'x="0" y="{y + shift}" width="{_n(max(value * width, 0.5))}" height="6"'
            parts.append(f'<rect class="answer {kind}" {at}/>')
            if value >= 0.005:
                parts.append(_text(value * width + 3, y + shift + 7, f"{value * 100:.0f}", "digit"))
    text = "; ".join(f"{n}: {p:.1%} and {q:.1%}" for n, p, q in zip(labels, a, b, strict=True))
    return _svg(row * len(labels), "Two answers to one frame", text, parts).replace(f"0 0 {WIDTH} ", f"0 0 {width + room} ")


def share_bar(parts_of_whole: Iterable[tuple[str, int]]) -> str:
    """Draw how a whole is divided, as one bar."""
    pieces = [(name, number) for name, number in parts_of_whole if number]
    total, at, parts = sum(number for _, number in pieces), 0.0, []
    for index, (name, number) in enumerate(pieces):
        width = number / total * WIDTH
        title = f"<title>{escape(name)}: {number}</title>"
        parts.append(
            f'<rect class="piece p{index % 6}" x="{_n(at)}" y="0" width="{_n(max(width - 1.5, 0.5))}" height="22">'
            f"{title}</rect>"
        )
        at += width
    return _svg(22, "How the images are used", ", ".join(f"{n}: {c}" for n, c in pieces), parts)


def _axis(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float, float]:
    span = max(highs) - min(lows)
    step = 0.1 if span > 0.35 else 0.05 if span > 0.12 else 0.02
    low = max(0.0, math.floor((min(lows) - 0.2 * step) / step + 1e-9) * step)
    return low, min(1.0, max(low + step, math.ceil(max(highs) / step - 1e-9) * step)), step


def _ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    scale = 10 ** math.floor(math.log10(rough))
    step = next(scale * m for m in (1, 2, 2.5, 5, 10) if scale * m >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [m * 10.0**d for d in decades for m in steps if low <= m * 10.0**d <= high]
        if len(ticks) >= 3:
            return ticks
    return ticks


def _horizontal_grid(
    low: float, high: float, step: float, y: Callable[[float], float], left: float, right: float
) -> list[str]:
    parts = []
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        parts.append(_line(left, y(value), right, y(value), "grid"))
        parts.append(_text(left - 8, y(value) + 4.5, f"{value * 100:.0f}{NBSP}%", "tick", "end"))
    return parts


def _svg(height: float, title: str, description: str, parts: Sequence[str]) -> str:
    label = escape(f"{title}. {description}")
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {_n(height)}" role="img" aria-label="{label}">'
    return head + "".join(parts) + "</svg>"


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>'


def _text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{_n(x)}" y="{_n(y)}" text-anchor="{anchor}">{escape(text)}</text>'


def _shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
