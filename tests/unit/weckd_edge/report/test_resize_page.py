"""docs/results/resize.md holds what its script makes of the studies' results."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support.programs.benchmark_scripts import load_script


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    return load_script("resize_tables")


def line(resize: str, seed: int, predicted: str, **more: Any) -> dict[str, Any]:
    truth = "0110" * (len(predicted) // 4)
    rights = np.array(list(predicted)) == np.array(list(truth))
    return {
        "set": "cells",
        "size": 64,
        "labels": "all",
        "seed": seed,
        "resize": resize,
        "predicted": predicted,
        "truth": truth,
        "groups": [f"g{i // 2}" for i in range(len(predicted))],
        "accuracy": float(rights.mean()),
        **more,
    }


def test_the_page_holds_the_tables_of_the_results(tables: ModuleType) -> None:
    page = tables.PAGE.read_text(encoding="utf-8")
    assert tables.with_tables(page, tables.tables(), tables.SCRIPT) == page


def test_a_page_without_the_mark_of_a_table_is_refused(tables: ModuleType) -> None:
    with pytest.raises(ValueError, match="study"):
        tables.with_tables("A page.", tables.tables(), tables.SCRIPT)


def test_a_seed_counts_once_all_resizes_are_there(tables: ModuleType) -> None:
    lines = [line(resize, 1, "0110") for resize in tables.ARMS] + [line("area", 2, "1001")]
    row = tables.Study(lines).table()[2].split(" | ")
    assert row[1:5] == ["1", "100.0", "100.0", "100.0"]


def test_a_difference_is_the_mean_over_seeds_and_lies_in_its_interval(tables: ModuleType) -> None:
    right, wrong = "0110" * 20, "1110" * 20
    seeds = (1, 2, 3)
    lines = [line("area", seed, right) for seed in seeds]
    lines += [line("diagonal", seed, wrong if seed == 1 else right) for seed in seeds]
    lines += [line("bilinear", seed, right) for seed in seeds]
    study = tables.Study(lines)
    cell = ("cells", 64, "all")
    found = tables.difference([[study.pairs(cell, seeds, "diagonal")]])
    assert found.mean == pytest.approx(1 / 12)
    assert found.low < found.mean < found.high
    nothing = tables.difference([[study.pairs(cell, seeds, "bilinear")]])
    assert nothing.mean == 0
    assert -0.05 < nothing.low < 0 < nothing.high < 0.05


def test_images_of_one_group_count_together(tables: ModuleType) -> None:
    """The same images in half as many groups tell less, and the interval is wider."""
    rng = np.random.default_rng(0)
    one = np.repeat(rng.random(60) < 0.9, 4)
    other = np.repeat(rng.random(60) < 0.7, 4)
    widths = {}
    for together in (1, 4):
        pair = tables.Pair(one, other, [f"g{i // together}" for i in range(len(one))])
        found = tables.difference([[dict.fromkeys((1, 2, 3), pair)]])
        widths[together] = found.high - found.low
    assert widths[4] > 1.5 * widths[1]


def test_accuracy_at_other_sizes_stands_beside_that_at_the_networks_own(tables: ModuleType) -> None:
    lines = [line(resize, 1, "0110", shown={"64": 1.0, "96": 0.75}) for resize in tables.ARMS]
    assert tables.Study(lines).shown_table()[2] == "| 64 px | `area` | cells | 1 | 100.0 % | -25.0 |"
