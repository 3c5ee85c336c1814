"""Number the folds of a data set: parts of whole groups, each of which is the test split once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Fold:
    """Fold of a data set that is the test split.

    Attributes:
        number: Number of the fold, 1 to ``count``.
        count: Number of folds, at least 2.
    """

    number: int
    count: int


def folds_of(count: int | None) -> tuple[Fold | None, ...]:
    """Return every fold of ``count``; None alone, for the split that a seed draws, where ``count`` is None."""
    if count is None:
        return (None,)
    return tuple(Fold(number=number, count=count) for number in range(1, count + 1))
