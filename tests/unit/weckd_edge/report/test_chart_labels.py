"""Labels of the chart of accuracy against cost: they overlap nothing, however close the marks lie."""

from __future__ import annotations

import itertools
import random
import re

import pytest

from weckd_edge.artifacts import Rate
from weckd_edge.report.charts import Point, accuracy_against_cost, labels
from weckd_edge.report.charts.draw import WIDTH


def point(name: str, cost: float, accuracy: float, kind: str = "link", half: float = 0.03) -> Point:
    low, high = max(0.0, accuracy - half), min(1.0, accuracy + half)
    return Point(
        name=name, cost=cost, accuracy=Rate(value=accuracy, low=low, high=high, correct=1, images=9, groups=9), kind=kind
    )


def chain(costs: list[float], accuracies: list[float], half: float = 0.03, more: str = "") -> list[Point]:
    """A chain whose last link is deployed, and its baseline at the last link's cost."""
    last = len(costs)
    found = [point(f"M{n} int8{more}", costs[n - 1], accuracies[n - 1], half=half) for n in range(1, last)]
    found.append(point(f"M{last} int8, deployed", costs[-1], accuracies[-1], "deployed", half))
    return [*found, point("baseline, FP32", costs[-1], accuracies[-1] - half, "baseline", half)]


def drawn_at_random(seed: int) -> list[Point]:
    draw = random.Random(seed)
    count = draw.randint(2, 8)
    costs = [10 ** draw.uniform(5.0, 5.0 + draw.choice((0.05, 0.3, 2.0))) for _ in range(count)]
    return chain(costs, [draw.uniform(0.5, 0.97) for _ in range(count)], half=draw.uniform(0.005, 0.2))


RANDOM = [drawn_at_random(seed) for seed in range(10)]
CROWDED = [
    chain([0.9e6, 0.41e6, 0.40e6], [0.93, 0.92, 0.925]),  # the last two links are one network
    chain([0.4e6] * 3, [0.92] * 3),
    chain([0.4e6] * 8, [0.92] * 8),
    chain([0.4e6] * 8, [0.6] * 8, half=0.39),
    chain([0.4e6] * 8, [0.6] * 8, half=0.39, more=", on a board with a name of its own"),
    chain([0.4e6, 0.4e6], [0.5, 0.5], half=0.5, more=" with a name that is longer than the chart is wide" * 2),
]


def boxes(svg: str) -> tuple[list[labels.Box], list[labels.Box]]:
    """The rectangles of the labels and of the marks, read from the picture."""
    texts = re.findall(r'<text class="name [a-z]+" x="([\d.-]+)" y="([\d.-]+)" text-anchor="middle">([^<]*)</text>', svg)
    named = []
    for x, y, text in texts:
        half = labels.text_width(text) / 2
        named.append(labels.Box(float(x) - half, float(y) - labels.ASCENT, float(x) + half, float(y) + labels.DESCENT))
    dots = re.findall(r'<circle class="dot [a-z]+" cx="([\d.-]+)" cy="([\d.-]+)" r="(\d+)"/>', svg)
    marks = [labels.Box(float(x) - int(r), float(y) - int(r), float(x) + int(r), float(y) + int(r)) for x, y, r in dots]
    for ends in re.findall(
        r'<line class="whisker [a-z]+" x1="([\d.-]+)" y1="([\d.-]+)" x2="([\d.-]+)" y2="([\d.-]+)"/>', svg
    ):
        x1, y1, x2, y2 = map(float, ends)
        marks.append(labels.Box(min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1))
    return named, marks


def draw_chart(points: list[Point]) -> str:
    return accuracy_against_cost(points, "end-to-end latency", "ms", 1e6)


@pytest.mark.parametrize("points", [*RANDOM, *CROWDED])
def test_no_label_overlaps_another_or_a_mark_or_the_edge(points: list[Point]) -> None:
    svg = draw_chart(points)
    named, marks = boxes(svg)
    assert (len(named), len(marks)) == (len(points), 4 * len(points))
    height = float(re.findall(rf'viewBox="0 0 {WIDTH} ([\d.]+)"', svg)[0])
    canvas = labels.Box(0, 0, WIDTH, height)
    assert all(canvas.holds(box) for box in named)
    assert not [pair for pair in itertools.combinations(named, 2) if pair[0].overlaps(pair[1])]
    assert not [(one, mark) for one in named for mark in marks if one.overlaps(mark)]


@pytest.mark.parametrize("points", [*RANDOM, *CROWDED])
def test_a_label_stands_beside_its_mark_or_is_joined_to_it(points: list[Point]) -> None:
    svg = draw_chart(points)
    named, _ = boxes(svg)
    dots = [(float(x), float(y)) for x, y in re.findall(r'<circle class="dot [a-z]+" cx="([\d.-]+)" cy="([\d.-]+)"', svg)]
    leaders = [
        tuple(map(float, ends))
        for ends in re.findall(r'<line class="leader" x1="(.*?)" y1="(.*?)" x2="(.*?)" y2="(.*?)"/>', svg)
    ]
    for box, (x, _) in zip(named, dots, strict=True):
        beside = box.left - 13 <= x <= box.right + 13
        assert beside or any(start == x and box.overlaps(labels.Box(a, b, a, b), 0.2) for start, _, a, b in leaders)


def test_marks_are_never_on_top_of_each_other_and_links_stay_where_their_cost_is() -> None:
    svg = draw_chart(CROWDED[2])
    places = sorted(float(x) for x in re.findall(r'<circle class="dot [a-z]+" cx="([\d.-]+)"', svg))
    assert all(b - a >= 13.9 for a, b in itertools.pairwise(places))
    assert labels.spread([10.0, 40.0, 40.0], [1.0, 1.0, 0.001], 14.0) == pytest.approx([10.0, 40.0, 54.0], abs=0.05)
    assert labels.spread([40.0, 40.0], [1.0, 1.0], 14.0) == [33.0, 47.0]


def test_the_same_points_give_the_same_bytes() -> None:
    assert [draw_chart(points) for points in CROWDED] == [draw_chart(points) for points in CROWDED]


def test_a_line_through_a_rectangle_is_found_from_any_side() -> None:
    box = labels.Box(10, 10, 20, 20)
    assert all(box.meets(line) for line in ((0, 15, 30, 15), (15, 0, 15, 30), (0, 0, 30, 30), (12, 12, 13, 13)))
    assert not any(box.meets(line) for line in ((0, 5, 30, 5), (0, 25, 8, 8), (25, 0, 25, 30)))
