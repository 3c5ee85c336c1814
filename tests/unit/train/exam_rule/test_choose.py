"""The rule of examinations is chosen on validation examinations: the plainest way unless another is better beyond chance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from support.examinations import drawn_exams, examination, seen_frame
from weckd_edge.artifacts import ExamChoice
from weckd_edge.config import ExamConfig
from weckd_edge.metrics.calibration import calibration_metrics
from weckd_edge.train.exam_rule.choose import choose_rule, count_exams
from weckd_edge.train.exam_rule.course import follow
from weckd_edge.train.exam_rule.examinations import Examination, RecordedFrame
from weckd_edge.train.exam_rule.joining import probabilities_of

pytest.importorskip("scipy")

EVERY_FRAME = ExamConfig(max_repeat_share=0.0)


def chosen(exams: list[Examination], config: ExamConfig = EVERY_FRAME, *, has_guard: bool = True) -> ExamChoice:
    return choose_rule(exams, config, 0, has_guard=has_guard)


def test_with_twenty_examinations_the_plainest_way_is_kept_and_the_record_says_why() -> None:
    found = chosen(drawn_exams(20, blurred_noise=4.0))
    assert found.name == "mean of logits"
    assert found.rule.evidence == "log_probability"
    assert found.rule.top_k == 0
    assert found.rule.weights is None
    assert len(found.candidates) > 1
    assert found.groups == 20
    assert "no other is better by more than chance" in found.notes[0]


def test_with_fewer_than_ten_groups_nothing_is_compared() -> None:
    found = chosen(drawn_exams(8))
    assert (found.name, found.candidates, found.rule.scale) == ("mean of logits", (), 1.0)
    assert "10 groups" in found.notes[0]
    assert "there are 8" in found.notes[0]


def test_where_blurred_frames_mislead_many_examinations_find_a_way_that_heeds_sharpness() -> None:
    found = chosen(drawn_exams(400, blurred_noise=4.0))
    assert found.name != "mean of logits"
    first, best = found.candidates[0], next(one for one in found.candidates if one.name == found.name)
    assert best.gain is not None
    assert best.gain.low > 0
    assert best.brier < first.brier
    assert best.right >= first.right
    if found.rule.weights is not None:
        table = np.array(found.rule.weights.table)
        assert table[-1].mean() > table[0].mean()
        assert table.max() == 255


def test_where_all_frames_are_alike_nothing_beats_the_mean() -> None:
    assert chosen(drawn_exams(300)).name == "mean of logits"


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (ExamConfig(method="vote"), "vote"),
        (ExamConfig(method="top_k", top_k=(3,), rank="confidence"), "mean of the logits of the 3 most confident frames"),
        (ExamConfig(method="weights"), "weights learned from sharpness and confidence"),
        (ExamConfig(method="mean"), "mean of logits"),
    ],
)
def test_a_method_that_is_named_is_taken(config: ExamConfig, name: str) -> None:
    assert chosen(drawn_exams(40), config).name == name


def test_without_a_guard_no_rule_needs_one() -> None:
    rule = chosen(drawn_exams(60), ExamConfig(method="weights", max_repeat_share=0.0), has_guard=False).rule
    assert rule.weights is not None
    assert rule.weights.sharpness_edges == ()
    found = chosen(drawn_exams(60), ExamConfig(method="top_k", max_repeat_share=0.0), has_guard=False)
    assert found.rule.rank == "confidence"
    asked = ExamConfig(method="top_k", rank="sharpness", max_repeat_share=0.0)
    found = chosen(drawn_exams(60), asked, has_guard=False)
    assert found.rule.top_k == 0
    assert "without an input guard" in found.notes[0]


def test_probabilities_of_examinations_are_calibrated_where_frames_are_too_sure() -> None:
    exams = drawn_exams(300, overconfident=10.0)
    found = chosen(exams, dataclasses.replace(EVERY_FRAME, method="mean"))
    assert found.rule.scale < 0.8
    counted = count_exams(drawn_exams(300, seed=1, overconfident=10.0), None)
    labels, groups = np.array([exam.label for exam in counted]), [exam.group for exam in counted]
    errors = [
        calibration_metrics(probabilities_of(rule, counted), labels, groups).nll.value
        for rule in (dataclasses.replace(found.rule, scale=1.0), found.rule)
    ]
    assert errors[1] < errors[0]


def test_a_threshold_keeps_the_risk_that_is_asked_for_or_none_is_found() -> None:
    found = chosen(drawn_exams(300), dataclasses.replace(EVERY_FRAME, max_group_error=0.2))
    assert found.threshold is not None
    assert found.threshold.confidence_threshold is not None
    assert found.rule.confidence_threshold == found.threshold.confidence_threshold
    assert found.threshold.val_group_error <= 0.2
    assert found.threshold.val_groups == 300
    few = chosen(drawn_exams(10), dataclasses.replace(EVERY_FRAME, max_group_error=0.05))
    assert few.threshold is not None
    assert few.threshold.confidence_threshold is None
    assert few.rule.confidence_threshold == 0.0
    assert few.threshold.more_groups


@pytest.mark.parametrize(("method", "most"), [("vote", 30), ("vote", 40), ("mean", 30)])
def test_a_threshold_is_tested_on_the_decisions_that_the_rule_makes_with_it(method: str, most: int) -> None:
    """The first frames settle the best label here, and later ones still lower its probability."""
    good, bad = (0.9, 0.1), (0.1, 0.9)

    def frames(right: int, then: tuple[float, float]) -> list[RecordedFrame]:
        return [seen_frame(good if at < right else then, path=f"{at:03}") for at in range(30)]

    exams = [examination(f"sure {n}", 0, *frames(30, good)) for n in range(160)]
    exams += [examination(f"wrong {n}", 1, *frames(18, bad)) for n in range(20)]
    exams += [examination(f"turns {n}", 0, *frames(3, bad)) for n in range(20)]
    config = ExamConfig(method=method, max_frames=most, max_group_error=0.1, max_repeat_share=0, stop_early=False)  # type: ignore[arg-type]
    found = chosen(exams, config, has_guard=False)
    threshold = found.threshold
    assert threshold is not None
    assert threshold.confidence_threshold is not None
    decided = [(exam, course) for exam in exams if (course := follow(found.rule, exam)).is_decided]
    assert len({exam.group for exam, _ in decided}) == threshold.decided_groups
    wrong = sum(course.best != exam.label for exam, course in decided)
    assert wrong / len(decided) == pytest.approx(threshold.val_group_error)
    assert threshold.val_group_error <= 0.1


@pytest.mark.parametrize("threshold", [None, 0.8])
def test_the_scale_is_fitted_on_the_frames_that_the_finished_rule_sees(threshold: float | None) -> None:
    """Three of five frames settle a vote; with a threshold of 0.8 the other two still count."""
    good, bad = (0.9, 0.1), (0.1, 0.9)
    exams = [
        examination(f"{n}", int(n % 4 == 0), *(seen_frame(good if at < 3 else bad, path=f"{at}") for at in range(5)))
        for n in range(200)
    ]
    config = ExamConfig(method="vote", max_frames=5, threshold=threshold, max_repeat_share=0, stop_early=False)
    found = chosen(exams, config, has_guard=False)
    course = follow(found.rule, exams[0])
    assert course.uses.count("counted") == (3 if threshold is None else 5)
    assert course.probabilities[0] == pytest.approx(0.75, abs=0.02)


def test_an_examination_ends_early_only_where_nearly_every_decision_stays() -> None:
    exams = drawn_exams(300, most=30)
    found = chosen(exams)
    assert found.rule.stop_lead is not None
    full = dataclasses.replace(found.rule, stop_lead=None)
    several = [exam for exam in exams if len(exam.frames) > 1]
    pairs = [(follow(full, exam), follow(found.rule, exam)) for exam in several]
    assert np.mean([a.best == b.best for a, b in pairs]) >= 0.99
    assert sum("not_needed" in early.uses for _, early in pairs) > len(pairs) / 10


def test_too_few_examinations_give_no_early_end() -> None:
    found = chosen(drawn_exams(60))
    assert found.rule.stop_lead is None
    assert any("takes 100 groups" in note for note in found.notes)
    assert chosen(drawn_exams(300), dataclasses.replace(EVERY_FRAME, stop_early=False)).rule.stop_lead is None


def still(number: int) -> Examination:
    """An examination that is held still: five frames that hardly differ, and one of another view."""
    draw = np.random.default_rng(number)
    view = draw.normal(0, 3, 8)
    frames = [seen_frame((0.8, 0.2), whitened=tuple(view + draw.normal(0, 0.01, 8))) for _ in range(5)]
    return examination(f"e{number}", 0, *frames, seen_frame((0.7, 0.3), whitened=tuple(view + 9)))


def test_near_identical_frames_count_once_and_frames_of_other_groups_are_almost_never_as_close() -> None:
    exams = [still(number) for number in range(40)]
    found = chosen(exams, ExamConfig())
    distance = found.rule.duplicate_distance
    assert distance is not None
    assert follow(found.rule, exams[0]).uses[1:5] == ("repeated",) * 4
    first = [(exam.group, exam.frames[0].whitened) for exam in exams]
    apart = [float(((a - b) ** 2).sum()) for at, (_, a) in enumerate(first) for _, b in first[at + 1 :]]  # type: ignore[operator]
    assert np.mean(np.array(apart) <= distance) <= 0.01


def test_a_repeat_that_would_change_decisions_counts() -> None:
    """Frames that the guard cannot tell apart, and of which only the later ones are right."""
    exams = [
        examination(
            f"e{number}",
            0,
            *(
                seen_frame(values, whitened=tuple(np.random.default_rng(number).normal(0, 3, 8)))
                for values in ((0.4, 0.6), (0.9, 0.1), (0.9, 0.1))
            ),
        )
        for number in range(40)
    ]
    found = chosen(exams, ExamConfig())
    assert found.rule.duplicate_distance is None
    assert any("too many decisions" in note for note in found.notes)


def test_a_split_without_images_gives_the_plain_rule() -> None:
    found = chosen([], ExamConfig(max_group_error=0.1))
    assert (found.exams, found.name, found.rule.scale) == (0, "mean of logits", 1.0)
