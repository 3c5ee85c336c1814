"""Metrics for many weightings of the groups at once, for a bootstrap over groups.

A weighting says how often each group was drawn. Decisions are counted once a group, and the counts multiplied by the
weights; areas under ROC curves come from weighted ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions of one implementation on N images.

    Attributes:
        truth: True label indices ``[N]``.
        probabilities: Predicted probabilities ``[N, classes]``.
        member: Group number of each image ``[N]``, from 0.
    """

    truth: NDArray[np.intp]
    probabilities: Floats
    member: NDArray[np.intp]

    @property
    def decided(self) -> NDArray[np.intp]:
        """Most probable class of each image ``[N]``."""
        likeliest: NDArray[np.intp] = self.probabilities.argmax(axis=1)
        return likeliest

    def decided_by(self, confidence_threshold: float, refused: Sequence[int]) -> Bools:
        """Return which images get a decision ``[N]``.

        Args:
            confidence_threshold: Smallest largest-class probability that gives a decision, 0..1.
            refused: Label indices of the non-gradeable classes, whose prediction gives none.
        """
        sure: Bools = self.probabilities.max(axis=1) >= confidence_threshold
        given: Bools = sure & ~np.isin(self.decided, refused)
        return given

    def of(self, mask: Bools) -> Predictions:
        """Return the predictions of the images in a mask ``[N]``, at least one; their groups are numbered anew."""
        member = group_numbers([str(number) for number in self.member[mask]])
        return Predictions(self.truth[mask], self.probabilities[mask], member)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.probabilities.shape[1])

    @property
    def groups(self) -> int:
        """Number of groups."""
        return int(self.member.max()) + 1


@dataclass(frozen=True, slots=True)
class BootstrapDraws:
    """Metrics for each weighting, ``[B]`` or ``[B, classes]``; NaN where a weighting leaves nothing to divide by."""

    accuracy: Floats
    balanced_accuracy: Floats
    macro_f1: Floats
    macro_auc: Floats
    sensitivity: Floats
    f1: Floats
    auc: Floats


def group_numbers(groups: Sequence[str]) -> NDArray[np.intp]:
    """Return the number of each image's group ``[N]``, from 0 in the order of the names."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.intp)


def draw_weights(groups: int, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Return weightings ``[1 + resamples, groups]``: each group once, then bootstrap draws with replacement."""
    drawn = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), resamples)
    return np.vstack([np.ones(groups), drawn])


def draw_metrics(predictions: Predictions, weights: Floats) -> BootstrapDraws:
    """Return every metric that needs a bootstrap, for each weighting.

    Args:
        predictions: Predictions of N images.
        weights: Number of times that each group counts ``[B, groups]``.
    """
    classes = predictions.classes
    cells = np.zeros((predictions.groups, classes, classes))
    np.add.at(cells, (predictions.member, predictions.truth, predictions.decided), 1.0)
    matrix = (weights @ cells.reshape(len(cells), -1)).reshape(-1, classes, classes)
    seen, predicted = matrix.sum(axis=2), matrix.sum(axis=1)
    hit = np.einsum("bcc->bc", matrix)
    present = cells.sum(axis=(0, 2)) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        sensitivity = hit / seen
        f1 = 2 * hit / (seen + predicted)
        accuracy = hit.sum(axis=1) / seen.sum(axis=1)
    auc = np.full_like(seen, np.nan)
    for label in np.flatnonzero(present) if present.sum() > 1 else ():
        auc[:, label] = weighted_auc(
            predictions.probabilities[:, label], predictions.truth == label, predictions.member, weights
        )
    return BootstrapDraws(
        accuracy=accuracy,
        balanced_accuracy=sensitivity[:, present].mean(axis=1),
        macro_f1=f1[:, present].mean(axis=1),
        macro_auc=auc[:, present].mean(axis=1),
        sensitivity=sensitivity,
        f1=f1,
        auc=auc,
    )


def weighted_auc(score: Floats, positive: Bools, member: NDArray[np.intp], weights: Floats) -> Floats:
    """Return the area under the ROC curve ``[B]``: the weighted fraction of ordered pairs; ties count half.

    Args:
        score: Score of each image ``[N]``.
        positive: Mask of the images of the class ``[N]``.
        member: Group number of each image ``[N]``.
        weights: Number of times that each group counts ``[B, groups]``.
    """
    order = np.argsort(score, kind="stable")
    ranked, positive, member = score[order], positive[order], member[order]
    new = np.r_[True, ranked[1:] != ranked[:-1]]
    start = np.flatnonzero(new)
    drawn = weights[:, member]
    up = np.add.reduceat(drawn * positive, start, axis=1)
    down = np.add.reduceat(drawn * ~positive, start, axis=1)
    below = np.cumsum(down, axis=1) - down / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        area: Floats = (up * below).sum(axis=1) / (up.sum(axis=1) * down.sum(axis=1))
    return area
