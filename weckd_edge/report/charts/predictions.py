"""Charts of predictions: reliability, layer divergence, pairs of predictions, fractions of a whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from weckd_edge.artifacts import CalibrationMetrics, LayerDivergence
from weckd_edge.core.words import NBSP
from weckd_edge.report.charts import draw
from weckd_edge.report.charts.draw import WIDTH


def reliability(before: CalibrationMetrics, after: CalibrationMetrics) -> str:
    """Draw accuracy over confidence, before (hollow) and after (filled) recalibration.

    A dot's area grows with the images in its bin; on the dashed line, accuracy equals confidence.
    """
    height, left, right, top, bottom = 300, 46, 16, 34, 46
    maximum = max(b.images for found in (before, after) for b in found.bins)

    def x(value: float) -> float:
        return left + value * (WIDTH - left - right)

    def y(value: float) -> float:
        return top + (1 - value) * (height - top - bottom)

    parts = draw.horizontal_grid(0.0, 1.0, 0.25, y, left, WIDTH - right)
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(draw.text(x(tick), height - bottom + 18, f"{tick * 100:.0f}{NBSP}%", "tick", "middle"))
    parts.append(draw.text(x(0.5), height - 8, "confidence: mean of the largest probability", "label", "middle"))
    parts.append(draw.line(x(0), y(0), x(1), y(1), "mark"))
    for found, kind in ((before, "baseline"), (after, "deployed")):
        filled = [b for b in found.bins if b.images]
        path = " ".join(f"{draw.number(x(b.confidence))},{draw.number(y(b.accuracy))}" for b in filled)
        parts.append(f'<polyline class="thread {kind}" points="{path}"/>')
        for b in filled:
            radius = 2.5 + 6 * math.sqrt(b.images / maximum)
            at = f'cx="{draw.number(x(b.confidence))}" cy="{draw.number(y(b.accuracy))}"'
            parts.append(
                f'<circle class="dot {kind}" {at} r="{draw.number(radius)}"><title>{b.images} images</title></circle>'
            )
    parts.append(f'<circle class="dot baseline" cx="20" cy="12" r="4.5"/>{draw.text(30, 16.5, "before", "label")}')
    parts.append(f'<circle class="dot deployed" cx="96" cy="12" r="5"/>{draw.text(106, 16.5, "as deployed", "label")}')
    parts.append(draw.text(WIDTH - right, 16.5, "accuracy", "label", "end"))
    text = f"expected calibration error {before.ece.value:.3f} before, {after.ece.value:.3f} as deployed"
    return draw.svg(height, "Reliability diagram: accuracy over confidence", text, parts)


def layers(divergence: LayerDivergence) -> str:
    """Draw every layer's SQNR in graph order, with the threshold; hollow dots are layers that reading changed.

    Layers that are equal lie on the upper edge.
    """
    height, left, right, top, bottom = 250, 46, 16, 34, 34
    values = [layer.sqnr_db for layer in divergence.layers]
    known = [value for value in values if value is not None]
    high = max(divergence.threshold_db * 2, min(max(known, default=0.0), 80.0)) + 8
    low = min(0.0, max(min(known, default=0.0), -40.0))

    def x(at: int) -> float:
        return left + (at + 0.5) / len(values) * (WIDTH - left - right)

    def y(value: float | None) -> float:
        held = high if value is None else min(max(value, low), high)
        return top + (high - held) / (high - low) * (height - top - bottom)

    parts = []
    for tick in draw.ticks(low, high, 5):
        parts.append(draw.line(left, y(tick), WIDTH - right, y(tick), "grid"))
        parts.append(draw.text(left - 8, y(tick) + 4.5, f"{tick:.0f}{NBSP}dB", "tick", "end"))
    bar = y(divergence.threshold_db)
    parts.append(draw.line(left, bar, WIDTH - right, bar, "mark limit"))
    parts.append(draw.text(left + 4, bar + 15, f"{divergence.threshold_db:g}{NBSP}dB", "mark limit text"))
    path = " ".join(f"{draw.number(x(at))},{draw.number(y(value))}" for at, value in enumerate(values))
    parts.append(f'<polyline class="thread deployed" points="{path}"/>')
    for at, layer in enumerate(divergence.layers):
        kind, radius = "baseline" if layer.disturbed else "deployed", 6 if at == divergence.first else 3.5
        parts.append(
            f'<circle class="dot {kind}" cx="{draw.number(x(at))}" cy="{draw.number(y(layer.sqnr_db))}" r="{radius}">'
            f"<title>{escape(layer.name)}</title></circle>"
        )
    parts.append(f'<circle class="dot deployed" cx="20" cy="12" r="4"/>{draw.text(30, 16.5, "layer", "label")}')
    changed = draw.text(94, 16.5, "changed by reading it", "label")
    parts.append(f'<circle class="dot baseline" cx="84" cy="12" r="4"/>{changed}')
    parts.append(
        draw.text(x(len(values) // 2), height - 8, "layers in graph order (at the upper edge: equal)", "label", "middle")
    )
    first = (
        "no layer is under the threshold"
        if divergence.first is None
        else f"first layer under the threshold: {divergence.layers[divergence.first].name}"
    )
    return draw.svg(height, "SQNR of every layer", first, parts)


def two_predictions(labels: Sequence[str], a: Sequence[float], b: Sequence[float], truth: int) -> str:
    """Draw two predictions of one frame as bars, one pair for each class; the true class is marked."""
    row, width, room = 42, 150, 24
    parts = []
    for index, label in enumerate(labels):
        y = index * row
        mark = " ✓" if index == truth else ""
        parts.append(draw.text(0, y + 12, draw.shorten(label, 24) + mark, "name plain" if index == truth else "tick"))
        for shift, value, kind in ((16, a[index], "before"), (26, b[index], "after")):
            at = f'x="0" y="{y + shift}" width="{draw.number(max(value * width, 0.5))}" height="8"'
            parts.append(f'<rect class="probability {kind}" {at}/>')
            if value >= 0.005:
                parts.append(draw.text(value * width + 3, y + shift + 7.5, f"{value * 100:.0f}", "digit"))
    text = "; ".join(f"{n}: {p:.1%} and {q:.1%}" for n, p, q in zip(labels, a, b, strict=True))
    return draw.svg(row * len(labels), "Two predictions of one frame", text, parts).replace(
        f"0 0 {WIDTH} ", f"0 0 {width + room} "
    )


def fraction_bar(parts_of_whole: Iterable[tuple[str, int]]) -> str:
    """Draw the fractions of a whole as one bar of pieces."""
    pieces = [(name, number) for name, number in parts_of_whole if number]
    total, at, parts = sum(number for _, number in pieces), 0.0, []
    for index, (name, number) in enumerate(pieces):
        width = number / total * WIDTH
        shape = f'x="{draw.number(at)}" y="0" width="{draw.number(max(width - 1.5, 0.5))}" height="22"'
        title = f"<title>{escape(name)}: {number}</title>"
        parts.append(f'<rect class="piece p{index % 6}" {shape}>{title}</rect>')
        at += width
    return draw.svg(22, "How the images are used", ", ".join(f"{n}: {c}" for n, c in pieces), parts)
