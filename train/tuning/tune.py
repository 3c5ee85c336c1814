"""Tune learning rate, distillation weight and temperature on validation groups, with Optuna's own database.

Machines that name the same storage share one search: each takes the next trial until the wanted number is finished.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.config import BuildConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.fingerprint import code_of
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Workspace, digest_of, write_atomic
from weckd_edge.train.data.index import cached_index, data_root
from weckd_edge.train.distill.chain import make_trainer, plan_chain, run_strategy
from weckd_edge.train.distill.distributed import count_processes
from weckd_edge.train.distill.strategies import find_strategy, without_outside
from weckd_edge.train.networks.available_weights import settle_config
from weckd_edge.train.tuning.settings import weights_digests, without_paths
from weckd_edge.train.tuning.work_queue import open_study, storage_errors

BEST_FILE = "best.toml"
LEARNING_RATE = (3e-4, 6e-3)
WEIGHT = (0.3, 0.95)
TEMPERATURE = (1.0, 8.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneResult:
    """Result of a search.

    Attributes:
        name: Name of the search in its storage: the same data, chain, settings and code give the same name.
        trials: Number of finished trials, of every machine.
        val_accuracy: Accuracy of the best trial on validation groups, 0..1. The test groups are not used.
        learning_rate: Learning rate of the best trial.
        distill_weight: Part of the loss that comes from the teacher, of the best trial.
        temperature_start: First temperature of the best trial.
        best_file: Path of a TOML file with these three, to build with.
    """

    name: str
    trials: int
    val_accuracy: float
    learning_rate: float
    distill_weight: float
    temperature_start: float
    best_file: str


def tune(
    data: Path,
    config: BuildConfig,
    trials: int,
    storage: str,
    out: Path,
    progress: Progress,
    *,
    skip_bad: bool = False,
) -> TuneResult:
    """Search with the strategy of ``config.distill``; a search that was stopped, or that another machine began, goes on.

    Args:
        data: Folder or CSV.
        config: Settings that are not searched.
        trials: Number of trials in all.
        storage: Optuna's storage, such as ``sqlite:///search.db`` or a server's address.
        out: Folder for links trained on this machine and for ``best.toml``.
        progress: Receiver of the progress.
        skip_bad: Whether files that cannot be used are left out.

    Raises:
        ConfigError: The storage cannot be opened, several processes were started to train together, or the strategy learns
            from teachers from outside the chain.
        WeckdError: The data or the links cannot be used.
        MissingDependency: Optuna is not installed.
    """
    require("optuna", "search for settings")
    if count_processes() > 1:
        raise ConfigError(
            "tune: machines share trials through --storage; start one process on each, without torchrun",
            code="E_CONFIG_DISTRIBUTED",
        )
    strategy = find_strategy(config.distill.strategy)
    if strategy.outside:
        raise ConfigError(
            f"tune: distill.strategy = '{strategy.name}' learns from teachers from outside the chain, which a search does "
            f"not open; expected a strategy without them, such as '{without_outside(strategy).name}'",
            code="E_CONFIG_CONFLICT",
        )
    config = settle_config(config, progress)
    root = data_root(data)
    workspace = Workspace(out)
    with workspace.locked():
        index = cached_index(workspace, data, config, skip_bad=skip_bad, progress=progress).artifact
        plans = plan_chain(index, config)
        trainer = make_trainer(workspace, root, index, plans, progress, config.data.unlabelled)
        name = _study_name(config, index)
        study = open_study(storage, name, config.seed)

        def objective(trial: Any) -> float:
            links = run_strategy(trainer, plans, strategy, _suggest(trial, config))
            return links[-1].artifact.val_accuracy.value

        with storage_errors(storage):
            while (done := _count_finished(study)) < trials:
                progress.note(f"tune: trial {done + 1} of {trials}")
                study.optimize(objective, n_trials=1)
            best = study.best_trial.params
    return TuneResult(
        name=name,
        trials=done,
        val_accuracy=study.best_value,
        learning_rate=best["learning_rate"],
        distill_weight=best["distill_weight"],
        temperature_start=best["temperature_start"],
        best_file=str(_write_best(out, best)),
    )


def _study_name(config: BuildConfig, index: DatasetIndex) -> str:
    """Return a name that the same data, chain, settings and code have on every machine."""
    unlabelled = [r.pixels_sha256 for r in index.unlabelled]
    settings = [without_paths(config), weights_digests(config), index.identity(), unlabelled]
    return f"weckd-edge-{digest_of([*settings, code_of('weckd_edge.train.tuning.tune')])[:16]}"


def _count_finished(study: Any) -> int:
    optuna: Any = require("optuna", "search for settings")
    return len(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))


def _suggest(trial: Any, config: BuildConfig) -> BuildConfig:
    """Return the settings that Optuna proposes for a trial."""
    train = replace(config.train, learning_rate=trial.suggest_float("learning_rate", *LEARNING_RATE, log=True))
    start = trial.suggest_float("temperature_start", *TEMPERATURE)
    distill = replace(
        config.distill,
        distill_weight=trial.suggest_float("distill_weight", *WEIGHT),
        temperature_start=start,
        temperature_end=min(start, config.distill.temperature_end),
    )
    return replace(config, train=train, distill=distill)


def _write_best(out: Path, best: Mapping[str, float]) -> Path:
    path = out / BEST_FILE
    write_atomic(
        path,
        f"[train]\nlearning_rate = {best['learning_rate']:.6g}\n\n"
        f"[distill]\ndistill_weight = {best['distill_weight']:.4g}\ntemperature_start = {best['temperature_start']:.4g}\n",
    )
    return path
