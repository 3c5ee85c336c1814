"""Results of a study: runs, means and differences with their intervals, and whether the chain helped, in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from weckd_edge.artifacts import SCHEMA_VERSION

REFERENCE = "single-subset"
"""Name of the control that uses one labelled subset."""

SAME_LABELS = "single-union"
"""Name of the control that uses as many labels as a chain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRun:
    """Result of one strategy with one seed.

    Attributes:
        strategy: Name of the strategy.
        seed: Seed of split, labelled subsets, weights and batches.
        fold: Number of the fold that was the test split, from 1; None where the seed drew a test split.
        accuracy: Accuracy of the last link on the test groups, 0..1.
        correct: Number of test images that it predicts rightly.
        test_images: Number of test images.
        test_groups: Number of groups among them.
        train_images: Number of images in the training split, whatever part of it a strategy shows.
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
    """Mean over runs with its 95 % interval (Student's t); the interval is None with one run, which has no spread."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StrategyDifference:
    """Mean difference in accuracy of strategy ``a`` over ``b``, run by run: pairs have the same seed and fold."""

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
        trials: Result of each strategy, seed and fold, in the order they were asked for.
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
        """Number of runs of each strategy in words: ``5 seeds``, or ``2 seeds of 5 folds``."""
        seeds = f"{self.seeds} {'seed' if self.seeds == 1 else 'seeds'}"
        return seeds if self.folds is None else f"{seeds} of {self.folds} folds"

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the intervals and the runs that a reader must know, a sentence or two each; empty for none."""
        found = []
        if self.folds is not None:
            shared = "Folds share training images" if self.folds > 2 else "Each fold trains on the other's test images"
            found.append(
                f"Each fold is the test split once for each seed. {shared}, so runs are not independent: the intervals are "
                "those of the corrected resampled t-test (Nadeau and Bengio 2003), with "
                f"{self.overlap:.2f} test images for each training image."
            )
        if len({run.steps for run in self.trials}) > 1:
            found.append("Early stopping ended trainings, so the strategies took different numbers of gradient steps.")
        return tuple(found)

    @property
    def overlap(self) -> float:
        """Mean over runs of test images for each training image, where folds share training images; 0 without folds."""
        if self.folds is None:
            return 0.0
        return float(np.mean([run.test_images / run.train_images for run in self.trials]))

    def strategies(self) -> tuple[str, ...]:
        """Return the names of the strategies, in the order they were asked for."""
        return tuple(dict.fromkeys(t.strategy for t in self.trials))

    def mean(self, strategy: str) -> MeanInterval:
        """Return a strategy's mean accuracy with its interval, within 0..1."""
        found = mean_interval(self.accuracies(strategy), self.overlap)
        if found.low is None or found.high is None:
            return found
        return replace(found, low=max(0.0, found.low), high=min(1.0, found.high))

    def difference(self, a: str, b: str) -> StrategyDifference:
        """Return the difference in accuracy of one strategy over another, paired by seed and fold."""
        difference = mean_interval(
            [x - y for x, y in zip(self.accuracies(a), self.accuracies(b), strict=True)], self.overlap
        )
        return StrategyDifference(a=a, b=b, mean=difference.mean, low=difference.low, high=difference.high)

    def table(self) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the columns and the rows of the study's table: a row for each run."""
        columns = ("strategy", "seed", "fold", "accuracy", "test images", "labels used", "gradient steps", "seconds")
        rows: list[tuple[object, ...]] = [
            (
                run.strategy,
                run.seed,
                "" if run.fold is None else run.fold,
                run.accuracy,
                run.test_images,
                run.labels_used,
                run.steps,
                round(run.seconds, 1),
            )
            for run in self.trials
        ]
        return columns, rows

    def differences(self) -> tuple[StrategyDifference, ...]:
        """Return the difference of every strategy over every one named before it."""
        names = self.strategies()
        return tuple(self.difference(a, b) for i, a in enumerate(names) for b in names[:i])


def mean_interval(values: Sequence[float], overlap: float = 0.0) -> MeanInterval:
    """Return a mean and its 95 % interval by Student's t, corrected for training images that the runs share.

    Runs that train on the same images vary less than runs on new ones would, so that ``variance / runs`` is too small. The
    corrected resampled t-test (Nadeau and Bengio 2003, "Inference for the Generalization Error", Machine Learning 52,
    239-281) takes ``variance * (1 / runs + test images / training images)`` in its place.

    Args:
        values: Value of each run.
        overlap: Test images for each training image; 0 takes the runs as independent.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return MeanInterval(mean=mean, low=None, high=None)
    deviation = float(np.std(values, ddof=1)) * math.sqrt(1 / len(values) + overlap)
    half = float(stats.t.ppf(0.975, len(values) - 1)) * deviation
    return MeanInterval(mean=mean, low=mean - half, high=mean + half)


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
    text += f" (95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}, {study.runs_in_words})"
    if gain.low > 0:
        return f"The chain helped: {text}."
    if gain.high < 0:
        return f"The chain hurt: {text}."
    return f"Not shown that the chain helped: {text}."
