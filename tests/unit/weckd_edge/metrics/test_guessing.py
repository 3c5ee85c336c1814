import numpy as np
import pytest

from weckd_edge.metrics.guessing import compare_with_guessing


def _predictions(truth: np.ndarray, right: float, classes: int, seed: int = 1) -> np.ndarray:
    draw = np.random.default_rng(seed)
    guesses = draw.integers(0, classes, len(truth))
    return np.where(draw.random(len(truth)) < right, truth, guesses)


def test_right_predictions_are_better_than_guessing() -> None:
    truth = np.arange(60) % 3
    found = compare_with_guessing(truth, truth, range(60), 3)
    assert found.balanced_accuracy == 1
    assert found.is_better


def test_always_the_commonest_class_is_no_better_than_guessing_however_often_it_is_right() -> None:
    truth = np.repeat([0, 1], [95, 5])
    found = compare_with_guessing(np.zeros(100, np.intp), truth, range(100), 2)
    assert (found.accuracy, found.constant_accuracy, found.constant) == (0.95, 0.95, 0)
    assert found.balanced_accuracy == pytest.approx(found.chance) == 0.5
    assert found.can_tell
    assert not found.is_better


def test_a_screening_model_that_is_right_less_often_than_a_constant_is_still_better_than_guessing() -> None:
    truth = np.repeat([0, 1], [950, 50])
    predicted = truth.copy()
    predicted[:95] = 1
    found = compare_with_guessing(predicted, truth, range(1000), 2)
    assert found.accuracy < found.constant_accuracy
    assert found.is_better


def test_images_of_one_group_count_once() -> None:
    truth = np.repeat([0, 1, 0, 1], 50)
    found = compare_with_guessing(truth, truth, np.repeat(range(4), 50), 2)
    assert found.groups == 4
    assert not found.can_tell


@pytest.mark.parametrize("classes", [2, 5])
def test_random_predictions_are_called_better_in_about_one_of_twenty_trials(classes: int) -> None:
    truth = np.arange(40) % classes
    better = sum(
        compare_with_guessing(_predictions(truth, 0.0, classes, seed), truth, range(40), classes).is_better
        for seed in range(100)
    )
    assert 0 <= better <= 12


def test_predictions_that_are_a_little_better_need_more_groups() -> None:
    few, many = np.arange(20) % 2, np.arange(2000) % 2
    assert not compare_with_guessing(_predictions(few, 0.15, 2), few, range(20), 2).is_better
    assert compare_with_guessing(_predictions(many, 0.15, 2), many, range(2000), 2).is_better


def test_a_class_that_no_image_shows_does_not_count() -> None:
    truth = np.arange(30) % 2
    assert compare_with_guessing(truth, truth, range(30), 3).chance == 0.5


def test_the_same_predictions_give_the_same_p_value() -> None:
    truth = np.arange(50) % 4
    predicted = _predictions(truth, 0.2, 4)
    assert compare_with_guessing(predicted, truth, range(50), 4) == compare_with_guessing(predicted, truth, range(50), 4)
