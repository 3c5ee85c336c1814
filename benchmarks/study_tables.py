"""Print the tables of docs/results/chain.md from results/study.jsonl: ``python benchmarks/study_tables.py``.

Lines without a ``study`` are of earlier sizes and settings; their tables are in docs/results/chain.md.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from weckd_edge.train.tuning.study_results import REFERENCE, SAME_LABELS, MeanInterval, mean_interval

RESULTS = Path(__file__).with_name("results") / "study.jsonl"
ALL_LABELS = "single-all"
GAP = 0.01
"""Smallest gain from one labelled subset to all labels that a part of it is told of, as a difference of accuracies."""
OWN, PUBLISHED = ("guided", "guided+unlabelled"), ("one-step+unlabelled", "takd+unlabelled", "dgkd+unlabelled")


def told(found: MeanInterval, sign: str = "") -> str:
    """Write a mean in points, with its interval where it has one."""
    if found.low is None or found.high is None:
        return f"{100 * found.mean:{sign}.1f}"
    low, high = (found.low, found.high) if sign else (max(0.0, found.low), min(1.0, found.high))
    between = f"{100 * low:{sign}.1f} to {100 * high:{sign}.1f}"
    return f"{100 * found.mean:{sign}.1f} ({between})"


def mean_of(values: Sequence[float]) -> MeanInterval:
    """Return a mean, with its interval from three seeds on: that of two spans everything."""
    found = mean_interval(values)
    return found if len(values) > 2 else replace(found, low=None, high=None)


class Study:
    """The lines of one study: accuracy by strategy and seed."""

    def __init__(self, lines: Sequence[dict[str, Any]]) -> None:
        self.lines = lines
        self.strategies = list(dict.fromkeys(line["strategy"] for line in lines))
        self.seeds = sorted({line["seed"] for line in lines})
        self.accuracy = {(line["strategy"], line["seed"]): line["accuracy"] for line in lines}

    def common(self, *names: str) -> list[int]:
        """Return the seeds that all of some strategies were run with."""
        return [seed for seed in self.seeds if {(name, seed) for name in names} <= self.accuracy.keys()]

    def over(self, one: str, other: str) -> MeanInterval | None:
        """Return how much better one strategy is than another over the seeds that both were run with."""
        both = self.common(one, other)
        if one == other or not both:
            return None
        return mean_of([self.accuracy[one, seed] - self.accuracy[other, seed] for seed in both])

    def closed(self, name: str) -> float | None:
        """Return the part of the gap between one share and all labels that a strategy closes; None where there is no gap."""
        seeds = self.common(name, REFERENCE, ALL_LABELS)
        mine, low, high = (sum(self.accuracy[which, seed] for seed in seeds) for which in (name, REFERENCE, ALL_LABELS))
        return (mine - low) / (high - low) if high - low >= GAP * len(seeds) > 0 else None

    def table(self) -> list[str]:
        """Return the study as a table in Markdown, one strategy a row."""
        against = [name for name in (REFERENCE, SAME_LABELS) if name in self.strategies]
        heads = ["strategy", "labels", "images", *(f"seed {seed}" for seed in self.seeds), "mean, 95 % interval"]
        rows = [[*heads, *(f"over `{name}`" for name in against), "gap closed"]]
        for name in self.strategies:
            mine = [line for line in self.lines if line["strategy"] == name]
            found = [self.accuracy.get((name, seed)) for seed in self.seeds]
            cells = [f"`{name}`", str(mine[0]["labels_used"]), str(mine[0]["images_used"])]
            cells += ["" if value is None else f"{100 * value:.1f}" for value in found]
            cells.append(told(mean_of([value for value in found if value is not None])))
            apart = [self.over(name, other) for other in against]
            cells += ["" if one is None else told(one, "+") for one in apart]
            part = None if name in (REFERENCE, ALL_LABELS) else self.closed(name)
            rows.append([*cells, "" if part is None else f"{100 * part:.0f} %"])
        rows.insert(1, ["---"] * len(rows[0]))
        return [f"| {' | '.join(row)} |" for row in rows]

    def contest(self) -> list[str]:
        """Return how much better this project's strategies are than the published ones, as a table in Markdown."""
        own = [name for name in OWN if name in self.strategies]
        others = [name for name in PUBLISHED if name in self.strategies]
        rows = [["strategy", *(f"over `{other}`" for other in others)], ["---"] * (len(others) + 1)]
        for name in own:
            apart = [self.over(name, other) for other in others]
            rows.append([f"`{name}`", *("" if one is None else told(one, "+") for one in apart)])
        return [f"| {' | '.join(row)} |" for row in rows]

    def link_by_link(self) -> list[str]:
        """Return the mean accuracy of every link of the strategies that have several."""
        found = []
        for name in self.strategies:
            links = [line["links_accuracy"] for line in self.lines if line["strategy"] == name]
            if len(links[0]) > 1:
                means = (sum(column) / len(links) for column in zip(*links, strict=True))
                found.append(f"- `{name}`: {', '.join(f'{100 * mean:.1f}' for mean in means)}")
        return found


def main() -> None:
    """Print every named study, or those that are named on the command line."""
    studies: dict[str, list[dict[str, Any]]] = {}
    for line in map(json.loads, RESULTS.read_text().splitlines()):
        if "study" in line:
            studies.setdefault(line["study"], []).append(line)
    for name in sys.argv[1:] or studies:
        study = Study(studies[name])
        print(f"\n## {name}\n", *study.table(), "", *study.contest(), "", *study.link_by_link(), sep="\n")


if __name__ == "__main__":
    main()
