"""Candidates are chosen by their times and sizes, and one that keeps the accuracy limits before any that breaks one."""

from __future__ import annotations

from dataclasses import replace

from weckd_edge.artifacts import QuantizationTrial
from weckd_edge.compile.quantize.candidates.choose import choose_candidate

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
