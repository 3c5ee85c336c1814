"""Charts of examinations: accuracy over the number of frames, and what becomes of each frame."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from weckd_edge.artifacts import ExamCurvePoint
from weckd_edge.report.charts import draw
from weckd_edge.report.charts.draw import WIDTH

ROW = 50
"""Height of an examination's strip with its text, pixels."""

SHAPES = {"c": ("p0", -15.0, 15.0), "r": ("p2", -7.0, 7.0), "x": ("p5", 1.0, 9.0), "-": ("p3", -1.0, 2.0)}
"""Colour, upper edge from the middle line and height of a frame's shape, by what became of it; pixels."""


def frames_curve(points: Sequence[ExamCurvePoint], frame_accuracy: float) -> str:
    """Draw the accuracy of examinations with its 95 % interval over the number of frames; a line marks single frames.

    Args:
        points: Points of the curve, the fewest frames first.
        frame_accuracy: Mean accuracy of single frames, 0..1.
    """
    height, left, right, top, bottom = 250, 52, 466, 16, 196
    lows = [point.accuracy.value if point.accuracy.low is None else point.accuracy.low for point in points]
    highs = [point.accuracy.value if point.accuracy.high is None else point.accuracy.high for point in points]
    low, high, step = draw.axis([*lows, frame_accuracy], [*highs, frame_accuracy])

    def x(at: int) -> float:
        return left + (at + 0.5) * (right - left) / len(points)

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    names = ["all" if point.frames is None else str(point.frames) for point in points]
    parts = draw.horizontal_grid(low, high, step, y, left, right)
    parts.append(draw.line(left, y(frame_accuracy), right, y(frame_accuracy), "mark"))
    parts.append(draw.text(right, y(frame_accuracy) - 5, "single frames", "mark", "end"))
    path = " ".join(f"{draw.number(x(at))},{draw.number(y(point.accuracy.value))}" for at, point in enumerate(points))
    parts.append(f'<polyline class="thread deployed" points="{path}"/>')
    for at, point in enumerate(points):
        if point.accuracy.low is not None and point.accuracy.high is not None:
            parts.append(draw.line(x(at), y(point.accuracy.low), x(at), y(point.accuracy.high), "whisker deployed"))
        centre = f'cx="{draw.number(x(at))}" cy="{draw.number(y(point.accuracy.value))}"'
        parts.append(f'<circle class="dot deployed" {centre} r="5"/>')
        parts.append(draw.text(x(at), bottom + 18, names[at], "tick", "middle"))
    parts.append(draw.text((left + right) / 2, height - 8, "most frames of an examination", "label", "middle"))
    text = "; ".join(f"{name}: {point.accuracy.value:.1%}" for name, point in zip(names, points, strict=True))
    title = "Accuracy of examinations over the number of their frames"
    return draw.svg(height, title, f"Single frames: {frame_accuracy:.1%}; {text}", parts)


def exam_strips(strips: Sequence[tuple[str, str]]) -> str:
    """Draw the frames of examinations along time: counted, repeated, refused, not needed.

    They differ in height and side of the line, not in colour alone; frames of one kind beside each other are one shape.

    Args:
        strips: What is written over each strip, and a letter for each frame as ``ExamOutcome.uses`` has them.
    """
    left, right = 4.0, WIDTH - 4.0
    parts = []
    for number, (name, uses) in enumerate(strips, 1):
        middle = (number - 1) * ROW + 33.0
        parts.append(draw.text(left, middle - 19, f"{number}. {draw.shorten(name, 70)}", "name plain"))
        parts.append(draw.line(left, middle, right, middle, "grid"))
        wide, at = (right - left) / len(uses), 0
        for letter, run in groupby(uses):
            count = len(list(run))
            colour, upper, tall = SHAPES[letter]
            gap = min(1.0, wide / 4)
            place = f'x="{draw.number(left + at * wide)}" y="{draw.number(middle + upper)}"'
            size = f'width="{draw.number(max(0.5, count * wide - gap))}" height="{draw.number(tall)}"'
            parts.append(f'<rect class="piece {colour}" {place} {size}/>')
            at += count
    text = "; ".join(
        f"{number}. {name}: {uses.count('c')} counted, {uses.count('r')} repeated, {uses.count('x')} refused, "
        f"{uses.count('-')} not needed"
        for number, (name, uses) in enumerate(strips, 1)
    )
    return draw.svg(len(strips) * ROW + 8, "Frames of examinations along time", text, parts)
