"""Folds of images: parts of whole groups, each of which is held out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.errors import DataError
from weckd_edge.train.data.allocate import Bin, allocate


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """Fold of a data set that is the test split.

    Attributes:
        number: Number of the fold, 1 to ``count``.
        count: Number of folds, at least 2.
    """

    number: int
    count: int

    def seed(self, of: int) -> int:
        """Return a seed for what is drawn within this fold: another for each fold of each seed ``of`` that dealt them."""
        return of * self.count + self.number - 1


def folds_of(count: int | None) -> tuple[Fold | None, ...]:
    """Return every fold of ``count``; None alone, for the split that a seed draws, where ``count`` is None."""
    if count is None:
        return (None,)
    return tuple(Fold(number=number, count=count) for number in range(1, count + 1))


def deal_folds(groups: Sequence[str], labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Deal labelled images into folds, whole groups each, with about the same part of every class.

    Args:
        groups: Group of each image ``[N]``.
        labels: Class of each image ``[N]``.
        count: Number of folds at most; a class of fewer groups makes them as few.
        seed: Seed of the deal.

    Returns:
        Number of the fold of each image ``[N]``, from 0.

    Raises:
        DataError: A class has one group alone, so that a fold without it would hold no image of the class.
    """
    names, row = np.unique(np.asarray(groups), return_inverse=True)
    classes, column = np.unique(labels, return_inverse=True)
    counts = np.zeros((len(names), len(classes)), np.int64)
    np.add.at(counts, (row, column), 1)
    fewest = int((counts > 0).sum(axis=0).min())
    if fewest < 2:
        raise _too_few_groups()
    folds = min(count, fewest)
    place = [Bin(part=1 / folds, needs_all=needs_all) for needs_all in (True, False)]
    chosen = next(
        found for one in place if (found := allocate([str(name) for name in names], counts, [one] * folds, seed)) is not None
    )
    fold_of: NDArray[np.int64] = np.asarray(chosen, np.int64)[row]
    for label in classes:
        if len(np.unique(fold_of[labels == label])) < 2:
            raise _too_few_groups()
    return fold_of


def _too_few_groups() -> DataError:
    return DataError(
        "a class has labelled images of 1 group alone, or of groups that cannot be told apart from those of other classes; "
        "expected 2 or more, as what predicts an image must not have seen its group; add groups, or raise "
        "data.labelled_fraction",
        code="E_DATA_SMALL_CLASS",
    )
