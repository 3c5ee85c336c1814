"""Intervals of means over the test images of several trainings hold the truth about as often as they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from weckd_edge.metrics.crossed_clusters import CrossedImages, CrossedMean, TrainingTest, mean_over_data_sets

Floats = NDArray[np.float64]


def images(groups: int, *, seeds: int, folds: int, size: int = 1, seed: int = 0) -> tuple[list[TrainingTest], list[Floats]]:
    """Tests of every fold of every seed, and for each the numbers of its groups, image by image."""
    rng = np.random.default_rng(seed)
    tests, members = [], []
    for number in range(seeds):
        fold = rng.permutation(groups) % folds
        for k in range(folds):
            member = np.repeat(np.flatnonzero(fold == k), size)
            tests.append(TrainingTest(pool=number, training=(number, k), groups=[f"g{g}" for g in member]))
            members.append(member.astype(np.float64))
    return tests, members


def test_the_mean_is_that_over_seeds_of_all_images_of_their_folds() -> None:
    """Folds of one and three images: the accuracy of a seed counts images, not folds."""
    tests = [
        TrainingTest(pool=0, training=(0, 1), groups=["a"]),
        TrainingTest(pool=0, training=(0, 2), groups=["b", "c", "d"]),
        TrainingTest(pool=1, training=(1, 1), groups=["a", "b"]),
    ]
    found = CrossedImages(tests).mean_of(np.array([1, 0, 0, 0, 1, 1]))
    assert found.mean == pytest.approx((1 / 4 + 1) / 2)


def test_a_group_counts_once_as_the_mean_of_its_images() -> None:
    tests = [
        TrainingTest(pool=0, training=(0, 1), groups=["a", "a", "a", "b"]),
        TrainingTest(pool=0, training=(0, 2), groups=["c"]),
        TrainingTest(pool=1, training=(1, 1), groups=["a", "b", "b", "c", "c"]),
    ]
    scores = np.array([1, 1, 0, 0, 1, 1, 0, 0, 0, 1], float)
    found = CrossedImages(tests, by_group=True).mean_of(scores)
    assert found.mean == pytest.approx(((2 / 3 + 0 + 1) / 3 + (1 + 0 + 1 / 2) / 3) / 2)


def test_where_each_image_is_a_group_both_counts_are_the_same() -> None:
    tests, members = images(40, seeds=2, folds=4)
    scores = np.concatenate([np.sin(member) for member in members])
    assert CrossedImages(tests, by_group=True).mean_of(scores) == CrossedImages(tests).mean_of(scores)


def test_a_large_group_that_flips_as_a_whole_widens_the_interval_of_images_alone() -> None:
    """A video of 30 frames in three folds of single frames: all of it is missed by every other training."""
    sizes = [30, *[1] * 59]
    rng, tests, scores = np.random.default_rng(0), [], []
    for seed in range(4):
        fold = rng.permutation(60) % 3
        for k in range(3):
            groups = [g for g in np.flatnonzero(fold == k) for _ in range(sizes[g])]
            tests.append(TrainingTest(pool=seed, training=(seed, k), groups=groups))
            scores.append([1.0 if g else float(seed % 2) for g in groups])
    by_image, by_group = (CrossedImages(tests, by_group=which).mean_of(np.concatenate(scores)) for which in (False, True))
    assert by_image.variance is not None
    assert by_group.variance is not None
    assert by_group.variance < by_image.variance / 10
    assert by_group.equal > 4 * by_image.equal


def test_independent_images_and_trainings_give_the_usual_interval() -> None:
    """200 groups of one image, whose scores are independent: the interval of a rate is nearly Wilson's."""
    tests, _ = images(200, seeds=1, folds=10)
    right = np.random.default_rng(1).random(200) < 0.9
    found = CrossedImages(tests).mean_of(right)
    rate = right.mean()
    assert found.variance == pytest.approx(rate * (1 - rate) / 200, rel=0.25)


def test_images_of_a_group_count_together_whichever_training_is_tested_on_them() -> None:
    tests, members = images(60, seeds=3, folds=5, size=4)
    hard = np.random.default_rng(0).random(60) < 0.3
    scores = np.concatenate([hard[m.astype(int)] for m in members]).astype(float)
    alike = CrossedImages(tests).mean_of(scores)
    apart = CrossedImages(
        [replace(test, groups=[f"{t}/{i}" for i in range(len(test.groups))]) for t, test in enumerate(tests)]
    ).mean_of(scores)
    assert alike.variance is not None
    assert apart.variance is not None
    assert alike.variance > 2.5 * apart.variance


def test_trainings_that_differ_widen_the_interval_however_many_images_they_are_tested_on() -> None:
    tests, members = images(500, seeds=1, folds=4)
    better = np.concatenate([np.full(len(m), value) for m, value in zip(members, (0.0, 0.1, 0.2, 0.3), strict=True)])
    found = CrossedImages(tests).mean_of(better)
    assert found.variance == pytest.approx(np.var([0, 0.1, 0.2, 0.3], ddof=1) / 4, rel=0.05)
    assert 3 <= found.freedom < 4


def test_a_training_named_alike_in_two_tests_counts_once() -> None:
    tests, members = images(100, seeds=6, folds=1)
    better = np.concatenate([np.full(len(m), 0.1 * (number // 2)) for number, m in enumerate(members)])
    separate = CrossedImages(tests).mean_of(better)
    shared = CrossedImages([replace(test, training=number // 2) for number, test in enumerate(tests)]).mean_of(better)
    assert shared.mean == separate.mean
    assert shared.variance is not None
    assert separate.variance is not None
    assert shared.variance > 1.5 * separate.variance


@pytest.mark.parametrize(("groups", "seeds", "folds"), [(40, 1, 1), (40, 2, 1), (40, 1, 2), (4, 3, 1)])
def test_too_few_trainings_or_groups_give_no_interval(groups: int, seeds: int, folds: int) -> None:
    tests, members = images(groups, seeds=seeds, folds=folds, size=5)
    found = CrossedImages(tests).mean_of(np.concatenate(members) % 2)
    for interval in (found.as_difference(), found.as_rate()):
        assert interval.mean == found.mean
        assert interval.low is interval.high is None


def test_strategies_that_predict_alike_differ_by_less_than_half_an_image() -> None:
    tests, members = images(100, seeds=3, folds=5)
    found = CrossedImages(tests).mean_of(np.zeros(len(np.concatenate(members)))).as_difference()
    assert found.mean == 0
    assert found.low is not None
    assert -0.02 < found.low < 0


def test_a_rate_stays_between_nothing_and_all() -> None:
    tests, members = images(50, seeds=3, folds=5)
    for value in (0.0, 1.0):
        found = CrossedImages(tests).mean_of(np.full(len(np.concatenate(members)), value)).as_rate()
        assert found.low is not None
        assert found.high is not None
        assert 0 <= found.low <= value + 1e-9
        assert value - 1e-9 <= found.high <= 1
        assert found.high - found.low > 0.05


def test_data_sets_are_averaged_as_independent_ones() -> None:
    one = CrossedMean(mean=0.1, variance=0.04, freedom=1e6, unseen=0.0, equal=10)
    both = mean_over_data_sets([one, replace(one, mean=0.3)])
    assert both.mean == pytest.approx(0.2)
    assert both.variance == pytest.approx(0.02)
    assert mean_over_data_sets([one, replace(one, variance=None)]).as_difference().low is None


def draw_study(rng: np.random.Generator, spread: tuple[float, float, float], seeds: int, folds: int, groups: int) -> Floats:
    """Return differences ``[2, M]``: of two strategies, and one strategy's own answers, whose skill varies by chance.

    Args:
        rng: Source of chance.
        spread: How much a group, a training, and a group in one training move each strategy's skill.
        seeds: Number of seeds.
        folds: Number of folds.
        groups: Number of groups, of up to six images.
    """
    sizes = np.random.default_rng(5).integers(1, 6, groups)
    member = np.repeat(np.arange(groups), sizes)
    hard = rng.normal(0, 1, groups)[member] + rng.normal(0, 1, len(member))
    of_group = rng.normal(0, spread[0], (2, groups))
    tests, scores = [], []
    for seed in range(seeds):
        fold = (rng.permutation(groups) % folds)[member]
        for k in range(folds):
            here = fold == k
            skill = hard[here] + of_group[:, member[here]] + rng.normal(0, spread[1], (2, 1))
            skill += rng.normal(0, spread[2], (2, groups))[:, member[here]] + np.array([[2.2], [2.5]])
            right = rng.random(skill.shape) < 1 / (1 + np.exp(-skill))
            tests.append(TrainingTest(pool=seed, training=(seed, k), groups=member[here].tolist()))
            scores.append(np.stack([right[1].astype(float) - right[0], right[1].astype(float)]))
    crossed = CrossedImages(tests)
    both = np.concatenate(scores, axis=1)
    difference, accuracy = crossed.mean_of(both[0]).as_difference(), crossed.mean_of(both[1]).as_rate()
    return np.array([[difference.low, difference.high], [accuracy.low, accuracy.high]], float)


@pytest.mark.parametrize(
    ("spread", "seeds", "folds", "groups"),
    [
        ((0.6, 0.5, 0.6), 5, 5, 150),
        ((0.2, 1.2, 0.2), 3, 5, 150),
        ((1.5, 0.0, 0.0), 3, 5, 150),
        ((0.0, 0.0, 1.2), 5, 5, 150),
        ((0.5, 0.8, 0.3), 9, 1, 60),
    ],
    ids=["all alike", "trainings differ most", "groups differ most", "chance alone", "without folds"],
)
def test_the_interval_holds_the_truth_about_nineteen_times_in_twenty(
    spread: tuple[float, float, float], seeds: int, folds: int, groups: int
) -> None:
    rng = np.random.default_rng(7)
    skill = np.array([[2.2], [2.5]]) + rng.normal(0, np.sqrt(2 + np.square(spread).sum()), 500_000)
    truth = (1 / (1 + np.exp(-skill))).mean(axis=1)
    expected = np.array([truth[1] - truth[0], truth[1]])
    found = np.stack([draw_study(rng, spread, seeds, folds, groups) for _ in range(300)])
    held = (found[:, :, 0] <= expected) & (expected <= found[:, :, 1])
    assert (held.mean(axis=0) >= 0.9).all(), held.mean(axis=0)
    assert (held.mean(axis=0) <= 0.99).all(), held.mean(axis=0)
