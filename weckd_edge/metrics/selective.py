"""Answering only where it is safe to: a threshold with a promise, and what answering less is worth.

The threshold is found by Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052): hypotheses "at this threshold more
than ``risk`` of the answered groups are wrong", tested in a fixed sequence from the strictest threshold down, each at the
full level, until one cannot be rejected. With many groups there are two such sequences, at half the level each: one from
the strictest threshold at which anything can be proved, where a single wrong group ends it, and one from where half of the
groups are answered.

What is counted are groups: a group of which at least one image is answered has as its loss the part of its answered images
that are wrong, 0..1. Groups are independent, images of a group are not. Where every group has one image the p value is the
binomial's; else Hoeffding and Bentkus's for bounded losses (Bates et al. 2021, arXiv 2101.02703).

Thresholds at which so few groups are answered that not even a perfect answer could be proved are passed over; that the
promise still holds takes that answers above a threshold are not more often wrong than those just below it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import ThresholdRecord
from weckd_edge.core.optional_imports import require

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

GRID = tuple(round(1 - 0.005 * step, 3) for step in range(1, 200))
"""Thresholds on the largest probability, strictest first; fixed, whatever the images."""


TWO_STARTS = 10
"""From so many times the least number of groups on there are two sequences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tested:
    """What the test of one threshold showed: how many groups are answered at it, their mean loss, the p value."""

    value: float
    groups: int
    risk: float
    p_value: float


def find_threshold(
    confidence: Floats, wrong: Bools, groups: Sequence[str], *, risk: float, certainty: float, all_groups: int | None = None
) -> ThresholdRecord:
    """Find the lowest threshold under which ``risk`` holds with probability ``certainty``.

    Args:
        confidence: Largest calibrated probability of each validation image that may be answered at all.
        wrong: Whether it is wrong.
        groups: The group of each.
        risk: Largest mean loss of answered groups, 0..1.
        certainty: Chance that the threshold keeps it, 0..1.
        all_groups: How many groups there are, answered or not; None: those that are named.

    Raises:
        MissingDependency: scipy is not installed.
    """
    level = 1 - certainty
    total = len(set(groups)) if all_groups is None else all_groups
    _, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    single = bool((sizes == 1).all())
    minimum = _min_groups(level, risk)
    starts = [minimum]
    if total >= TWO_STARTS * minimum:
        level /= 2
        starts = [_min_groups(level, risk), total // 2]
    paths = [_descend(confidence, wrong, member, single, risk, level, start) for start in starts]
    held = [path[0] for path in paths if path[0] is not None]
    failed = [path[1] for path in paths if path[1] is not None]
    lowest = min(held, key=lambda tested: tested.value) if held else None
    nearest = lowest or (min(failed, key=lambda tested: tested.p_value) if failed else None)
    return ThresholdRecord(
        max_group_error=risk,
        confidence=certainty,
        confidence_threshold=lowest.value if lowest is not None else None,
        val_groups=total,
        decided_groups=nearest.groups if nearest is not None else 0,
        val_group_error=nearest.risk if nearest is not None else 0.0,
        p_value=nearest.p_value if nearest is not None else 1.0,
        more_groups=_more_groups(nearest, total, minimum, single, risk, level) if lowest is None else None,
    )


def _min_groups(level: float, risk: float) -> int:
    """Return how many groups it takes to prove the risk where not one is wrong."""
    return math.ceil(math.log(level) / math.log(1 - risk) - 1e-9)


def _descend(
    confidence: Floats, wrong: Bools, member: NDArray[np.int64], single: bool, risk: float, level: float, start: int
) -> tuple[_Tested | None, _Tested | None]:
    """Test from where ``start`` groups are answered on; return the last threshold that holds, the first that does not."""
    found: _Tested | None = None
    groups = int(member.max()) + 1 if len(member) else 0
    for at in (*GRID, 0.0):
        losses = group_losses(confidence >= at, wrong, member, groups)
        if len(losses) < start:
            continue
        mean = float(losses.mean())
        p_value = binomial_p(losses, risk) if single else hoeffding_bentkus(mean, len(losses), risk)
        here = _Tested(value=at, groups=len(losses), risk=mean, p_value=p_value)
        if p_value > level:
            return found, here
        found = here
    return found, None


def _more_groups(nearest: _Tested | None, total: int, minimum: int, single: bool, risk: float, level: float) -> int | None:
    """Return how many more groups it would take to prove the risk where the threshold came nearest; None: no number."""
    if nearest is None:
        return max(1, minimum - total)
    if nearest.risk >= risk:
        return None
    times = 1.0
    while times < 1e4:
        times *= 1.1
        count = math.ceil(nearest.groups * times)
        wrong = math.ceil(nearest.risk * count)
        p_value = _binomial(wrong, count, risk) if single else hoeffding_bentkus(nearest.risk, count, risk)
        if p_value <= level:
            break
    return math.ceil(total * (times - 1))


def group_losses(decided: Bools, wrong: Bools, member: NDArray[np.int64], groups: int) -> Floats:
    """Return the part of wrong images among the answered ones of each group that has any.

    Args:
        decided: Of each image ``[N]``.
        wrong: Of each image ``[N]``.
        member: The group of each image, whole numbers under ``groups``.
        groups: How many there are.
    """
    count = np.bincount(member[decided], minlength=groups)
    errors = np.bincount(member[decided & wrong], minlength=groups)
    losses: Floats = errors[count > 0] / count[count > 0]
    return losses


def binomial_p(losses: Floats, risk: float) -> float:
    """Return the chance of at most as many losses of 1 if each has the chance ``risk``; losses are 0 or 1."""
    return _binomial(int(losses.sum()), len(losses), risk)


def _binomial(wrong: int, count: int, risk: float) -> float:
    return float(require("scipy.stats", "find a threshold").binom.cdf(wrong, count, risk))


def hoeffding_bentkus(mean: float, count: int, risk: float) -> float:
    """Return a p value of "the mean is over ``risk``" for independent losses in 0..1 (Bates et al. 2021, theorem 4.1).

    Args:
        mean: Of the losses seen.
        count: How many were seen.
        risk: 0..1.
    """
    low = min(mean, risk)
    hoeffding = math.exp(-count * _divergence(low, risk))
    bentkus = math.e * _binomial(math.ceil(count * mean - 1e-9), count, risk)
    return min(1.0, hoeffding, bentkus)


def _divergence(a: float, b: float) -> float:
    first = 0.0 if a == 0 else a * math.log(a / b)
    second = 0.0 if a == 1 else (1 - a) * math.log((1 - a) / (1 - b))
    return first + second


def risk_coverage(confidence: Floats, wrong: Bools) -> tuple[Floats, Floats]:
    """Return coverages and the error rates among the images that are answered at them, surest first.

    Images of one confidence are answered together (El-Yaniv and Wiener 2010, JMLR 11:1605).

    Args:
        confidence: ``[N]``, N at least 1.
        wrong: ``[N]``.
    """
    order = np.argsort(-confidence, kind="stable")
    last = np.flatnonzero(np.append(np.diff(confidence[order]) != 0, True))
    errors = np.cumsum(wrong[order])[last]
    return (last + 1) / len(order), errors / (last + 1)


def aurc(confidence: Floats, wrong: Bools) -> float:
    """Return the area under the risk-coverage curve, 0..1: the mean error rate over all coverages (Geifman et al. 2019)."""
    order = np.argsort(-confidence, kind="stable")
    return float((np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)).mean())


def auroc(familiar: Floats, other: Floats) -> float:
    """Return the chance that a frame of the other kind has the larger score; ties count half."""
    ordered = np.sort(familiar)
    below = np.searchsorted(ordered, other, "left")
    same = np.searchsorted(ordered, other, "right") - below
    return float((below + same / 2).mean() / len(ordered))
