"""Calibration errors, scores, temperatures and McNemar's test, against figures worked out by hand or known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from weckd_edge.metrics import calibration
from weckd_edge.metrics.calibration import (
    FEW_GROUPS,
    MIN_GROUPS,
    apply_temperature,
    calibration_metrics,
    fit_temperature,
    mcnemar,
    nll,
)

pytest.importorskip("scipy")


def sample(count: int, sharpness: float, *, seed: int = 0, classes: int = 4) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Labels drawn from known probabilities, and answers whose logits are ``sharpness`` times too large."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 1.5, (count, classes))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([random.choice(classes, p=p) for p in true])
    return apply_temperature(true, 1 / sharpness).astype(np.float32), labels, [f"g{k}" for k in range(count)]


def test_scaling_divides_logits_and_keeps_decisions() -> None:
    logits = np.array([[1.0, 3.0, -2.0], [0.0, 0.5, 0.4]])
    told = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = np.exp(logits / 2.5) / np.exp(logits / 2.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(apply_temperature(told, 2.5), wanted, atol=1e-12)
    np.testing.assert_allclose(apply_temperature(told, 1.0), told, atol=1e-12)


def test_a_probability_that_ran_out_of_digits_stays_finite() -> None:
    told = np.array([[1.0, 0.0]], np.float32)
    assert np.isfinite(apply_temperature(told, 3.0)).all()
    assert math.isfinite(float(nll(told, np.array([1]))[0]))


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.5])
def test_the_temperature_that_was_put_in_is_found_again(sharpness: float) -> None:
    found = fit_temperature(*sample(4000, sharpness))
    assert found.value == pytest.approx(sharpness, rel=0.08)
    assert found.nll_after <= found.nll_before


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("count", [12, 30, 80])
def test_validation_never_gets_less_likely_and_few_groups_are_pulled_towards_one(count: int, seed: int) -> None:
    answers, labels, groups = sample(count, 3.0, seed=seed)
    found = fit_temperature(answers, labels, groups)
    before = float(nll(answers, labels).mean())
    after = float(nll(apply_temperature(answers, found.value), labels).mean())
    assert after <= before + 1e-12
    assert found.nll_after == pytest.approx(after)
    assert abs(math.log(found.value)) <= abs(math.log(found.unshrunk)) + 1e-4
    if found.value != 1:
        assert ("few validation images" in found.note) is (count < FEW_GROUPS)


def test_images_of_one_group_count_as_one() -> None:
    answers, labels, groups = sample(200, 3.0)
    alone = fit_temperature(answers, labels, groups)
    together = fit_temperature(answers, labels, [f"g{k // 10}" for k in range(200)])
    assert 1 < together.value < alone.value < 3.5


def test_too_few_groups_leave_the_temperature_at_one_and_say_so() -> None:
    answers, labels, _ = sample(200, 3.0)
    found = fit_temperature(answers, labels, [f"g{k % (MIN_GROUPS - 1)}" for k in range(200)])
    assert (found.value, found.nll_after) == (1.0, found.nll_before)
    assert found.note == "left at 1: a temperature needs 10 independent groups of validation images, found 9"


def test_figures_are_those_worked_out_by_hand() -> None:
    # Two bins: (0.9, 0.9) of which one is right, and (0.65) which is right.
    told = np.array([[0.9, 0.1], [0.9, 0.1], [0.35, 0.65]])
    found = calibration_metrics(told, np.array([0, 1, 1]), ["a", "b", "c"])
    assert found.ece.value == pytest.approx((abs(1.8 - 1) + abs(0.65 - 1)) / 3)
    assert found.brier.value == pytest.approx((2 * 0.01 + 2 * 0.81 + 2 * 0.35**2) / 3)
    assert found.nll.value == pytest.approx(-(math.log(0.9) + math.log(0.1) + math.log(0.65)) / 3)
    by_chance = 0.81 * 0.2 + 0.18 * 0.8 + 0.01 * 1.8 + 0.65 * 0.35 + 0.35 * 0.65
    assert found.ece_by_chance is not None
    assert found.ece_by_chance.value == pytest.approx(by_chance / 3, abs=0.02)
    filled = {k: (b.images, round(b.confidence, 6), b.accuracy) for k, b in enumerate(found.bins) if b.images}
    assert filled == {9: (1, 0.65, 1.0), 13: (2, 0.9, 0.5)}


def test_a_sound_classifier_has_no_error_beyond_chance_and_an_overconfident_one_has() -> None:
    sound, over = (calibration_metrics(*sample(3000, s)) for s in (1.0, 3.0))
    assert sound.rms_debiased.value < 0.02 < 0.1 < over.rms_debiased.value
    assert sound.ece.value < 0.03 < 0.1 < over.ece.value
    assert over.ece.low > sound.ece.high
    assert sound.ece_by_chance is not None
    assert over.ece_by_chance is not None
    assert sound.ece_by_chance.low < sound.ece.value < sound.ece_by_chance.high
    assert over.ece_by_chance.high < over.ece.low


def test_few_images_alone_make_a_calibration_error() -> None:
    few, many = (calibration_metrics(*sample(n, 1.0)).ece_by_chance for n in (100, 3000))
    assert few is not None
    assert many is not None
    assert few.value > 3 * many.value


def test_intervals_hold_their_value_and_widen_where_groups_are_few() -> None:
    answers, labels, groups = sample(400, 2.0)
    alone = calibration_metrics(answers, labels, groups)
    together = calibration_metrics(answers, labels, [f"g{k // 40}" for k in range(400)])
    for figures in (alone, together):
        for one in (figures.ece, figures.rms_debiased, figures.brier, figures.nll):
            assert one.low <= one.value <= one.high
    copies = calibration_metrics(
        np.repeat(answers[:40], 10, axis=0), np.repeat(labels[:40], 10), [f"g{k // 10}" for k in range(400)]
    )
    assert copies.nll.high - copies.nll.low > 2 * (alone.nll.high - alone.nll.low)


def test_the_same_again_gives_the_same_figures() -> None:
    assert calibration_metrics(*sample(60, 2.0)) == calibration_metrics(*sample(60, 2.0))


@pytest.mark.parametrize(
    ("a", "b", "p"), [(0, 0, 1.0), (1, 0, 1.0), (6, 0, 2 / 64), (1, 9, 2 * (1 + 10) / 1024), (5, 5, 1.0)]
)
def test_mcnemar_is_a_binomial_test_on_the_frames_of_which_one_is_right(a: int, b: int, p: float) -> None:
    first = np.array([True] * a + [False] * b + [True] * 7 + [False] * 3)
    second = np.array([False] * a + [True] * b + [True] * 7 + [False] * 3)
    assert mcnemar(first, second) == (a, b, pytest.approx(p))


def test_one_image_is_enough_for_figures() -> None:
    assert calibration_metrics(np.array([[0.7, 0.3]]), np.array([0]), ["g"]).ece.value == pytest.approx(0.3)
    assert calibration.BINS == 15
