"""Write the tables of docs/results/chain.md from results/study.jsonl: ``python benchmarks/study_tables.py``.

record_study.py appends a study to that file. Each has its tables between the marks of its name, with the intervals of
``weckd-edge study``. Lines that hold no predictions are of earlier studies; their tables, with Student's t over seeds, stand
in the page as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tables import PAGES, lines_of, markdown, points, with_tables

from weckd_edge.core.serialization import from_data
from weckd_edge.train.tuning.study_record import HeldOut, StudyFacts, StudyRun
from weckd_edge.train.tuning.study_results import REFERENCE, SAME_LABELS, Study

SCRIPT = Path(__file__).name
PAGE = PAGES / "chain.md"
ALL_LABELS = "single-all"
GAP = 0.01
"""Smallest gain from one labelled subset to all labels that a part of it is told of, as a difference of accuracies."""
OWN, PUBLISHED = ("relay", "guided"), ("one-step", "takd", "dgkd")

Line = Mapping[str, Any]


def study_of(lines: Sequence[Line]) -> Study:
    """Return a study from its lines: its own, those of its splits, and those of its runs.

    A study that was recorded in several times, each with seeds and folds of its own, is one study of all of them.
    """
    told = ("study", "settings", "command", "commit", "changed", "date", "environment", "note")
    plain = [{key: value for key, value in line.items() if key not in told} for line in lines]
    facts = next(from_data(StudyFacts, line) for line in plain if "strategies" in line)
    held_out = tuple(from_data(HeldOut, line) for line in plain if "truth" in line)
    return Study(
        facts=replace(facts, seeds=len({test.seed for test in held_out})),
        trials=tuple(from_data(StudyRun, line) for line in plain if "predicted" in line),
        held_out=held_out,
    )


def studies(lines: Sequence[Line]) -> dict[str, Study]:
    """Return the studies whose predictions were kept, by their names."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        if "study" in line:
            found.setdefault(line["study"], []).append(line)
    return {name: study_of(some) for name, some in found.items() if any("predicted" in line for line in some)}


def of_base(study: Study, bases: Sequence[str]) -> list[str]:
    """Return the strategies of a study that are of some kinds, whatever stands behind a plus."""
    return [name for name in study.strategies() if name.partition("+")[0] in bases]


DEVELOPMENT = "development-"
"""Beginning of the name of a study to choose settings on, whose figures stand in the text of the page."""


def over(study: Study, one: str, other: str) -> str:
    """Write how much better one strategy is than another; nothing where they are the same or one was not run."""
    if one == other or not {one, other} <= set(study.strategies()):
        return ""
    return points(study.difference(one, other).interval)


def closed(study: Study, name: str) -> str:
    """Write the part of the gap between one labelled subset and all labels that a strategy closes; nothing without a gap."""
    if name in (REFERENCE, ALL_LABELS) or not {REFERENCE, ALL_LABELS} <= set(study.strategies()):
        return ""
    gap = study.difference(ALL_LABELS, REFERENCE).mean
    return f"{study.difference(name, REFERENCE).mean / gap:.0%}".replace("%", " %") if gap >= GAP else ""


def main_table(study: Study) -> list[str]:
    """Return accuracies, differences, the gap closed, links and costs as a table in Markdown, one strategy a row."""
    seeds = sorted({run.seed for run in study.trials})
    against = [name for name in (REFERENCE, SAME_LABELS) if name in study.strategies()]
    rows = []
    for name in study.strategies():
        first, by_seed = study.runs(name)[0], study.accuracies(name)
        rise, cost = study.last_over_first(name), study.cost_ratio(name, time="cpu_seconds")
        rows.append(
            [
                f"`{name}`",
                str(first.labels_used),
                str(first.images_used),
                *(f"{100 * by_seed[seed]:.1f}" if seed in by_seed else "" for seed in seeds),
                points(study.mean(name), ""),
                *(over(study, name, other) for other in against),
                closed(study, name),
                points(rise) if rise else "",
                f"{cost:.2f}" if cost else "",
            ]
        )
    heads = ["strategy", "labels", "images", *(f"seed {seed}" for seed in seeds), "accuracy, 95 % interval"]
    heads += [
        *(f"over `{name}`" for name in against),
        "gap closed",
        "last link over first",
        f"processor time over `{SAME_LABELS}`",
    ]
    return markdown(heads, rows)


def table_by_group(study: Study) -> list[str]:
    """Return accuracies and differences where each group of test images counts once, as a table in Markdown."""
    if not study.has_groups:
        return []
    once = study.each_group_once
    against = [name for name in (REFERENCE, SAME_LABELS, *of_base(study, PUBLISHED)) if name in study.strategies()]
    rows = [
        [f"`{name}`", points(once.mean(name), ""), *(over(once, name, other) for other in against), closed(once, name)]
        for name in study.strategies()
    ]
    heads = ["strategy", "accuracy, each group once", *(f"over `{name}`" for name in against), "gap closed"]
    return markdown(heads, rows)


def contest(study: Study) -> list[str]:
    """Return how much better this project's strategies are than the published ones, as a table in Markdown."""
    others = of_base(study, PUBLISHED)
    rows = [[f"`{name}`", *(over(study, name, other) for other in others)] for name in of_base(study, OWN)]
    return markdown(["strategy", *(f"over `{other}`" for other in others)], rows) if others and rows else []


def links(study: Study) -> str:
    """Return the mean accuracy of every link of the strategies that have several, in one line."""
    found = []
    for name in study.strategies():
        columns = list(zip(*(run.links_accuracy for run in study.runs(name)), strict=True))
        if len(columns) > 1:
            found.append(f"`{name}`: {', '.join(f'{100 * sum(column) / len(column):.1f}' for column in columns)}")
    return f"Accuracy link by link: {'; '.join(found)}." if found else ""


def tables_of(study: Study) -> list[str]:
    """Return the tables of a study in Markdown, with what they are of."""
    groups = {group for test in study.held_out for group in test.groups}
    images = {image for test in study.held_out for image in test.images}
    told = (
        f"`{study.facts.dataset}`: {study.runs_in_words}, {len(images):,} test images in {len(groups):,} groups, "
        f"{len(study.held_out)} trainings of each strategy."
    )
    parts = [[told], main_table(study), contest(study), [links(study)], table_by_group(study)]
    return [line for part in parts if any(part) for line in (*part, "")][:-1]


def tables() -> dict[str, list[str]]:
    """Return the tables of docs/results/chain.md by the names of their places, without studies to choose settings on."""
    found = studies(lines_of("study"))
    return {name: tables_of(study) for name, study in found.items() if not name.startswith(DEVELOPMENT)}


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), tables(), SCRIPT), encoding="utf-8")
    for name, table in tables().items():
        print(name, "", *table, "", sep="\n")
