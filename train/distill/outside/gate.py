"""Judge teachers from outside before any link learns from them: against the student alone, on the same validation images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Estimate, OutsideTeaching, SoftLabels, TeacherRecord
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.metrics.intervals import rate_by_group
from weckd_edge.metrics.paired import compare_rates

Gate = Literal["interval", "mean", "off"]


def judge(
    teachers: Sequence[TeacherRecord],
    soft_labels: SoftLabels,
    validation: tuple[Probabilities, Probabilities | None],
    truth: tuple[NDArray[np.int64], Sequence[str]],
    gate: Gate,
    strategies: tuple[str, str],
) -> OutsideTeaching:
    """Return whether links learn from the teachers, with the figures and a sentence that says why.

    Args:
        teachers: Records of the teachers.
        soft_labels: Soft labels of the teachers.
        validation: Probabilities of the validation images ``[V, classes]``, of the teachers together and of the student
            alone, which is None where the gate is off.
        truth: Class and group of each validation image.
        gate: What the teachers must show.
        strategies: Names of the strategy with the teachers and of that without them.
    """
    labels, groups = truth
    right = [None if one is None else one.argmax(axis=1) == labels for one in validation]
    taught, alone = right
    if taught is None:
        raise ValueError("the teachers predict no validation image")
    difference = None if alone is None else compare_rates(alone, taught, groups, seed=0)
    accuracy = rate_by_group(taught, groups)
    alone_accuracy = None if alone is None else rate_by_group(alone, groups)
    shown = {
        "interval": difference is not None and difference.low > 0,
        "mean": alone_accuracy is not None and accuracy.value > alone_accuracy.value,
        "off": True,
    }
    used = shown[gate]
    return OutsideTeaching(
        teachers=tuple(teachers),
        folds=soft_labels.folds,
        views=soft_labels.views,
        labels_used=soft_labels.labels_used,
        out_of_fold_accuracy=soft_labels.out_of_fold,
        accuracy=accuracy,
        alone_accuracy=alone_accuracy,
        difference=difference,
        used=used,
        reason=_reason(
            accuracy.value, None if alone_accuracy is None else alone_accuracy.value, difference, used, strategies
        ),
    )


def _reason(
    accuracy: float, alone: float | None, difference: Estimate | None, used: bool, strategies: tuple[str, str]
) -> str:
    taught = f"The teachers from outside are right on {accuracy:.1%} of the validation images"
    if alone is None:
        return (
            f"{taught}; they were not compared with the student alone (teacher_gate = 'off'), and teach as {strategies[0]}."
        )
    gap = "too few images or groups for an interval"
    if difference is not None:
        gap = points_of(difference)
    compared = f"{taught}, the last link's network alone on {alone:.1%}: {gap}"
    if used:
        return f"{compared}; they teach as {strategies[0]}."
    return f"{compared}; that does not show them to be better, so the steps are spent without them, as {strategies[1]}."


def points_of(difference: Estimate) -> str:
    """Return a difference of two rates in points, with its interval."""
    return f"{100 * difference.value:+.1f} points ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
