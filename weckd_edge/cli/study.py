"""``weckd-edge study``: the chain against its controls, with intervals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weckd_edge.cli.build import with_options
from weckd_edge.cli.console.output import HELP, json_option, make_progress, print_json, print_table, quiet_option
from weckd_edge.cli.options import PATH, DataOptions, chain_option, data_option, data_options, seed_option, skip_bad_option

if TYPE_CHECKING:
    from weckd_edge.report.study_page import StudyPage
    from weckd_edge.train.tuning.study import Study

DEFAULT = "single-share,single-union,single-all,one-step+pool,takd+pool,dgkd+pool,weckd,relay,guided,guided+pool"


@click.command("study", context_settings=HELP)
@data_option
@data_options
@click.option(
    "--strategies", default=DEFAULT, show_default=True, help="Comma-separated names; +pool adds unlabelled images."
)
@click.option(
    "--seeds",
    default=5,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Number of seeds; each draws splits, subsets and weights.",
)
@click.option("--out", type=PATH, required=True, help="Folder for results; a second run resumes there.")
@click.option("--config", "config_file", type=PATH, help="TOML file with the chain and its training.")
@chain_option
@click.option("--storage", help="Optuna storage, to share the seeds between machines: sqlite:///file.db, or a server's.")
@seed_option("The first seed.")
@skip_bad_option
@quiet_option
@json_option
def command(
    data: Path,
    data_options: DataOptions,
    strategies: str,
    seeds: int,
    out: Path,
    config_file: Path | None,
    links: str | None,
    storage: str | None,
    seed: int | None,
    skip_bad: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Compare distillation strategies on your own data: on the same groups, labelled subsets and seeds.

    Every strategy takes the same number of gradient steps. The single ones are the last network alone: on one labelled
    subset, on the union of the subsets, on all labels.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from tempfile import TemporaryDirectory

    from weckd_edge.config import BuildConfig, load_config
    from weckd_edge.core.progress import SilentProgress
    from weckd_edge.pipeline.build import keeps_results
    from weckd_edge.pipeline.output_paths import ReadPath, check_place
    from weckd_edge.report.study_page import write_study
    from weckd_edge.train.tuning.study import StudyPlan, run_study

    config = with_options(load_config(config_file) if config_file else BuildConfig(), links, seed, data_options)
    check_place(out, [ReadPath("the data set", data)])
    names = [name.strip() for name in strategies.split(",") if name.strip()]
    plan = StudyPlan(strategies=names, seeds=seeds)
    if not keeps_results(os.environ):
        # One of several processes that train together: the first keeps the results and says what there is to say.
        with TemporaryDirectory() as folder:
            run_study(data, config, plan, Path(folder), SilentProgress(), skip_bad=skip_bad)
        return
    with make_progress(quiet) as progress:
        study = run_study(data, config, plan, out, progress, skip_bad=skip_bad, storage=storage)
    page = page_of(study)
    write_study(page, out / "study.html")
    if as_json:
        print_json(summarize_study(page, study))
    else:
        print_study(page)
        click.echo(f"Page: {out / 'study.html'}")


def summarize_study(page: StudyPage, study: Study) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    return {
        "dataset": page.dataset,
        "synthetic": page.synthetic,
        "labelled_fraction": page.labelled_fraction,
        "seeds": page.seeds,
        "strategies": [
            {
                "name": row.name,
                "accuracy": {"mean": row.mean, "low": row.low, "high": row.high},
                "labels_used": row.labels,
                "seconds": row.seconds,
                "cpu_seconds": row.cpu_seconds,
                "joules": row.joules,
                "by_seed": row.by_seed,
            }
            for row in page.rows
        ],
        "differences": study.differences(),
        "verdicts": page.verdicts,
    }


def page_of(study: Study) -> StudyPage:
    """Work out what is shown, controls first."""
    from weckd_edge.report.study_page import StudyPage, StudyRow, order_of
    from weckd_edge.train.tuning.study import chain_verdicts

    names = order_of(study.strategies())
    first = {t.strategy: t for t in reversed(study.trials)}
    rows = []
    for name in names:
        mean = study.mean(name)
        gain = study.difference(name, names[0]) if name != names[0] else None
        rows.append(
            StudyRow(
                name=name,
                labels=first[name].labels_used,
                images=first[name].images_used,
                by_seed=tuple(study.accuracies(name)),
                mean=mean.mean,
                low=mean.low,
                high=mean.high,
                gain=gain.mean if gain else None,
                gain_low=gain.low if gain else None,
                gain_high=gain.high if gain else None,
                seconds=sum(t.seconds for t in study.trials if t.strategy == name),
                cpu_seconds=sum(t.cpu_seconds for t in study.trials if t.strategy == name),
                joules=_sum_or_none([t.joules for t in study.trials if t.strategy == name]),
            )
        )
    return StudyPage(
        dataset=study.dataset,
        synthetic=study.synthetic,
        labelled_fraction=study.labelled_fraction,
        seeds=study.seeds,
        rows=tuple(rows),
        verdicts=tuple(words for name in names if not name.startswith("single") for words in chain_verdicts(study, name)),
    )


def _sum_or_none(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def print_study(page: StudyPage) -> None:
    """Print the table and the words."""
    rows = [
        (
            row.name,
            row.labels,
            row.images,
            _points(row.mean, row.low, row.high),
            "" if row.gain is None else _points(row.gain, row.gain_low, row.gain_high, sign="+"),
            f"{row.seconds:.0f}",
        )
        for row in page.rows
    ]
    title = f"{page.dataset}{' (synthetic)' if page.synthetic else ''}, {page.seeds} seeds, last link on held-out groups"
    columns = ("strategy", "labels", "images", "accuracy %, 95 % interval", f"points over {page.rows[0].name}", "seconds")
    print_table(columns, rows, title=title)
    for words in page.verdicts:
        click.echo(words)


def _points(mean: float, low: float | None, high: float | None, sign: str = "") -> str:
    text = f"{100 * mean:{sign}.1f}"
    return text if low is None or high is None else f"{text} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"
