"""An examination of recorded predictions takes the course that the runtime takes with the same frames."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from support.examinations import examination, seen_frame
from weckd_edge.artifacts import ExamRule, FrameQuality, OperatingPoint
from weckd_edge.devices.runtime.decision import FramePredictor
from weckd_edge.devices.runtime.exam import Exam
from weckd_edge.devices.runtime.front_end import Prepared
from weckd_edge.devices.runtime.input_guard import GuardDecision
from weckd_edge.train.exam_rule.course import follow
from weckd_edge.train.exam_rule.examinations import RecordedFrame

LABELS = ("normal", "effusion", "wax")
WAX = 2


@st.composite
def frames(draw: st.DrawFn) -> RecordedFrame:
    parts = [draw(st.integers(1, 9)) for _ in LABELS]
    values = tuple(float(value) for value in (np.array(parts) / sum(parts)).astype(np.float32))
    code = draw(st.sampled_from((None, None, None, "blurred")))
    if code is None and values.index(max(values)) == WAX:
        code = "non_gradeable_label"
    return seen_frame(
        values, code=code, sharpness=float(draw(st.integers(1, 9))), whitened=(float(draw(st.integers(0, 3))), 0.0)
    )


@st.composite
def rules(draw: st.DrawFn) -> ExamRule:
    return ExamRule(
        evidence=draw(st.sampled_from(("log_probability", "vote"))),
        top_k=draw(st.sampled_from((0, 2))),
        rank=draw(st.sampled_from(("sharpness", "confidence"))),
        scale=draw(st.sampled_from((0.5, 3.0))),
        duplicate_distance=draw(st.sampled_from((None, 0.0, 1.0))),
        min_frames=draw(st.integers(1, 3)),
        max_frames=draw(st.integers(3, 6)),
        stop_lead=draw(st.sampled_from((None, 1 << 16, 1 << 18))),
        confidence_threshold=draw(st.sampled_from((0.0, 0.5))),
    )


def runtime(shown: list[RecordedFrame]) -> FramePredictor:
    """A model whose guard and network say of the frames in turn what is written down."""
    at: list[RecordedFrame] = []

    def look(frame: Any) -> Prepared:
        at.append(shown[int(frame.reshape(-1)[0])])
        one = at[-1]
        code = None if one.code == "non_gradeable_label" else one.code
        quality = FrameQuality(sharpness=one.sharpness or 0.0, contrast=9.0, dark_fraction=0.0, bright_fraction=0.0)
        assert one.whitened is not None
        return Prepared(frame, GuardDecision(code=code, words=code, quality=quality, ood_score=0.0, whitened=one.whitened))

    def run(_: Any) -> Any:
        return np.array(at[-1].probabilities, np.float32)

    runner: Any = SimpleNamespace(front_end=SimpleNamespace(prepare=look), graph=SimpleNamespace(run=run))
    return FramePredictor(runner=runner, labels=LABELS, operating_point=OperatingPoint(non_gradeable_labels=("wax",)))


@settings(deadline=None)
@given(st.lists(frames(), min_size=1, max_size=9), rules())
def test_recorded_frames_take_the_course_of_the_runtime(shown: list[RecordedFrame], rule: ExamRule) -> None:
    exam = Exam(runtime(shown), rule)
    uses = tuple(exam.add(np.full((1, 1, 1, 3), at, np.uint8)).use for at in range(len(shown)))
    decided = exam.decide()
    course = follow(rule, examination("e", 0, *shown))
    assert course.uses == uses
    assert course.probabilities == tuple(decided.probabilities.values())
    assert (None if course.best is None else LABELS[course.best]) == decided.label
    assert course.is_decided == (decided.code is None)
