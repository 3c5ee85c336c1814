"""The page of a study: a chart, the findings, the metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.bundle.verdict import SYNTHETIC
from weckd_edge.core.store import write_atomic
from weckd_edge.metrics.crossed_clusters import MeanInterval
from weckd_edge.report import charts
from weckd_edge.report.html_shell import document
from weckd_edge.report.rendering import render, safe


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRow:
    """Results of one strategy. Rates are 0..1; bounds are None where trainings or groups are too few for an interval.

    Attributes:
        name: Name of the strategy.
        labels: Number of distinct labels that any link saw.
        images: Number of distinct training images that the last link saw.
        by_seed: Accuracy of the last link for each seed, over the test images of all its folds.
        mean: Mean accuracy over the seeds.
        low: Lower end of the mean's 95 % interval.
        high: Upper end of the mean's 95 % interval.
        gain: Gain over the first strategy, on the same test images; None for the first strategy itself.
        gain_low: Lower end of the gain's 95 % interval.
        gain_high: Upper end of the gain's 95 % interval.
        by_group: Mean accuracy where each group of test images counts once, with its interval; None where each group is one
            image.
        gain_by_group: Gain over the first strategy, counted so; None for the first strategy itself.
        seconds: Training time of all links and runs, seconds.
        cpu_seconds: Processor time of all links and runs, seconds.
        joules: Energy of all links and runs, joules; None where the machine does not measure it.
        cost_ratio: Training time divided by that of ``single-union``; None where that was not run.
    """

    name: str
    labels: int
    images: int
    by_seed: tuple[float, ...]
    mean: float
    low: float | None
    high: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    seconds: float
    cpu_seconds: float
    joules: float | None
    cost_ratio: float | None
    by_group: MeanInterval | None = None
    gain_by_group: MeanInterval | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPage:
    """What the page shows.

    Attributes:
        dataset: Name of the data set's folder.
        synthetic: Whether the images are synthetic.
        labelled_fraction: Fraction of the training images in one labelled subset, 0..1.
        seeds: Number of seeds.
        rows: The strategies, the last network alone first.
        verdicts: Whether each chain helped, in sentences.
        folds: Number of folds of each seed; None where each seed drew one test split.
        equal_steps: Whether all strategies took the same number of gradient steps.
        notes: What a reader must know of the intervals and of the runs, in sentences.
    """

    dataset: str
    synthetic: bool
    labelled_fraction: float
    seeds: int
    rows: tuple[StudyRow, ...]
    verdicts: tuple[str, ...]
    folds: int | None = None
    equal_steps: bool = True
    notes: tuple[str, ...] = ()


def write_study(page: StudyPage, out: Path) -> None:
    """Write the page as one HTML file that needs no network.

    Raises:
        MissingDependency: The extra ``report`` is not installed.
        StoreError: The file cannot be written.
    """
    chart = charts.accuracy_by_strategy([(r.name, r.by_seed, r.mean, r.low, r.high) for r in page.rows])
    context = {"page": page, "chart": safe(chart), "synthetic": SYNTHETIC}
    body = render("report/study.html.j2", context)
    write_atomic(out, document(f"{page.dataset}: study", body))


def order_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return strategies in the order they are shown: controls first, then as they were asked for."""
    return tuple(sorted(names, key=lambda name: not name.startswith("single")))
