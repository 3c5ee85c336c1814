"""The gate: teachers from outside teach only where they are better than the student alone, and a sentence says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from support import factories
from weckd_edge.artifacts import FileRef, NetworkInput, OutsideTeaching, SoftLabels, TeacherRecord
from weckd_edge.train.distill.outside.gate import judge

INPUT = NetworkInput(height=160, width=160, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
TEACHER = TeacherRecord(name="large", sha256=factories.digest("large"), input=INPUT, head="ridge")
FILE = FileRef(path="training.npy", sha256=factories.digest("soft"), bytes=10)
SOFT = SoftLabels(
    training=FILE, validation=FILE, agreement=FILE, folds=5, views=2, labels_used=57, out_of_fold=factories.rate()
)
IMAGES = 80


def judged(teachers: int, alone: int, gate: Any, *, images: int = IMAGES) -> OutsideTeaching:
    """Judge teachers that are right on so many images, against a student alone that is right on so many."""
    truth = np.zeros(images, np.int64)

    def right(count: int) -> np.ndarray:
        return np.eye(2)[(np.arange(images) >= count).astype(int)]

    student = None if gate == "off" else right(alone)
    groups = [f"g{at // 2}" for at in range(images)]
    return judge([TEACHER], SOFT, (right(teachers), student), (truth, groups), gate, ("guided+teachers", "guided"))


def test_teachers_that_are_clearly_better_teach() -> None:
    found = judged(78, 50, "interval")
    assert found.used
    assert found.difference is not None
    assert 0 < found.difference.low < found.difference.value == pytest.approx(28 / IMAGES)
    assert "97.5%" in found.reason
    assert "62.5%" in found.reason
    assert "they teach as guided+teachers" in found.reason


@pytest.mark.parametrize(("teachers", "alone"), [(62, 60), (60, 60), (50, 70)])
def test_where_that_is_not_shown_the_steps_are_spent_without_them(teachers: int, alone: int) -> None:
    found = judged(teachers, alone, "interval")
    assert not found.used
    assert "without them, as guided." in found.reason
    assert found.reason.count(". ") == 0


def test_the_mean_alone_may_be_asked_for() -> None:
    assert judged(62, 60, "mean").used
    assert not judged(60, 60, "mean").used


@pytest.mark.parametrize(("gate", "used"), [("interval", False), ("mean", True)])
def test_too_few_images_for_an_interval_are_enough_for_a_mean(gate: str, used: bool) -> None:
    found = judged(6, 1, gate, images=6)
    assert found.used == used
    assert found.difference is None
    assert "too few" in found.reason


def test_switched_off_it_asks_for_nothing() -> None:
    found = judged(1, 80, "off")
    assert found.used
    assert (found.alone_accuracy, found.difference) == (None, None)
    assert "not compared" in found.reason
