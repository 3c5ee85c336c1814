"""Compare a chain with its controls on the same splits, labelled subsets and seeds, with as many gradient steps each."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import DatasetIndex, Link
from weckd_edge.config import BuildConfig, without_folders
from weckd_edge.config.base import check_setting
from weckd_edge.core.bounds import MAX_SEED
from weckd_edge.core.errors import ConfigError, StoreError
from weckd_edge.core.fingerprint import code_of, key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.serialization import from_json, to_data, to_json
from weckd_edge.core.store import Stage, Workspace, digest_of, write_atomic
from weckd_edge.train.data.folds import Fold, folds_of
from weckd_edge.train.data.index import cached_index, data_root
from weckd_edge.train.distill.chain import judge_outside, make_trainer, plan_chain, run_strategy
from weckd_edge.train.distill.link_plan import LinkPlan
from weckd_edge.train.distill.loop.distributed import count_processes, is_first, lock_patience_s, shared_stage
from weckd_edge.train.distill.outside.teacher import OutsideTeacher
from weckd_edge.train.distill.outside.teaching import identities_of
from weckd_edge.train.distill.strategies import Strategy, find_strategy, labels_used
from weckd_edge.train.distill.trainer import Trainer
from weckd_edge.train.distill.training_cost import total_cost
from weckd_edge.train.run_logging.base import PartOfRun, RunLogger
from weckd_edge.train.run_logging.open_run import open_run
from weckd_edge.train.tuning.settings import weights_digests, without_paths
from weckd_edge.train.tuning.shared_storage import open_study, shown_address
from weckd_edge.train.tuning.study_record import (
    FACTS_FILE,
    HELD_OUT_FILE,
    RUNS_FILE,
    SETTINGS_FILE,
    HeldOut,
    StudyFacts,
    StudyRun,
    held_out_of,
)
from weckd_edge.train.tuning.study_results import Study
from weckd_edge.train.tuning.work_queue import run_pieces

CODE = "weckd_edge.train.tuning.study"


@dataclass(frozen=True, kw_only=True, slots=True)
class StudySplit:
    """Split of the data that every strategy is run on.

    Attributes:
        seed: Seed of the split.
        fold: Fold that is the test split; None where the seed draws a test split.
    """

    seed: int
    fold: Fold | None

    @property
    def number(self) -> int:
        """Number that no other split of the study has: the seed of the trainings on this split."""
        return self.fold.seed(self.seed) if self.fold else self.seed

    def __str__(self) -> str:
        return f"seed {self.seed}{f', fold {self.fold.number} of {self.fold.count}' if self.fold else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitResult:
    """What every strategy predicts on one split."""

    held_out: HeldOut
    runs: tuple[StudyRun, ...]


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

    def splits(self, first_seed: int) -> list[StudySplit]:
        """Return every fold of every seed from the first on.

        Raises:
            ConfigError: The last seed is too large for the number of folds.
        """
        seeds = range(first_seed, first_seed + self.seeds)
        found = [StudySplit(seed=seed, fold=fold) for seed in seeds for fold in folds_of(self.folds)]
        largest = MAX_SEED // max(1, self.folds or 1) - self.seeds
        check_setting(
            max(split.number for split in found) <= MAX_SEED,
            f"seed = {first_seed}: with {self.seeds} seeds of {self.folds or 1} folds expected at most {largest}",
        )
        return found


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
        config: Settings of the chain and its training, whose links are settled.
        grid: Strategies, and number of seeds and folds.
        out: Folder for the finished links, what ``study_record`` names; the same command goes on from what is
            there.
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
    splits = {split.number: split for split in grid.splits(config.seed)}
    with workspace.locked(lock_patience_s()), open_run(out.resolve().name, config, out, enabled=is_first()) as logger:
        folder = _StudyFolder(
            workspace=workspace,
            data=data,
            root=root,
            skip_bad=skip_bad,
            progress=progress,
            logger=logger,
            teachers=grid.teachers,
        )

        index = folder.index(config, next(iter(splits.values())))
        folder = replace(folder, weights=weights_digests(config, len(index.labels)))

        def one_split(number: int) -> SplitResult:
            return folder.run_split(config, splits[number], strategies)

        facts = StudyFacts(
            dataset=index.name,
            synthetic=index.synthetic,
            seeds=grid.seeds,
            folds=grid.folds,
            strategies=tuple(grid.strategies),
            labelled_fraction=config.data.fraction_of_a_subset(len(config.link)),
        )
        write_atomic(out / FACTS_FILE, to_json(facts))
        write_atomic(out / SETTINGS_FILE, to_json(without_folders(config)))
        if storage is None:
            found: dict[int, SplitResult] = {}
            for number in splits:
                found[number] = one_split(number)
                _write(out, found.values())
        else:
            name = _shared_name(config, strategies, index, grid, folder.weights)
            found = _share_splits(storage, name, tuple(splits), one_split, progress, out)
            _write(out, found.values())
        study = Study(
            facts=facts,
            trials=tuple(run for one in found.values() for run in one.runs),
            held_out=tuple(one.held_out for one in found.values()),
        )
        logger.table("study", *study.table())
        logger.table("strategies", *study.summary_table())
    return study


def _shared_name(
    config: BuildConfig,
    strategies: Sequence[Strategy],
    index: DatasetIndex,
    grid: StudyGrid,
    weights: Sequence[str | None],
) -> str:
    """Return the name of a study in a storage: the same for the same data, chain, settings, strategies, folds, teachers.

    The data are the images, their classes, and their groups and published splits, by which folds are dealt.
    """
    images = sorted((r.pixels_sha256, r.label, r.group, r.published_split or "") for r in index.images)
    unlabelled = [r.pixels_sha256 for r in index.unlabelled]
    shared = [without_paths(replace(config, seed=0)), strategies, list(weights), images, unlabelled]
    settings = [*shared, grid.folds, identities_of(grid.teachers)]
    return f"weckd-edge-study-{digest_of([*settings, code_of(CODE)])[:16]}"


def _share_splits(
    storage: str, name: str, splits: Sequence[int], one_split: Callable[[int], SplitResult], progress: Progress, out: Path
) -> dict[int, SplitResult]:
    """Share the splits with the machines that name the same storage and study; write what is known after each one."""
    if count_processes() > 1:
        raise ConfigError(
            "--storage: machines share whole seeds; start one process on each, without torchrun", code="E_CONFIG_DISTRIBUTED"
        )

    def work(number: int) -> tuple[str, float]:
        done = one_split(number)
        return _in_one_line(done), max(run.accuracy for run in done.runs)

    def read(found: dict[int, str]) -> dict[int, SplitResult]:
        return {
            number: from_json(SplitResult, text, where=shown_address(storage), error=StoreError)
            for number, text in found.items()
        }

    def keep(found: dict[int, str]) -> None:
        _write(out, read(found).values())

    with open_study(storage, name, 0, heartbeat=True) as study:
        return read(run_pieces(study, splits, work, progress, keep))


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
        weights: SHA-256 of the weights that each link starts from; None for random ones.
    """

    workspace: Workspace
    data: Path
    root: Path
    skip_bad: bool
    progress: Progress
    logger: RunLogger
    teachers: Sequence[OutsideTeacher] = ()
    weights: Sequence[str | None] = ()

    def index(self, config: BuildConfig, split: StudySplit) -> DatasetIndex:
        """Return the data's index for a seed and fold."""
        seeded = replace(config, seed=split.seed)
        return cached_index(
            self.workspace, self.data, seeded, skip_bad=self.skip_bad, progress=self.progress, fold=split.fold
        ).artifact

    def run_split(self, config: BuildConfig, split: StudySplit, strategies: Sequence[Strategy]) -> SplitResult:
        """Run every strategy on one split."""
        index, own = self.index(config, split), replace(config, seed=split.number)
        plan = functools.cache(functools.partial(plan_chain, index, own))
        runs = []
        for strategy in strategies:
            self.progress.note(f"{split}, {strategy.name}")
            runs.append(self.run(index, plan, own, split, strategy))
        return SplitResult(held_out=held_out_of(index, split.seed, split.fold), runs=tuple(runs))

    def run(
        self,
        index: DatasetIndex,
        plan: Callable[[], tuple[LinkPlan, ...]],
        config: BuildConfig,
        split: StudySplit,
        strategy: Strategy,
    ) -> StudyRun:
        """Run one strategy on one split, whose plans are asked for where it trains, or return an earlier run's result."""
        fold = split.fold

        def train(_: Path) -> StudyRun:
            plans = plan()
            part = PartOfRun(self.logger, f"seed {split.seed}{f' fold {fold.number}' if fold else ''}/{strategy.name}")
            trainer = make_trainer(
                self.workspace, self.root, index, plans, self.progress, config.data.unlabelled, self.teachers
            )
            trainer.logger = part
            worth, outside = judge_outside(trainer, plans, strategy, config, self.teachers)
            links = run_strategy(trainer, plans, worth, config, None if outside is None else outside.teaching)
            last = links[-1].artifact
            cost = total_cost(trainer.used)
            return StudyRun(
                strategy=strategy.name,
                seed=split.seed,
                fold=fold.number if fold else None,
                accuracy=last.test_accuracy.value,
                correct=last.test_accuracy.correct,
                test_images=last.test_accuracy.images,
                test_groups=last.test_accuracy.groups,
                predicted=tuple(_decisions(trainer, link) for link in links),
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
            "weights": list(self.weights),
            "input": config.input,
            "train": config.train.identity(),
            "distill": without_paths(config).distill,
            "data": index.identity(),
            "unlabelled": [r.pixels_sha256 for r in index.unlabelled],
            "seed": config.seed,
            "split": [split.seed, fold],
            "teachers": identities_of(self.teachers) if strategy.outside else [],
        }
        key = key_of(inputs, CODE)
        return shared_stage(config.train, self.workspace, f"trial-{strategy.name}", StudyRun, key, train).artifact


def _decisions(trainer: Trainer, link: Stage[Link]) -> tuple[int, ...]:
    """Return the class that a trained link predicts of each test image."""
    return tuple(trainer.predict(link, "test").argmax(axis=1).tolist())


def _write(out: Path, splits: Collection[SplitResult]) -> None:
    """Write the runs, and the test images of each split, as files of JSON lines."""
    lines = {
        RUNS_FILE: [_in_one_line(run) for one in splits for run in one.runs],
        HELD_OUT_FILE: [_in_one_line(one.held_out) for one in splits],
    }
    for name, found in lines.items():
        write_atomic(out / name, "".join(f"{line}\n" for line in found))


def _in_one_line(record: object) -> str:
    return json.dumps(to_data(record), sort_keys=True, separators=(",", ":"))
