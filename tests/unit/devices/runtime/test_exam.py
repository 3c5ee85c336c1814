"""An examination: which frames count, what it decides, and what it tells of the others."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from weckd_edge.artifacts import ExamRule, FrameQuality, OperatingPoint
from weckd_edge.devices.runtime.decision import ABSTAIN, FramePredictor
from weckd_edge.devices.runtime.exam import Exam, ExamFrame
from weckd_edge.devices.runtime.front_end import Prepared
from weckd_edge.devices.runtime.input_guard import GuardDecision

LABELS = ("normal", "effusion", "wax")
NORMAL, EFFUSION, WAX = (0.8, 0.1, 0.1), (0.2, 0.7, 0.1), (0.1, 0.2, 0.7)
FRAME = np.zeros((1, 1, 1, 3), np.uint8)


@dataclass
class Script:
    """A model whose frames are written down: what the guard sees of each, and what the network says.

    Attributes:
        ran: Number of frames that the network ran for.
    """

    has_guard: bool = True
    ran: int = 0
    seen: list[tuple[Any, ...]] = field(default_factory=list)

    def predictor(self) -> FramePredictor:
        runner: Any = SimpleNamespace(front_end=SimpleNamespace(prepare=self._look), graph=SimpleNamespace(run=self._run))
        point = OperatingPoint(confidence_threshold=0.99, non_gradeable_labels=("wax",))
        return FramePredictor(runner=runner, labels=LABELS, operating_point=point)

    def _look(self, _: Any) -> Prepared:
        code, at, sharpness, _probabilities = self.seen[-1]
        if not self.has_guard:
            return Prepared(FRAME, None)
        quality = FrameQuality(sharpness=sharpness, contrast=9.0, dark_fraction=0.0, bright_fraction=0.0)
        return Prepared(
            FRAME, GuardDecision(code=code, words=code, quality=quality, ood_score=at * at, whitened=np.array([at, 0.0]))
        )

    def _run(self, _: Any) -> Any:
        self.ran += 1
        return np.array(self.seen[-1][3], np.float32)


class Shown:
    """An examination of such a model."""

    def __init__(self, rule: ExamRule, *, has_guard: bool = True) -> None:
        self.script = Script(has_guard=has_guard)
        self.exam = Exam(self.script.predictor(), rule)
        self.frames: list[ExamFrame] = []

    def add(self, probabilities: Any, *, at: float = 0.0, code: str | None = None, sharpness: float = 5.0) -> ExamFrame:
        self.script.seen.append((code, at, sharpness, probabilities))
        self.frames.append(self.exam.add(FRAME, time_ns=len(self.frames)))
        return self.frames[-1]


def test_frames_that_count_become_one_decision_whatever_a_single_frame_would_need() -> None:
    shown = Shown(ExamRule(confidence_threshold=0.6))
    for probabilities in (NORMAL, EFFUSION, NORMAL):
        frame = shown.add(probabilities)
        assert (frame.use, frame.code, frame.reason) == ("counted", None, None)
    assert [frame.label for frame in shown.frames] == ["normal", "effusion", "normal"]
    assert [frame.time_ns for frame in shown.frames] == [0, 1, 2]
    found = shown.exam.decide(dropped=4)
    assert (found.decision, found.label, found.code, found.reason) == ("normal", "normal", None, None)
    assert list(found.probabilities) == list(LABELS)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert (found.seen, found.counted, found.repeated, found.refused, found.dropped) == (3, 3, 0, {}, 4)
    assert not found.has_seen_enough


def test_a_frame_that_the_guard_refuses_is_no_evidence_and_the_network_does_not_run() -> None:
    shown = Shown(ExamRule())
    frame = shown.add(NORMAL, code="blurred", at=3.0)
    assert (frame.use, frame.code, frame.label, frame.probabilities, frame.ood_score) == (
        "refused",
        "blurred",
        None,
        {},
        9.0,
    )
    assert frame.quality is not None
    assert shown.script.ran == 0
    found = shown.exam.decide()
    assert (found.decision, found.code, found.label, found.probabilities) == (ABSTAIN, "too_few_frames", None, {})
    assert "0 of 1" in str(found.reason)
    assert "blurred" in str(found.reason)
    assert found.refused == {"blurred": 1}


def test_a_frame_whose_label_is_non_gradeable_or_that_gives_no_number_is_no_evidence() -> None:
    shown = Shown(ExamRule())
    assert [shown.add(WAX).code, shown.add((float("nan"), 0.5, 0.5)).code] == ["non_gradeable_label", "not_a_number"]
    assert [frame.use for frame in shown.frames] == ["refused", "refused"]
    assert shown.frames[0].label == "wax"
    shown.add(EFFUSION)
    found = shown.exam.decide()
    assert (found.decision, found.counted, found.seen) == ("effusion", 1, 3)
    assert found.refused == {"non_gradeable_label": 1, "not_a_number": 1}


def test_a_frame_like_the_last_counted_one_counts_once_and_the_network_does_not_run() -> None:
    shown = Shown(ExamRule(duplicate_distance=1.0))
    uses = [shown.add(NORMAL, at=at).use for at in (0.0, 1.0, 1.5, 0.4, 2.5, 9.0)]
    assert uses == ["counted", "repeated", "counted", "counted", "counted", "counted"]
    assert shown.script.ran == 5
    assert shown.exam.decide().repeated == 1


def test_a_refused_frame_between_two_equal_ones_does_not_make_them_two() -> None:
    shown = Shown(ExamRule(duplicate_distance=0.0))
    shown.add(NORMAL, at=1.0)
    shown.add(NORMAL, at=7.0, code="too_dark")
    shown.add(WAX, at=8.0)
    assert shown.add(NORMAL, at=1.0).use == "repeated"


def test_without_a_distance_every_frame_counts() -> None:
    shown = Shown(ExamRule())
    assert [shown.add(NORMAL, at=1.0).use for _ in range(3)] == ["counted"] * 3


def test_a_bundle_without_a_guard_decides_too() -> None:
    shown = Shown(ExamRule(), has_guard=False)
    frame = shown.add(NORMAL)
    assert (frame.use, frame.quality, frame.ood_score) == ("counted", None, None)
    assert shown.exam.decide().decision == "normal"


def test_too_few_frames_and_too_low_a_probability_give_no_decision_and_the_probabilities_so_far() -> None:
    few, unsure = Shown(ExamRule(min_frames=2)), Shown(ExamRule(confidence_threshold=0.9))
    few.add(NORMAL)
    unsure.add(NORMAL)
    for shown, code, says in ((few, "too_few_frames", "1 of 1"), (unsure, "low_probability", "normal")):
        found = shown.exam.decide()
        assert (found.decision, found.label, found.code) == (ABSTAIN, "normal", code)
        assert says in str(found.reason)
        assert found.probabilities["normal"] == pytest.approx(0.8, abs=1e-4)


def test_once_it_has_seen_enough_no_frame_is_looked_at() -> None:
    shown = Shown(ExamRule(max_frames=2))
    shown.add(NORMAL)
    assert not shown.exam.has_seen_enough
    shown.add(NORMAL)
    assert shown.exam.has_seen_enough
    before = shown.exam.decide()
    assert shown.add(EFFUSION).use == "not_needed"
    assert shown.exam.add_unreadable("cut off").use == "not_needed"
    assert shown.script.ran == 2
    assert shown.exam.decide() == before
    assert (before.decision, before.has_seen_enough, before.seen) == ("normal", True, 2)


def test_a_frame_that_cannot_be_read_is_counted_among_the_refused_ones() -> None:
    shown = Shown(ExamRule())
    frame = shown.exam.add_unreadable("frame 3: cut off", time_ns=7)
    assert (frame.use, frame.code, frame.reason, frame.time_ns) == ("refused", "unreadable", "frame 3: cut off", 7)
    assert shown.exam.decide().refused == {"unreadable": 1}


def test_the_sharpest_frames_decide_where_the_rule_says_so() -> None:
    shown = Shown(ExamRule(top_k=1))
    shown.add(EFFUSION, sharpness=3.0)
    shown.add(NORMAL, sharpness=8.0)
    shown.add(EFFUSION, sharpness=5.0)
    assert shown.exam.decide().decision == "normal"


def test_two_results_that_differ_in_their_latency_alone_are_equal() -> None:
    frame = Shown(ExamRule()).add(NORMAL)
    assert frame == replace(frame, latency_ns=frame.latency_ns + 1)
