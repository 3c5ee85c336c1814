"""Candidates are chosen by their times and sizes, and one that keeps the accuracy limits before any that breaks one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from weckd_edge.artifacts import QuantizationTrial
from weckd_edge.compile.quantize.candidates.choose import choose_candidate, score_candidate
from weckd_edge.config import QuantizeConfig

WHOLE = QuantizationTrial(
    name="int8 mse",
    precision="int8",
    method="mse",
    divergence=0.4,
    within_limits=False,
    note="loses 30 of 100",
    relative_time=0.5,
    bytes=100,
)
MIXED = replace(
    WHOLE,
    name="int8 mse, 2 layers in float",
    float_nodes=("a", "b"),
    divergence=0.01,
    within_limits=True,
    note="",
    relative_time=0.55,
    bytes=120,
)


def untimed(*trials: QuantizationTrial) -> list[QuantizationTrial]:
    return [replace(trial, relative_time=None) for trial in trials]


def test_a_faster_candidate_that_breaks_a_limit_comes_behind_one_that_keeps_them() -> None:
    assert choose_candidate([WHOLE, MIXED]).name == MIXED.name
    assert choose_candidate(untimed(WHOLE, MIXED)).name == MIXED.name


def test_where_every_candidate_breaks_a_limit_they_are_chosen_by_time() -> None:
    broken = replace(MIXED, within_limits=False)
    assert choose_candidate([broken, WHOLE]).name == WHOLE.name
    assert choose_candidate(untimed(broken, WHOLE)).name == WHOLE.name


def scored(lost: int, **limits: float) -> QuantizationTrial:
    """Score a candidate that loses so many of 30 images of one class, all of which FP32 recognises."""
    reference = np.tile(np.array([[0.9, 0.1]], np.float32), (30, 1))
    found = reference.copy()
    found[:lost] = found[:lost, ::-1]
    groups, loose = (
        [str(n) for n in range(30)],
        {"max_accuracy_drop": 1.0, "min_relative_accuracy": 0.0, "max_recall_drop": 1.0},
    )
    config = QuantizeConfig(**{**loose, **limits})  # type: ignore[arg-type]
    return score_candidate(WHOLE, found, reference, np.zeros(30, np.intp), ["a", "b"], groups, config)


@pytest.mark.parametrize(
    "limits",
    [
        {"min_relative_accuracy": 0.9},
        {"max_accuracy_drop": 0.1},
        {"max_accuracy_drop": 1 - 0.9},
        {"max_recall_drop": 1 - 0.9},
    ],
)
def test_a_tenth_of_thirty_images_is_three(limits: dict[str, float]) -> None:
    assert scored(3, **limits).within_limits
    assert not scored(4, **limits).within_limits
