"""Compare a chain with its controls on the same splits, labelled subsets and seeds, with as many gradient steps each."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import DatasetIndex
from weckd_edge.config import BuildConfig
from weckd_edge.core.errors import ConfigError, StoreError
from weckd_edge.core.fingerprint import code_of, key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.serialization import from_data, to_json
from weckd_edge.core.store import Workspace, digest_of, write_atomic
from weckd_edge.train.data.folds import Fold, folds_of
from weckd_edge.train.data.index import cached_index, data_root
from weckd_edge.train.distill.chain import judge_outside, make_trainer, plan_chain, run_strategy
from weckd_edge.train.distill.distributed import count_processes, is_first, shared_stage
from weckd_edge.train.distill.outside.teacher import OutsideTeacher
from weckd_edge.train.distill.outside.teaching import identities_of
from weckd_edge.train.distill.strategies import Strategy, find_strategy, labels_used
from weckd_edge.train.distill.training_cost import total_cost
from weckd_edge.train.run_logging.base import PartOfRun, RunLogger
from weckd_edge.train.run_logging.open_run import open_run
from weckd_edge.train.tuning.settings import weights_digests, without_paths
from weckd_edge.train.tuning.study_results import Study, StudyRun
from weckd_edge.train.tuning.work_queue import open_study, run_pieces, storage_errors

CODE = "weckd_edge.train.tuning.study"


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyGrid:
    """Grid of a study: every strategy with every seed, and every fold of a seed.

    Attributes:
        strategies: Names of strategies, at least one, each at most once.
        seeds: Number of seeds, which count up from ``config.seed``.
        folds: Number of folds that the images of each seed are dealt into, each of which is the test split once; None draws
            one test split for each seed.
        teachers: Teachers from outside the chain, for strategies that end in ``+teachers``.
    """

    strategies: Sequence[str]
    seeds: int
    folds: int | None = None
    teachers: Sequence[OutsideTeacher] = ()

    def find_strategies(self) -> list[Strategy]:
        """Return the strategies of these names.

        Raises:
            ConfigError: A strategy does not exist, or is named twice, or none is named.
        """
        found = [find_strategy(name) for name in self.strategies]
        if len(set(self.strategies)) != len(found) or not found:
            got = ", ".join(self.strategies) or "none"
            raise ConfigError(f"expected strategies, each once, got {got}", code="E_CONFIG_CHOICE")
        return found

    def splits(self, first_seed: int) -> dict[int, tuple[int, Fold | None]]:
        """Return seed and fold of every split, by a number that no other split has."""
        return {
            seed * (self.folds or 1) + at: (seed, fold)
            for seed in range(first_seed, first_seed + self.seeds)
            for at, fold in enumerate(folds_of(self.folds))
        }


def run_study(
    data: Path,
    config: BuildConfig,
    grid: StudyGrid,
    out: Path,
    progress: Progress,
    *,
    skip_bad: bool = False,
    storage: str | None = None,
) -> Study:
    """Run every strategy on every split; results that an earlier run or another machine has finished are reused.

    Args:
        data: Folder or CSV.
        config: Settings of the chain and its training.
        grid: Strategies, and number of seeds and folds.
        out: Folder for the finished links and ``trials.jsonl``; the same command goes on from what is there.
        progress: Receiver of the progress.
        skip_bad: Whether files that cannot be used are left out.
        storage: Optuna's storage, through which machines that are given the same command share the seeds. A machine takes a
            seed, or one of its folds, with all its strategies, as these share links.

    Raises:
        ConfigError: The storage cannot be opened, a strategy does not exist, or is named twice.
        WeckdError: The data or the links cannot be used.
    """
    strategies = grid.find_strategies()
    root, workspace = data_root(data), Workspace(out)
    splits = grid.splits(config.seed)
    with workspace.locked(), open_run(out.resolve().name, config, out, enabled=is_first()) as logger:
        folder = _StudyFolder(
            workspace=workspace,
            data=data,
            root=root,
            skip_bad=skip_bad,
            progress=progress,
            logger=logger,
            teachers=grid.teachers,
        )

        def one_split(number: int) -> list[StudyRun]:
            seed, fold = splits[number]
            return folder.run_split(replace(config, seed=seed), fold, strategies)

        some_index = functools.partial(folder.index, config, folds_of(grid.folds)[0])
        if storage is None:
            trials: list[StudyRun] = []
            for number in splits:
                trials += one_split(number)
                _write(out, trials)
        else:
            name = _shared_name(config, strategies, some_index(), grid)
            found = _share_splits(storage, name, tuple(splits), one_split, progress)
            trials = [trial for number in splits for trial in found[number]]
            _write(out, trials)
        index = some_index()
        study = Study(
            dataset=index.name,
            synthetic=index.synthetic,
            labelled_fraction=config.data.labelled_fraction,
            seeds=grid.seeds,
            trials=tuple(trials),
            folds=grid.folds,
        )
        logger.table("study", *study.table())
    return study


def _shared_name(config: BuildConfig, strategies: Sequence[Strategy], index: DatasetIndex, grid: StudyGrid) -> str:
    """Return the name of a study in a storage: the same for the same data, chain, settings, strategies, folds, teachers."""
    images = sorted((r.pixels_sha256, r.label) for r in index.images)
    unlabelled = [r.pixels_sha256 for r in index.unlabelled]
    shared = [without_paths(replace(config, seed=0)), strategies, weights_digests(config), images, unlabelled]
    settings = [*shared, grid.folds, identities_of(grid.teachers)]
    return f"weckd-edge-study-{digest_of([*settings, code_of(CODE)])[:16]}"


def _share_splits(
    storage: str, name: str, splits: Sequence[int], one_split: Callable[[int], list[StudyRun]], progress: Progress
) -> dict[int, list[StudyRun]]:
    """Share the splits with the machines that name the same storage and study."""
    if count_processes() > 1:
        raise ConfigError(
            "--storage: machines share whole seeds; start one process on each, without torchrun", code="E_CONFIG_DISTRIBUTED"
        )

    def work(number: int) -> tuple[str, float]:
        trials = one_split(number)
        return json.dumps([json.loads(to_json(trial)) for trial in trials]), max(trial.accuracy for trial in trials)

    with storage_errors(storage):
        found = run_pieces(open_study(storage, name, 0, heartbeat=True), splits, work, progress)
    return {
        number: [from_data(StudyRun, line, where=storage, error=StoreError) for line in json.loads(text)]
        for number, text in found.items()
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class _StudyFolder:
    """Data of a study, and the workspace of the links that it trains.

    Attributes:
        workspace: Workspace of the finished links and trials.
        data: Folder or CSV.
        root: Folder that the data's paths start from.
        skip_bad: Whether files that cannot be used are left out.
        progress: Receiver of the progress.
        logger: Logger of the study's links.
        teachers: Teachers from outside the chain.
    """

    workspace: Workspace
    data: Path
    root: Path
    skip_bad: bool
    progress: Progress
    logger: RunLogger
    teachers: Sequence[OutsideTeacher] = ()

    def index(self, config: BuildConfig, fold: Fold | None) -> DatasetIndex:
        """Return the data's index for the seed of ``config`` and a fold."""
        return cached_index(
            self.workspace, self.data, config, skip_bad=self.skip_bad, progress=self.progress, fold=fold
        ).artifact

    def run_split(self, config: BuildConfig, fold: Fold | None, strategies: Sequence[Strategy]) -> list[StudyRun]:
        """Run every strategy on the split of a seed and fold."""
        index = self.index(config, fold)
        of = f", fold {fold.number} of {fold.count}" if fold else ""
        trials = []
        for strategy in strategies:
            self.progress.note(f"seed {config.seed}{of}, {strategy.name}")
            trials.append(self.run(index, config, fold, strategy))
        return trials

    def run(self, index: DatasetIndex, config: BuildConfig, fold: Fold | None, strategy: Strategy) -> StudyRun:
        """Run one strategy on one split, or return the result of an earlier run."""

        def train(_: Path) -> StudyRun:
            plans = plan_chain(index, config)
            part = PartOfRun(self.logger, f"seed {config.seed}{f' fold {fold.number}' if fold else ''}/{strategy.name}")
            trainer = make_trainer(
                self.workspace, self.root, index, plans, self.progress, config.data.unlabelled, self.teachers
            )
            trainer.logger = part
            worth, outside = judge_outside(trainer, plans, strategy, config, self.teachers)
            links = run_strategy(trainer, plans, worth, config, self.teachers)
            last = links[-1].artifact
            cost = total_cost([*(link.folder for link in links), *(outside.folders if outside else ())])
            return StudyRun(
                strategy=strategy.name,
                seed=config.seed,
                fold=fold.number if fold else None,
                accuracy=last.test_accuracy.value,
                correct=last.test_accuracy.correct,
                test_images=last.test_accuracy.images,
                test_groups=last.test_accuracy.groups,
                train_images=len(index.split("train")),
                links_accuracy=tuple(link.artifact.test_accuracy.value for link in links),
                labels_used=labels_used(strategy, index, len(plans)),
                images_used=last.images_used,
                steps=sum(link.artifact.epochs or 0 for link in links) * config.train.steps_per_epoch,
                seconds=cost.seconds,
                cpu_seconds=cost.cpu_seconds,
                joules=cost.joules,
            )

        inputs = {
            "strategy": strategy,
            "links": list(without_paths(config).link),
            "weights": weights_digests(config),
            "input": config.input,
            "train": config.train.identity(),
            "distill": without_paths(config).distill,
            "data": index.identity(),
            "unlabelled": [r.pixels_sha256 for r in index.unlabelled],
            "seed": config.seed,
            "fold": fold,
            "teachers": identities_of(self.teachers) if strategy.outside else [],
        }
        key = key_of(inputs, CODE)
        return shared_stage(config.train, self.workspace, f"trial-{strategy.name}", StudyRun, key, train).artifact


def _write(out: Path, trials: Sequence[StudyRun]) -> None:
    lines = [json.dumps(json.loads(to_json(trial)), sort_keys=True) for trial in trials]
    write_atomic(out / "trials.jsonl", "\n".join(lines) + "\n")
