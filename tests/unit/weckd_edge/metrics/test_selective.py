"""A threshold with a promise."""

import numpy as np
import pytest

from weckd_edge.metrics.selective import (
    aurc,
    auroc,
    binomial_p,
    find_threshold,
    group_losses,
    hoeffding_bentkus,
    risk_coverage,
)


def world(seed: int, groups: int, size: int = 1) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Draw answers whose chance to be wrong is one less their confidence, shared inside a group."""
    random = np.random.default_rng(seed)
    sure = np.repeat(random.beta(5, 1, groups), size)
    wrong = np.repeat(random.random(groups), size) < 1 - sure
    return sure, wrong, [f"g{k // size}" for k in range(groups * size)]


def test_predictions_that_are_all_right_are_all_given_from_59_groups_on() -> None:
    sure, right = np.full(59, 0.7), np.zeros(59, bool)
    names = [str(k) for k in range(59)]
    assert find_threshold(sure, right, names, risk=0.05, certainty=0.95).confidence_threshold == 0.0
    short = find_threshold(sure[:58], right[:58], names[:58], risk=0.05, certainty=0.95)
    assert (short.confidence_threshold, short.more_groups) == (None, 1)


def test_copies_of_a_group_prove_nothing() -> None:
    sure, right = np.full(400, 0.7), np.zeros(400, bool)
    threshold = find_threshold(sure, right, [str(k // 10) for k in range(400)], risk=0.05, certainty=0.95)
    assert (threshold.confidence_threshold, threshold.more_groups) == (None, 19)


def test_a_hopeless_network_gets_no_threshold_and_no_number_of_images() -> None:
    random = np.random.default_rng(0)
    sure, wrong = random.random(300), random.random(300) < 0.4
    threshold = find_threshold(sure, wrong, [str(k) for k in range(300)], risk=0.05, certainty=0.95)
    assert (threshold.confidence_threshold, threshold.more_groups) == (None, None)
    assert threshold.val_group_error > 0.05


def test_a_near_miss_says_how_many_groups_would_do() -> None:
    wrong = np.zeros(100, bool)
    wrong[:3] = True
    threshold = find_threshold(np.full(100, 0.9), wrong, [str(k) for k in range(100)], risk=0.05, certainty=0.95)
    assert threshold.confidence_threshold is None
    assert threshold.more_groups is not None
    assert 100 < threshold.more_groups < 500


@pytest.mark.parametrize(("size", "groups"), [(1, 150), (4, 150), (1, 600)])
def test_the_promise_holds_in_at_least_95_of_100_worlds(size: int, groups: int) -> None:
    broken = answered = 0
    for seed in range(200):
        threshold = find_threshold(*world(seed, groups, size), risk=0.1, certainty=0.95)
        if threshold.confidence_threshold is not None:
            sure, wrong, _ = world(10_000 + seed, 20_000)
            given = sure >= threshold.confidence_threshold
            answered += 1
            broken += wrong[given].mean() > 0.1
    assert answered > 60
    assert broken <= 17  # 5 % of 200, and what chance adds in one case of a hundred


def test_p_values_are_those_of_the_books() -> None:
    assert binomial_p(np.zeros(59), 0.05) == pytest.approx(0.95**59)
    assert hoeffding_bentkus(0.0, 59, 0.05) == pytest.approx(0.95**59)
    assert hoeffding_bentkus(0.2, 50, 0.05) == 1.0
    assert hoeffding_bentkus(0.02, 400, 0.05) >= binomial_p(np.repeat([1.0, 0.0], [8, 392]), 0.05)


def test_a_group_loses_the_part_of_its_classified_images_that_is_wrong() -> None:
    answered = np.array([True, True, False, False, True])
    wrong = np.array([True, False, True, True, False])
    assert group_losses(answered, wrong, np.array([0, 0, 0, 1, 2]), 3).tolist() == [0.5, 0.0]


def test_the_curve_predicts_the_surest_first_and_ties_together() -> None:
    coverage, risk = risk_coverage(np.array([0.9, 0.5, 0.9, 0.1]), np.array([False, True, True, False]))
    assert coverage.tolist() == [0.5, 0.75, 1.0]
    assert risk.tolist() == [0.5, 2 / 3, 0.5]
    assert aurc(np.array([0.9, 0.5]), np.array([False, True])) == 0.25


def test_auroc_counts_ties_half() -> None:
    assert auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == 0.875
