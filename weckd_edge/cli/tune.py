"""``weckd-edge tune``: learning rate, distillation weight and temperature, found on validation groups."""

from __future__ import annotations

import os
from pathlib import Path

import click

from weckd_edge.cli.build import with_options
from weckd_edge.cli.console.output import HELP, json_option, make_progress, print_json, print_table, quiet_option
from weckd_edge.cli.options import PATH, DataOptions, chain_option, data_option, data_options, seed_option, skip_bad_option


@click.command("tune", context_settings=HELP)
@data_option
@data_options
@click.option(
    "--trials", default=20, show_default=True, type=click.IntRange(1, 1_000_000), help="Number of trials, over all machines."
)
@click.option("--out", type=PATH, required=True, help="Folder for this machine's links and best.toml.")
@click.option("--storage", help="Optuna storage, to share a study between machines. Default: a file in --out.")
@click.option("--config", "config_file", type=PATH, help="TOML file with the other settings.")
@chain_option
@seed_option("Seed of split, weights and search.")
@skip_bad_option
@quiet_option
@json_option
def command(
    data: Path,
    data_options: DataOptions,
    trials: int,
    out: Path,
    storage: str | None,
    config_file: Path | None,
    links: str | None,
    seed: int | None,
    skip_bad: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Tune learning rate and distillation with Optuna, on validation images; test images are not used.

    The same command resumes after an interruption. Machines with the same --storage share one study.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from weckd_edge.config import BuildConfig, load_config
    from weckd_edge.pipeline.output_paths import ReadPath, check_place
    from weckd_edge.train.tuning.tune import tune

    config = with_options(load_config(config_file) if config_file else BuildConfig(), links, seed, data_options)
    check_place(out, [ReadPath("the data set", data)])
    where = storage or f"sqlite:///{out.absolute() / 'search.db'}"
    with make_progress(quiet) as progress:
        found = tune(data, config, trials, where, out, progress, skip_bad=skip_bad)
    if as_json:
        print_json(found)
        return
    print_table(
        ("setting", "best"),
        [
            ("learning_rate", f"{found.learning_rate:.3g}"),
            ("distill.distill_weight", f"{found.distill_weight:.3g}"),
            ("distill.temperature_start", f"{found.temperature_start:.3g}"),
            ("accuracy on validation groups", f"{found.val_accuracy:.1%}"),
            ("trials", found.trials),
        ],
    )
    click.echo(f"Settings: {found.best_file}")
