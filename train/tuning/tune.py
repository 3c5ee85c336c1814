"""Search of learning rate, distillation weight and temperature, on validation groups, with Optuna's own database.

Machines that name the same storage share one search: each takes the next trial until the wanted number is finished.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from weckd_edge.config import BuildConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.fingerprint import code_of
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Workspace, digest_of, sha256_file, write_atomic
from weckd_edge.train.data.index import cached_index, data_root
from weckd_edge.train.distill.chain import make_trainer, plan_chain, run_strategy
from weckd_edge.train.distill.distributed import count_processes
from weckd_edge.train.distill.strategies import find_strategy
from weckd_edge.train.tuning.work_queue import open_study, storage_errors

BEST_FILE = "best.toml"
LEARNING_RATE = (3e-4, 6e-3)
WEIGHT = (0.3, 0.95)
TEMPERATURE = (1.0, 8.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneResult:
    """What a search ended with.

    Attributes:
        name: Of the search in its storage: the same data, chain, settings and code give the same name.
        trials: Finished trials, of every machine.
        val_accuracy: Of the best, on validation groups. The test groups were not looked at.
        learning_rate: Of the best.
        distill_weight: Of the best: part of the loss that comes from the teacher.
        temperature_start: Of the best.
        best_file: TOML file with these three, to build with.
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
        config: Everything that is not searched.
        trials: How many trials in all.
        storage: Optuna's storage, such as ``sqlite:///search.db`` or a server's address.
        out: Folder for links trained on this machine and for ``best.toml``.
        progress: Where the work is shown.
        skip_bad: Leave out files that cannot be used.

    Raises:
        ConfigError: The storage cannot be opened, or several processes were started to train together.
        WeckdError: The data or the links cannot be used.
        MissingDependency: Optuna is not installed.
    """
    optuna: Any = require("optuna", "search for settings")
    if count_processes() > 1:
        raise ConfigError(
            "search: machines share trials through --storage; start one process on each, without torchrun",
            code="E_CONFIG_DISTRIBUTED",
        )
    strategy = find_strategy(config.distill.strategy)
    root = data_root(data)
    workspace = Workspace(out)
    with workspace.locked():
        index = cached_index(workspace, data, config, skip_bad=skip_bad, progress=progress).artifact
        plans = plan_chain(index, config)
        trainer = make_trainer(workspace, root, index, plans, progress, config.data.unlabelled)
        links = tuple(replace(link, weights=None, weights_licence=None) for link in config.link)
        weights = [sha256_file(Path(link.weights)) if link.weights else None for link in config.link]
        pool = [r.pixels_sha256 for r in index.unlabelled]
        images = index.identity()
        settings = replace(config, link=links, data=replace(config.data, unlabelled=None), train=config.train.identity())
        code = code_of("weckd_edge.train.tuning.tune")
        name = f"weckd-edge-{digest_of([settings, weights, images, pool, code])[:16]}"
        study = open_study(storage, name, config.seed)

        def objective(trial: Any) -> float:
            train = replace(config.train, learning_rate=trial.suggest_float("learning_rate", *LEARNING_RATE, log=True))
            start = trial.suggest_float("temperature_start", *TEMPERATURE)
            distill = replace(
                config.distill,
                distill_weight=trial.suggest_float("distill_weight", *WEIGHT),
                temperature_start=start,
                temperature_end=min(start, config.distill.temperature_end),
            )
            tried = replace(config, train=train, distill=distill)
            return run_strategy(trainer, plans, strategy, tried)[-1].artifact.val_accuracy.value

        finished = optuna.trial.TrialState.COMPLETE
        with storage_errors(storage):
            while (done := len(study.get_trials(deepcopy=False, states=(finished,)))) < trials:
                progress.note(f"search: trial {done + 1} of {trials}")
                study.optimize(objective, n_trials=1)
            best = study.best_trial.params
    path = out / BEST_FILE
    write_atomic(
        path,
        f"[train]\nlearning_rate = {best['learning_rate']:.6g}\n\n"
        f"[distill]\ndistill_weight = {best['distill_weight']:.4g}\ntemperature_start = {best['temperature_start']:.4g}\n",
    )
    return TuneResult(
        name=name,
        trials=done,
        val_accuracy=study.best_value,
        learning_rate=best["learning_rate"],
        distill_weight=best["distill_weight"],
        temperature_start=best["temperature_start"],
        best_file=str(path),
    )
