"""Predictive values at a prevalence that is not that of the test images, by Bayes' rule, with 95 % intervals.

The odds that a decision for a class is right are the prior odds times a likelihood ratio: the rate at which images of the
class get that decision, over the rate at which the others get it. Rates have Wilson's interval, which counts groups. The
interval of the ratio is worked out from theirs (MOVER-R: Donner and Zou 2012, Statistical Methods in Medical Research
21:347), so that it is finite where no false positive was seen, and wide where the other classes have few images.
"""

from __future__ import annotations

import math

from weckd_edge.artifacts import Estimate
from weckd_edge.metrics.counts import Floats, Predictions
from weckd_edge.metrics.intervals import rate_by_group


def predictive_values(predictions: Predictions, prevalence: Floats) -> list[tuple[Estimate | None, Estimate | None]]:
    """Return the positive and the negative predictive value of each class; None where nothing was decided so.

    Args:
        predictions: Predictions of N images, of every class at least one.
        prevalence: Prevalence of each class ``[classes]``, adding up to 1.
    """
    return [_of_class(label, predictions, prevalence) for label in range(predictions.classes)]


def _of_class(label: int, predictions: Predictions, prevalence: Floats) -> tuple[Estimate | None, Estimate | None]:
    found = _decided(label, among=label, predictions=predictions)
    others = [k for k in range(predictions.classes) if k != label]
    prior, rest = float(prevalence[label]), float(prevalence[others].sum())
    if rest <= 0:
        return None, None
    mistaken = _mean([_decided(label, among=k, predictions=predictions) for k in others], prevalence[others] / rest)
    return _odds(prior, found, mistaken), _odds(1 - prior, _complement(mistaken), _complement(found))


def _decided(label: int, *, among: int, predictions: Predictions) -> Estimate:
    """Return the rate at which images of the class ``among`` are decided for a class."""
    of_it = predictions.truth == among
    rate = rate_by_group(predictions.decided[of_it] == label, predictions.member[of_it].tolist())
    return Estimate(value=rate.value, low=rate.low, high=rate.high)


def _complement(rate: Estimate) -> Estimate:
    return Estimate(value=1 - rate.value, low=1 - rate.high, high=1 - rate.low)


def _mean(rates: list[Estimate], weights: Floats) -> Estimate:
    """Return a weighted mean of independent rates (MOVER: Zou and Donner 2008, Statistics in Medicine 27:1693)."""
    value = float(sum(w * r.value for w, r in zip(weights, rates, strict=True)))
    down, up = (
        math.sqrt(sum((w * (getattr(r, end) - r.value)) ** 2 for w, r in zip(weights, rates, strict=True)))
        for end in ("low", "high")
    )
    return Estimate(value=value, low=max(0.0, value - down), high=min(1.0, value + up))


def _odds(prior: float, hit: Estimate, miss: Estimate) -> Estimate | None:
    """Return what is left of a prior after a decision that is ``hit`` times right and ``miss`` times wrong."""
    joint = prior * hit.value + (1 - prior) * miss.value
    if joint <= 0:
        return None
    value = prior * hit.value / joint
    product = hit.value * miss.value
    low = _ratio(product, hit.low * (2 * hit.value - hit.low), miss.high * (2 * miss.value - miss.high), -1)
    high = _ratio(product, hit.high * (2 * hit.value - hit.high), miss.low * (2 * miss.value - miss.low), 1)
    return Estimate(value=value, low=min(value, _posterior(prior, low)), high=max(value, _posterior(prior, high)))


def _ratio(product: float, top: float, bottom: float, side: int) -> float:
    """Return one end of the interval of a ratio of two rates, from the product of the rates and the terms of their ends."""
    if bottom == 0:
        return math.inf
    found = (product + side * math.sqrt(max(0.0, product**2 - top * bottom))) / bottom
    return max(0.0, found)


def _posterior(prior: float, ratio: float) -> float:
    """Return the probability that odds of a prior times a ratio say; a prior of 1 stays."""
    if math.isinf(ratio):
        return 1.0
    joint = prior * ratio + 1 - prior
    return prior * ratio / joint if joint > 0 else prior
