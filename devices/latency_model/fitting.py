"""Fit of prices to measured latencies: non-negative, by relative error, pulled towards prices that are known already.

The least squares are solved here and not by ``scipy.optimize.nnls``, as the base installation estimates and has no SciPy; a
test compares the two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.errors import ModelError

Floats = NDArray[np.float64]

COVERAGE = 0.9
"""Probability with which an interval is to hold the latency of a new network."""

RANK = 0.95
"""Quantile of the errors on networks that were left out, which sets an interval's width.

It is more than ``COVERAGE``, as new networks are never quite like the measured ones.
"""

PULL = 3e-4
"""Weight of the prices known before against one measured network, in squared relative error."""

_ROBUST = 0.05
_ROUNDS = 8


def nonnegative_least_squares(a: Floats, b: Floats) -> Floats:
    """Return the ``x >= 0``, ``[K]``, with the least ``|a x - b|`` (Lawson and Hanson 1974, chapter 23).

    Args:
        a: Matrix ``[N, K]``.
        b: Vector ``[N]``.
    """
    columns = a.shape[1]
    passive = np.zeros(columns, dtype=bool)
    x = np.zeros(columns)
    gradient = a.T @ b
    tolerance = 10 * np.finfo(float).eps * max(1.0, float(np.abs(a).sum())) * max(1, *a.shape)
    for _ in range(3 * columns + 10):
        free = ~passive & (gradient > tolerance)
        if not free.any():
            break
        passive[int(np.argmax(np.where(free, gradient, -np.inf)))] = True
        while True:
            trial = np.zeros(columns)
            trial[passive] = np.linalg.lstsq(a[:, passive], b, rcond=None)[0]
            wrong = passive & (trial <= 0)
            if not wrong.any():
                break
            step = float(np.min(x[wrong] / np.maximum(x[wrong] - trial[wrong], 1e-300)))
            x = x + step * (trial - x)
            passive &= x > 1e-15 * max(1.0, float(x.max(initial=0.0)))
            x[~passive] = 0.0
        x = trial
        gradient = a.T @ (b - a @ x)
    return x


def fit_prices(work: Floats, latency_ns: Floats, *, known: Floats | None = None, pull: float = PULL) -> Floats:
    """Fit prices ``[K]`` to measured latencies: nanoseconds a unit of work, each at least 0.

    The sum of absolute relative errors, rounded off near zero, is made small by reweighted least squares, so that a network
    that runs unlike any other does not bend the prices of all.

    Args:
        work: Feature vectors ``[N, K]``.
        latency_ns: Measured latencies ``[N]``, nanoseconds, over 0.
        known: Prices ``[K]`` to stay near, up to a common factor, where the measurements say little; None: near 0.
        pull: Weight of those prices against one measured network.

    Raises:
        ModelError: No measurement, or one that is not over 0.
    """
    if len(latency_ns) == 0 or (latency_ns <= 0).any():
        raise ModelError(
            "expected measured latencies over 0 to fit prices to; measure some networks first",
            code="E_MODEL_MEASUREMENTS",
        )
    relative = work / latency_ns[:, None]
    scale = np.sqrt((relative**2).mean(axis=0))
    seen = scale > 0
    centre = np.zeros(len(scale))
    if known is not None:
        centre = known * factor_between(work @ known, latency_ns)
    used = relative[:, seen] / scale[seen]
    anchor = centre[seen] * scale[seen]
    weights = np.ones(len(latency_ns))
    root = math.sqrt(pull * len(latency_ns))
    solution = anchor
    for _ in range(_ROUNDS):
        stacked = np.vstack([used * weights[:, None], root * np.eye(int(seen.sum()))])
        target = np.concatenate([weights, root * anchor])
        solution = nonnegative_least_squares(stacked, target)
        weights = 1 / np.sqrt(np.maximum(np.abs(used @ solution - 1), _ROBUST))
        weights /= weights.mean()
    prices: Floats = centre.copy()
    prices[seen] = solution / scale[seen]
    return prices


def factor_between(predicted: Floats, measured: Floats) -> float:
    """Return the median ratio of measured to predicted latencies; as a median, one odd network moves it little."""
    with np.errstate(divide="ignore"):
        return float(np.exp(np.median(np.log(measured / np.maximum(predicted, 1e-9)))))


def group_errors(
    work: Floats, latency_ns: Floats, groups: Sequence[str], *, known: Floats | None = None, pull: float = PULL
) -> Floats:
    """Return ``log(predicted / measured)`` of each network ``[N]``, from prices that were fitted without its whole group.

    Raises:
        ModelError: There is only one group.
    """
    names = sorted(set(groups))
    if len(names) < 2:
        raise ModelError(
            f"expected networks of two or more families to find the error of estimates, got {names}",
            code="E_MODEL_MEASUREMENTS",
        )
    member = np.array([names.index(group) for group in groups])
    errors = np.zeros(len(latency_ns))
    for index in range(len(names)):
        inside = member == index
        prices = fit_prices(work[~inside], latency_ns[~inside], known=known, pull=pull)
        errors[inside] = np.log(np.maximum(work[inside] @ prices, 1.0) / latency_ns[inside])
    return errors


def conformal_width(errors: Floats, coverage: float = RANK) -> float | None:
    """Return the half width of an interval, in logarithms, that holds a new network with at least this probability.

    It is the ``ceil((n + 1) * coverage)``-th smallest absolute error on networks that the prices were not fitted to (split
    conformal prediction; Lei et al. 2018, JASA 113:1094). It assumes that new networks are like those, and nothing of how
    errors are spread.

    Returns:
        The half width; None where there are too few errors for this coverage.
    """
    rank = math.ceil((len(errors) + 1) * coverage)
    if rank > len(errors):
        return None
    return float(np.sort(np.abs(errors))[rank - 1])
