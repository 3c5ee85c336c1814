"""Weights of the classes in the loss of the labels, so that a rare class counts as much as a common one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def balanced_weights(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the weight of each class ``[classes]``: inverse to its number of labels, with a mean of 1 over the labels.

    It is ``labels / (classes * labels of the class)``, scikit-learn's ``balanced``. A class without a label has weight 0.

    Args:
        labels: The labels that a link may see ``[N]``, each 0 or more.
    """
    counts = np.bincount(labels)
    weights = np.zeros(len(counts), np.float32)
    present = counts > 0
    weights[present] = len(labels) / (present.sum() * counts[present])
    return weights


def step_weights(class_weights: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the weight of each image of one step ``[B]``, with a mean of 1 over its labelled images.

    The mean over a step of weighted losses is then torch's own ``CrossEntropyLoss(weight=class_weights)``, also where the
    step is dealt to several processes or parts.

    Args:
        class_weights: Weight of each class ``[classes]``.
        labels: Labels of the step's images ``[B]``, -1 where there is none; their weight is 0.
    """
    labelled = labels >= 0
    weights = np.where(labelled, class_weights[np.maximum(labels, 0)], 0).astype(np.float32)
    scaled: NDArray[np.float32] = weights / weights[labelled].mean() if labelled.any() else weights
    return scaled
