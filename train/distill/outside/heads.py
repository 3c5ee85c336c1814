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

    def deal(self, folds: int, seed: int) -> NDArray[np.int64]:
        """Return the fold of each ``[n]``, from 0; of fewer folds than asked for where a class has fewer groups.

        Raises:
            DataError: A class has labelled images of one group alone.
        """
        return deal_folds(self.groups, self.labels, folds, seed)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FoldPredictions:
    """What predictors say of all images, each of which was made without one fold of the labelled images.

    Attributes:
        by_fold: Probabilities ``[folds, N, classes]``, of the predictor without each fold.
        together: Probabilities ``[N, classes]``: of a labelled image by the predictor that did not see its fold, of any
            other image by the mean of all.
    """

    by_fold: Floats
    together: Floats


def join_folds(outputs: Floats, labelled: LabelledImages, fold_of: NDArray[np.int64]) -> Floats:
    """Return outputs for all images ``[N, D]`` out of those of each fold's predictor ``[folds, N, D]``.

    A labelled image has the output of the predictor that did not see its fold, any other image the mean of all of them.
    """
    joined: Floats = outputs.mean(axis=0)
    joined[labelled.rows] = outputs[fold_of, labelled.rows]
    return joined


def fit_by_folds(
    features: Sequence[Floats], labelled: LabelledImages, fold_of: NDArray[np.int64], classes: int
) -> FoldPredictions:
    """Return probabilities of all images by ridge regression, one without each fold of the labelled images.

    Args:
        features: Features ``[N, D]`` of each teacher, for the same images; all count alike, however large their values.
        labelled: The images to fit on.
        fold_of: Fold of each of these ``[n]``.
        classes: Number of classes.
    """
    joined = torch.from_numpy(np.concatenate([_of_unit_length(one, labelled.rows) for one in features], axis=1))
    targets = torch.nn.functional.one_hot(torch.from_numpy(labelled.labels), classes).double()
    outputs = np.zeros((int(fold_of.max()) + 1, len(joined), classes))
    for fold, output in enumerate(outputs):
        kept = np.flatnonzero(fold_of != fold)
        weight, bias = ridge(joined[labelled.rows[kept]], targets[kept])
        output[:] = (joined @ weight + bias).numpy()
    unseen = join_folds(outputs, labelled, fold_of)
    scale = min(SCALES, key=lambda one: _cross_entropy(one * unseen[labelled.rows], labelled.labels))
    return FoldPredictions(by_fold=softmax(scale * outputs), together=softmax(scale * unseen))


def _of_unit_length(features: Floats, rows: NDArray[np.int64]) -> Floats:
    centred = features - features[rows].mean(axis=0)
    length = np.sqrt((centred[rows] ** 2).sum(axis=1).mean())
    scaled: Floats = centred / max(float(length), 1e-12)
    return scaled


def softmax(logits: Floats) -> Floats:
    """Return the softmax over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: Floats = powers / powers.sum(axis=-1, keepdims=True)
    return found


def _cross_entropy(logits: Floats, labels: NDArray[np.int64]) -> float:
    of_label = softmax(logits)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_label, 1e-12)).mean())
