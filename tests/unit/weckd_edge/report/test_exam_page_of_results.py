"""From the outcomes of examinations to the tables of docs/results/examinations.md."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from support.programs.benchmark_scripts import load_script


@pytest.fixture(scope="module")
def page() -> ModuleType:
    return load_script("exam_page")


def outcome(group: int, *, right: bool, frames_right: int, accepted: int) -> dict[str, Any]:
    return {
        "group": f"g{group}",
        "label": 1,
        "best": 1 if right else 0,
        "frames_right": frames_right,
        "accepted": accepted,
    }


def test_the_page_holds_the_tables_of_the_results(page: ModuleType) -> None:
    text = page.PAGE.read_text(encoding="utf-8")
    assert page.with_tables(text, page.tables(), page.SCRIPT) == text


def test_an_examination_counts_once_however_many_frames_it_has(page: ModuleType) -> None:
    outcomes = [outcome(n, right=True, frames_right=1, accepted=2) for n in range(9)]
    outcomes.append(outcome(9, right=False, frames_right=0, accepted=40))
    found = page.figures(outcomes)
    assert found.exams == 10
    assert (found.frames.mean, found.right.mean) == pytest.approx((0.45, 0.9))
    assert found.gain.mean == pytest.approx(0.45)
    assert found.gain.low < 0.45 < found.gain.high


def test_examinations_of_one_frame_and_without_a_label_can_be_left_out(page: ModuleType) -> None:
    outcomes = [outcome(n, right=True, frames_right=1, accepted=1) for n in range(5)]
    outcomes += [outcome(n, right=True, frames_right=2, accepted=3) for n in range(5, 8)]
    outcomes.append({**outcome(9, right=True, frames_right=1, accepted=1), "label": None})
    assert page.figures(outcomes).exams == 8
    assert page.figures(outcomes, several=True).exams == 3
    assert page.figures(outcomes[:5], several=True) is None


def test_missing_folds_are_named(page: ModuleType) -> None:
    line = {"set": "toy", "folds": 5, "choice": {"name": "vote"}, "changed_settings": []}
    lines = [{**line, "fold": fold, "outcomes": [outcome(fold, right=True, frames_right=1, accepted=2)]} for fold in (1, 2)]
    rows = page.accuracy_table(lines)[2:]
    assert [row.split(" | ")[1] for row in rows] == ["2 of 5 folds"] * 2
