"""Predictive values at a prevalence, and how often their intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from weckd_edge.metrics.counts import Predictions
from weckd_edge.metrics.intervals import wilson
from weckd_edge.metrics.predictive_values import predictive_values


def answers(table: list[list[int]], groups: int = 1) -> Predictions:
    """Predictions by a table of counts ``[truth][decision]``, with ``groups`` neighbours of it in a group."""
    truth = np.repeat(np.arange(len(table)), [sum(row) for row in table])
    decided = np.concatenate([np.repeat(np.arange(len(row)), row) for row in table])
    return Predictions(truth, np.eye(len(table))[decided], np.arange(len(truth)) // groups)


def posterior(prior: float, hit: float, miss: float) -> float:
    return prior * hit / (prior * hit + (1 - prior) * miss)


def test_values_follow_bayes_with_several_classes() -> None:
    prevalence = np.array([0.1, 0.6, 0.3])
    found = predictive_values(answers([[30, 6, 4], [3, 54, 3], [2, 0, 18]]), prevalence)
    mistaken = (0.6 * 3 / 60 + 0.3 * 2 / 20) / 0.9
    ppv, npv = found[0]
    assert ppv is not None
    assert npv is not None
    assert ppv.value == pytest.approx(posterior(0.1, 30 / 40, mistaken))
    assert npv.value == pytest.approx(posterior(0.9, 1 - mistaken, 10 / 40))
    assert all(v is not None and 0 < v.low < v.value < v.high <= 1 for pair in found for v in pair)


def test_without_a_false_positive_the_interval_is_as_wide_as_specificity_leaves_it() -> None:
    """50 of 50 found, 0 of 1,000 mistaken: at a prevalence of 1 in 1,000, most decisions may still be wrong."""
    for prior in (0.01, 0.001):
        ppv, _ = predictive_values(answers([[50, 0], [0, 1000]]), np.array([prior, 1 - prior]))[0]
        assert ppv is not None
        assert (ppv.value, ppv.high) == (1, 1)
        worst = posterior(prior, wilson(50, 50)[0], wilson(0, 1000)[1])
        best = posterior(prior, 1, wilson(0, 1000)[1])
        assert worst <= ppv.low <= best


def test_images_of_a_group_widen_the_interval() -> None:
    alone, alike = (
        predictive_values(answers([[50, 10], [20, 100]], groups), np.array([0.2, 0.8]))[0][0] for groups in (1, 5)
    )
    assert alone is not None
    assert alike is not None
    assert alike.high - alike.low > 1.5 * (alone.high - alone.low)


def test_a_decision_that_was_never_made_has_no_predictive_value() -> None:
    assert predictive_values(answers([[0, 20], [0, 30]]), np.array([0.5, 0.5]))[0][0] is None


def test_a_prevalence_of_one_leaves_nothing_to_tell_apart() -> None:
    assert predictive_values(answers([[15, 5], [5, 25]]), np.array([1.0, 0.0]))[0] == (None, None)


@pytest.mark.parametrize(
    ("sensitivity", "mistaken", "prior", "images"),
    [(0.95, 0.002, 0.02, (100, 400)), (0.95, 0.01, 0.02, (100, 400)), (0.75, 0.1, 0.1, (40, 60))],
)
def test_intervals_hold_the_truth(sensitivity: float, mistaken: float, prior: float, images: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    true = posterior(prior, sensitivity, mistaken)
    held = []
    for _ in range(300):
        found, wrong = random.binomial(images[0], sensitivity), random.binomial(images[1], mistaken)
        table = answers([[found, images[0] - found], [wrong, images[1] - wrong]])
        ppv, _ = predictive_values(table, np.array([prior, 1 - prior]))[0]
        held.append(ppv is not None and ppv.low <= true <= ppv.high)
    assert 0.91 <= np.mean(held) <= 0.99
