"""From the folder of a study to lines of results and to the tables of docs/results/chain.md."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.goldens import FOLDER
from support.programs.benchmark_scripts import load_script

FIXTURE = Path(__file__).resolve().parents[3] / "fixtures" / "study"
"""A study of drawn frames by a chain of toys, as ``weckd-edge study`` wrote it: two seeds of two folds, five strategies."""


@pytest.fixture(scope="module")
def scripts() -> tuple[ModuleType, ModuleType]:
    return load_script("record_study"), load_script("study_tables")


@pytest.fixture
def recorded(scripts: tuple[ModuleType, ModuleType]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = scripts[0].lines_of_study(
        "toy", FIXTURE, command="weckd-edge study", commit="abc", environment={}
    )
    return found


def test_the_page_holds_the_tables_of_the_results(scripts: tuple[ModuleType, ModuleType]) -> None:
    tables = scripts[1]
    page = tables.PAGE.read_text(encoding="utf-8")
    assert tables.with_tables(page, tables.tables(), tables.SCRIPT) == page


def test_the_tables_of_a_recorded_study(
    scripts: tuple[ModuleType, ModuleType], recorded: list[dict[str, Any]], golden: Callable[[Path, str], None]
) -> None:
    (study,) = scripts[1].studies(recorded).values()
    golden(FOLDER / "study_tables.md", "\n".join(scripts[1].tables_of(study)) + "\n")


def test_a_studys_own_line_says_how_it_was_run(recorded: list[dict[str, Any]]) -> None:
    own = recorded[0]
    assert (own["study"], own["command"], own["commit"]) == ("toy", "weckd-edge study", "abc")
    assert own["settings"]["train"]["steps_per_epoch"] == 10
    assert {line["study"] for line in recorded} == {"toy"}
    assert len(recorded) == 1 + 4 + 20


def test_lines_are_appended_and_earlier_ones_stay_to_the_byte(
    scripts: tuple[ModuleType, ModuleType], recorded: list[dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "study.jsonl"
    path.write_text('{"study": "earlier",   "accuracy": 0.5}\n')
    scripts[0].append_study(path, recorded)
    first, *rest = path.read_text().splitlines()
    assert first == '{"study": "earlier",   "accuracy": 0.5}'
    assert [json.loads(line) for line in rest] == recorded


def test_only_splits_that_every_strategy_has_run_on_are_recorded(
    scripts: tuple[ModuleType, ModuleType], recorded: list[dict[str, Any]], tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(FIXTURE, folder)
    lines = (folder / "trials.jsonl").read_text().splitlines()
    (folder / "trials.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    part = scripts[0].lines_of_study("toy", folder, command="weckd-edge study", commit="abc", environment={})
    assert len(part) == 1 + 3 + 15
    last = {(line["seed"], line["fold"]) for line in recorded if "truth" in line} - set(map(scripts[0].place_of, part[1:4]))
    (study,) = scripts[1].studies(part).values()
    assert study.runs_in_words == "3 folds of 2 seeds of 2 folds"
    rest = [line for line in recorded if "strategies" in line or scripts[0].place_of(line) in last]
    scripts[0].check_belongs(rest, part)
    (whole,) = scripts[1].studies([*part, *rest]).values()
    (once,) = scripts[1].studies(recorded).values()
    assert whole.runs_in_words == once.runs_in_words == "2 seeds of 2 folds"
    assert scripts[1].tables_of(whole) == scripts[1].tables_of(once)
    (folder / "trials.jsonl").write_text("\n".join(lines[:4]) + "\n")
    with pytest.raises(SystemExit, match="expected a split that 5 strategies have run on, found none"):
        scripts[0].lines_of_study("toy", folder)


def other_seeds(lines: list[dict[str, Any]], by: int) -> list[dict[str, Any]]:
    """Return the lines of a study as it would be with other seeds."""
    return [{**line, **({"seed": line["seed"] + by} if "seed" in line else {})} for line in lines]


def test_a_study_that_was_recorded_in_two_times_is_one_study(
    scripts: tuple[ModuleType, ModuleType], recorded: list[dict[str, Any]]
) -> None:
    later = other_seeds(recorded, by=10)
    later[0] = {**later[0], "settings": {**later[0]["settings"], "seed": 10}, "command": "weckd-edge study --seed 10"}
    scripts[0].check_belongs(later, recorded)
    (once,) = scripts[1].studies(recorded).values()
    (both,) = scripts[1].studies([*recorded, *later]).values()
    assert both.facts.seeds == 2 * once.facts.seeds
    for name in once.strategies():
        assert len(both.runs(name)) == 2 * len(once.runs(name))
        assert both.mean(name).mean == pytest.approx(once.mean(name).mean)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines, "'toy' holds seed 0, fold 1 already"),
        (lambda lines: [{**lines[0], "strategies": ["relay"]}, *lines[1:]], "other strategies"),
        (lambda lines: [{**lines[0], "settings": {}}, *lines[1:]], "other settings"),
        (lambda lines: [{**lines[0], "commit": "def"}, *lines[1:]], "other commit"),
        (lambda lines: [line | ({"data_sha256": "0"} if "truth" in line else {}) for line in lines], "other images"),
    ],
)
def test_other_lines_of_a_name_are_refused(
    scripts: tuple[ModuleType, ModuleType],
    recorded: list[dict[str, Any]],
    change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]],
    message: str,
) -> None:
    with pytest.raises(SystemExit, match=message):
        scripts[0].check_belongs(change(recorded), recorded)


def test_a_page_holds_each_study_between_the_marks_of_its_name(
    scripts: tuple[ModuleType, ModuleType], recorded: list[dict[str, Any]]
) -> None:
    tables = scripts[1]
    (study,) = tables.studies(recorded).values()
    found = {"toy": tables.tables_of(study)}
    begin, end = scripts[0].marks("toy", tables.SCRIPT)
    once = tables.with_tables(f"Before.\n\n{begin}\nsomething else\n{end}\n\nAfter.", found, tables.SCRIPT)
    assert "something else" not in once
    assert once.startswith("Before.")
    assert once.endswith("After.")
    assert tables.with_tables(once, found, tables.SCRIPT) == once
    with pytest.raises(ValueError, match="toy"):
        tables.with_tables("A page without marks.", found, tables.SCRIPT)


def test_studies_without_predictions_have_no_new_tables(scripts: tuple[ModuleType, ModuleType]) -> None:
    old = {"study": "old", "strategy": "relay", "seed": 0, "accuracy": 0.5}
    assert scripts[1].studies([old, {"accuracy": 0.1}]) == {}
