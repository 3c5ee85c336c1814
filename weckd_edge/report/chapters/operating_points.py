"""Effect of the confidence threshold on the test images: fraction decided, fraction of those wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from weckd_edge.artifacts import Prediction, Rate
from weckd_edge.metrics.intervals import rate_by_group
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


def threshold_rows(predictions: Sequence[Prediction], chosen: float) -> list[ThresholdRow]:
    """Return the effect of some thresholds on the test images, by the network's probabilities alone."""
    best = np.array([max(p.compiled) for p in predictions])
    wrong = np.array([p.compiled.index(max(p.compiled)) != p.label for p in predictions])
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


def point_sentence(confidence_threshold: float) -> str:
    """Return a sentence on this build's threshold."""
    if confidence_threshold > 0:
        return f"This build makes a decision where the largest probability is at least {significant(confidence_threshold)}."
    return "This build always decides for the most probable class: its threshold is 0."
