"""Effect of the confidence threshold on the test images: fraction decided, fraction of those wrong."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import OperatingPoint, Prediction, Rate
from weckd_edge.metrics.intervals import rate_by_group
from weckd_edge.report.chapters.explorer import likeliest
from weckd_edge.report.numbers import significant

THRESHOLDS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdRow:
    """One threshold on the largest probability, with its effect.

    Attributes:
        threshold: Smallest probability that gives a decision, 0..1.
        chosen: Whether it is this build's threshold.
        coverage: Fraction of the test images with a decision.
        wrong: Fraction of those decisions that is wrong; None where there is none.
    """

    threshold: float
    chosen: bool
    coverage: Rate
    wrong: Rate | None


def threshold_rows(predictions: Sequence[Prediction], chosen: float, refused: Collection[int] = ()) -> list[ThresholdRow]:
    """Return the effect of some thresholds on the test images, by the network's probabilities alone.

    Args:
        predictions: Predictions of the test images.
        chosen: Threshold of this build, 0..1.
        refused: Label indices of the non-gradeable classes, whose prediction gives no decision.
    """
    best, wrong = confidence_and_errors(predictions, refused)
    groups = np.array([p.group for p in predictions])
    rows = []
    for threshold in sorted({*THRESHOLDS, chosen}):
        sure = best >= threshold
        rows.append(
            ThresholdRow(
                threshold=threshold,
                chosen=threshold == chosen,
                coverage=rate_by_group(sure, groups.tolist()),
                wrong=rate_by_group(wrong[sure], groups[sure].tolist()) if sure.any() else None,
            )
        )
    return rows


def confidence_and_errors(
    predictions: Sequence[Prediction], refused: Collection[int]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the largest probability of each image ``[N]``, 0..1, and whether its class is wrong ``[N]``.

    Where that class is refused, the probability is -1: under every threshold.
    """
    decided = [likeliest(p.compiled) for p in predictions]
    confidence = [-1.0 if k in refused else max(p.compiled) for k, p in zip(decided, predictions, strict=True)]
    wrong = [k != p.label for k, p in zip(decided, predictions, strict=True)]
    return np.array(confidence, np.float64), np.array(wrong, np.bool_)


def point_sentence(point: OperatingPoint) -> str:
    """Return a sentence on this build's threshold and its non-gradeable classes."""
    refused = ", ".join(point.non_gradeable_labels)
    unless = f", unless that class is non-gradeable ({refused})" if refused else ""
    if point.confidence_threshold > 0:
        limit = significant(point.confidence_threshold)
        return f"This build decides for the most probable class where its probability is at least {limit}{unless}."
    return f"This build {'' if refused else 'always '}decides for the most probable class{unless}: its threshold is 0."
