"""An examination with an open model: frames of any order of values, one decision, until the model is closed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import weckd_edge
from support.errors import raises
from support.frames.camera import values_of
from weckd_edge.api.model import Model
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.images.camera_frames import camera_frame

pytest.importorskip("onnxruntime")


@pytest.fixture
def model(here: Path) -> Iterator[Model]:
    with weckd_edge.load("ear-bundle").open("onnxruntime") as opened:
        yield opened


def frame(level: int, seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 20, (24, 32, 3))
    return (level + noise).astype(np.uint8)


def test_a_frame_is_an_array_of_any_order_or_describes_itself(model: Model) -> None:
    values = values_of("nv12", 24, 32)
    by_array = model.exam().add(values, colour="nv12", matrix="bt709_full", time_ns=5)
    by_itself = model.exam().add(camera_frame(values, colour="nv12", matrix="bt709_full"), time_ns=5)
    assert by_array == by_itself
    assert (by_array.use, by_array.time_ns) == ("counted", 5)


def test_frames_end_in_one_decision_by_the_bundle_s_rule(model: Model) -> None:
    exam = model.exam()
    assert [exam.add(frame(90)).use for _ in range(2)] == ["counted", "repeated"]
    assert not exam.has_seen_enough
    for number in range(1, 40):
        exam.add(frame(5 * number, number))
    found = exam.decide(dropped=2)
    assert isinstance(found, weckd_edge.ExamDecision)
    assert exam.has_seen_enough
    assert found.has_seen_enough
    assert (found.seen, found.dropped) == (found.counted + found.repeated, 2)
    assert 2 < found.seen < 41
    assert list(found.probabilities) == list(model.labels)
    assert found.decision in model.labels


def test_two_examinations_of_one_model_know_nothing_of_each_other(model: Model) -> None:
    one, other = model.exam(), model.exam()
    one.add(frame(10))
    assert (one.decide().counted, other.decide().counted) == (1, 0)
    assert other.add(frame(10)).use == "counted"


def test_a_frame_that_does_not_fit_leaves_the_examination_as_it_was(model: Model) -> None:
    exam = model.exam()
    exam.add(frame(10))
    before = exam.decide()
    with raises(ModelError, "E_MODEL_FRAME_GEOMETRY"):
        exam.add(np.zeros((2, 2, 3), np.uint8))
    assert exam.decide() == before


def test_a_closed_model_takes_no_frame_and_its_examination_still_decides(here: Path) -> None:
    with weckd_edge.load("ear-bundle").open("onnxruntime") as model:
        exam = model.exam()
        exam.add(frame(10))
    with raises(ModelError, "E_MODEL_CLOSED"):
        exam.add(frame(20))
    with raises(ModelError, "E_MODEL_CLOSED"):
        model.exam()
    assert exam.decide().counted == 1


def test_threads_may_add_to_one_examination(model: Model) -> None:
    exam = model.exam()
    with ThreadPoolExecutor(4) as pool:
        uses = [found.use for found in pool.map(lambda number: exam.add(frame(5 * number, number)), range(24))]
    found = exam.decide()
    assert found.counted == uses.count("counted") > 1
    assert found.seen + uses.count("not_needed") == 24
