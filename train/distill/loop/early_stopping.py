"""Stop a training early: it ends when its validation score no longer gets better, with its best weights.

The score comes from validation images alone. After each epoch the weights that the link would be given then are scored:
with ``ema`` the averaged ones. The best weights and their epoch are part of the checkpoint, so that a training that was
stopped and goes on ends where it would have ended.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import Tensor

from weckd_edge.artifacts import InputSpec
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.train.distill.evaluate import predict_records
from weckd_edge.train.networks.models import Student

SMALLEST_PROBABILITY = 1e-12
"""Least probability in the cross-entropy, so that one confident error does not make it infinite."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationScore:
    """Score of a link's predictions of the validation images.

    Attributes:
        accuracy: Part of the images that it predicts rightly, 0..1.
        cross_entropy: Mean negative log likelihood of the labels, nat.
    """

    accuracy: float
    cross_entropy: float

    def is_better_than(self, other: ValidationScore) -> bool:
        """Tell whether the accuracy is higher, or is the same with a lower cross-entropy."""
        return (self.accuracy, -self.cross_entropy) > (other.accuracy, -other.cross_entropy)

    def values(self) -> dict[str, float]:
        """Return the figures by the names of their curves."""
        return {"validation accuracy": self.accuracy, "validation cross-entropy": self.cross_entropy}


def score_validation(student: Student, spec: InputSpec, images: SplitFrames) -> ValidationScore:
    """Return the score of a student on the validation images, which it predicts on the device that it lies on."""
    probabilities = predict_records(student, spec, images)
    labels = np.array([record.label for record in images.records])
    of_labels = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return ValidationScore(
        accuracy=float((probabilities.argmax(axis=1) == labels).mean()),
        cross_entropy=float(-np.log(np.maximum(of_labels, SMALLEST_PROBABILITY)).mean()),
    )


class EarlyStopping:
    """Keeps the weights of the best epoch, and tells when a training is over.

    Args:
        patience: Number of epochs in a row without a better score after which the training ends; at least 1.
        score: Returns the validation score of a student.

    Attributes:
        best_epoch: Epoch of the best score, from 1; 0 before the first.
        epochs: Number of epochs trained so far.
    """

    def __init__(self, patience: int, score: Callable[[Student], ValidationScore]) -> None:
        self.patience = patience
        self.score = score
        self.best_epoch = 0
        self.epochs = 0
        self._best: ValidationScore | None = None
        self._weights: dict[str, Tensor] = {}

    @property
    def is_over(self) -> bool:
        """Whether the last ``patience`` epochs gave no better score."""
        return self.epochs - self.best_epoch >= self.patience

    def take(self, score: ValidationScore, student: Student) -> None:
        """Take note of the score of one more epoch, and keep the student's weights where it is the best so far.

        Args:
            score: Score of ``student``; where several processes train together, the first one's.
            student: Network with the weights that were scored.
        """
        self.epochs += 1
        if self._best is None or score.is_better_than(self._best):
            self._best, self.best_epoch = score, self.epochs
            self._weights = {name: value.detach().clone() for name, value in student.state_dict().items()}

    def restore(self, student: Student) -> None:
        """Give a student the weights of the best epoch."""
        if self._weights:
            student.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint: plain numbers, and the best weights."""
        best = None if self._best is None else asdict(self._best)
        return {"epochs": self.epochs, "best_epoch": self.best_epoch, "best": best, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        best = state["best"]
        self._best = None if best is None else ValidationScore(**best)
        self.epochs, self.best_epoch, self._weights = state["epochs"], state["best_epoch"], state["weights"]
