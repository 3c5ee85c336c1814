"""A picture of accuracy against latency, as SVG text, readable on a light and on a dark page."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 34, 52
"""Room around the plot."""
STYLE = """<style>
  text { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 12px; fill: #1d2340 }
  .back { fill: #fbfcff; stroke: #c5cae9 }
  .grid { stroke: #dfe3f5; stroke-width: 1 }
  .range { stroke: #9fa8da; stroke-width: 1.5 }
  .front { stroke: #5c6bc0; stroke-width: 1.5; stroke-dasharray: 5 4; fill: none }
  .peer { fill: #5c6bc0 }
  .ours { fill: #d84315 }
</style>"""

FEW_TICKS = 3
"""Ticks of an axis, at least, where round numbers allow it."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """A peer in the picture.

    Attributes:
        name: Its name.
        accuracy: Accuracy, 0..1.
        low: Lower end of its interval; None where there is none.
        high: Upper end of its interval; None where there is none.
        latency_ms: Median latency, milliseconds.
        ours: Whether it is this project.
    """

    name: str
    accuracy: float
    low: float | None
    high: float | None
    latency_ms: float
    ours: bool


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points than which no other is both as fast and as accurate, and better in one; the fastest first."""
    found: list[Point] = []
    for point in sorted(points, key=lambda one: (one.latency_ms, -one.accuracy)):
        if not found or point.accuracy > found[-1].accuracy:
            found.append(point)
    return found


def picture(points: Sequence[Point], title: str) -> str:
    """Return a picture of at least one point, with latency on a logarithmic scale."""
    slowest, fastest = (pick(point.latency_ms for point in points) for pick in (max, min))
    left, right = math.log10(fastest) - 0.1, math.log10(slowest) + 0.1
    lowest = min(point.accuracy if point.low is None else point.low for point in points)
    highest = max(point.accuracy if point.high is None else point.high for point in points)
    bottom, top = math.floor(20 * lowest - 0.2) / 20, min(1.0, math.ceil(20 * highest + 0.2) / 20)
    wide, high = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(latency_ms: float) -> float:
        return LEFT + wide * (math.log10(latency_ms) - left) / (right - left)

    def y(value: float) -> float:
        return TOP + high * (top - value) / (top - bottom)

    parts = [f'<rect class="back" x="0.5" y="0.5" width="{WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>']
    parts.append(f'<text x="{LEFT}" y="22" font-weight="bold">{escape(title)}</text>')
    for at in range(round(20 * bottom), round(20 * top) + 1):
        line = y(at / 20)
        parts.append(f'<path class="grid" d="M{LEFT} {line:.1f} H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{line + 4:.1f}" text-anchor="end">{5 * at} %</text>')
    for tick in ticks(10**left, 10**right):
        column = x(tick)
        parts.append(f'<path class="grid" d="M{column:.1f} {TOP} V{HEIGHT - BOTTOM}"/>')
        parts.append(f'<text x="{column:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
    parts.append(
        f'<text x="{LEFT + wide / 2:g}" y="{HEIGHT - 14}" text-anchor="middle">'
        "median latency from a 640x480 frame to probabilities, one core, ms (logarithmic)</text>"
    )
    steps = " L".join(f"{x(point.latency_ms):.1f} {y(point.accuracy):.1f}" for point in front(points))
    parts.append(f'<path class="front" d="M{steps}"/>')
    for point in points:
        if point.low is not None and point.high is not None:
            parts.append(f'<path class="range" d="M{x(point.latency_ms):.1f} {y(point.low):.1f} V{y(point.high):.1f}"/>')
    for point, row in zip(points, label_rows([y(point.accuracy) for point in points]), strict=True):
        across, kind = x(point.latency_ms), "ours" if point.ours else "peer"
        parts.append(f'<circle class="{kind}" cx="{across:.1f}" cy="{y(point.accuracy):.1f}" r="5"/>')
        behind = across > LEFT + 0.55 * wide
        anchor, place = ("end", across - 10) if behind else ("start", across + 10)
        parts.append(f'<text x="{place:.1f}" y="{row + 4:.1f}" text-anchor="{anchor}">{escape(point.name)}</text>')
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{escape(title)}</title>'
    return "\n".join([head, STYLE, *parts, "</svg>"]) + "\n"


def ticks(low: float, high: float) -> list[float]:
    """Return round latencies between two: 1, 2 and 5 times powers of ten, or more of them where these are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for bases in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        found = [base * 10.0**power for power in powers for base in bases if low <= base * 10.0**power <= high]
        if len(found) >= FEW_TICKS:
            break
    return found


def label_rows(wanted: Sequence[float], apart: float = 15.0) -> list[float]:
    """Return where labels go that want to stand at some heights, no two nearer than ``apart``."""
    found = list(wanted)
    order = sorted(range(len(wanted)), key=lambda at: wanted[at])
    for before, at in itertools.pairwise(order):
        found[at] = max(found[at], found[before] + apart)
    return found
