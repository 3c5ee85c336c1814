"""Compare a chain with its controls on the same splits, labelled subsets and seeds, with as many gradient steps each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import stats

from weckd_edge.artifacts import SCHEMA_VERSION, DatasetIndex
from weckd_edge.config import BuildConfig
from weckd_edge.core.errors import ConfigError, StoreError
from weckd_edge.core.fingerprint import code_of, key_of
from weckd_edge.core.progress import Progress
from weckd_edge.core.serialization import from_data, to_json
from weckd_edge.core.store import Workspace, digest_of, write_atomic
from weckd_edge.train.data.index import cached_index, data_root
from weckd_edge.train.distill.chain import make_trainer, plan_chain, run_strategy
from weckd_edge.train.distill.distributed import count_processes, shared_stage
from weckd_edge.train.distill.strategies import Strategy, find_strategy, labels_used
from weckd_edge.train.distill.training_cost import total_cost
from weckd_edge.train.tuning.settings import weights_digests, without_paths
from weckd_edge.train.tuning.work_queue import open_study, run_pieces, storage_errors

CODE = "weckd_edge.train.tuning.study"

REFERENCE = "single-share"
"""Name of the control that uses one labelled subset."""

SAME_LABELS = "single-union"
"""Name of the control that uses as many labels as a chain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRun:
    """Result of one strategy with one seed.

    Attributes:
        strategy: Name of the strategy.
        seed: Seed of split, labelled subsets, weights and batches.
        accuracy: Accuracy of the last link on the test groups, 0..1.
        correct: Number of test images that it predicts rightly.
        test_images: Number of test images.
        test_groups: Number of groups among them.
        links_accuracy: Accuracy of every link, in order, 0..1.
        labels_used: Number of distinct training images whose label any link saw.
        images_used: Number of distinct training images that the last link saw.
        steps: Number of gradient steps of all links.
        seconds: Wall time of training all links, also those that another strategy had trained alike before.
        cpu_seconds: Processor time of that training, seconds.
        joules: Energy of that training; None where the machine does not report it.
        schema_version: Schema version of this record.
    """

    strategy: str
    seed: int
    accuracy: float
    correct: int
    test_images: int
    test_groups: int
    links_accuracy: tuple[float, ...]
    labels_used: int
    images_used: int
    steps: int
    seconds: float
    cpu_seconds: float
    joules: float | None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanInterval:
    """Mean over seeds with its 95 % interval (Student's t); the interval is None with one seed, which has no spread."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StrategyDifference:
    """Mean difference in accuracy of strategy ``a`` over ``b``, seed by seed, with its 95 % interval."""

    a: str
    b: str
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """Results of a study.

    Attributes:
        dataset: Name of the data set's folder.
        synthetic: Whether the data set is drawn.
        labelled_fraction: Part of the training images in one labelled subset, 0..1.
        seeds: Number of seeds.
        trials: Result of each strategy and seed, in the order they were asked for.
    """

    dataset: str
    synthetic: bool
    labelled_fraction: float
    seeds: int
    trials: tuple[StudyRun, ...]

    def accuracies(self, strategy: str) -> list[float]:
        """Return the accuracies of a strategy, by seed."""
        return [t.accuracy for t in self.trials if t.strategy == strategy]

    def strategies(self) -> tuple[str, ...]:
        """Return the names of the strategies, in the order they were asked for."""
        return tuple(dict.fromkeys(t.strategy for t in self.trials))

    def mean(self, strategy: str) -> MeanInterval:
        """Return a strategy's mean accuracy with its interval, within 0..1."""
        found = mean_interval(self.accuracies(strategy))
        if found.low is None or found.high is None:
            return found
        return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))

    def difference(self, a: str, b: str) -> StrategyDifference:
        """Return the difference in accuracy of one strategy over another, paired by seed."""
        difference = mean_interval([x - y for x, y in zip(self.accuracies(a), self.accuracies(b), strict=True)])
        return StrategyDifference(a=a, b=b, mean=difference.mean, low=difference.low, high=difference.high)

    def differences(self) -> tuple[StrategyDifference, ...]:
        """Return the difference of every strategy over every one named before it."""
        names = self.strategies()
        return tuple(self.difference(a, b) for i, a in enumerate(names) for b in names[:i])


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """Return a mean and its 95 % interval by Student's t."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return MeanInterval(mean=mean, low=None, high=None)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return MeanInterval(mean=mean, low=mean - half, high=mean + half)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyGrid:
    """Grid of a study: every strategy with every seed.

    Attributes:
        strategies: Names of strategies, at least one, each at most once.
        seeds: Number of splits; the seeds count up from ``config.seed``.
    """

    strategies: Sequence[str]
    seeds: int

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
    """Run every strategy with every seed; results that an earlier run or another machine has finished are reused.

    Args:
        data: Folder or CSV.
        config: Settings of the chain and its training.
        grid: Strategies and number of seeds.
        out: Folder for the finished links and ``trials.jsonl``; the same command goes on from what is there.
        progress: Receiver of the progress.
        skip_bad: Whether files that cannot be used are left out.
        storage: Optuna's storage, through which machines that are given the same command share the seeds. A machine takes a
            seed with all its strategies, as these share links.

    Raises:
        ConfigError: The storage cannot be opened, a strategy does not exist, or is named twice.
        WeckdError: The data or the links cannot be used.
    """
    strategies = grid.find_strategies()
    folder = _StudyFolder(workspace=Workspace(out), data=data, root=data_root(data), skip_bad=skip_bad, progress=progress)
    seeds = range(config.seed, config.seed + grid.seeds)

    def one_seed(seed: int) -> list[StudyRun]:
        return folder.run_seed(replace(config, seed=seed), strategies)

    with folder.workspace.locked():
        if storage is None:
            trials: list[StudyRun] = []
            for seed in seeds:
                trials += one_seed(seed)
                _write(out, trials)
        else:
            name = _study_name(config, strategies, folder.index(config))
            found = _share_seeds(storage, name, seeds, one_seed, progress)
            trials = [trial for seed in seeds for trial in found[seed]]
            _write(out, trials)
        index = folder.index(config)
    return Study(
        dataset=index.name,
        synthetic=index.synthetic,
        labelled_fraction=config.data.labelled_fraction,
        seeds=grid.seeds,
        trials=tuple(trials),
    )


def _study_name(config: BuildConfig, strategies: Sequence[Strategy], index: DatasetIndex) -> str:
    """Return a name that the same data, chain, settings and strategies have on every machine."""
    images = sorted((r.pixels_sha256, r.label) for r in index.images)
    unlabelled = [r.pixels_sha256 for r in index.unlabelled]
    settings = [without_paths(replace(config, seed=0)), strategies, weights_digests(config), images, unlabelled]
    return f"weckd-edge-study-{digest_of([*settings, code_of(CODE)])[:16]}"


def _share_seeds(
    storage: str, name: str, seeds: Sequence[int], one_seed: Callable[[int], list[StudyRun]], progress: Progress
) -> dict[int, list[StudyRun]]:
    """Share the seeds with the machines that name the same storage and study."""
    if count_processes() > 1:
        raise ConfigError(
            "--storage: machines share whole seeds; start one process on each, without torchrun", code="E_CONFIG_DISTRIBUTED"
        )

    def work(seed: int) -> tuple[str, float]:
        trials = one_seed(seed)
        return json.dumps([json.loads(to_json(trial)) for trial in trials]), max(trial.accuracy for trial in trials)

    with storage_errors(storage):
        found = run_pieces(open_study(storage, name, 0, heartbeat=True), seeds, work, progress)
    return {
        seed: [from_data(StudyRun, line, where=storage, error=StoreError) for line in json.loads(text)]
        for seed, text in found.items()
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
    """

    workspace: Workspace
    data: Path
    root: Path
    skip_bad: bool
    progress: Progress

    def index(self, config: BuildConfig) -> DatasetIndex:
        """Return the data's index for the seed of ``config``."""
        return cached_index(self.workspace, self.data, config, skip_bad=self.skip_bad, progress=self.progress).artifact

    def run_seed(self, config: BuildConfig, strategies: Sequence[Strategy]) -> list[StudyRun]:
        """Run every strategy with the seed of ``config``."""
        index = self.index(config)
        trials = []
        for strategy in strategies:
            self.progress.note(f"seed {config.seed}, {strategy.name}")
            trials.append(self.run(index, config, strategy))
        return trials

    def run(self, index: DatasetIndex, config: BuildConfig, strategy: Strategy) -> StudyRun:
        """Run one strategy with one seed, or return the result of an earlier run."""

        def train(_: Path) -> StudyRun:
            plans = plan_chain(index, config)
            trainer = make_trainer(self.workspace, self.root, index, plans, self.progress, config.data.unlabelled)
            links = run_strategy(trainer, plans, strategy, config)
            last = links[-1].artifact
            cost = total_cost(link.folder for link in links)
            return StudyRun(
                strategy=strategy.name,
                seed=config.seed,
                accuracy=last.test_accuracy.value,
                correct=last.test_accuracy.correct,
                test_images=last.test_accuracy.images,
                test_groups=last.test_accuracy.groups,
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
            "train": config.train,
            "distill": config.distill,
            "data": index.identity(),
            "unlabelled": [r.pixels_sha256 for r in index.unlabelled],
            "seed": config.seed,
        }
        key = key_of(inputs, CODE)
        return shared_stage(config.train, self.workspace, f"trial-{strategy.name}", StudyRun, key, train).artifact


def _write(out: Path, trials: Sequence[StudyRun]) -> None:
    lines = [json.dumps(json.loads(to_json(trial)), sort_keys=True) for trial in trials]
    write_atomic(out / "trials.jsonl", "\n".join(lines) + "\n")


def chain_verdicts(study: Study, chain: str) -> tuple[str, ...]:
    """Say whether a chain helped, against one labelled subset and, where that was run, against as many labels."""
    references = [REFERENCE, *([SAME_LABELS] if SAME_LABELS in study.strategies() else [])]
    return tuple(chain_verdict(study, chain, reference) for reference in references)


def chain_verdict(study: Study, chain: str, reference: str = REFERENCE) -> str:
    """Say in words whether a chain helped, against the same network alone."""
    if not {chain, reference} <= set(study.strategies()):
        return f"Whether {chain} helped is not known: {reference} was not run."
    gain = study.difference(chain, reference)
    text = f"the accuracy of {chain} differs from {reference}'s by {100 * gain.mean:+.1f} points"
    if gain.low is None or gain.high is None:
        return f"{text}, with one seed: no interval, so this may be chance."
    text += f" (95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}, {study.seeds} seeds)"
    if gain.low > 0:
        return f"The chain helped: {text}."
    if gain.high < 0:
        return f"The chain hurt: {text}."
    return f"Not shown that the chain helped: {text}."
