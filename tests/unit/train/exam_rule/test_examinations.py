"""Frames become examinations: which belong together, in which order, with which label, and which of them count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import factories
from support.examinations import examination, seen_frame
from weckd_edge.artifacts import ExamRule, ImageRecord
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.video.image_files import in_order_of_time
from weckd_edge.train.exam_rule.course import follow
from weckd_edge.train.exam_rule.examinations import Examinations, gather, uses_of

NORMAL, EFFUSION, WAX = 0, 1, 2


def gathered(*records: ImageRecord, non_gradeable: tuple[int, ...] = (), **changed: Any) -> Examinations:
    frames = np.zeros((len(records), 4, 4, 3), np.uint8)
    predicted = np.tile(np.array([[0.5, 0.3, 0.2]], np.float32), (len(records), 1))
    for row, values in changed.items():
        predicted[int(row.removeprefix("row"))] = values
    return gather(SplitFrames(split="val", records=records, frames=frames), predicted, None, non_gradeable)


def record(path: str, exam: str | None = None, **changes: Any) -> ImageRecord:
    return factories.image(path, exam=exam, **{"group": "patient", **changes})


def test_frames_of_one_examination_belong_together_and_a_group_stands_where_none_is_named() -> None:
    found = gathered(record("a", "left"), record("b", "right"), record("c", "left"), record("d", group="other"))
    assert [(exam.name, len(exam.frames)) for exam in found.exams] == [("left", 2), ("other", 1), ("right", 1)]
    assert {exam.group for exam in found.exams} == {"patient", "other"}


def test_frames_follow_each_other_by_time_and_by_path_where_a_time_is_missing() -> None:
    timed = gathered(record("a", time_s=2.0), record("b", time_s=0.5), record("c", time_s=1.0))
    assert [frame.path for frame in timed.exams[0].frames] == ["b", "c", "a"]
    untimed = gathered(record("b", time_s=0.5), record("a", time_s=2.0), record("c"))
    assert [frame.path for frame in untimed.exams[0].frames] == ["a", "b", "c"]


@pytest.mark.parametrize("time_s", [None, 1.0])
def test_frames_without_times_follow_each_other_as_a_folder_of_frames_does(time_s: float | None) -> None:
    paths = ["v1/frame_10.png", "v1/frame_2.png", "v1/frame_1.png", "v1/cut.png", "v1/frame_02b.png"]
    found = gathered(*(record(path, time_s=time_s) for path in paths))
    frames = [frame.path for frame in found.exams[0].frames]
    assert frames == [str(file) for file in in_order_of_time(map(Path, paths))]
    assert [path for path in frames if "_1" in path or path.endswith("_2.png")] == [
        f"v1/frame_{number}.png" for number in (1, 2, 10)
    ]


def test_the_label_is_that_of_gradeable_frames_and_several_labels_leave_an_examination_out() -> None:
    found = gathered(
        record("a", "clean"),
        record("b", "clean", label=WAX),
        record("c", "plugged", label=WAX),
        record("d", "mixed", label=NORMAL),
        record("e", "mixed", label=EFFUSION),
        non_gradeable=(WAX,),
    )
    assert {exam.name: exam.label for exam in found.exams} == {"clean": NORMAL, "plugged": None}
    assert found.left_out == 1


def test_a_prediction_of_a_non_gradeable_class_or_without_a_number_is_no_evidence() -> None:
    found = gathered(
        record("a"), record("b"), record("c"), non_gradeable=(WAX,), row1=(0.1, 0.1, 0.8), row2=(np.nan, 0.5, 0.5)
    )
    codes = [frame.code for frame in found.exams[0].frames]
    assert codes == [None, "non_gradeable_label", "not_a_number"]


def test_a_frame_repeats_the_last_counted_one_not_the_last_one() -> None:
    frames = [
        seen_frame(whitened=(0.0,)),
        seen_frame(whitened=(0.9,)),
        seen_frame(whitened=(0.5,), code="blurred"),
        seen_frame(whitened=(1.8,)),
        seen_frame(whitened=(1.0,), code="non_gradeable_label"),
        seen_frame(whitened=(5.0,), code="non_gradeable_label"),
    ]
    assert uses_of(frames, 1.0) == ["counted", "repeated", "refused", "counted", "repeated", "refused"]
    assert uses_of(frames, None) == ["counted", "counted", "refused", "counted", "refused", "refused"]


def test_frames_after_enough_was_seen_are_not_needed_and_the_decision_has_a_time() -> None:
    frames = [seen_frame((0.9, 0.1), time_s=3.0 + 0.5 * n) for n in range(5)]
    course = follow(ExamRule(max_frames=3), examination("e", NORMAL, *frames))
    assert course.uses == ("counted", "counted", "counted", "not_needed", "not_needed")
    assert course.ended_s == pytest.approx(1.0)
    assert (course.best, course.is_decided, len(course.countable)) == (NORMAL, True, 5)


def test_an_examination_without_a_frame_that_counts_has_no_decision() -> None:
    course = follow(ExamRule(), examination("e", NORMAL, seen_frame(code="too_dark"), seen_frame(code="blurred")))
    assert (course.best, course.is_decided, course.probabilities) == (None, False, ())
    assert course.uses == ("refused", "refused")
