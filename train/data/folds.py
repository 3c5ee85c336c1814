"""Folds: a data set is dealt into parts by whole groups, and each part is the test split once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """Which fold of how many is the test split.

    Attributes:
        number: The fold, 1 to ``count``.
        count: Number of folds, at least 2.
    """

    number: int
    count: int


def folds_of(count: int | None) -> tuple[Fold | None, ...]:
    """Return every fold of ``count``; of None, the one split that a seed draws."""
    if count is None:
        return (None,)
    return tuple(Fold(number=number, count=count) for number in range(1, count + 1))
