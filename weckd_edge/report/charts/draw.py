"""Elements of charts as plain SVG text: lines, texts, ticks, axes.

Colours are CSS variables of the page, so that one picture serves light and dark. Coordinates are rounded to a tenth of a
pixel: equal numbers give equal bytes. That, without a script in the page, is why no plotting library draws them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from weckd_edge.core.words import NBSP

WIDTH = 480


def svg(height: float, title: str, description: str, parts: Sequence[str]) -> str:
    """Return a chart with its text alternative."""
    label = escape(f"{title}. {description}")
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {number(height)}" role="img" aria-label="{label}">'
    return head + "".join(parts) + "</svg>"


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """Return an SVG line."""
    return f'<line class="{style}" x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"/>'


def text(x: float, y: float, text: str, style: str, anchor: str = "start") -> str:
    """Return an SVG text; ``anchor`` is SVG's ``text-anchor``."""
    return f'<text class="{style}" x="{number(x)}" y="{number(y)}" text-anchor="{anchor}">{escape(text)}</text>'


def shorten(text: str, maximum: int) -> str:
    """Return a text cut to at most ``maximum`` characters."""
    return text if len(text) <= maximum else text[: maximum - 1] + "…"


def number(value: float) -> str:
    """Return a coordinate as text, rounded to a tenth."""
    return f"{value:.1f}".removesuffix(".0")


def axis(lows: Sequence[float], highs: Sequence[float]) -> tuple[float, float, float]:
    """Return the ends and the step of an axis of fractions that holds all values, intervals included."""
    span = max(highs) - min(lows)
    step = 0.1 if span > 0.35 else 0.05 if span > 0.12 else 0.02
    low = max(0.0, math.floor((min(lows) - 0.2 * step) / step + 1e-9) * step)
    return low, min(1.0, max(low + step, math.ceil(max(highs) / step - 1e-9) * step)), step


def ticks(low: float, high: float, maximum: int) -> list[float]:
    """Return round numbers between two values, about ``maximum`` of them at most."""
    rough = (high - low) / maximum
    scale = 10 ** math.floor(math.log10(rough))
    step = next(scale * m for m in (1, 2, 2.5, 5, 10) if scale * m >= rough)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two values on a logarithmic axis."""
    decades = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        ticks = [m * 10.0**d for d in decades for m in steps if low <= m * 10.0**d <= high]
        if len(ticks) >= 3:
            return ticks
    return ticks


def horizontal_grid(
    low: float, high: float, step: float, y: Callable[[float], float], left: float, right: float
) -> list[str]:
    """Draw horizontal grid lines with their percentages at the left."""
    parts = []
    for index in range(round((high - low) / step) + 1):
        value = low + index * step
        parts.append(line(left, y(value), right, y(value), "grid"))
        parts.append(text(left - 8, y(value) + 4.5, f"{value * 100:.0f}{NBSP}%", "tick", "end"))
    return parts
