"""The rule of an examination in a manifest is within its limits, and needs no guard that is not there."""

from dataclasses import replace
from typing import Any

import pytest

from support.errors import raises
from weckd_edge.artifacts import ExamRule, FrameWeights
from weckd_edge.bundle.exam_rules import check_exam_rule
from weckd_edge.core.errors import BundleError

WEIGHTS = FrameWeights(sharpness_edges=(1.0, 2.0), confidence_edges=(0.5,), table=((0, 1), (1, 2), (2, 255)))


def weights(**changes: Any) -> ExamRule:
    return ExamRule(weights=replace(WEIGHTS, **changes))


@pytest.mark.parametrize(
    "rule",
    [
        ExamRule(),
        ExamRule(weights=WEIGHTS, top_k=32, duplicate_distance=0.0, stop_lead=0, confidence_threshold=1.0, scale=1000.0),
        ExamRule(min_frames=65535, max_frames=65535, stop_lead=65535 * 255 * (16 << 16), duplicate_distance=1e30),
        weights(sharpness_edges=(), table=((0, 1),)),
        weights(confidence_edges=tuple(number / 8 for number in range(7)), table=((0, 1, 2, 3, 4, 5, 6, 7),) * 3),
    ],
)
def test_a_rule_within_the_limits_is_taken(rule: ExamRule) -> None:
    check_exam_rule(rule, has_guard=True)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (ExamRule(top_k=33), "top_k of 0 to 32"),
        (ExamRule(top_k=-1), "top_k"),
        (ExamRule(max_frames=0), "max_frames"),
        (ExamRule(max_frames=65536), "max_frames of 1 to 65535"),
        (ExamRule(min_frames=0), "min_frames"),
        (ExamRule(min_frames=8, max_frames=7), "min_frames of 1 to 7"),
        (ExamRule(confidence_threshold=1.1), "confidence_threshold"),
        (ExamRule(confidence_threshold=float("nan")), "confidence_threshold"),
        (ExamRule(scale=0.0), "scale over 0"),
        (ExamRule(scale=1001.0), "scale"),
        (ExamRule(scale=float("nan")), "scale"),
        (ExamRule(duplicate_distance=-1.0), "duplicate_distance"),
        (ExamRule(duplicate_distance=2e30), "duplicate_distance"),
        (ExamRule(stop_lead=-1), "stop_lead"),
        (ExamRule(stop_lead=1 << 60), "stop_lead"),
        (weights(sharpness_edges=(1.0, 1.0)), "sharpness_edges"),
        (weights(confidence_edges=tuple(range(8)), table=((1,) * 9,) * 3), "confidence_edges of at most 7"),
        (weights(table=((1, 1), (1, 1))), "3 rows of 2"),
        (weights(table=((1, 1), (1, 1), (1,))), "3 rows of 2"),
        (weights(table=((1, 1), (1, 1), (1, 256))), "weights of 0 to 255"),
        (weights(table=((1, 1), (1, 1), (1, -1))), "weights of 0 to 255"),
        (weights(table=((0, 0),) * 3), "over 0"),
    ],
)
def test_a_rule_beyond_a_limit_is_refused(rule: ExamRule, says: str) -> None:
    with raises(BundleError, "E_BUNDLE_EXAM", says=says):
        check_exam_rule(rule, has_guard=True)


@pytest.mark.parametrize(
    "rule",
    [ExamRule(top_k=1), ExamRule(duplicate_distance=0.0), ExamRule(weights=WEIGHTS)],
    ids=["rank", "repeated", "weight"],
)
def test_what_only_a_guard_measures_needs_one(rule: ExamRule) -> None:
    check_exam_rule(rule, has_guard=True)
    with raises(BundleError, "E_BUNDLE_EXAM", says="guard"):
        check_exam_rule(rule, has_guard=False)


def test_confidence_alone_needs_no_guard() -> None:
    check_exam_rule(ExamRule(top_k=2, rank="confidence"), has_guard=False)
    check_exam_rule(weights(sharpness_edges=(), table=((1, 2),)), has_guard=False)
