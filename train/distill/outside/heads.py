"""Fit classifiers on the features of frozen teachers, one without each fold, so that it predicts images it has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from weckd_edge.train.data.folds import deal_folds
from weckd_edge.train.distill.linear_probe import ridge

Floats = NDArray[np.float64]

SCALES = tuple(float(scale) for scale in np.geomspace(1.0, 64.0, 37))
"""Logits for each unit of the regression's output, of which the one is taken that predicts unseen images best."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LabelledImages:
    """Images whose labels a classifier is fitted on.

    Attributes:
        rows: Row of each among all images ``[n]``.
        labels: Class of each ``[n]``.
        groups: Group of each, whole groups are held out together.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: Sequence[str]


def fit_by_folds(
    features: Sequence[Floats], labelled: LabelledImages, classes: int, *, folds: int, seed: int
) -> tuple[Floats, int]:
    """Return probabilities of all images ``[N, classes]`` by ridge regression, and the number of folds.

    One regression is fitted without each fold of the labelled images. A labelled image is predicted by the one that did not
    see its fold, any other image by the mean of all of them.

    Args:
        features: Features ``[N, D]`` of each teacher, for the same images; all count alike, however large their values.
        labelled: The images to fit on.
        classes: Number of classes.
        folds: Number of folds at most.
        seed: Seed of the folds.

    Raises:
        DataError: A class has labelled images of one group alone.
    """
    joined = torch.from_numpy(np.concatenate([_of_unit_length(one, labelled.rows) for one in features], axis=1))
    targets = torch.nn.functional.one_hot(torch.from_numpy(labelled.labels), classes).double()
    fold_of = deal_folds(labelled.groups, labelled.labels, folds, seed)
    count = int(fold_of.max()) + 1
    outputs = np.zeros((count, len(joined), classes))
    for fold in range(count):
        kept = np.flatnonzero(fold_of != fold)
        weight, bias = ridge(joined[labelled.rows[kept]], targets[kept])
        outputs[fold] = (joined @ weight + bias).numpy()
    unseen = outputs.mean(axis=0)
    unseen[labelled.rows] = outputs[fold_of, labelled.rows]
    scale = min(SCALES, key=lambda one: _cross_entropy(one * unseen[labelled.rows], labelled.labels))
    return softmax(scale * unseen), count


def _of_unit_length(features: Floats, rows: NDArray[np.int64]) -> Floats:
    centred = features - features[rows].mean(axis=0)
    length = np.sqrt((centred[rows] ** 2).sum(axis=1).mean())
    scaled: Floats = centred / max(float(length), 1e-12)
    return scaled


def softmax(logits: Floats) -> Floats:
    """Return the softmax of each row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = powers / powers.sum(axis=1, keepdims=True)
    return found


def _cross_entropy(logits: Floats, labels: NDArray[np.int64]) -> float:
    of_label = softmax(logits)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, 1e-12)).mean())
