"""Results of a study: means and differences over its runs, with their intervals, and what a strategy costs."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weckd_edge.metrics.crossed_clusters import CrossedImages, CrossedMean, MeanInterval, TrainingTest
from weckd_edge.train.tuning.study_record import HeldOut, StudyFacts, StudyRun

OUTSIDE_KEYS = "sums up runs that are kept; no run depends on it"

REFERENCE = "single-subset"
"""Name of the control that uses one labelled subset."""

SAME_LABELS = "single-union"
"""Name of the control that uses as many labels as a chain, and as many gradient steps."""

Where = tuple[int, int | None]
"""Seed and fold of a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StrategyDifference:
    """Mean difference in accuracy of strategy ``a`` over ``b``: of both on the same test images, seed by seed."""

    a: str
    b: str
    mean: float
    low: float | None
    high: float | None

    @property
    def interval(self) -> MeanInterval:
        """The difference with its interval, without names."""
        return MeanInterval(mean=self.mean, low=self.low, high=self.high)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Results of a study.

    The accuracy of a seed is that over the test images of all of its folds, and the accuracy of a strategy is the mean over
    seeds. Intervals count the groups of images, and the trainings: one for each seed and fold. Where few groups hold many of
    the images, means and differences ``by_group`` tell more: a group that is recognised or missed as a whole counts once.

    Attributes:
        facts: What the study is about.
        trials: Result of each strategy, seed and fold, in the order they were asked for.
        held_out: Test images of each seed and fold.
        by_group: Whether means and differences count each group once, as the mean of its images; else each image counts.
    """

    facts: StudyFacts
    trials: tuple[StudyRun, ...]
    held_out: tuple[HeldOut, ...]
    by_group: bool = False
    _crossed: dict[frozenset[Where], CrossedImages] = field(default_factory=dict, init=False, repr=False, compare=False)

    @functools.cached_property
    def _by_place(self) -> Mapping[str, Mapping[Where, StudyRun]]:
        found: dict[str, dict[Where, StudyRun]] = {}
        for run in self.trials:
            found.setdefault(run.strategy, {})[run.seed, run.fold] = run
        return found

    @functools.cached_property
    def _tests(self) -> Mapping[Where, HeldOut]:
        return {(test.seed, test.fold): test for test in self.held_out}

    def runs(self, strategy: str) -> list[StudyRun]:
        """Return the runs of a strategy, by seed and fold."""
        found = self._by_place.get(strategy, {})
        return [found[place] for place in sorted(found, key=_order)]

    def accuracies(self, strategy: str) -> dict[int, float]:
        """Return the accuracy of a strategy with each seed, over the test images of all of its folds."""
        runs = self.runs(strategy)
        seeds = dict.fromkeys(run.seed for run in runs)
        counts = {s: [(run.correct, run.test_images) for run in runs if run.seed == s] for s in seeds}
        return {s: sum(right for right, _ in found) / sum(images for _, images in found) for s, found in counts.items()}

    @functools.cached_property
    def each_group_once(self) -> Study:
        """Return the same results, with each group of test images counted once."""
        return replace(self, by_group=True)

    @functools.cached_property
    def has_groups(self) -> bool:
        """Whether any test images share a group."""
        return any(len(set(test.groups)) < len(test.groups) for test in self.held_out)

    @property
    def runs_in_words(self) -> str:
        """Number of runs of each strategy: ``5 seeds``, ``2 seeds of 5 folds``, or ``7 folds of 2 seeds of 5 folds``."""
        seeds = f"{self.facts.seeds} {'seed' if self.facts.seeds == 1 else 'seeds'}"
        if self.facts.folds is None:
            return seeds
        done = len(self.held_out)
        part = f"{done} {'fold' if done == 1 else 'folds'} of " if done < self.facts.seeds * self.facts.folds else ""
        return f"{part}{seeds} of {self.facts.folds} folds"

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the intervals and the runs that a reader must know, a sentence or two each; empty for none."""
        found = []
        groups = {group for test in self.held_out for group in test.groups}
        trainings = len(self.held_out)
        if any(self.mean(name).low is not None for name in self.strategies()):
            found.append(
                f"Intervals count {len(groups)} groups of test images and {trainings} trainings of each strategy. They say "
                "what other groups and other trainings on this data set would bring, not what another data set would."
            )
        else:
            found.append(
                "There is no interval: it takes three trainings of each strategy, by seeds or folds, on test images of five "
                f"groups, and there are {trainings} and {len(groups)}."
            )
        if len({run.steps for run in self.trials}) > 1:
            found.append("Early stopping ended trainings, so the strategies took different numbers of gradient steps.")
        return tuple(found)

    def strategies(self) -> tuple[str, ...]:
        """Return the names of the strategies, in the order they were asked for."""
        return tuple(dict.fromkeys(t.strategy for t in self.trials))

    def mean(self, strategy: str) -> MeanInterval:
        """Return a strategy's mean accuracy over seeds with its interval, within 0..1."""
        places = tuple(self._by_place[strategy])
        return self._mean(places, [self._right(strategy, place) for place in places]).as_rate()

    def difference(self, a: str, b: str) -> StrategyDifference:
        """Return the difference in accuracy of one strategy over another, on the runs that both have.

        Raises:
            ValueError: There is no seed and fold that both were run with.
        """
        places = tuple(place for place in self._by_place[a] if place in self._by_place[b])
        if not places:
            raise ValueError(f"{a} and {b} were not run with the same seed and fold")
        apart = [self._right(a, place) - self._right(b, place) for place in places]
        found = self._mean(places, apart).as_difference()
        return StrategyDifference(a=a, b=b, mean=found.mean, low=found.low, high=found.high)

    def differences(self) -> tuple[StrategyDifference, ...]:
        """Return the difference of every strategy over every one named before it."""
        names = self.strategies()
        return tuple(self.difference(a, b) for i, a in enumerate(names) for b in names[:i])

    def last_over_first(self, strategy: str) -> MeanInterval | None:
        """Return how much more accurate a strategy's last link is than its first; None for a strategy of one link."""
        places = tuple(self._by_place[strategy])
        if len(self._by_place[strategy][places[0]].predicted) < 2:
            return None
        apart = [self._right(strategy, place) - self._right(strategy, place, link=0) for place in places]
        return self._mean(places, apart).as_difference()

    def cost_ratio(
        self, strategy: str, other: str = SAME_LABELS, time: Literal["seconds", "cpu_seconds"] = "seconds"
    ) -> float | None:
        """Return a strategy's training time divided by another's, on the runs that both have; None where there is none.

        All that a strategy needs is counted: its links, and the soft labels of its teachers with the gate before them.

        Args:
            strategy: The strategy.
            other: The one that it is divided by.
            time: Wall time, or that of the processor, which other work on the machine does not lengthen.
        """
        both = self._by_place.get(strategy, {}).keys() & self._by_place.get(other, {}).keys()
        mine, its = (sum(getattr(self._by_place[name][place], time) for place in both) for name in (strategy, other))
        return mine / its if its else None

    def table(self) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the columns and the rows of the study's table of runs: a row for each run."""
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

    def summary_table(self) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Return the columns and the rows of the study's table of strategies: accuracies and differences, 0..1."""
        names = self.strategies()
        others = [name for name in (REFERENCE, SAME_LABELS) if name in names]
        ends = ("low", "high")
        columns = (
            "strategy",
            "accuracy",
            *ends,
            *(word for name in others for word in (f"over {name}", *ends)),
            "cost ratio",
        )
        rows: list[tuple[object, ...]] = []
        for name in names:
            found: list[MeanInterval | StrategyDifference | None] = [self.mean(name)]
            found += [None if name == other else self.difference(name, other) for other in others]
            cells = [value for one in found for value in ((one.mean, one.low, one.high) if one else (None, None, None))]
            rows.append((name, *("" if cell is None else cell for cell in (*cells, self.cost_ratio(name)))))
        return columns, rows

    def _right(self, strategy: str, place: Where, link: int = -1) -> NDArray[np.float64]:
        """Return for each test image of a run whether a link, the last where none is named, predicts it rightly: 1 or 0."""
        predicted = np.asarray(self._by_place[strategy][place].predicted[link])
        found: NDArray[np.float64] = (predicted == np.asarray(self._tests[place].truth)).astype(np.float64)
        return found

    def _mean(self, places: Sequence[Where], scores: Sequence[NDArray[np.float64]]) -> CrossedMean:
        """Return the mean over seeds of the scores of all test images of some runs."""
        order = sorted(range(len(places)), key=lambda at: _order(places[at]))
        ordered = [places[at] for at in order]
        key = frozenset(places)
        if key not in self._crossed:
            tests = [TrainingTest(pool=place[0], training=place, groups=self._tests[place].groups) for place in ordered]
            self._crossed[key] = CrossedImages(tests, by_group=self.by_group)
        return self._crossed[key].mean_of(np.concatenate([scores[at] for at in order]))


def _order(place: Where) -> tuple[int, int]:
    return place[0], place[1] or 0
