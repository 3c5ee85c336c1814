"""Gates of examinations: how many of them are decided rightly, in all and for the class that is recognised worst."""

from __future__ import annotations

from collections.abc import Sequence

from weckd_edge.artifacts import ExamEvidence, Gate, Metric, Verdict
from weckd_edge.config import GateConfig

_ROUNDING = 1e-9


def evaluate_exams(limits: GateConfig, exams: ExamEvidence | None, labels: Sequence[str]) -> tuple[Gate, ...]:
    """Judge the limits for examinations that are set; with too few for an interval, a gate stays open.

    Args:
        limits: The limits that hold.
        exams: What the rule of examinations brings on the test split; None where it was not measured.
        labels: Class names.
    """
    gates = []
    if limits.min_exam_accuracy is not None:
        found = None if exams is None else exams.accuracy
        gates.append(_judge("min_exam_accuracy", limits.min_exam_accuracy, found, "test examinations"))
    if limits.min_exam_recall is not None:
        gates.append(_recall(limits.min_exam_recall, () if exams is None else exams.recall, labels))
    return tuple(gates)


def _recall(limit: float, recall: Sequence[Metric | None], labels: Sequence[str]) -> Gate:
    """Judge the class that is recognised worst; a class with too few examinations leaves the gate open."""
    name = "min_exam_recall"
    known = [(metric.value, at) for at, metric in enumerate(recall) if metric is not None and metric.low is not None]
    under = [at for value, at in known if value < limit - _ROUNDING]
    few = [labels[at] for at, metric in enumerate(recall) if metric is None or metric.low is None]
    if not known:
        return Gate(name=name, limit=limit, value=None, verdict="INCONCLUSIVE", reason=_too_few(few))
    _, worst = min(known)
    gate = _judge(name, limit, recall[worst], f"test examinations of {labels[worst]}")
    if under or not few:
        return gate
    return Gate(
        name=name, limit=limit, value=gate.value, verdict="INCONCLUSIVE", reason=f"{gate.reason}, but {_too_few(few)}"
    )


def _too_few(labels: Sequence[str]) -> str:
    return f"there are too few test examinations of {', '.join(labels)}" if labels else "there is no test examination"


def _judge(name: str, limit: float, metric: Metric | None, what: str) -> Gate:
    if metric is None:
        return Gate(name=name, limit=limit, value=None, verdict="INCONCLUSIVE", reason=f"there are no {what}")
    finding = f"{metric.value:.1%} of {metric.images} {what}"
    if metric.low is None or metric.high is None:
        reason = f"{finding}: too few for an interval; add examinations"
        return Gate(name=name, limit=limit, value=metric.value, verdict="INCONCLUSIVE", reason=reason)
    finding += f" (95 % interval {metric.low:.1%} to {metric.high:.1%})"
    open_ = "; the interval spans the limit" if metric.low < limit < metric.high else ""
    verdict: Verdict = "PASS" if metric.value >= limit - _ROUNDING else "FAIL"
    how = f"reaches {limit:.1%}" if verdict == "PASS" else f"is {limit - metric.value:.1%} under {limit:.1%}"
    return Gate(name=name, limit=limit, value=metric.value, verdict=verdict, reason=f"{finding} {how}{open_}")
