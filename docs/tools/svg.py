"""Boxes and arrows as SVG text, readable on a light and on a dark page, without a script or a font of their own."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

STYLE = """<style>
  text { font-family: system-ui, "DejaVu Sans", sans-serif; font-size: 13px; fill: #1d2340; text-anchor: middle }
  .small { font-size: 11px; fill: #4a5178 }
  rect { fill: #e9edfb; stroke: #5c6bc0; stroke-width: 1 }
  path { stroke: #7986cb; stroke-width: 1.5; fill: none }
  .head { fill: #7986cb; stroke: none }
</style>"""


SMALL = ' class="small"'


def picture(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    """Return a whole SVG file of that many units, with a title that screen readers say."""
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img"><title>{escape(title)}</title>'
    return "\n".join([head, STYLE, *parts, "</svg>"]) + "\n"


def box(x: float, y: float, width: float, height: float, *lines: str) -> str:
    """Return a box with its text in the middle; every line behind the first is small."""
    middle = y + height / 2 - 8 * (len(lines) - 1)
    texts = [
        f'<text{SMALL if number else ""} x="{x + width / 2:g}" y="{middle + 4.5 + 16 * number:g}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>' + "".join(texts)


def arrow(*points: tuple[float, float]) -> str:
    """Return an arrow along points, the head at the last one; the last two lie beside or above each other."""
    (x, y), (before_x, before_y) = points[-1], points[-2]
    step_x, step_y = (x > before_x) - (x < before_x), (y > before_y) - (y < before_y)
    line = " L".join(f"{one:g} {other:g}" for one, other in points)
    wing = 4
    left = (x - 7 * step_x - wing * step_y, y - 7 * step_y - wing * step_x)
    right = (x - 7 * step_x + wing * step_y, y - 7 * step_y + wing * step_x)
    return f'<path d="M{line}"/><path class="head" d="M{x:g} {y:g} L{left[0]:g} {left[1]:g} L{right[0]:g} {right[1]:g} Z"/>'
