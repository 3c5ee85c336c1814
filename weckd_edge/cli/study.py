"""``weckd-edge study``: the chain against its controls, with intervals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weckd_edge.cli.build import with_options
from weckd_edge.cli.output import HELP, json_option, make_progress, print_json, print_table, quiet_option

if TYPE_CHECKING:
    from weckd_edge.train.study import Study

DEFAULT = "single-share,single-union,single-all,one-step+pool,takd+pool,dgkd+pool,weckd,weckd+pool,guided+pool"


@click.command("study", context_settings=HELP)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder of <label>/<image>, or a CSV.")
@click.option("--strategies", default=DEFAULT, show_default=True, help="Names, separated by commas; +pool behind a name.")
@click.option("--seeds", default=5, show_default=True, type=click.IntRange(1), help="Splits, shares and weights to try.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for results; a second run goes on there."
)
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="TOML file with the chain and its training.")
@click.option("--links", help="The chain, largest first: model[@pixels][=weights file], separated by commas.")
@click.option("--seed", type=click.IntRange(0), help="The first seed.")
@click.option("--skip-bad", is_flag=True, help="Go on without files that cannot be used.")
@quiet_option
@json_option
def command(
    data: Path,
    strategies: str,
    seeds: int,
    out: Path,
    config_file: Path | None,
    links: str | None,
    seed: int | None,
    skip_bad: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Find out on your own data whether the chain helps: every strategy on the same groups, shares and seeds.

    Each strategy takes as many gradient steps in all. The single ones are the last network alone: on one share of the
    labels, on the union of the shares, on all labels.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from weckd_edge.config import BuildConfig, load_config
    from weckd_edge.train.study import run_study, verdict

    config = with_options(load_config(config_file) if config_file else BuildConfig(), links, seed)
    names = [name.strip() for name in strategies.split(",") if name.strip()]
    with make_progress(quiet) as progress:
        study = run_study(data, config, names, seeds, out, progress, skip_bad=skip_bad)
    chains = [name for name in study.strategies() if not name.startswith("single")]
    verdicts = {name: verdict(study, name) for name in chains}
    if as_json:
        print_json(summary(study, verdicts))
    else:
        show(study, verdicts)


def summary(study: Study, verdicts: dict[str, str]) -> dict[str, Any]:
    """Return what ``--json`` prints."""
    first = {t.strategy: t for t in reversed(study.trials)}
    return {
        "dataset": study.dataset,
        "synthetic": study.synthetic,
        "share": study.share,
        "seeds": study.seeds,
        "strategies": [
            {
                "name": name,
                "accuracy": study.mean(name),
                "labels_used": first[name].labels_used,
                "steps": first[name].steps,
                "seconds": sum(t.seconds for t in study.trials if t.strategy == name),
                "by_seed": study.accuracies(name),
            }
            for name in study.strategies()
        ],
        "differences": study.differences(),
        "verdicts": verdicts,
    }


def show(study: Study, verdicts: dict[str, str]) -> None:
    """Print the table and the words."""
    first = {t.strategy: t for t in reversed(study.trials)}
    base = study.strategies()[0]
    gains = {d.a: d for d in study.differences() if d.b == base}
    rows = []
    for name in study.strategies():
        mean, gain = study.mean(name), gains.get(name)
        rows.append(
            (
                name,
                first[name].labels_used,
                first[name].images_used,
                _points(mean.mean, mean.low, mean.high),
                "" if gain is None else _points(gain.mean, gain.low, gain.high, sign="+"),
                f"{sum(t.seconds for t in study.trials if t.strategy == name):.0f}",
            )
        )
    title = f"{study.dataset}{' (synthetic)' if study.synthetic else ''}, {study.seeds} seeds, last link on held-out groups"
    columns = ("strategy", "labels", "images", "accuracy %, 95 % interval", f"points over {base}", "seconds")
    print_table(columns, rows, title=title)
    for words in verdicts.values():
        click.echo(words)


def _points(mean: float, low: float | None, high: float | None, sign: str = "") -> str:
    text = f"{100 * mean:{sign}.1f}"
    return text if low is None or high is None else f"{text} ({100 * low:{sign}.1f} to {100 * high:{sign}.1f})"
