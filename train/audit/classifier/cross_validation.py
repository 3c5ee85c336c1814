"""Deal images into folds, one by one or in whole groups, every class as evenly as can be, differently for every seed.

scikit-learn's ``StratifiedGroupKFold`` does the second; it would be the only function used of a library of that size.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def image_folds(labels: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal images into folds one by one.

    Args:
        labels: Class of each image ``[N]``.
        folds: Number of folds.
        seed: Seed of the order.

    Returns:
        Fold of each image ``[N]``.
    """
    return group_folds(labels, np.arange(len(labels)), folds, seed)


def group_folds(labels: NDArray[np.int64], groups: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal images into folds in whole groups.

    Large groups go first, those of about the same size in random order, each to the fold that has least of its classes.

    Args:
        labels: Class of each image ``[N]``.
        groups: Group of each image ``[N]``, numbered from 0 without a gap.
        folds: Number of folds.
        seed: Seed of the order.

    Returns:
        Fold of each image ``[N]``.
    """
    random = np.random.default_rng(seed)
    counts = np.zeros((int(groups.max()) + 1, int(labels.max()) + 1))
    np.add.at(counts, (groups, labels), 1)
    fold_size = counts / np.maximum(counts.sum(0), 1)
    size = np.floor(np.log2(np.maximum(counts.sum(1), 1)))
    order = np.lexsort((random.permutation(len(counts)), -size))
    have = np.zeros((folds, counts.shape[1]))
    total = np.zeros(folds)
    tie = random.permutation(folds)
    chosen = np.zeros(len(counts), np.int64)
    for group in order:
        # The cost is the growth of the sum of squares, less the group's own part, which is the same in every fold.
        cost = have @ fold_size[group] + 1e-6 * total / len(labels)
        fold = int(np.lexsort((tie, np.round(cost, 12)))[0])
        chosen[group] = fold
        have[fold] += fold_size[group]
        total[fold] += counts[group].sum()
    return chosen[groups]
