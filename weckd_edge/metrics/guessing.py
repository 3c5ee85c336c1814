"""Whether a model's predictions have anything to do with the images: a permutation test over groups.

A model that guesses, and one that always predicts the same class, both have an expected balanced accuracy of one over the
number of classes, however unequal the classes are. Accuracy has no such fixed value: on a set of which nine tenths are
normal, "always normal" is right nine times out of ten.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PERMUTATIONS = (1999, 199)
"""Number of shuffles in a test, for up to ``MANY_GROUPS`` groups and for more."""
MANY_GROUPS = 5000
SIGNIFICANT = 0.05
"""Largest p value at which predictions count as better than guessing, one-sided."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuessingTest:
    """Comparison of predictions with guessing and with the best constant prediction.

    Attributes:
        balanced_accuracy: Mean sensitivity over the classes that occur, each group counted once, 0..1.
        chance: Balanced accuracy of guessing, and of any constant prediction: one over the number of classes that occur.
        p_value: Fraction of shuffles of the predictions among the groups that reach as much, 0..1.
        best_possible_p: P value that perfect predictions would have; above ``SIGNIFICANT`` there are too few groups.
        accuracy: Fraction of images predicted correctly, 0..1.
        constant_accuracy: Fraction of images that the best constant prediction gets right, 0..1.
        constant: Label index of that class.
        groups: Number of groups.
    """

    balanced_accuracy: float
    chance: float
    p_value: float
    best_possible_p: float
    accuracy: float
    constant_accuracy: float
    constant: int
    groups: int

    @property
    def is_better(self) -> bool:
        """Whether the predictions are better than guessing."""
        return self.p_value <= SIGNIFICANT

    @property
    def can_tell(self) -> bool:
        """Whether there are enough groups to tell correct predictions from guessing."""
        return self.best_possible_p <= SIGNIFICANT


def compare_with_guessing(
    predicted: NDArray[np.intp], truth: NDArray[np.intp], groups: Sequence[Hashable], classes: int
) -> GuessingTest:
    """Test predictions against guessing.

    If predictions were independent of the images' classes, they could be shuffled among the groups without a loss. Each
    group is one unit, as its images resemble each other. The shuffles are the same in every call.

    Args:
        predicted: Class of each image as predicted ``[N]``, N at least 1.
        truth: Class of each image ``[N]``.
        groups: Group of each image ``[N]``.
        classes: Number of classes.
    """
    _, member = np.unique(np.array([str(group) for group in groups]), return_inverse=True)
    count = int(member.max()) + 1
    predicted_fractions, real = (
        _group_fractions(predicted, member, count, classes),
        _group_fractions(truth, member, count, classes),
    )
    occur = real.sum(axis=0) > 0
    weights = np.divide(real, real.sum(axis=0), out=np.zeros_like(real), where=occur) / int(occur.sum())
    found = float((weights * predicted_fractions).sum())
    tally = np.bincount(truth, minlength=classes)
    return GuessingTest(
        balanced_accuracy=found,
        chance=1 / int(occur.sum()),
        p_value=_p_value(weights, predicted_fractions),
        best_possible_p=_p_value(weights, real),
        accuracy=float((predicted == truth).mean()),
        constant_accuracy=float(tally.max() / len(truth)),
        constant=int(tally.argmax()),
        groups=count,
    )


def _group_fractions(labels: NDArray[np.intp], member: NDArray[np.intp], groups: int, classes: int) -> NDArray[np.float64]:
    """Return the fraction of each group that has each label, ``[groups, classes]``."""
    found = np.zeros((groups, classes))
    np.add.at(found, (member, labels), 1.0)
    fractions: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
    return fractions


def _p_value(weights: NDArray[np.float64], predicted_fractions: NDArray[np.float64]) -> float:
    """Return the one-sided p value of ``(weights * said).sum()`` among shuffles of the rows of ``predicted_fractions``."""
    reached = (weights * predicted_fractions).sum() - 1e-12
    draw = np.random.default_rng(0)
    shuffles = PERMUTATIONS[len(predicted_fractions) > MANY_GROUPS]
    as_much = sum(
        (weights * predicted_fractions[draw.permutation(len(predicted_fractions))]).sum() >= reached for _ in range(shuffles)
    )
    return float((as_much + 1) / (shuffles + 1))
