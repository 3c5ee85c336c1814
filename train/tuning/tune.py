"""Tune settings of training and distillation on validation groups, with Optuna's own database.

Machines that name the same storage share one search: each takes the next trial until the wanted number is finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.config import BuildConfig
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.core.fingerprint import code_of
from weckd_edge.core.optional_imports import require
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import Workspace, digest_of, write_atomic
from weckd_edge.train.data.index import cached_index, data_root
from weckd_edge.train.distill.chain import judge_outside, make_trainer, plan_chain, train_links
from weckd_edge.train.distill.link_plan import LinkPlan
from weckd_edge.train.distill.loop.distributed import count_processes
from weckd_edge.train.distill.outside.teacher import OutsideTeacher
from weckd_edge.train.distill.outside.teaching import identities_of
from weckd_edge.train.distill.strategies import Strategy, find_strategy, links_of
from weckd_edge.train.tuning.search_space import as_toml, suggest, with_values
from weckd_edge.train.tuning.settings import without_paths
from weckd_edge.train.tuning.shared_storage import open_study

BEST_FILE = "best.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Search:
    """How much is tried, and what machines share.

    Attributes:
        trials: Number of trials in all, those that were stopped early included.
        storage: Optuna's storage, such as ``sqlite:///search.db`` or a server's address. It may hold a
            password, so it is not part of a search's text.
        teachers: Teachers from outside the chain, for a strategy that ends in ``+teachers``.
    """

    trials: int
    storage: str = field(repr=False)
    teachers: Sequence[OutsideTeacher] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TuneResult:
    """Result of a search.

    Attributes:
        name: Name of the search in its storage: the same data, chain, settings and code give the same name.
        strategy: Strategy that was searched with: without the teachers from outside, where they are not worth their steps.
        trials: Number of finished trials, of every machine, those that were stopped early included.
        pruned: Number of trials that were stopped early, as their links were worse than those of most others.
        val_accuracy: Accuracy of the best trial on validation groups, 0..1. The test groups are not used.
        settings: Value of each setting that was searched, of the best trial, by its name.
        best_file: Path of a TOML file with these, to build with.
    """

    name: str
    strategy: str
    trials: int
    pruned: int
    val_accuracy: float
    settings: dict[str, float]
    best_file: str


def tune(
    data: Path,
    config: BuildConfig,
    search: Search,
    out: Path,
    progress: Progress,
    *,
    skip_bad: bool = False,
) -> TuneResult:
    """Search with the strategy of ``config.distill``; a search that was stopped, or that another machine began, goes on.

    Teachers from outside are judged once, with the settings as they are; every trial then learns from them, or none does.

    Args:
        data: Folder or CSV.
        config: Settings that are not searched, whose links are settled.
        search: Number of trials, storage and teachers.
        out: Folder for links trained on this machine and for ``best.toml``.
        progress: Receiver of the progress.
        skip_bad: Whether files that cannot be used are left out.

    Raises:
        ConfigError: The storage cannot be opened, or several processes were started to train together.
        ModelError: Weights or predictions became NaN or infinite in every trial.
        WeckdError: The data, the links or the teachers cannot be used.
        MissingDependency: Optuna is not installed.
    """
    optuna: Any = require("optuna", "search for settings")
    if count_processes() > 1:
        raise ConfigError(
            "tune: machines share trials through --storage; start one process on each, without torchrun",
            code="E_CONFIG_DISTRIBUTED",
        )
    asked = find_strategy(config.distill.strategy)
    workspace = Workspace(out)
    with workspace.locked():
        index = cached_index(workspace, data, config, skip_bad=skip_bad, progress=progress).artifact
        plans = plan_chain(index, config)
        trainer = make_trainer(workspace, data_root(data), index, plans, progress, config.data.unlabelled, search.teachers)
        strategy, outside = judge_outside(trainer, plans, asked, config, search.teachers)
        teaching = None if outside is None else outside.teaching
        name = _study_name(config, index, plans, strategy, search.teachers)
        last = len(links_of(strategy, len(plans))) - 1

        def objective(trial: Any) -> float:
            found = 0.0
            settings = with_values(config, suggest(trial, strategy, config))
            try:
                for step, link in enumerate(train_links(trainer, plans, strategy, settings, teaching)):
                    found = link.artifact.val_accuracy.value
                    trial.report(found, step)
                    if step < last and trial.should_prune():
                        raise optuna.TrialPruned
            except ModelError as err:
                if err.code != "E_MODEL_NOT_FINITE":
                    raise
                progress.note(f"tune: trial {trial.number + 1} is left: {err}")
                raise optuna.TrialPruned from err
            return found

        states = optuna.trial.TrialState
        with open_study(search.storage, name, config.seed) as study:
            while (done := _count(study, states.COMPLETE, states.PRUNED)) < search.trials:
                progress.note(f"tune: trial {done + 1} of {search.trials}")
                study.optimize(objective, n_trials=1)
            if not _count(study, states.COMPLETE):
                raise ModelError(
                    f"tune: none of {done} trials ended with a network: in each, weights or predictions became NaN or "
                    "infinite; start from a lower train.learning_rate",
                    code="E_MODEL_NOT_FINITE",
                )
            best, pruned = study.best_trial, _count(study, states.PRUNED)
    values = {name: float(value) for name, value in best.params.items()}
    best_file = out / BEST_FILE
    write_atomic(best_file, as_toml(values))
    return TuneResult(
        name=name,
        strategy=strategy.name,
        trials=done,
        pruned=pruned,
        val_accuracy=best.value,
        settings=values,
        best_file=str(best_file),
    )


def _study_name(
    config: BuildConfig,
    index: DatasetIndex,
    plans: Sequence[LinkPlan],
    strategy: Strategy,
    teachers: Sequence[OutsideTeacher],
) -> str:
    """Return a name that the same data, chain, settings, teachers and code have on every machine."""
    unlabelled = [r.pixels_sha256 for r in index.unlabelled]
    weights = [plan.start_sha256 for plan in plans]
    settings = [without_paths(config), strategy, weights, index.identity(), unlabelled]
    taught = identities_of(teachers) if strategy.outside else []
    return f"weckd-edge-{digest_of([*settings, taught, code_of('weckd_edge.train.tuning.tune')])[:16]}"


def _count(study: Any, *states: Any) -> int:
    return len(study.get_trials(deepcopy=False, states=states))
