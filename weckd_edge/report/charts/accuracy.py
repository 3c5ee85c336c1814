"""Charts of accuracy: against cost, by class, by strategy."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import Rate
from weckd_edge.core.words import NBSP
from weckd_edge.report.charts import draw, labels
from weckd_edge.report.charts.draw import WIDTH
from weckd_edge.report.numbers import significant

LEFT, RIGHT, TOP, PLOT = 52.0, 18.0, 44.0, 218.0
"""Margins of the chart of accuracy against cost, and the height of its plot, pixels."""

MARK_GAP = 14.0
"""Smallest distance of two marks along the axis, pixels."""

LABEL_ROW = 20.0
"""Height that a row of labels adds above the plot where labels find no place in it, pixels."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One network in the chart of accuracy against cost.

    Attributes:
        name: Label of the mark.
        cost: Cost: MACs, or a latency in nanoseconds.
        accuracy: Accuracy with its 95 % interval.
        kind: ``link`` (of the chain), ``deployed`` (the deployed link) or ``baseline``.
    """

    name: str
    cost: float
    accuracy: Rate
    kind: str


def accuracy_against_cost(
    points: Sequence[Point], cost_name: str, unit: str, unit_size: float, *, images: str = "test"
) -> str:
    """Draw accuracy with its 95 % interval over cost on a logarithmic axis; the chain is joined by a line.

    Marks that would cover each other are moved apart along the axis; the baseline moves first. Labels never overlap each
    other or a mark: see ``weckd_edge.report.charts.labels``.

    Args:
        points: Links of the chain in order, and the baseline if there is one.
        cost_name: Title of the horizontal axis.
        unit: Unit of the horizontal axis.
        unit_size: Size of one unit in terms of ``Point.cost``.
        images: Images of the accuracies: ``test`` or ``validation``.
    """
    bottom = 48
    low, high, step = draw.axis([p.accuracy.low for p in points], [p.accuracy.high for p in points])
    costs = [math.log10(max(p.cost, 1e-9) / unit_size) for p in points]
    middle, half = (min(costs) + max(costs)) / 2, max((max(costs) - min(costs)) / 2 * 1.35, 0.3)

    def x(cost: float) -> float:
        at = math.log10(max(cost, 1e-9) / unit_size)
        return LEFT + (at - middle + half) / (2 * half) * (WIDTH - LEFT - RIGHT)

    places = labels.spread([x(p.cost) for p in points], [0.001 if p.kind == "baseline" else 1.0 for p in points], MARK_GAP)
    top, marks, placed = _arrange(points, places, low, high)
    y, floor = _heights(top, low, high), top + PLOT
    parts = draw.horizontal_grid(low, high, step, y, LEFT, WIDTH - RIGHT)
    for tick in draw.log_ticks(10 ** (middle - half), 10 ** (middle + half)):
        at = x(tick * unit_size)
        parts.append(draw.text(at, floor + 18, significant(tick, 2), "tick", "middle"))
        parts.append(draw.line(at, floor, at, floor + 4, "axis"))
    title = f"{cost_name} ({unit}, logarithmic)"
    parts.append(draw.text((LEFT + WIDTH - RIGHT) / 2, floor + bottom - 10, title, "label", "middle"))
    parts.append(draw.text(6, 14, f"accuracy on {images} images, with 95{NBSP}% interval", "label"))
    path = " ".join(f"{draw.number(mark.x)},{draw.number(mark.y)}" for mark in _chain_of(points, marks))
    parts.append(f'<polyline class="chain" points="{path}"/>')
    parts += [draw.line(*label.leader, "leader") for label in placed if label.leader]
    for point, mark in zip(points, marks, strict=True):
        parts += _draw_mark(point, mark, y)
    for point, label in zip(points, placed, strict=True):
        centre = (label.box.left + label.box.right) / 2
        parts.append(draw.text(centre, label.baseline, label.text, f"name {point.kind}", "middle"))
    description = "; ".join(f"{p.name}: {p.accuracy.value:.1%} at {significant(p.cost / unit_size)} {unit}" for p in points)
    return draw.svg(floor + bottom, "Accuracy against cost", description, parts)


def _arrange(
    points: Sequence[Point], places: Sequence[float], low: float, high: float
) -> tuple[float, list[labels.Mark], list[labels.Label]]:
    """Return the top of the plot, the marks and their labels; the plot moves down until every label has a place."""
    top = TOP
    while True:
        y = _heights(top, low, high)
        marks = [_mark_of(point, x, y) for point, x in zip(points, places, strict=True)]
        placed = labels.place_labels(marks, labels.Box(LEFT + 2, 22, WIDTH - 2, top + PLOT - 3), _chain_lines(points, marks))
        if placed is not None:
            return top, marks, placed
        top += LABEL_ROW


def _heights(top: float, low: float, high: float) -> Callable[[float], float]:
    return lambda value: top + (high - value) / (high - low) * PLOT


def _mark_of(point: Point, x: float, y: Callable[[float], float]) -> labels.Mark:
    at, radius = y(point.accuracy.value), _radius(point) + 1
    boxes = (
        labels.Box(x - 5, y(point.accuracy.high) - 1, x + 5, y(point.accuracy.low) + 1),
        labels.Box(x - radius, at - radius, x + radius, at + radius),
    )
    return labels.Mark(labels.shorten_to(point.name, WIDTH - LEFT - RIGHT), x, at, boxes)


def _radius(point: Point) -> int:
    return 7 if point.kind == "deployed" else 5


def _chain_of(points: Sequence[Point], marks: Sequence[labels.Mark]) -> list[labels.Mark]:
    return [mark for point, mark in zip(points, marks, strict=True) if point.kind != "baseline"]


def _chain_lines(points: Sequence[Point], marks: Sequence[labels.Mark]) -> list[labels.Segment]:
    return [(a.x, a.y, b.x, b.y) for a, b in itertools.pairwise(_chain_of(points, marks))]


def _draw_mark(point: Point, mark: labels.Mark, y: Callable[[float], float]) -> list[str]:
    kind, upper, lower = point.kind, y(point.accuracy.high), y(point.accuracy.low)
    at = f'cx="{draw.number(mark.x)}" cy="{draw.number(mark.y)}" r="{_radius(point)}"'
    return [
        draw.line(mark.x, upper, mark.x, lower, f"whisker {kind}"),
        *(draw.line(mark.x - 4, end, mark.x + 4, end, f"whisker {kind}") for end in (upper, lower)),
        f'<circle class="dot {kind}" {at}/>',
    ]


def recall_by_class(names: Sequence[str], before: Sequence[Rate | None], after: Sequence[Rate | None]) -> str:
    """Draw each class's sensitivity with its interval, before (hollow) and after (filled) compiling."""
    row, top, left, right = 46, 34, 18, 20
    height = top + row * len(names) + 30
    lows = [rate.low for rate in (*before, *after) if rate is not None]
    low = min(0.9, math.floor(min(lows, default=0.0) * 10) / 10)

    def x(value: float) -> float:
        return left + (value - low) / (1 - low) * (WIDTH - left - right)

    parts = []
    for tick in draw.ticks(low, 1.0, 6):
        parts.append(draw.line(x(tick), top - 12, x(tick), height - 26, "grid"))
        parts.append(draw.text(x(tick), height - 9, f"{tick * 100:.0f}{NBSP}%", "tick", "middle"))
    parts.append(f'<circle class="dot baseline" cx="20" cy="10" r="4.5"/>{draw.text(30, 14.5, "FP32", "label")}')
    parts.append(f'<circle class="dot deployed" cx="84" cy="10" r="5"/>{draw.text(94, 14.5, "as deployed", "label")}')
    for index, name in enumerate(names):
        y = top + index * row
        pair = ((before[index], "baseline", 20), (after[index], "deployed", 32))
        images = next((rate.images for rate, _, _ in pair if rate is not None), 0)
        parts.append(draw.text(left, y + 8, f"{draw.shorten(name, 40)} ({images})", "name plain"))
        for rate, kind, shift in pair:
            if rate is not None:
                parts.append(draw.line(x(rate.low), y + shift, x(rate.high), y + shift, f"whisker {kind}"))
                parts.append(
                    f'<circle class="dot {kind}" cx="{draw.number(x(rate.value))}" cy="{draw.number(y + shift)}" r="5"/>'
                )
    return draw.svg(height, "Sensitivity of each class, before and after compiling", ", ".join(names), parts)


def accuracy_by_strategy(
    rows: Sequence[tuple[str, Sequence[float], float, float | None, float | None]],
) -> str:
    """Draw the mean accuracy of each strategy with its interval, and every run.

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
