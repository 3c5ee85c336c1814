"""Write the tables of docs/results/resize.md from the studies' results: ``python benchmarks/resize_tables.py``.

A difference is the mean over seeds of the difference of two accuracies on the same test images. Its interval counts the
groups of images and the seeds (``weckd_edge/metrics/crossed_clusters.py``). A group that lies in the test splits of several
seeds counts as one, and so do all trainings with one seed, which share their labels; several cells of one data set are taken
together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tables import PAGES, lines_of, markdown, points, with_tables

from weckd_edge.metrics.crossed_clusters import CrossedImages, CrossedMean, MeanInterval, TrainingTest, mean_over_data_sets

SCRIPT = Path(__file__).name
PAGE = PAGES / "resize.md"
ARMS = ("area", "diagonal", "bilinear")
"""Resizes that were compared; ``diagonal``, the mean of two pixels of the frame, is not built any more."""

Line = Mapping[str, Any]


def right(line: Line, predicted: str = "predicted") -> NDArray[np.bool_]:
    """Return which test images are predicted rightly ``[N]``."""
    return np.array(list(line[predicted])) == np.array(list(line["truth"]))


@dataclass(frozen=True)
class Pair:
    """What two trainings with the same seed predict of the same test images."""

    one: NDArray[np.bool_]
    other: NDArray[np.bool_]
    groups: Sequence[str]


Cell = Mapping[int, Pair]
"""Pairs of one data set, size and number of labels by their seeds."""


def mean_difference(cells: Sequence[Cell]) -> CrossedMean:
    """Return the mean difference of some cells of one data set with the same seeds."""
    pairs = [(at, seed, cell[seed]) for at, cell in enumerate(cells) for seed in cell]
    images = CrossedImages([TrainingTest(pool=(at, seed), training=seed, groups=pair.groups) for at, seed, pair in pairs])
    return images.mean_of(np.concatenate([pair.one.astype(float) - pair.other for _, _, pair in pairs]))


def difference(sets: Sequence[Sequence[Cell]]) -> MeanInterval:
    """Return the mean difference over data sets, each of which has some cells."""
    return mean_over_data_sets([mean_difference(cells) for cells in sets]).as_difference()


class Study:
    """The lines of the study of resizes; seeds count once all three resizes are there."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = {tuple(line[name] for name in ("set", "size", "labels", "seed", "resize")): line for line in lines}
        self.sets, self.sizes, self.labels = (
            list(dict.fromkeys(line[name] for line in lines)) for name in ("set", "size", "labels")
        )

    def seeds(self, *cells: tuple[str, int, str]) -> list[int]:
        """Return the seeds with which all resizes of some cells were trained."""
        known = {key[3] for key in self.lines}
        return sorted(s for s in known if all((*cell, s, arm) in self.lines for cell in cells for arm in ARMS))

    def mean(self, cells: Sequence[tuple[str, int, str]], seeds: Sequence[int], arm: str) -> float:
        """Return the mean accuracy with one resize."""
        return float(np.mean([self.lines[(*cell, seed, arm)]["accuracy"] for cell in cells for seed in seeds]))

    def pairs(self, cell: tuple[str, int, str], seeds: Sequence[int], other: str) -> Cell:
        """Return what ``area`` and another resize predict in one cell."""
        found = {}
        for seed in seeds:
            one, two = self.lines[(*cell, seed, "area")], self.lines[(*cell, seed, other)]
            found[seed] = Pair(right(one), right(two), one["groups"])
        return found

    def row(self, name: str, chosen: Sequence[Sequence[tuple[str, int, str]]]) -> list[str]:
        """Return a table's row for the cells of some data sets."""
        seeds = [self.seeds(*cells) for cells in chosen]
        if not seeds or not all(seeds):
            return []
        means = [
            float(np.mean([self.mean(cells, own, arm) for cells, own in zip(chosen, seeds, strict=True)])) for arm in ARMS
        ]
        apart = [
            difference([[self.pairs(cell, own, arm) for cell in cells] for cells, own in zip(chosen, seeds, strict=True)])
            for arm in ARMS[1:]
        ]
        return [name, str(min(map(len, seeds))), *(f"{100 * mean:.1f}" for mean in means), *map(points, apart)]

    def table(self) -> list[str]:
        """Return the accuracies and differences as a table in Markdown: each cell, each data set and all of them."""
        rows = []
        for name in self.sets:
            cells = [(name, size, labels) for size, labels in product(self.sizes, self.labels)]
            for cell in cells:
                rows.append(self.row(f"{name}, {cell[1]} px, {cell[2]} labels", [[cell]]))
            rows.append(self.row(f"**{name}**", [cells]))
        for size in self.sizes:
            rows.append(self.row(f"**{size} px**", [[(name, size, part) for part in self.labels] for name in self.sets]))
        for part in self.labels:
            rows.append(self.row(f"**{part} labels**", [[(name, size, part) for size in self.sizes] for name in self.sets]))
        rows.append(self.row("**all**", [list(product([name], self.sizes, self.labels)) for name in self.sets]))
        heads = ["", "seeds", *(f"`{arm}`" for arm in ARMS), *(f"`area` over `{arm}`" for arm in ARMS[1:])]
        return markdown(heads, [row for row in rows if row])

    def shown_table(self) -> list[str]:
        """Return what networks answer at other sizes than their own, in points below their own, as a table in Markdown."""
        lines = [line for line in self.lines.values() if "shown" in line]
        sizes = sorted({int(size) for line in lines for size in line["shown"]})
        rows = []
        for trained, arm, name in product(self.sizes, ARMS, self.sets):
            own = [line for line in lines if (line["size"], line["resize"], line["set"]) == (trained, arm, name)]
            if own:
                base = np.mean([line["accuracy"] for line in own])
                lost = [100 * (np.mean([line["shown"][str(size)] for line in own]) - base) for size in sizes]
                cells = [f"{100 * base:.1f} %" if s == trained else f"{x:+.1f}" for s, x in zip(sizes, lost, strict=True)]
                rows.append([f"{trained} px", f"`{arm}`", name, str(len(own)), *cells])
        return markdown(["trained at", "resize", "data set", "seeds", *(f"{size} px" for size in sizes)], rows)


def views_tables(lines: Sequence[Line]) -> list[str]:
    """Return what the variants of views and the statistics of batch norms bring, as tables in Markdown."""
    found = {(line["set"], line["seed"], line["variant"]): line for line in lines}
    sets, seeds, variants = (list(dict.fromkeys(key[i] for key in found)) for i in range(3))
    means, apart = [], []
    for variant, which in product(variants, ("running", "plain")):
        each = [
            [found[name, s, variant][f"{which}_accuracy"] for s in seeds if (name, s, variant) in found] for name in sets
        ]
        cells = [f"{100 * np.mean(values):.1f}" if values else "" for values in each]
        means.append([f"`{variant}`", which, str(min(map(len, each))), *cells])
    for one, other in (
        (("views", "plain"), ("picture", "plain")),
        (("centred", "plain"), ("views", "plain")),
        (("views", "plain"), ("views", "running")),
        (("centred", "plain"), ("centred", "running")),
    ):
        pairs: list[Cell] = []
        for name in sets:
            both = [s for s in seeds if {(name, s, one[0]), (name, s, other[0])} <= found.keys()]
            pairs.append({s: _pair(found[name, s, one[0]], found[name, s, other[0]], one[1], other[1]) for s in both})
        apart.append([f"`{one[0]}`, {one[1]}, over `{other[0]}`, {other[1]}", *_differences(pairs)])
    return [
        *markdown(["views", "statistics", "seeds", *sets], means),
        "",
        *markdown(["difference", *sets, "all"], apart),
    ]


def _pair(one: Line, other: Line, with_one: str, with_other: str) -> Pair:
    return Pair(right(one, f"{with_one}_predicted"), right(other, f"{with_other}_predicted"), one["groups"])


def _differences(cells: Sequence[Cell]) -> list[str]:
    """Return the difference in each data set's cell and over all of them; empty where there is no pair."""
    each = [points(difference([[cell]])) if cell else "" for cell in cells]
    return [*each, points(difference([[cell] for cell in cells])) if cells and all(cells) else ""]


def sizes_table(lines: Sequence[Line]) -> list[str]:
    """Return what starting from the weights of another size brings over one's own, as a table in Markdown."""
    found = {(line["set"], line["seed"], line["start"]): line for line in lines}
    sets, seeds, starts = (list(dict.fromkeys(key[i] for key in found)) for i in range(3))
    rows = []
    for start in starts:
        mine = [line for key, line in found.items() if key[2] == start]
        cells: list[Cell] = []
        for name in sets:
            both = [s for s in seeds if {(name, s, start), (name, s, "own")} <= found.keys()]
            pairs = {s: (found[name, s, start], found[name, s, "own"]) for s in both}
            cells.append({s: Pair(right(one), right(other), one["groups"]) for s, (one, other) in pairs.items()})
        before = [line["accuracy_before"] for line in mine if "accuracy_before" in line]
        told = f"{100 * np.mean(before):.1f}" if before else ""
        after = f"{100 * np.mean([line['accuracy'] for line in mine]):.1f}"
        apart = [""] * (len(sets) + 1) if start == "own" else _differences(cells)
        rows.append([start, str(len(mine)), told, after, *apart])
    heads = ["starts from", "trainings", "before", "after", *(f"{name}: over own" for name in sets), "all: over own"]
    return markdown(heads, rows)


def tables() -> dict[str, list[str]]:
    """Return the tables of docs/results/resize.md by the names of their places."""
    study = Study(lines_of("resize_study"))
    return {
        "study": study.table(),
        "shown": study.shown_table(),
        "views": views_tables(lines_of("views_study")),
        "sizes": sizes_table(lines_of("sizes_study")),
    }


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), tables(), SCRIPT), encoding="utf-8")
    for name, table in tables().items():
        print(name, "", *table, "", sep="\n")
