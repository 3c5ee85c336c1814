"""Measure how much random folds flatter: the same features and classifier, images dealt one by one or in groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Estimate, FoldComparison
from weckd_edge.train.audit.classifier.cross_validation import group_folds, image_folds
from weckd_edge.train.audit.classifier.linear_classifier import Ridge
from weckd_edge.train.audit.classifier.scores import corrected_half_width, mean_by_group

FOLDS = 5
REPEATS = 5


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FoldResults:
    """Comparison of random folds with group folds, and the scores that other audits use.

    Attributes:
        comparison: Accuracies and their difference.
        scores: Scores out of folds of whole groups, the mean over the repeats ``[N, C]``.
    """

    comparison: FoldComparison
    scores: NDArray[np.float64]


def compare_folds(
    ridge: Ridge, labels: NDArray[np.int64], groups: NDArray[np.int64], folds: int, seed: int, repeats: int = REPEATS
) -> FoldResults:
    """Classify every image out of folds, both ways, several times.

    Args:
        ridge: Classifier on the features of all images.
        labels: Class of each image ``[N]``.
        groups: Number of each image's group ``[N]``, from 0 without a gap.
        folds: Number of folds, at least 2.
        seed: Seed of the dealing.
        repeats: Number of times that the folds are dealt.
    """
    total = np.zeros((len(labels), ridge.classes))
    right = np.zeros((2, len(labels)))
    differences = []
    for repeat in range(repeats):
        by_image = image_folds(labels, folds, seed * 1000 + repeat)
        by_group = group_folds(labels, groups, folds, seed * 1000 + repeat)
        rates = []
        for way, assigned in enumerate((by_image, by_group)):
            scores = ridge.out_of_fold(assigned)
            correct = scores.argmax(1) == labels
            right[way] += correct / repeats
            rates.append(np.array([correct[assigned == fold].mean() for fold in range(folds)]))
        total += scores / repeats  # by groups, the second way
        differences.append(rates[0] - rates[1])
    optimism = mean_by_group(right[0] - right[1], groups)
    half = corrected_half_width(np.concatenate(differences), folds)
    return FoldResults(
        comparison=FoldComparison(
            folds=folds,
            repeats=repeats,
            images=len(labels),
            by_image=mean_by_group(right[0], groups),
            by_group=mean_by_group(right[1], groups),
            optimism=Estimate(
                value=optimism.value,
                low=min(optimism.low, optimism.value - half),
                high=max(optimism.high, optimism.value + half),
            ),
        ),
        scores=total,
    )
