"""``weckd-edge study``: the chain compared with baselines, over several seeds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from weckd_edge.cli.console.libraries import set_up_libraries
from weckd_edge.cli.console.output import print_json, print_table
from weckd_edge.cli.parsing.option_groups import ChainSettings, DataSet, ProgressOutput
from weckd_edge.cli.parsing.options import Command, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH, WholeNumber
from weckd_edge.cli.settled_links import with_settled_links

if TYPE_CHECKING:
    from weckd_edge.metrics.crossed_clusters import MeanInterval
    from weckd_edge.report.study_page import StudyPage
    from weckd_edge.train.tuning.study_results import Study

COST_OF = "single-union"
"""Strategy whose training time the others are divided by."""

DEFAULT = ",".join(
    (
        "single-subset",
        "single-union",
        "single-all",
        "one-step",
        "takd",
        "dgkd",
        "weckd",
        "relay",
        "guided",
        "one-step+teachers+unlabelled",
        "dgkd+teachers+unlabelled",
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyPlan(OptionGroup):
    """Plan of a study: the strategies, the number of seeds, and the folder for results."""

    title: ClassVar[str] = "Study"
    out: Path = option("--out", type=PATH, required=True, help="Folder for results; a second run resumes there.")
    strategies: str = option(
        "--strategies",
        default=DEFAULT,
        show_default=True,
        help="Comma-separated names; +teachers adds teachers from outside, +unlabelled unlabelled images.",
    )
    seeds: int = option(
        "--seeds",
        default=5,
        show_default=True,
        type=WholeNumber(1, 10_000),
        help="Number of seeds, counted from --seed; each draws splits, subsets and weights.",
    )
    folds: int | None = option(
        "--folds",
        type=WholeNumber(2, 100),
        help="Deal the images of each seed into so many folds, whole groups each; every fold is the test split once.",
    )
    storage: str | None = option(
        "--storage", help="Optuna storage, to share the seeds between machines: sqlite:///file.db, or a server's."
    )

    def names(self) -> list[str]:
        """Return the names of the strategies."""
        return [name.strip() for name in self.strategies.split(",") if name.strip()]


@click.command("study", cls=Command)
@takes(data=DataSet, plan=StudyPlan, settings=ChainSettings, output=ProgressOutput)
def command(data: DataSet, plan: StudyPlan, settings: ChainSettings, output: ProgressOutput) -> None:
    """Compare distillation strategies on your own data: on the same groups, labelled subsets and seeds.

    Every strategy takes the same number of gradient steps in its links, unless train.patience ends some early; those of
    fine-tuned teachers come on top. The single ones are the last network alone: on one labelled subset, on the union of
    the subsets, on all labels.
    """
    set_up_libraries()
    from weckd_edge.core.progress import SilentProgress
    from weckd_edge.pipeline.build import keeps_results
    from weckd_edge.pipeline.output_paths import ReadPath, check_place
    from weckd_edge.pipeline.outside_teachers import open_teachers
    from weckd_edge.report.study_page import write_study
    from weckd_edge.train.tuning.study import StudyGrid, run_study

    check_place(plan.out, [ReadPath("the data set", data.path)])
    config = with_settled_links(settings.load(data))
    names = plan.names()
    grid = StudyGrid(strategies=names, seeds=plan.seeds, folds=plan.folds, teachers=open_teachers(config, names))
    if not keeps_results(os.environ):
        from weckd_edge.train.distill.loop.distributed import rank
        from weckd_edge.train.distill.loop.process_folders import own_folder

        # One of several processes that train together: the first keeps the results and says what there is to say.
        with own_folder(plan.out, rank()) as folder:
            run_study(data.path, config, grid, folder, SilentProgress(), skip_bad=data.skip_bad, storage=plan.storage)
        return
    with output.progress() as progress:
        study = run_study(data.path, config, grid, plan.out, progress, skip_bad=data.skip_bad, storage=plan.storage)
    page = make_page(study)
    write_study(page, plan.out / "study.html")
    if output.as_json:
        print_json(study_summary(page, study))
    else:
        _print_study(page)
        click.echo(f"Page: {plan.out / 'study.html'}")


def study_summary(page: StudyPage, study: Study) -> dict[str, Any]:
    """Return what ``--json`` prints of a study."""
    return {
        "dataset": page.dataset,
        "synthetic": page.synthetic,
        "labelled_fraction": page.labelled_fraction,
        "seeds": page.seeds,
        "folds": page.folds,
        "strategies": [
            {
                "name": row.name,
                "accuracy": {"mean": row.mean, "low": row.low, "high": row.high},
                "accuracy_by_group": study.each_group_once.mean(row.name),
                "last_over_first": study.last_over_first(row.name),
                "labels_used": row.labels,
                "seconds": row.seconds,
                "cpu_seconds": row.cpu_seconds,
                "joules": row.joules,
                "cost_ratio": row.cost_ratio,
                "seeds": [{"seed": seed, "accuracy": found} for seed, found in study.accuracies(row.name).items()],
                "runs": [{"seed": run.seed, "fold": run.fold, "accuracy": run.accuracy} for run in study.runs(row.name)],
            }
            for row in page.rows
        ],
        "differences": study.differences(),
        "differences_by_group": study.each_group_once.differences(),
        "verdicts": page.verdicts,
        "notes": page.notes,
    }


def make_page(study: Study) -> StudyPage:
    """Return the page of a study: a row for each strategy, the last network alone first, and the verdicts."""
    from weckd_edge.report.study_page import StudyPage, StudyRow, order_of
    from weckd_edge.train.tuning.study_verdicts import chain_verdicts

    names = order_of(study.strategies())
    first = {t.strategy: t for t in reversed(study.trials)}
    once = study.each_group_once if study.has_groups else None
    rows = []
    for name in names:
        mean = study.mean(name)
        gain = study.difference(name, names[0]) if name != names[0] else None
        rows.append(
            StudyRow(
                name=name,
                labels=first[name].labels_used,
                images=first[name].images_used,
                by_seed=tuple(study.accuracies(name).values()),
                mean=mean.mean,
                low=mean.low,
                high=mean.high,
                gain=gain.mean if gain else None,
                gain_low=gain.low if gain else None,
                gain_high=gain.high if gain else None,
                seconds=sum(t.seconds for t in study.trials if t.strategy == name),
                cpu_seconds=sum(t.cpu_seconds for t in study.trials if t.strategy == name),
                joules=_sum_or_none([t.joules for t in study.trials if t.strategy == name]),
                cost_ratio=study.cost_ratio(name),
                by_group=once.mean(name) if once else None,
                gain_by_group=once.difference(name, names[0]).interval if once and gain else None,
            )
        )
    return StudyPage(
        dataset=study.facts.dataset,
        synthetic=study.facts.synthetic,
        labelled_fraction=study.facts.labelled_fraction,
        seeds=study.facts.seeds,
        rows=tuple(rows),
        verdicts=tuple(words for name in names if not name.startswith("single") for words in chain_verdicts(study, name)),
        folds=study.facts.folds,
        equal_steps=len({run.steps for run in study.trials}) == 1,
        notes=study.notes,
    )


def _sum_or_none(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _print_study(page: StudyPage) -> None:
    rows = [
        (
            row.name,
            row.labels,
            row.images,
            _points(row.mean, row.low, row.high),
            "" if row.gain is None else _points(row.gain, row.gain_low, row.gain_high, sign="+"),
            f"{row.seconds:.0f}",
            "" if row.cost_ratio is None else f"{row.cost_ratio:.2f}",
        )
        for row in page.rows
    ]
    runs = f"{page.seeds} seeds" if page.folds is None else f"{page.folds} folds of each of {page.seeds} seeds"
    title = f"{page.dataset}{' (synthetic)' if page.synthetic else ''}, {runs}, last link on held-out groups"
    columns = (
        "strategy",
        "labels",
        "images",
        "accuracy %, 95 % interval",
        f"points over {page.rows[0].name}",
        "seconds",
        f"times {COST_OF}",
    )
    print_table(columns, rows, title=title)
    once = [(row.name, _mean_points(row.by_group), _mean_points(row.gain_by_group, sign="+")) for row in page.rows]
    if page.rows[0].by_group is not None:
        print_table(("strategy", *columns[3:5]), once, title="Each group of test images counted once")
    for words in (*page.verdicts, *page.notes):
        click.echo(words)


def _mean_points(found: MeanInterval | None, sign: str = "") -> str:
    return "" if found is None else _points(found.mean, found.low, found.high, sign)


def _points(mean: float, low: float | None, high: float | None, sign: str = "") -> str:
    text = f"{100 * mean:{sign}.1f}"
    return text if low is None or high is None else f"{text} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"
