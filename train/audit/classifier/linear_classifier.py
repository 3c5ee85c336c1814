"""Ridge regression on class indicators, for many folds of one matrix: the products of all images are computed once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weckd_edge.train.distill.linear_probe import RIDGE

Array = NDArray[np.float64]


class Ridge:
    """Ridge classifier for many trainings on parts of the same images; it scores as ``linear_probe.ridge`` does.

    Where there are fewer images than features it is solved for images, else for features, with the same scores.

    Args:
        features: Features of each image ``[N, D]``.
        labels: Class of each image ``[N]``.
        classes: Number of classes.
    """

    def __init__(self, features: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> None:
        shifted = features.astype(np.float64)
        shifted -= shifted.mean(0)
        self._features = shifted
        self.classes = classes
        self._targets: Array = np.eye(classes)[labels]
        self._few = len(shifted) <= shifted.shape[1]
        self._gram: Array = shifted @ shifted.T if self._few else shifted.T @ shifted
        self._cross: Array = shifted.T @ self._targets

    def scores(self, train: NDArray[np.intp], test: NDArray[np.intp]) -> Array:
        """Train on some images and score others.

        Args:
            train: Positions of the images to train on.
            test: Positions of the images to score; none of ``train``.

        Returns:
            Scores ``[T, C]``, about 1 for the class and 0 for the others.
        """
        return self._by_image(train, test) if self._few else self._by_feature(train, test)

    def out_of_fold(self, folds: NDArray[np.int64]) -> Array:
        """Return scores ``[N, C]`` of every image, by the classifier that was trained on the other folds."""
        found = np.zeros_like(self._targets)
        for fold in np.unique(folds):
            held_out = folds == fold
            test, train = np.flatnonzero(held_out), np.flatnonzero(~held_out)
            found[test] = self.scores(train, test)
        return found

    def _by_image(self, train: NDArray[np.intp], test: NDArray[np.intp]) -> Array:
        inner = self._gram[np.ix_(train, train)]
        means = inner.mean(0)
        middle = means.mean()
        centred = inner - means[:, None] - means[None, :] + middle
        length = max(float(np.trace(centred)) / len(train), 1e-12)
        targets = self._targets[train]
        mean = targets.mean(0)
        weights = np.linalg.solve(centred / length + RIDGE * np.eye(len(train)), targets - mean)
        across = self._gram[np.ix_(test, train)]
        across = across - across.mean(1, keepdims=True) - means[None, :] + middle
        result: Array = across / length @ weights + mean
        return result

    def _by_feature(self, train: NDArray[np.intp], test: NDArray[np.intp]) -> Array:
        # The products of all images, less those of the images that are not trained on.
        others = np.setdiff1d(np.arange(len(self._features)), train)
        left = self._features[others]
        count = len(train)
        middle = -left.sum(0) / count  # the features of all images sum to nothing
        mean = self._targets[train].mean(0)
        gram = self._gram - left.T @ left - count * np.outer(middle, middle)
        cross = self._cross - left.T @ self._targets[others] - count * np.outer(middle, mean)
        length = max(float(np.trace(gram)) / count, 1e-12)
        weights = np.linalg.solve(gram / length + RIDGE * np.eye(len(gram)), cross / length)
        result: Array = (self._features[test] - middle) @ weights + mean
        return result
