"""Selective prediction: a confidence threshold that limits the error (Learn then Test), and risk-coverage curves.

Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052) finds the threshold. It tests the hypotheses "at this
threshold, more than ``risk`` of the decided groups are wrong" in a fixed sequence, from the strictest threshold down, each
at the full level, until one cannot be rejected. With many groups there are two such sequences, each at half the level: one
starts at the strictest threshold at which anything can be proved, where a single wrong group ends it; the other starts
where half of the groups are decided.

The unit is the group. A group with at least one decided image has a loss: the fraction of its decided images that are
wrong, 0..1. Groups are independent; images of a group are not. Where every group has one image, the p value is the
binomial one, otherwise Hoeffding and Bentkus's for bounded losses (Bates et al. 2021, arXiv 2101.02703).

Thresholds with so few decided groups that not even perfect decisions could prove the limit are skipped. The limit still
holds if decisions above a threshold are not wrong more often than decisions just below it.
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
"""Candidate thresholds on the largest probability, strictest first; the same for all images."""


TWO_STARTS = 10
"""Number of groups, in multiples of the smallest that can prove a threshold, from which two sequences are tested."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tested:
    """Result of the test of one threshold: number of decided groups, their mean loss, p value."""

    value: float
    groups: int
    risk: float
    p_value: float


def find_threshold(
    confidence: Floats, wrong: Bools, groups: Sequence[str], *, risk: float, certainty: float, all_groups: int | None = None
) -> ThresholdRecord:
    """Find the lowest threshold that keeps the error within ``risk`` with probability ``certainty``.

    Args:
        confidence: Largest calibrated probability of each validation image that may be decided ``[N]``.
        wrong: Whether the decision on each image is wrong ``[N]``.
        groups: Group of each image ``[N]``.
        risk: Largest mean loss of the decided groups, 0..1.
        certainty: Probability with which the threshold must keep it, 0..1.
        all_groups: Number of groups, decided or not; None counts those that are named.

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
    """Return how many groups without any error it takes to prove the limit."""
    return math.ceil(math.log(level) / math.log(1 - risk) - 1e-9)


def _descend(
    confidence: Floats, wrong: Bools, member: NDArray[np.int64], single: bool, risk: float, level: float, start: int
) -> tuple[_Tested | None, _Tested | None]:
    """Test thresholds downwards from ``start`` decided groups; return the last that holds and the first that does not."""
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
    """Return how many more groups would prove the limit at the nearest threshold; None where no number would."""
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
    """Return the fraction of wrong decisions in each group that has any decision.

    Args:
        decided: Whether each image is decided ``[N]``.
        wrong: Whether the decision on each image is wrong ``[N]``.
        member: Group number of each image ``[N]``, from 0 to under ``groups``.
        groups: Number of groups.
    """
    count = np.bincount(member[decided], minlength=groups)
    errors = np.bincount(member[decided & wrong], minlength=groups)
    losses: Floats = errors[count > 0] / count[count > 0]
    return losses


def binomial_p(losses: Floats, risk: float) -> float:
    """Return the probability of at most as many losses of 1 if each has the probability ``risk``; losses are 0 or 1."""
    return _binomial(int(losses.sum()), len(losses), risk)


def _binomial(wrong: int, count: int, risk: float) -> float:
    return float(require("scipy.stats", "find a threshold").binom.cdf(wrong, count, risk))


def hoeffding_bentkus(mean: float, count: int, risk: float) -> float:
    """Return a p value of "the mean is over ``risk``" for independent losses in 0..1 (Bates et al. 2021, theorem 4.1).

    Args:
        mean: Mean of the losses seen, 0..1.
        count: Number of losses seen.
        risk: Mean that is tested, 0..1.
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
    """Return the coverages and the error rate among the decided images at each, most confident first.

    Images of one confidence are answered together (El-Yaniv and Wiener 2010, JMLR 11:1605).

    Args:
        confidence: Largest probability of each image ``[N]``, N at least 1.
        wrong: Whether the decision on each image is wrong ``[N]``.
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
    """Return the probability that a frame of the other kind has the larger score; ties count half."""
    ordered = np.sort(familiar)
    below = np.searchsorted(ordered, other, "left")
    same = np.searchsorted(ordered, other, "right") - below
    return float((below + same / 2).mean() / len(ordered))
