"""``weckd-edge tune``: settings of training and distillation, tuned on validation images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click

from weckd_edge.cli.console.libraries import set_up_libraries
from weckd_edge.cli.console.output import print_json, print_table
from weckd_edge.cli.parsing.option_groups import ChainSettings, DataSet, ProgressOutput
from weckd_edge.cli.parsing.options import Command, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH, WholeNumber
from weckd_edge.cli.settled_links import with_settled_links


@dataclass(frozen=True, kw_only=True, slots=True)
class TuningPlan(OptionGroup):
    """Plan of a tuning: the number of trials, and the folder for results."""

    title: ClassVar[str] = "Tuning"
    out: Path = option("--out", type=PATH, required=True, help="Folder for this machine's links and best.toml.")
    trials: int = option(
        "--trials",
        default=20,
        show_default=True,
        type=WholeNumber(1, 1_000_000),
        help="Number of trials, over all machines.",
    )
    storage: str | None = option(
        "--storage", help="Optuna storage, to share the trials between machines. Default: a file in --out."
    )


@click.command("tune", cls=Command)
@takes(data=DataSet, plan=TuningPlan, settings=ChainSettings, output=ProgressOutput)
def command(data: DataSet, plan: TuningPlan, settings: ChainSettings, output: ProgressOutput) -> None:
    """Tune learning rate, weight averaging and distillation with Optuna, on validation images; test images are not used.

    A trial whose links are worse than those of most others stops before its last link. The same command resumes after an
    interruption. Machines with the same --storage share the trials.
    """
    set_up_libraries()
    from weckd_edge.pipeline.output_paths import ReadPath, check_place
    from weckd_edge.pipeline.outside_teachers import open_teachers
    from weckd_edge.pipeline.steps.train_chain import check_strategy
    from weckd_edge.train.tuning.tune import Search, tune

    check_place(plan.out, [ReadPath("the data set", data.path)])
    config = with_settled_links(settings.load(data))
    check_strategy(config)
    storage = plan.storage or f"sqlite:///{plan.out.absolute() / 'search.db'}"
    search = Search(trials=plan.trials, storage=storage, teachers=open_teachers(config, [config.distill.strategy]))
    with output.progress() as progress:
        found = tune(data.path, config, search, plan.out, progress, skip_bad=data.skip_bad)
    if output.as_json:
        print_json(found)
        return
    print_table(
        ("setting", "best"),
        [
            *((name, f"{value:.3g}") for name, value in found.settings.items()),
            ("accuracy on validation images", f"{found.val_accuracy:.1%}"),
            ("trials", f"{found.trials}, of which {found.pruned} stopped early"),
        ],
    )
    click.echo(f"Settings: {found.best_file}")
