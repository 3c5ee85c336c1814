"""Charts of abstention: fraction decided and wrong over the threshold, and risk over coverage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import CoveragePoint
from weckd_edge.core.words import NBSP
from weckd_edge.report.charts import draw
from weckd_edge.report.numbers import significant


def threshold_curves(confidence: NDArray[np.float64], wrong: NDArray[np.bool_], chosen: float) -> str:
    """Draw the fraction decided, and the fraction of those wrong, over the threshold; the page's script redraws it.

    Args:
        confidence: Largest probability of each test image ``[N]``, 0..1; -1 where no threshold gives a decision.
        wrong: Whether the most probable class of each image is wrong ``[N]``.
        chosen: Threshold of this build, marked below the axis.
    """
    height, left, right, top, bottom = 262, 46, 466, 14, 200

    def x(value: float) -> float:
        return left + value * (right - left)

    def y(value: float) -> float:
        return bottom - value * (bottom - top)

    parts = draw.horizontal_grid(0.0, 1.0, 0.25, y, left, right)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(draw.text(x(tick), bottom + 30, f"{tick:g}", "tick", "middle"))
    decided, risk = [], []
    for step in range(101):
        sure = confidence >= step / 100
        decided.append((step / 100, float(sure.mean())))
        if sure.any():
            risk.append((step / 100, float(wrong[sure].mean())))
    for name, style, curve in (("curve-first", "first", decided), ("curve-second", "second", risk)):
        path = " ".join(f"{draw.number(x(a))},{draw.number(y(b))}" for a, b in curve)
        parts.append(f'<polyline id="{name}" class="{style}" points="{path}"/>')
    parts.append(draw.text(x(chosen), bottom + 14, "▲", "label", "middle"))
    parts.append(draw.line(left, top, left, bottom, "cursor").replace("<line", '<line id="cursor" visibility="hidden"'))
    parts.append(draw.text((left + right) / 2, height - 8, "confidence threshold", "label", "middle"))
    text = f"At this build's {significant(chosen)}: {float((confidence >= chosen).mean()):.1%} with a decision"
    picture = draw.svg(height, "Images with a decision, and wrong decisions, over the threshold", text, parts)
    return picture.replace(
        "<svg", f'<svg id="curves" data-left="{left}" data-right="{right}" data-top="{top}" data-bottom="{bottom}"'
    )


def risk_coverage_chart(curve: Sequence[CoveragePoint], aurc: float) -> str:
    """Draw the error rate among decided images over the fraction decided, most confident first."""
    height, left, right, top, bottom = 250, 52, 466, 14, 200
    low, high, step = draw.axis([0.0], [max(0.05, *(point.risk for point in curve))])

    def x(value: float) -> float:
        return left + value * (right - left)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    parts = draw.horizontal_grid(low, high, step, y, left, right)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(draw.text(x(tick), bottom + 18, f"{tick * 100:.0f}{NBSP}%", "tick", "middle"))
    path = " ".join(f"{draw.number(x(point.coverage))},{draw.number(y(point.risk))}" for point in curve)
    parts.append(f'<polyline class="thread deployed" points="{path}"/>')
    parts.append(draw.text((left + right) / 2, height - 8, "coverage: images with a decision", "label", "middle"))
    last = curve[-1]
    text = f"{last.risk:.1%} wrong at a coverage of {last.coverage:.0%}; area {aurc:.3f}"
    return draw.svg(height, "Error rate over coverage", text, parts)
