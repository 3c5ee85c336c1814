"""What the rule of examinations brings on test examinations, beside single frames."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from support import factories
from support.examinations import drawn_exams, examination, seen_frame
from weckd_edge.artifacts import ExamEvidence, ExamRule
from weckd_edge.core.errors import BundleError
from weckd_edge.core.serialization import from_json, to_json
from weckd_edge.metrics.slices import SliceCut
from weckd_edge.train.exam_rule.examinations import Examination, Examinations
from weckd_edge.train.exam_rule.measure import measure_exams

pytest.importorskip("scipy")

LABELS = ("normal", "effusion", "wax")


def measured(
    exams: Sequence[Examination], rule: ExamRule | None = None, *, cuts: Sequence[SliceCut] = (), named: int | None = 1
) -> ExamEvidence:
    choice = factories.exam_choice(rule=rule or ExamRule())
    index = factories.index([factories.image(exam="e")], LABELS, named_groups=named)
    return measure_exams(Examinations(exams=tuple(exams), left_out=0), choice, index, cuts, seed=0)


def test_examinations_are_decided_better_than_their_frames_where_frames_err_by_themselves() -> None:
    found = measured(drawn_exams(300))
    assert found.accuracy is not None
    assert found.frame_accuracy is not None
    assert found.gain is not None
    assert found.gain.low > 0
    assert found.gain.value == pytest.approx(found.accuracy.value - found.frame_accuracy.value)
    assert found.accuracy.images == found.frame_accuracy.images == 300
    assert all(one is not None for one in found.recall)


def test_more_frames_buy_accuracy_and_one_frame_is_a_frame() -> None:
    found = measured(drawn_exams(300))
    assert [point.frames for point in found.curve] == [1, 2, 3, 5, 10, None]
    first, last = found.curve[0], found.curve[-1]
    assert first.accuracy.value < last.accuracy.value
    assert found.accuracy is not None
    assert last.accuracy.value == found.accuracy.value
    assert found.frame_accuracy is not None
    assert first.accuracy.value == pytest.approx(found.frame_accuracy.value, abs=0.03)


def test_an_examination_of_one_frame_is_a_frame() -> None:
    found = measured(drawn_exams(40, most=1))
    assert found.accuracy is not None
    assert found.frame_accuracy is not None
    assert found.gain is not None
    assert found.accuracy.value == found.frame_accuracy.value
    assert found.gain.value == 0
    assert len(found.curve) == 1
    assert any("single frame" in note for note in found.notes)


def test_too_few_examinations_have_no_interval_and_the_record_says_so() -> None:
    found = measured(drawn_exams(6))
    assert found.accuracy is not None
    assert found.accuracy.low is None
    assert found.gain is None
    assert any("too few test examinations for an interval: 6 in 6 groups" in note for note in found.notes)


def test_without_an_examination_there_are_no_figures() -> None:
    found = measured([])
    assert (found.exams, found.accuracy, found.gain, found.decided, found.curve) == (0, None, None, None, ())
    assert from_json(ExamEvidence, to_json(found), where="exams.json", error=BundleError) == found


def test_frames_are_counted_by_what_became_of_them() -> None:
    exam = examination(
        "e",
        0,
        seen_frame(code="too_dark"),
        seen_frame(whitened=(0.0,)),
        seen_frame(whitened=(0.1,)),
        seen_frame(whitened=(9.0,)),
        seen_frame(whitened=(99.0,)),
    )
    found = measured([exam], ExamRule(duplicate_distance=1.0, max_frames=2))
    assert found.frames_by_use == {"counted": 2, "repeated": 1, "refused": 1, "not_needed": 1}
    assert found.refused_by_reason == {"too_dark": 1}
    assert (found.outcomes[0].uses, found.outcomes[0].seen_enough) == ("xcrc-", True)


def test_a_decision_about_an_ear_that_cannot_be_graded_is_wrong_and_no_decision_is_not() -> None:
    exams = [
        examination("plug", None, seen_frame((0.9, 0.1, 0.0))),
        examination("dark", 0, seen_frame(code="too_dark")),
        examination("fine", 0, seen_frame((0.9, 0.1, 0.0))),
    ]
    found = measured(exams)
    assert found.decided is not None
    assert found.decided.value == pytest.approx(2 / 3)
    assert found.wrong is not None
    assert found.wrong.value == 0.5
    assert found.group_error == 0.5
    assert found.accuracy is not None
    assert (found.accuracy.images, found.accuracy.value) == (1, 1.0)
    assert found.without_frames == 1


def test_decisions_are_counted_by_the_time_at_which_they_are_there() -> None:
    """One ends after three counted frames at one second, one is over at half a second, one goes on to seven."""
    exams = [
        examination("a", 0, *(seen_frame((0.9, 0.1), time_s=0.5 * n) for n in range(9))),
        examination("b", 0, *(seen_frame((0.1, 0.9), time_s=10 + 0.5 * n) for n in range(2))),
        examination("c", 0, *(seen_frame((0.9, 0.1), time_s=3.5 * n) for n in range(3))),
    ]
    found = measured(exams, ExamRule(max_frames=3))
    decided = {point.seconds: point.decided.value for point in found.times}
    assert decided == {1.0: pytest.approx(2 / 3), 2.0: pytest.approx(2 / 3), 5.0: pytest.approx(2 / 3)}
    assert found.times[0].wrong is not None
    assert found.times[0].wrong.value == 0.5
    assert measured([examination("a", 0, seen_frame(), seen_frame())]).times == ()


def test_slices_take_the_examination_by_its_first_frame() -> None:
    exams = drawn_exams(30)
    cut = SliceCut(column="site", value="A", paths=frozenset(exam.frames[0].path for exam in exams[:12]))
    (found,) = measured(exams, cuts=(cut,)).slices
    assert (found.column, found.value, found.accuracy.images) == ("site", "A", 12)


def test_clusters_that_stand_for_examinations_are_called_clusters() -> None:
    found = measured(drawn_exams(30), named=0)
    assert not found.named
    assert any("clusters of near-identical frames" in note and "not patients" in note for note in found.notes)
