"""Write the tables of docs/results/examinations.md: ``python benchmarks/exam_page.py``.

They come from results/exam.jsonl (bench_exam.py) and results/exam_rate.jsonl (bench_exam_rate.py). The folds of one data set
and one change of settings are one row: each of its groups was tested once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tables import PAGES, lines_of, markdown, points, with_tables

from weckd_edge.artifacts import Metric
from weckd_edge.metrics.classification import mean_of
from weckd_edge.metrics.crossed_clusters import MeanInterval
from weckd_edge.metrics.paired import compare_rates

SCRIPT = Path(__file__).name
PAGE = PAGES / "examinations.md"
SEED = 0

Line = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamFigures:
    """What examinations bring over their frames.

    Attributes:
        exams: Number of examinations with a label and an accepted frame.
        frames: Part of an examination's accepted frames that are right, the mean over examinations, 0..1.
        right: Part of the examinations that are right, 0..1.
        gain: How much larger ``right`` is than ``frames``; without ends where there are too few groups.
    """

    exams: int
    frames: MeanInterval
    right: MeanInterval
    gain: MeanInterval


def figures(outcomes: Iterable[Line], *, several: bool = False) -> ExamFigures | None:
    """Return what the outcomes of examinations bring, with intervals by groups; None where there is none.

    Args:
        outcomes: Outcomes of examinations.
        several: Whether only those of more than one accepted frame count.
    """
    judged = [one for one in outcomes if one["label"] is not None and one["best"] is not None]
    judged = [one for one in judged if one["accepted"] > 1] if several else judged
    if not judged:
        return None
    groups = [one["group"] for one in judged]
    frames = np.array([one["frames_right"] / one["accepted"] for one in judged])
    right = np.array([one["best"] == one["label"] for one in judged], np.float64)
    gain = compare_rates(frames, right, groups, seed=SEED)
    return ExamFigures(
        exams=len(judged),
        frames=_interval(mean_of(frames, groups, seed=SEED)),
        right=_interval(mean_of(right, groups, seed=SEED)),
        gain=MeanInterval(mean=float((right - frames).mean()), low=None, high=None)
        if gain is None
        else MeanInterval(mean=gain.value, low=gain.low, high=gain.high),
    )


def _interval(metric: Metric) -> MeanInterval:
    return MeanInterval(mean=metric.value, low=metric.low, high=metric.high)


def told(outcomes: Sequence[Line]) -> str:
    """Return in one line what the outcomes of examinations bring."""
    found = figures(outcomes)
    if found is None:
        return "no examination has an accepted frame"
    return (
        f"{found.exams} examinations: frames {points(found.frames, '')}, examinations {points(found.right, '')}, "
        f"difference {points(found.gain)}"
    )


def accuracy_table(lines: Sequence[Line]) -> list[str]:
    """Return the table of accuracies, in Markdown: a row for the folds of a data set, and for each bundle."""
    parts: dict[tuple[str, ...], list[Line]] = {}
    for line in lines:
        name = line["bundle"] if "bundle" in line else f"{line['folds']} folds"
        parts.setdefault((line["set"], name, *line.get("changed_settings", ())), []).append(line)
    rows = []
    for (data, name, *changed), some in parts.items():
        if "folds" in some[0] and len(some) < some[0]["folds"]:
            name = f"{len(some)} of {name}"
        outcomes = [one for line in some for one in line["outcomes"]]
        ways = ", ".join(sorted({line["choice"]["name"] for line in some}))
        about = f"{name}, {' '.join(changed)}" if changed else name
        for kind, found in (
            ("all", figures(outcomes)),
            ("of several frames", figures(outcomes, several=True)),
        ):
            if found is not None:
                rates = (points(found.frames, ""), points(found.right, ""), points(found.gain))
                rows.append([f"`{data}`", about, ways, kind, str(found.exams), *rates])
    heads = ["data", "what", "joined by", "examinations", "number", "frames, %", "examinations, %", "difference, points"]
    return markdown(heads, rows)


def rate_table(lines: Sequence[Line]) -> list[str]:
    """Return the table of rates, in Markdown, a row for each run."""
    rows = [
        [
            line["what"].partition(",")[0],
            f"{line['medians_ns']['memory'] / 1e6:.3f}",
            f"{line['medians_ns']['video'] / 1e6:.3f}",
            f"{line['rate_of_memory']:.3f}",
            f"{line['resident_kb'][0] / 1024:.0f}",
            f"{line['resident_kb'][-1] / 1024:.0f}",
            f"{line['environment']['load_average']:.0f}",
        ]
        for line in lines
    ]
    heads = [
        "video",
        "frame from memory, ms",
        "frame of the video, ms",
        "rate of it",
        "memory at first, MiB",
        "at the end, MiB",
    ]
    return markdown([*heads, "load of the machine"], rows)


def tables() -> dict[str, list[str]]:
    """Return the tables of docs/results/examinations.md by the names of their places."""
    return {"accuracy": accuracy_table(lines_of("exam")), "rate": rate_table(lines_of("exam_rate"))}


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), tables(), SCRIPT), encoding="utf-8")
