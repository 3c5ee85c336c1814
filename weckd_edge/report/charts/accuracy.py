"""How often networks are right: against what they cost, by class, by strategy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import Rate
from weckd_edge.core.words import NBSP
from weckd_edge.report.charts import draw
from weckd_edge.report.charts.draw import WIDTH
from weckd_edge.report.numbers import significant

NAME_WIDTH = 48
"""Two names nearer than this are put one above and one below their intervals."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One network in the picture of accuracy against cost.

    Attributes:
        name: Its label.
        cost: MACs, or a time in nanoseconds.
        accuracy: With its interval.
        kind: ``link`` is part of the chain, ``deployed`` is the one that is deployed, ``baseline`` stands beside it.
    """

    name: str
    cost: float
    accuracy: Rate
    kind: str


def accuracy_against_cost(
    points: Sequence[Point], cost_name: str, unit: str, unit_size: float, *, images: str = "test"
) -> str:
    """Draw accuracy with its 95 % interval over cost on a logarithmic axis; the chain is joined by a line.

    Args:
        points: The chain in order, and possibly the baseline.
        cost_name: What the horizontal axis is.
        unit: Of the axis.
        unit_size: How much of ``Point.cost`` one unit is.
        images: On which images the accuracies were found, ``test`` or ``validation``.
    """
    height, left, right, top, bottom = 310, 52, 18, 44, 48
    low, high, step = draw.axis([p.accuracy.low for p in points], [p.accuracy.high for p in points])
    costs = [math.log10(max(p.cost, 1e-9) / unit_size) for p in points]
    middle, half = (min(costs) + max(costs)) / 2, max((max(costs) - min(costs)) / 2 * 1.35, 0.3)

    def x(cost: float) -> float:
        at = math.log10(max(cost, 1e-9) / unit_size)
        return left + (at - middle + half) / (2 * half) * (WIDTH - left - right)

    def y(value: float) -> float:
        return top + (high - value) / (high - low) * (height - top - bottom)

    parts = draw.horizontal_grid(low, high, step, y, left, WIDTH - right)
    for tick in draw.log_ticks(10 ** (middle - half), 10 ** (middle + half)):
        at = x(tick * unit_size)
        parts.append(draw.text(at, height - bottom + 18, significant(tick, 2), "tick", "middle"))
        parts.append(draw.line(at, height - bottom, at, height - bottom + 4, "axis"))
    parts.append(draw.text((left + WIDTH - right) / 2, height - 10, f"{cost_name} ({unit}, logarithmic)", "label", "middle"))
    parts.append(draw.text(6, 14, f"accuracy on {images} images, 95 % interval", "label"))
    chain = [p for p in points if p.kind != "baseline"]
    path = " ".join(f"{draw.number(x(p.cost))},{draw.number(y(p.accuracy.value))}" for p in chain)
    parts.append(f'<polyline class="chain" points="{path}"/>')
    named = -math.inf
    beside_baseline = {p.cost for p in points if p.kind == "baseline"}
    for point in sorted(points, key=lambda p: p.cost):
        at = x(point.cost) + (16 if point.kind == "baseline" else 0)
        near = (
            at - named < NAME_WIDTH or point.cost in beside_baseline
        )  # a baseline stands at the right of its own link's name
        parts += _marker(point, at, y, below=near and point.kind != "baseline")
        if point.kind != "baseline":
            named = at
    description = "; ".join(f"{p.name}: {p.accuracy.value:.1%} at {significant(p.cost / unit_size)} {unit}" for p in points)
    return draw.svg(height, "Accuracy against cost", description, parts)


def _marker(point: Point, x: float, y: Callable[[float], float], *, below: bool) -> list[str]:
    kind = point.kind
    upper, lower, at = y(point.accuracy.high), y(point.accuracy.low), y(point.accuracy.value)
    parts = [draw.line(x, upper, x, lower, f"whisker {kind}")]
    parts += [draw.line(x - 4, end, x + 4, end, f"whisker {kind}") for end in (upper, lower)]
    parts.append(
        f'<circle class="dot {kind}" cx="{draw.number(x)}" cy="{draw.number(at)}" r="{7 if kind == "deployed" else 5}"/>'
    )
    if kind == "baseline":
        parts.append(draw.text(x + 11, at + 4.5, point.name, "name baseline"))
    else:
        parts.append(draw.text(x, lower + 16 if below else upper - 8, point.name, f"name {kind}", "middle"))
    return parts


def recall_by_class(labels: Sequence[str], before: Sequence[Rate | None], after: Sequence[Rate | None]) -> str:
    """Draw each class's recall with its interval, before (hollow) and after (filled) compiling."""
    row, top, left, right = 46, 34, 18, 20
    height = top + row * len(labels) + 30
    lows = [rate.low for rate in (*before, *after) if rate is not None]
    low = min(0.9, math.floor(min(lows, default=0.0) * 10) / 10)

    def x(value: float) -> float:
        return left + (value - low) / (1 - low) * (WIDTH - left - right)

    parts = []
    for tick in draw.ticks(low, 1.0, 6):
        parts.append(draw.line(x(tick), top - 12, x(tick), height - 26, "grid"))
        parts.append(draw.text(x(tick), height - 9, f"{tick * 100:.0f}{NBSP}%", "tick", "middle"))
    parts.append(f'<circle class="dot baseline" cx="20" cy="10" r="4.5"/>{draw.text(30, 14.5, "fp32", "label")}')
    parts.append(f'<circle class="dot deployed" cx="84" cy="10" r="5"/>{draw.text(94, 14.5, "as deployed", "label")}')
    for index, label in enumerate(labels):
        y = top + index * row
        pair = ((before[index], "baseline", 20), (after[index], "deployed", 32))
        images = next((rate.images for rate, _, _ in pair if rate is not None), 0)
        parts.append(draw.text(left, y + 8, f"{draw.shorten(label, 40)} ({images})", "name plain"))
        for rate, kind, shift in pair:
            if rate is not None:
                parts.append(draw.line(x(rate.low), y + shift, x(rate.high), y + shift, f"whisker {kind}"))
                parts.append(
                    f'<circle class="dot {kind}" cx="{draw.number(x(rate.value))}" cy="{draw.number(y + shift)}" r="5"/>'
                )
    return draw.svg(height, "Sensitivity of each class, before and after compiling", ", ".join(labels), parts)


def accuracy_by_strategy(
    rows: Sequence[tuple[str, Sequence[float], float, float | None, float | None]],
) -> str:
    """Draw the mean of each strategy with its interval, and every run beside it.

    Args:
        rows: Name, accuracy of each run, mean, lower and upper bound (None without an interval).
    """
    row_height, top, left, right = 34, 12, 132, 16
    height = top + row_height * len(rows) + 30
    low, high, _ = draw.axis(
        [min(*seeds, lo if lo is not None else mean) for _, seeds, mean, lo, _ in rows],
        [max(*seeds, hi if hi is not None else mean) for _, seeds, mean, _, hi in rows],
    )

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (WIDTH - left - right)

    parts = []
    for tick in draw.ticks(low, high, 6):
        parts.append(draw.line(x(tick), top - 6, x(tick), height - 26, "grid"))
        parts.append(draw.text(x(tick), height - 9, f"{tick * 100:.0f}{NBSP}%", "tick", "middle"))
    for index, (name, seeds, mean, lo, hi) in enumerate(rows):
        y = top + index * row_height + row_height / 2
        kind = "baseline" if name.startswith("single") else "deployed"
        parts.append(draw.text(left - 12, y + 4.5, name, "name plain", "end"))
        parts += [
            f'<circle class="dot baseline" cx="{draw.number(x(s))}" cy="{draw.number(y + 7)}" r="2.5"/>' for s in seeds
        ]
        if lo is not None and hi is not None:
            parts.append(draw.line(x(lo), y, x(hi), y, f"whisker {kind}"))
        parts.append(f'<circle class="dot {kind}" cx="{draw.number(x(mean))}" cy="{draw.number(y)}" r="5"/>')
    description = "; ".join(f"{name}: {mean:.1%}" for name, _, mean, _, _ in rows)
    return draw.svg(height, "Accuracy of the last link by strategy", description, parts)
