"""Limits on examinations: in all, and for the class that is recognised worst; too few leave a gate open."""

from __future__ import annotations

from support import factories
from weckd_edge.artifacts import ExamEvidence, Gate, Metric
from weckd_edge.config import GateConfig
from weckd_edge.devices.gates.exams import evaluate_exams
from weckd_edge.metrics.intervals import wilson

LABELS = ("effusion", "normal")


def figure(value: float, exams: int = 100) -> Metric:
    low, high = wilson(value * exams, exams)
    return Metric(value=value, low=low, high=high, images=exams, groups=exams)


FEW = Metric(value=1.0, low=None, high=None, images=3, groups=3)


def evidence(accuracy: Metric | None = None, recall: tuple[Metric | None, ...] = (None, None)) -> ExamEvidence:
    return ExamEvidence(
        choice=factories.exam_choice(),
        named=True,
        exams=0,
        left_out=0,
        without_frames=0,
        frame_accuracy=None,
        accuracy=accuracy,
        gain=None,
        recall=recall,
        curve=(),
        calibration=None,
        frame_calibration=None,
        decided=None,
        wrong=None,
        group_error=None,
        times=(),
        ended_early=None,
        frames_by_use={},
        refused_by_reason={},
        slices=(),
        outcomes=(),
        notes=(),
    )


def judged(limits: GateConfig, found: ExamEvidence | None) -> Gate:
    (gate,) = evaluate_exams(limits, found, LABELS)
    return gate


def test_no_limit_gives_no_gate() -> None:
    assert evaluate_exams(GateConfig(), evidence(figure(0.1)), LABELS) == ()


def test_accuracy_is_judged_by_its_value_and_the_reason_has_the_interval() -> None:
    limits = GateConfig(min_exam_accuracy=0.9)
    passed, failed = judged(limits, evidence(figure(0.95))), judged(limits, evidence(figure(0.8)))
    assert (passed.name, passed.verdict, passed.value) == ("min_exam_accuracy", "PASS", 0.95)
    assert "of 100 test examinations" in passed.reason
    assert "95 % interval" in passed.reason
    assert (failed.verdict, failed.value) == ("FAIL", 0.8)


def test_too_few_examinations_and_none_leave_the_gate_open() -> None:
    limits = GateConfig(min_exam_accuracy=0.9)
    assert judged(limits, evidence(FEW)).verdict == "INCONCLUSIVE"
    assert judged(limits, evidence()).verdict == judged(limits, None).verdict == "INCONCLUSIVE"


def test_recall_is_that_of_the_worst_class_and_a_class_with_too_few_leaves_it_open() -> None:
    limits = GateConfig(min_exam_recall=0.8)
    worst = judged(limits, evidence(recall=(figure(0.95), figure(0.7))))
    assert (worst.verdict, worst.value) == ("FAIL", 0.7)
    assert "normal" in worst.reason
    assert judged(limits, evidence(recall=(figure(0.95), figure(0.9)))).verdict == "PASS"
    open_ = judged(limits, evidence(recall=(figure(0.95), FEW)))
    assert open_.verdict == "INCONCLUSIVE"
    assert "too few test examinations of normal" in open_.reason
    assert judged(limits, evidence(recall=(figure(0.5), FEW))).verdict == "FAIL"
    assert judged(limits, None).verdict == "INCONCLUSIVE"
