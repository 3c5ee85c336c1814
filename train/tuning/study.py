"""A chain against its controls: the same splits, shares and seeds, as many gradient steps each, differences in pairs."""

from __future__ import annotations

import functools
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
from weckd_edge.core.store import Workspace, digest_of, sha256_file, write_atomic
from weckd_edge.train.data.folds import Fold, folds_of
from weckd_edge.train.data.index import cached_index, data_root
from weckd_edge.train.distill.chain import make_trainer, plan_chain, run_strategy
from weckd_edge.train.distill.distributed import count_processes, shared_stage
from weckd_edge.train.distill.strategies import Strategy, find_strategy, labels_used
from weckd_edge.train.distill.training_cost import total_cost
from weckd_edge.train.tuning.work_queue import open_study, run_pieces, storage_errors

CODE = "weckd_edge.train.tuning.study"

REFERENCE = "single-share"
SAME_LABELS = "single-union"
"""The control that has cost a clinic as many labels as a chain has."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRun:
    """The last link of one strategy with one seed.

    Attributes:
        strategy: Its name.
        seed: Of split, shares, weights and batches.
        fold: The fold that was the test split, from 1; None where the seed drew a test split.
        accuracy: On the held-out groups.
        correct: Test images answered rightly.
        test_images: Test images.
        test_groups: Groups among them.
        train_images: Images in the training split, whatever part of it a strategy shows.
        links_accuracy: Of every link, in order.
        labels_used: Distinct training images whose label any link saw.
        images_used: Distinct training images that the last link saw.
        steps: Gradient steps of all links.
        seconds: Wall time of training all links, also those that another strategy had trained alike before.
        cpu_seconds: Processor time of the same.
        joules: Energy of the same; None where the machine does not tell.
        schema_version: Of this record.
    """

    strategy: str
    seed: int
    fold: int | None = None
    accuracy: float
    correct: int
    test_images: int
    test_groups: int
    train_images: int
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
    """A mean over runs with its 95 % interval (Student's t); None where one run says nothing of the spread."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StrategyDifference:
    """How much better ``a`` predicts than ``b``, in accuracy, run by run: pairs have the same seed and fold."""

    a: str
    b: str
    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """What a study found.

    Attributes:
        dataset: The data set's folder name.
        synthetic: Whether it is drawn.
        labelled_fraction: Part of the training images in one labelled share.
        seeds: How many.
        trials: One a strategy, seed and fold, in the order they were asked for.
        folds: Number of folds of each seed; None where each seed drew one test split.
    """

    dataset: str
    synthetic: bool
    labelled_fraction: float
    seeds: int
    trials: tuple[StudyRun, ...]
    folds: int | None = None

    def runs(self, strategy: str) -> list[StudyRun]:
        """Return the runs of a strategy, by seed and fold."""
        return sorted((t for t in self.trials if t.strategy == strategy), key=lambda run: (run.seed, run.fold or 0))

    def accuracies(self, strategy: str) -> list[float]:
        """Return the accuracies of a strategy, by seed and fold."""
        return [run.accuracy for run in self.runs(strategy)]

    @property
    def runs_in_words(self) -> str:
        """How many runs there are of each strategy: ``5 seeds``, or ``2 seeds of 5 folds``."""
        seeds = f"{self.seeds} {'seed' if self.seeds == 1 else 'seeds'}"
        return seeds if self.folds is None else f"{seeds} of {self.folds} folds"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the intervals and of the runs, a sentence or two each; empty where nothing is."""
        found = []
        if self.folds is not None:
            found.append(
                "Each fold is the test split once for each seed. Folds share most of their training images, so runs are not "
                "independent: the intervals are those of the corrected resampled t-test (Nadeau and Bengio 2003), with "
                f"{self.overlap:.2f} test images for each training image."
            )
        if len({run.steps for run in self.trials}) > 1:
            found.append("Early stopping ended trainings, so the strategies took different numbers of gradient steps.")
        return tuple(found)

    @property
    def overlap(self) -> float:
        """Test images for each training image, the mean over runs, where folds share training images; 0 without folds."""
        if self.folds is None:
            return 0.0
        return float(np.mean([run.test_images / run.train_images for run in self.trials]))

    def strategies(self) -> tuple[str, ...]:
        """Return the names, as asked for."""
        return tuple(dict.fromkeys(t.strategy for t in self.trials))

    def mean(self, strategy: str) -> MeanInterval:
        """Return a strategy's mean accuracy with its interval, within 0..1."""
        found = mean_interval(self.accuracies(strategy), self.overlap)
        if found.low is None or found.high is None:
            return found
        return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))

    def difference(self, a: str, b: str) -> StrategyDifference:
        """Return how much better one strategy predicts than another, paired by seed and fold."""
        difference = mean_interval(
            [x - y for x, y in zip(self.accuracies(a), self.accuracies(b), strict=True)], self.overlap
        )
        return StrategyDifference(a=a, b=b, mean=difference.mean, low=difference.low, high=difference.high)

    def differences(self) -> tuple[StrategyDifference, ...]:
        """Return every strategy against every one named before it."""
        names = self.strategies()
        return tuple(self.difference(a, b) for i, a in enumerate(names) for b in names[:i])


def mean_interval(values: Sequence[float], overlap: float = 0.0) -> MeanInterval:
    """Return a mean and its 95 % interval by Student's t, corrected for training images that the runs share.

    Runs that train on the same images vary less than runs on new ones would, so that ``variance / runs`` is too small. The
    corrected resampled t-test (Nadeau and Bengio 2003, "Inference for the Generalization Error", Machine Learning 52,
    239-281) takes ``variance * (1 / runs + test images / training images)`` in its place.

    Args:
        values: One for each run.
        overlap: Test images for each training image; 0 takes the runs as independent.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return MeanInterval(mean=mean, low=None, high=None)
    deviation = float(np.std(values, ddof=1)) * math.sqrt(1 / len(values) + overlap)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * deviation
    return MeanInterval(mean=mean, low=mean - half, high=mean + half)


def run_study(
    data: Path,
    config: BuildConfig,
    names: Sequence[str],
    seeds: int,
    out: Path,
    progress: Progress,
    *,
    skip_bad: bool = False,
    storage: str | None = None,
    folds: int | None = None,
) -> Study:
    """Run every strategy with every seed, or find what an earlier run, or another machine, has finished.

    Args:
        data: Folder or CSV.
        config: The chain and its training; the seeds count up from ``config.seed``.
        names: Strategies; each at most once.
        seeds: How many splits.
        out: Folder for the finished links and ``trials.jsonl``; the same command goes on from what is there.
        progress: Where the work is shown.
        skip_bad: Leave out files that cannot be used.
        storage: Optuna's storage, through which machines that are given the same command share the seeds. A machine takes a
            seed, or one of its folds, with all its strategies, as these share links.
        folds: Deal the images of each seed into so many folds, each of which is the test split once; None draws one test
            split for each seed.

    Raises:
        ConfigError: The storage cannot be opened, a strategy does not exist, or is named twice.
        WeckdError: The data or the links cannot be used.
    """
    strategies = [find_strategy(name) for name in names]
    if len(set(names)) != len(names) or not names:
        raise ConfigError(f"expected strategies, each once, got {', '.join(names) or 'none'}", code="E_CONFIG_CHOICE")
    root = data_root(data)
    workspace = Workspace(out)
    splits = {
        seed * (folds or 1) + at: (seed, fold)
        for seed in range(config.seed, config.seed + seeds)
        for at, fold in enumerate(folds_of(folds))
    }

    def one_split(number: int) -> list[StudyRun]:
        seed, fold = splits[number]
        own = replace(config, seed=seed)
        index = index_of(own, fold)
        trials = []
        for strategy in strategies:
            progress.note(f"seed {seed}{f', fold {fold.number} of {fold.count}' if fold else ''}, {strategy.name}")
            trials.append(_study_run(workspace, root, index, own, strategy, fold, progress))
        return trials

    def index_of(own: BuildConfig, fold: Fold | None) -> DatasetIndex:
        return cached_index(workspace, data, own, skip_bad=skip_bad, progress=progress, fold=fold).artifact

    some_index = functools.partial(index_of, config, folds_of(folds)[0])
    with workspace.locked():
        if storage is None:
            trials: list[StudyRun] = []
            for number in splits:
                trials += one_split(number)
                _write(out, trials)
        else:
            name = _shared_name(config, strategies, some_index(), folds)
            found = _share_splits(storage, name, tuple(splits), one_split, progress)
            trials = [trial for number in splits for trial in found[number]]
            _write(out, trials)
        index = some_index()
    return Study(
        dataset=index.name,
        synthetic=index.synthetic,
        labelled_fraction=config.data.labelled_fraction,
        seeds=seeds,
        trials=tuple(trials),
        folds=folds,
    )


def _shared_name(config: BuildConfig, strategies: Sequence[Strategy], index: DatasetIndex, folds: int | None) -> str:
    """Return the name of a study in a storage: the same for the same data, chain, settings, strategies and folds."""
    links = tuple(replace(link, weights=None, weights_licence=None) for link in config.link)
    settings = replace(config, seed=0, link=links, data=replace(config.data, unlabelled=None))
    weights = [sha256_file(Path(link.weights)) if link.weights else None for link in config.link]
    images = sorted((r.pixels_sha256, r.label) for r in index.images)
    pool = [r.pixels_sha256 for r in index.unlabelled]
    given = [settings, strategies, weights, images, pool, folds, code_of(CODE)]
    return f"weckd-edge-study-{digest_of(given)[:16]}"


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


def _study_run(
    workspace: Workspace,
    root: Path,
    index: DatasetIndex,
    config: BuildConfig,
    strategy: Strategy,
    fold: Fold | None,
    progress: Progress,
) -> StudyRun:
    """Run one strategy on one split, or return what an earlier run has found."""

    def run(folder: Path) -> StudyRun:
        plans = plan_chain(index, config)
        trainer = make_trainer(workspace, root, index, plans, progress, config.data.unlabelled)
        links = run_strategy(trainer, plans, strategy, config)
        last = links[-1].artifact
        cost = total_cost(link.folder for link in links)
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
        "links": [replace(link, weights=None, weights_licence=None) for link in config.link],
        "weights": [sha256_file(Path(link.weights)) if link.weights else None for link in config.link],
        "input": config.input,
        "train": config.train,
        "distill": config.distill,
        "data": index.identity(),
        "unlabelled": [r.pixels_sha256 for r in index.unlabelled],
        "seed": config.seed,
        "fold": fold,
    }
    return shared_stage(config.train, workspace, f"trial-{strategy.name}", StudyRun, key_of(inputs, CODE), run).artifact


def _write(out: Path, trials: Sequence[StudyRun]) -> None:
    lines = [json.dumps(json.loads(to_json(trial)), sort_keys=True) for trial in trials]
    write_atomic(out / "trials.jsonl", "\n".join(lines) + "\n")


def chain_verdicts(study: Study, chain: str) -> tuple[str, ...]:
    """Say whether a chain helped, against one share of labels and, where that was run, against as many as the chain saw."""
    references = [REFERENCE, *([SAME_LABELS] if SAME_LABELS in study.strategies() else [])]
    return tuple(chain_verdict(study, chain, reference) for reference in references)


def chain_verdict(study: Study, chain: str, reference: str = REFERENCE) -> str:
    """Say in words whether a chain helped, against the same network alone."""
    if not {chain, reference} <= set(study.strategies()):
        return f"Whether {chain} helped is not known: {reference} was not run."
    gain = study.difference(chain, reference)
    text = f"{chain} answers {100 * gain.mean:+.1f} points against {reference}"
    if gain.low is None or gain.high is None:
        return f"{text}, with one seed: no interval, so this may be chance."
    text += f" (95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}, {study.runs_in_words})"
    if gain.low > 0:
        return f"The chain helped: {text}."
    if gain.high < 0:
        return f"The chain hurt: {text}."
    return f"Not shown that the chain helped: {text}."
