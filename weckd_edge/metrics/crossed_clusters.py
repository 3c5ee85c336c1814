"""95 % intervals of means over the test images of several trainings, where neither images nor trainings are independent.

Images of a group resemble each other, whichever training is tested on them; all images that one training is tested on depend
on how that training went. A bootstrap would draw whole groups and, independently, whole trainings (Owen 2007, "The
pigeonhole bootstrap", Annals of Applied Statistics 1:386). A mean needs no draws: the variance between groups and that
between trainings are worked out, and what both count, the variance of a group in one training, is taken off once (Cameron,
Gelbach and Miller 2011, "Robust inference with multiway clustering", Journal of Business & Economic Statistics 29:238). Few
groups or trainings raise it as in ``weckd_edge.metrics.intervals``, with as many degrees of freedom as both variances have
together (Satterthwaite 1946, Biometrics Bulletin 2:110). ``tests/unit/weckd_edge/metrics/test_crossed_clusters.py`` measures
how often these intervals hold the truth.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.metrics.counts import Bools, Floats
from weckd_edge.metrics.group_bootstrap import half_an_image, has_enough_images
from weckd_edge.metrics.intervals import Z_95, equal_groups, hidden_spread, t_factor, wilson

MIN_TRAININGS = 3
"""Smallest number of trainings that tell how much trainings differ."""

_NO_SPREAD = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class MeanInterval:
    """A mean and its 95 % interval, whose ends are None where trainings, groups or images are too few."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainingTest:
    """Test images of one training.

    Attributes:
        pool: Images of one pool count as one set: the mean over pools of their means is reported. A seed, as a rule.
        training: Training that was tested. Trainings that share a cause, such as their labels, have one name.
        groups: Group of each image ``[N]``; the same names in all tests of a data set.
    """

    pool: Hashable
    training: Hashable
    groups: Sequence[Hashable]


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossedMean:
    """A mean over test images, and what is known of its variance.

    Attributes:
        mean: The mean.
        variance: Variance of the mean; None where trainings, groups or images are too few to tell.
        freedom: Degrees of freedom of the variance.
        unseen: Variance that is added to a difference because a flip that was not seen may still happen.
        equal: Number of groups of equal size that would tell as much.
    """

    mean: float
    variance: float | None
    freedom: float
    unseen: float
    equal: float

    def as_difference(self) -> MeanInterval:
        """Return the mean with its interval, as a difference of two rates."""
        if self.variance is None:
            return MeanInterval(mean=self.mean, low=None, high=None)
        half = Z_95 * math.sqrt(self.variance * t_factor(self.freedom) + self.unseen)
        return MeanInterval(mean=self.mean, low=max(-1.0, self.mean - half), high=min(1.0, self.mean + half))

    def as_rate(self) -> MeanInterval:
        """Return the mean with Wilson's interval, as a rate: for as many independent images as leave as much doubt."""
        if self.variance is None:
            return MeanInterval(mean=self.mean, low=None, high=None)
        doubt = self.mean * (1 - self.mean)
        trials = max(self.equal, 1.0)
        if self.variance > _NO_SPREAD and doubt > 0:
            trials = doubt / (self.variance * t_factor(self.freedom))
        low, high = wilson(self.mean * trials, trials)
        return MeanInterval(mean=self.mean, low=low, high=high)


class CrossedImages:
    """Test images of several trainings on one data set, each image once for each training that was tested on it.

    Args:
        tests: Test images of each training, at least one test, each of at least one image.
        by_group: Whether each group of a pool counts once, as the mean of its images; else each image does.
    """

    def __init__(self, tests: Sequence[TrainingTest], *, by_group: bool = False) -> None:
        counts = [len(test.groups) for test in tests]
        self.pool = np.repeat(_numbers([test.pool for test in tests]), counts)
        self.training = np.repeat(_numbers([test.training for test in tests]), counts)
        self.group = _numbers([group for test in tests for group in test.groups])
        self.cell = np.unique(self.training * (self.group.max() + 1) + self.group, return_inverse=True)[1]
        group_of_pool = np.unique(self.pool * (self.group.max() + 1) + self.group, return_inverse=True)[1]
        share: Floats = 1 / np.bincount(group_of_pool)[group_of_pool] if by_group else np.ones(len(self.pool))
        of_pool = np.bincount(self.pool, share)
        self.weight: Floats = share / (of_pool[self.pool] * len(of_pool))
        self.groups = np.bincount(self.group, self.weight)
        self.trainings = np.bincount(self.training, self.weight)
        self.count = float(of_pool.sum()) / len(of_pool)

    def mean_of(self, scores: Floats | Bools) -> CrossedMean:
        """Return the mean of the images' scores over pools.

        Args:
            scores: Score of each image of each test, in their order ``[M]``: whether it is predicted rightly, or how much
                more often by one strategy than by another.
        """
        pools = self.weight * scores
        of_pool = np.bincount(self.pool, pools) * (self.pool.max() + 1)
        mean = float(pools.sum())
        apart, within = self.weight * (scores - mean), self.weight * (scores - of_pool[self.pool])
        by_group = _squares(self.group, within) * hidden_spread(self.groups)
        by_training = _squares(self.training, apart) * hidden_spread(self.trainings)
        equal, equal_trainings = equal_groups(self.groups), equal_groups(self.trainings)
        enough = len(self.trainings) >= MIN_TRAININGS and has_enough_images(len(self.groups), round(self.count))
        both = by_group + by_training
        return CrossedMean(
            mean=mean,
            variance=max(by_group, by_training, both - _squares(self.cell, apart)) if enough else None,
            freedom=_freedom([(by_group, equal - 1), (by_training, equal_trainings - 1)]),
            unseen=half_an_image(round(self.count)),
            equal=equal,
        )


def mean_over_data_sets(found: Sequence[CrossedMean]) -> CrossedMean:
    """Return the mean of the means of independent data sets, each counted alike."""
    count = len(found)
    variances = [one.variance for one in found if one.variance is not None]
    parts = [(one.variance or 0.0, one.freedom) for one in found]
    return CrossedMean(
        mean=float(np.mean([one.mean for one in found])),
        variance=sum(variances) / count**2 if len(variances) == count else None,
        freedom=_freedom(parts),
        unseen=sum(one.unseen for one in found) / count**2,
        equal=sum(one.equal for one in found),
    )


def _numbers(names: Sequence[Hashable]) -> NDArray[np.intp]:
    """Return the number of each name ``[N]``, from 0 in the order in which they first come."""
    known = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([known[name] for name in names], np.intp)


def _squares(member: NDArray[np.intp], parts: Floats) -> float:
    """Return the sum of squares of what each cluster adds to a mean."""
    return float((np.bincount(member, parts) ** 2).sum())


def _freedom(parts: Sequence[tuple[float, float]]) -> float:
    """Return the degrees of freedom of a sum of variances, from each variance with its own."""
    together = sum(variance for variance, _ in parts)
    if together < _NO_SPREAD:
        return max(1.0, min(freedom for _, freedom in parts))
    return together**2 / sum(variance**2 / max(freedom, 1.0) for variance, freedom in parts)
