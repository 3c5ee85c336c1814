"""Placement of a chart's labels: no label overlaps another label, a mark, or the edge of the area for labels.

A label stands beside its mark where there is room. Elsewhere it moves to the nearest free place, and a leader line joins the
two. Widths of texts are estimated on the safe side, because the page's font is the reader's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

TEXT_PIXELS = 15
"""Size of a label's text, pixels: as large as the page's style sheet makes it on a narrow screen."""

ASCENT, DESCENT = 12.0, 4.0
"""Height of a text above and below its baseline, pixels."""

GAP = 4.0
"""Smallest distance of a label from marks and other labels, pixels."""

LEADER_COST, LINE_COST = 10.0, 25.0
"""Cost of a label with a leader, and of one that lies on a line, as pixels of distance from its mark."""

_STEP = 6.0
_NARROW, _WIDE = frozenset("fijlrt.,:;'|!()[]-/ "), frozenset("mwMW@%")

Segment = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in a chart, pixels; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box, gap: float = 0.0) -> bool:
        """Return whether the two rectangles, ``gap`` pixels apart at least, share a point."""
        return (
            self.left < other.right + gap
            and other.left < self.right + gap
            and self.top < other.bottom + gap
            and other.top < self.bottom + gap
        )

    def holds(self, other: Box) -> bool:
        """Return whether another rectangle lies inside."""
        return (
            self.left <= other.left and other.right <= self.right and self.top <= other.top and other.bottom <= self.bottom
        )

    def nearest(self, x: float, y: float) -> tuple[float, float]:
        """Return the point of the rectangle that is nearest to a point."""
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)

    def meets(self, line: Segment) -> bool:
        """Return whether a straight line passes through the rectangle (Liang and Barsky 1984)."""
        x1, y1, x2, y2 = line
        start, end = 0.0, 1.0
        for change, room in (
            (x1 - x2, x1 - self.left),
            (x2 - x1, self.right - x1),
            (y1 - y2, y1 - self.top),
            (y2 - y1, self.bottom - y1),
        ):
            if change == 0:
                if room < 0:
                    return False
            elif change < 0:
                start = max(start, room / change)
            else:
                end = min(end, room / change)
        return start <= end


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark that wants a label.

    Attributes:
        text: Text of the label.
        x: Centre of the mark, pixels.
        y: Centre of the mark, pixels.
        boxes: Rectangles that the mark covers.
    """

    text: str
    x: float
    y: float
    boxes: tuple[Box, ...]

    @property
    def upper(self) -> float:
        """Upper end of the mark, pixels."""
        return min(box.top for box in self.boxes)

    @property
    def lower(self) -> float:
        """Lower end of the mark, pixels."""
        return max(box.bottom for box in self.boxes)


@dataclass(frozen=True, slots=True)
class Label:
    """A label in its place.

    Attributes:
        text: Text of the label.
        box: Rectangle that the text covers.
        leader: Line from the mark to the label; None where the label stands beside its mark.
    """

    text: str
    box: Box
    leader: Segment | None = None

    @property
    def baseline(self) -> float:
        """Height of the text's baseline, pixels."""
        return self.box.bottom - DESCENT


def text_width(text: str) -> float:
    """Return an upper estimate of a bold text's width, pixels."""
    ems = sum(0.43 if c in _NARROW else 1.1 if c in _WIDE else 0.85 if c.isupper() else 0.73 for c in text)
    return ems * TEXT_PIXELS


def shorten_to(text: str, pixels: float) -> str:
    """Return a text cut to at most so many pixels."""
    while text_width(text) > pixels:
        text = f"{text[:-2]}…"
    return text


def spread(places: Sequence[float], weights: Sequence[float], gap: float) -> list[float]:
    """Return places along an axis moved apart, so that neighbours are ``gap`` apart at least, by as little as possible.

    The sum of weighted squared moves is smallest (pool adjacent violators); the order stays.

    Args:
        places: Places, pixels.
        weights: How firmly each of them stays.
        gap: Smallest distance, pixels.
    """
    order = sorted(range(len(places)), key=lambda at: (places[at], at))
    blocks: list[tuple[float, float, list[int]]] = []
    for rank, at in enumerate(order):
        block = (weights[at] * (places[at] - rank * gap), weights[at], [at])
        while blocks and blocks[-1][0] / blocks[-1][1] > block[0] / block[1]:
            last = blocks.pop()
            block = (last[0] + block[0], last[1] + block[1], last[2] + block[2])
        blocks.append(block)
    moved = list(places)
    rank = 0
    for total, weight, members in blocks:
        for at in members:
            moved[at] = total / weight + rank * gap
            rank += 1
    return moved


def place_labels(marks: Sequence[Mark], area: Box, lines: Sequence[Segment] = ()) -> list[Label] | None:
    """Return a place for every mark's label, in the order of the marks; None where the area has no room for all.

    Marks with the fewest places beside them choose first.

    Args:
        marks: Marks with their texts.
        area: Rectangle that holds all labels.
        lines: Lines that labels avoid where they can.
    """
    covered = [box for mark in marks for box in mark.boxes]
    beside = {at: [box for box in _beside(mark) if _is_free(box, area, covered)] for at, mark in enumerate(marks)}
    found: dict[int, Label] = {}
    for at in sorted(beside, key=lambda at: (len(beside[at]), marks[at].x, at)):
        mark, taken = marks[at], tuple(found.values())
        places = [(LINE_COST * _crossings(box, lines), Label(mark.text, box)) for box in beside[at] if _fits(box, taken)]
        if not any(cost == 0 for cost, _ in places):
            places += _moved(mark, area, covered, taken, lines)
        if not places:
            return None
        found[at] = min(places, key=lambda place: place[0])[1]
    return [found[at] for at in range(len(marks))]


def _beside(mark: Mark) -> Iterator[Box]:
    """Yield the places beside a mark: above, right, left, below."""
    width, height = text_width(mark.text), ASCENT + DESCENT
    left, right = min(box.left for box in mark.boxes), max(box.right for box in mark.boxes)
    middle, half = mark.x - width / 2, mark.y - height / 2
    yield Box(middle, mark.upper - GAP - height, middle + width, mark.upper - GAP)
    yield Box(right + GAP, half, right + GAP + width, half + height)
    yield Box(left - GAP - width, half, left - GAP, half + height)
    yield Box(middle, mark.lower + GAP, middle + width, mark.lower + GAP + height)


def _moved(
    mark: Mark, area: Box, covered: Sequence[Box], taken: Sequence[Label], lines: Sequence[Segment]
) -> Iterator[tuple[float, Label]]:
    """Yield every free place of a grid with its cost: far from the mark, on a line, or with a leader across something."""
    width, height = text_width(mark.text), ASCENT + DESCENT
    for row in range(max(0, math.floor((area.bottom - area.top - height) / _STEP)) + 1):
        for column in range(max(0, math.floor((area.right - area.left - width) / _STEP)) + 1):
            left, top = area.left + column * _STEP, area.top + row * _STEP
            box = Box(left, top, left + width, top + height)
            if not _is_free(box, area, covered) or not _fits(box, taken):
                continue
            start = mark.x, min(max((top + box.bottom) / 2, mark.upper), mark.lower)
            leader = (*start, *box.nearest(*start))
            cost = LEADER_COST + math.dist(leader[:2], leader[2:]) + LINE_COST * _crossings(box, lines)
            cost += 300 * sum(label.box.meets(leader) for label in taken)
            cost += 60 * sum(other.meets(leader) for other in covered if other not in mark.boxes)
            yield cost, Label(mark.text, box, leader)


def _is_free(box: Box, area: Box, covered: Sequence[Box]) -> bool:
    return area.holds(box) and not any(box.overlaps(other, GAP / 2) for other in covered)


def _fits(box: Box, taken: Sequence[Label]) -> bool:
    return not any(box.overlaps(label.box, GAP) or (label.leader and box.meets(label.leader)) for label in taken)


def _crossings(box: Box, lines: Sequence[Segment]) -> int:
    return sum(box.meets(line) for line in lines)
