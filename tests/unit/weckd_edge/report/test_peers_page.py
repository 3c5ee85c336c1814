"""docs/results/peers.md is what its script makes of its results, and made-up results have tables and a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support.goldens import FOLDER
from support.programs.benchmark_scripts import load_script


@pytest.fixture(scope="module")
def table() -> ModuleType:
    return load_script("peers.table")


def line(peer: str, fold: int, right: float, latency_ms: float, **changes: Any) -> dict[str, Any]:
    """Return a line of made-up predictions, of which about a part is right."""
    random = np.random.default_rng(100 * fold + len(peer))
    truth = np.arange(40) % 2
    hit = random.random(40) < right
    sure = np.round(random.uniform(0.6, 0.95, 40), 3)
    predicted = np.where(hit, truth, 1 - truth)
    rows = [
        [float(p), round(1 - float(p), 3)] if k == 0 else [round(1 - float(p), 3), float(p)]
        for k, p in zip(predicted, sure, strict=True)
    ]
    built = {
        "deployed": "deployed", "network": ["deployed/model.xml"], "training_seconds": 290.0 + fold, "steps": 1000,
        "verification_seconds": 60.0 if peer == "weckd_edge" else None, "planning_seconds": 5.0, "seconds_before": 0.0,
        "notes": ["a remark"] if peer == "fastai" else [],
    }  # fmt: skip
    timed = {
        "p50_ms": latency_ms,
        "p90_ms": 1.25 * latency_ms,
        "frames": 200,
        "ours_p50_ms": 0.5 if peer != "weckd_edge" else None,
        "over_ours": latency_ms / 0.5 if peer != "weckd_edge" else None,
    }
    result = {
        "images": [f"{truth[at]}/{fold}-{at}.png" for at in range(40)], "deployed": rows,
        "trained": None if peer == "fastai" else rows, "latency": {"640x480": timed, "own size": timed},
        "deployed_bytes": 1_500_000, "network_bytes": 900_000, "resident_bytes": 120_000_000, "peak_bytes": 130_000_000,
        "seconds": 400.0, "built": built, "lines": 20, "versions": {"numpy": "2.0"}, "schema_version": 1,
    }  # fmt: skip
    return {
        "peer": peer, "set": "made_up", "fold": fold, "folds": 3, "labels": "57", "size": 96, "seconds": 300.0, "seed": 0,
        "classes": ["dark", "light"], "truth": truth.tolist(), "groups": [f"g{fold}-{at // 4}" for at in range(40)],
        "labels_trained": 20, "result": result, **changes,
    }  # fmt: skip


def failed(peer: str, fold: int, words: str) -> dict[str, Any]:
    whole = line(peer, fold, 0.5, 1.0)
    return {key: whole[key] for key in ("peer", "set", "fold", "folds", "labels", "size", "seconds", "seed")} | {
        "failed": words
    }


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    found = [line("weckd_edge", fold, 0.9, 0.5) for fold in (1, 2, 3)]
    found += [failed("by_hand", 2, "build ended with 1: out of memory")]
    found += [line("by_hand", fold, 0.95, 0.6) for fold in (1, 2, 3)]
    found += [line("fastai", 1, 0.7, 2.5), failed("fastai", 2, "predict ended with 1: no `model`")]
    found += [failed("olive", fold, "-m pip install ended with 1: no matching distribution") for fold in (1, 2, 3)]
    found += [
        line(name, fold, 0.6, 0.5) for name in ("weckd_edge_from_nothing", "ultralytics_classify") for fold in (1, 2, 3)
    ]
    return found


def test_the_page_holds_the_tables_of_the_results(table: ModuleType) -> None:
    page = table.PAGE.read_text(encoding="utf-8")
    assert table.with_tables(page, table.tables(table.lines_of("peers")), table.SCRIPT) == page


def test_the_table_and_the_picture_of_made_up_results(
    table: ModuleType, lines: list[dict[str, Any]], golden: Callable[[Path, str], None]
) -> None:
    found = table.tables(lines)["peers"]
    golden(FOLDER / "peers.md", "\n".join(found) + "\n")
    (contest,) = table.contests(lines)
    golden(FOLDER / "peers.svg", table.picture(table.points_of(contest), "made_up"))


def test_figures_are_those_of_the_predictions(table: ModuleType, lines: list[dict[str, Any]]) -> None:
    (contest,) = table.contests(lines)
    ours, theirs = contest.pieces["weckd_edge"], contest.pieces["by_hand"]
    mine, its = (np.concatenate([found[fold].right for fold in (1, 2, 3)]) for found in (ours, theirs))
    assert table.accuracy(theirs).mean == pytest.approx(its.mean())
    difference = table.over(theirs, ours)
    assert difference.mean == pytest.approx(its.mean() - mine.mean())
    assert difference.low < difference.mean < difference.high
    truth = np.concatenate([theirs[fold].truth for fold in (1, 2, 3)])
    assert table.lowest_recall(list(theirs.values())) == pytest.approx(min(its[truth == k].mean() for k in (0, 1)))
    assert table.latency_ratio(list(theirs.values())) == pytest.approx(1.2)
    assert table.lost(list(theirs.values())) == 0
    assert table.accuracy(contest.pieces["fastai"]).low is None, "one fold has no interval"


def test_a_piece_that_failed_first_and_was_done_later_counts_as_done(table: ModuleType, lines: list[dict[str, Any]]) -> None:
    (contest,) = table.contests(lines)
    assert set(contest.failed) == {"fastai", "olive"}
    assert set(contest.pieces["by_hand"]) == {1, 2, 3}


def test_without_results_the_page_says_that_nothing_was_run(table: ModuleType) -> None:
    (text,) = table.tables([])["peers"]
    assert "has not been run at size" in text


def test_a_loss_is_written_as_plainly_as_a_win(table: ModuleType) -> None:
    better = [line("weckd_edge", fold, 0.5, 0.5) for fold in (1, 2, 3)] + [
        line("by_hand", fold, 1.0, 0.2) for fold in (1, 2, 3)
    ]
    (contest,) = table.contests(better)
    cells = dict(zip(table.HEADS, table.row(contest, "by_hand"), strict=True))
    assert cells["over weckd-edge"].startswith("+")
    assert cells["times weckd-edge's"] == "0.40"


def test_other_times_of_training_are_another_contest(table: ModuleType, lines: list[dict[str, Any]]) -> None:
    found = table.contests([*lines, line("weckd_edge", 1, 0.9, 0.5, seconds=60.0)])
    assert [one.name for one in found] == [f"made_up-57-labels-96px-{time}s-3-folds-seed-0" for time in (60, 300)]


def test_the_front_holds_what_nothing_else_beats_in_both() -> None:
    pareto = load_script("peers.pareto")

    def point(name: str, accuracy: float, latency_ms: float) -> Any:
        return pareto.Point(name=name, accuracy=accuracy, low=None, high=None, latency_ms=latency_ms, ours=False)

    found = pareto.front([point("slow", 0.9, 3), point("beaten", 0.8, 2), point("fast", 0.85, 1), point("same", 0.85, 1)])
    assert [one.name for one in found] == ["fast", "slow"]
    drawn = pareto.picture([point("one & only", 1.0, 0.5), point("two", 1.0, 0.5)], "a < b")
    texts = [element.text for element in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
    assert "one & only" in texts
    rows = pareto.label_rows([50.0, 50.0, 51.0])
    assert sorted(rows) == [50.0, 65.0, 80.0]
