"""The search of settings: shared by a database, resumed, and blind to test images."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.errors import raises
from support.goldens import FOLDER, stable_json
from support.training.toy_chain import TOY_LINKS, TOY_LINKS_TOML
from support.training.toy_teacher import toy_teacher
from weckd_edge.config import BenchConfig, BuildConfig, DataConfig, DistillConfig, GuardConfig, TrainConfig, load_config
from weckd_edge.core.errors import ConfigError, ModelError, StoreError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.toml_file import parse_toml
from weckd_edge.pipeline.outside_teachers import open_teachers
from weckd_edge.train.distill.strategies import find_strategy
from weckd_edge.train.tuning import tune as module
from weckd_edge.train.tuning.search_space import as_toml, suggest, with_values
from weckd_edge.train.tuning.settings import without_paths
from weckd_edge.train.tuning.shared_storage import open_study, storage_errors
from weckd_edge.train.tuning.tune import Search, tune

pytest.importorskip("optuna")

CONFIG = BuildConfig(
    link=TOY_LINKS,
    data=DataConfig(labelled_fraction=0.25),
    train=TrainConfig(epochs=1, steps_per_epoch=1, batch=8, accelerator="cpu"),
    distill=DistillConfig(strategy="weckd"),
)

CHAIN = (
    TOY_LINKS_TOML
    + """
[data]
labelled_fraction = 0.25

[train]
epochs = 1
steps_per_epoch = 1
batch = 8
accelerator = "cpu"

[distill]
strategy = "weckd"
"""
)


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """``CONFIG`` as a file."""
    path = tmp_path / "chain.toml"
    path.write_text(CHAIN)
    assert load_config(path) == CONFIG
    return path


def test_machines_that_share_a_storage_share_the_trials(ears: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    first = tune(ears, CONFIG, Search(trials=2, storage=storage), tmp_path / "one", SilentProgress())
    second = tune(ears, CONFIG, Search(trials=3, storage=storage), tmp_path / "two", SilentProgress())
    assert (first.trials, second.trials) == (2, 3)
    assert first.name == second.name
    assert len(list((tmp_path / "two").glob("link-M2-*"))) == 1
    assert second.val_accuracy >= first.val_accuracy


def test_a_finished_search_trains_nothing(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    found = tune(ears, CONFIG, Search(trials=1, storage=storage), tmp_path / "one", SilentProgress())

    def never(*args: object) -> None:
        raise AssertionError("nothing is left to try")

    monkeypatch.setattr(module, "train_links", never)
    assert tune(ears, CONFIG, Search(trials=1, storage=storage), tmp_path / "one", SilentProgress()) == found


def test_other_settings_are_another_search(ears: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    one = tune(ears, CONFIG, Search(trials=1, storage=storage), tmp_path / "one", SilentProgress())
    other = replace(CONFIG, train=replace(CONFIG.train, batch=12))
    assert tune(ears, other, Search(trials=1, storage=storage), tmp_path / "one", SilentProgress()).name != one.name


def test_what_is_found_is_a_file_to_build_with(
    ears: Path, tmp_path: Path, chain: Path, run: Callable[..., tuple[int, str, str]], golden: Callable[[Path, str], None]
) -> None:
    given = ("--data", ears, "--config", chain, "--trials", "1", "--out", tmp_path / "out")
    code, text, err = run("tune", *given, "--json", "--quiet")
    assert code == 0, err
    golden(FOLDER / "json/tune.json", stable_json(text, tmp_path, "words"))
    found = json.loads(text)
    config = load_config(Path(found["best_file"]))
    settings = found["settings"]
    assert set(settings) == {
        "train.learning_rate",
        "train.ema",
        "distill.distill_weight",
        "distill.temperature_start",
        "distill.mixup",
    }
    for name, value in settings.items():
        table, _, key = name.partition(".")
        assert getattr(getattr(config, table), key) == pytest.approx(value, rel=1e-4)


def links_as_told(told: list[list[float]], trained: list[int]) -> Callable[..., Iterator[Any]]:
    """Stands for the trainings: links with the accuracies of each trial; keeps how many links of a trial were trained."""

    def train(*args: object) -> Iterator[Any]:
        accuracies = told[len(trained)]
        trained.append(0)
        for accuracy in accuracies:
            trained[-1] += 1
            yield SimpleNamespace(artifact=SimpleNamespace(val_accuracy=SimpleNamespace(value=accuracy)))

    return train


def test_a_trial_whose_first_link_is_worse_than_most_stops_before_its_last(
    ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, trained = f"sqlite:///{tmp_path / 'shared.db'}", list[int]()
    told = [[0.8, 0.9]] * 4 + [[0.7, 0.95]] + [[0.1, 0.99], [0.85, 0.9]]
    monkeypatch.setattr(module, "train_links", links_as_told(told, trained))
    found = tune(ears, CONFIG, Search(trials=7, storage=storage), tmp_path / "one", SilentProgress())
    assert trained == [2, 2, 2, 2, 2, 1, 2]
    assert (found.trials, found.pruned) == (7, 1)
    assert found.val_accuracy == 0.95


def test_a_trial_is_never_stopped_after_its_last_link(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, trained = f"sqlite:///{tmp_path / 'shared.db'}", list[int]()
    told = [[0.8, 0.9]] * 5 + [[0.8, 0.1]]
    monkeypatch.setattr(module, "train_links", links_as_told(told, trained))
    found = tune(ears, CONFIG, Search(trials=6, storage=storage), tmp_path / "one", SilentProgress())
    assert (found.trials, found.pruned) == (6, 0)


def test_a_trial_that_diverges_is_left_and_the_search_goes_on(
    ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, trained = f"sqlite:///{tmp_path / 'shared.db'}", list[int]()
    good = links_as_told([[0.8, 0.9]], trained)
    tried = list[int]()

    def train(*args: Any) -> Iterator[Any]:
        tried.append(1)
        if len(tried) < 3:
            raise ModelError("not finite", code="E_MODEL_NOT_FINITE")
        yield from good(*args)

    monkeypatch.setattr(module, "train_links", train)
    with raises(ModelError, "E_MODEL_NOT_FINITE", says="none of 2 trials"):
        tune(ears, CONFIG, Search(trials=2, storage=storage), tmp_path / "one", SilentProgress())
    found = tune(ears, CONFIG, Search(trials=3, storage=storage), tmp_path / "one", SilentProgress())
    assert (found.trials, found.pruned, found.val_accuracy) == (3, 2, 0.9)


def test_who_joins_a_search_or_goes_on_with_it_tries_other_settings(tmp_path: Path) -> None:
    def draw(file: str) -> list[float]:
        with open_study(f"sqlite:///{tmp_path / file}", "a", 0) as study:
            study.optimize(lambda trial: float(trial.suggest_float("x", 0, 1)), n_trials=3)
            return [trial.params["x"] for trial in study.trials]

    first = draw("one.db")
    assert draw("two.db") == first
    again = draw("one.db")
    assert again[:3] == first
    assert len(set(again)) == 6


@pytest.mark.parametrize(
    ("strategy", "searched"),
    [
        ("single-union", {"train.learning_rate", "train.ema"}),
        ("guided", {"distill.mixup", "distill.distill_weight", "distill.temperature_start"}),
        ("single-union+teachers", {"distill.mixup", "distill.distill_weight"}),
        ("guided+unlabelled", {"distill.unlabelled_per_labelled", "distill.mixup"}),
    ],
)
def test_what_has_no_effect_with_a_strategy_is_not_searched(strategy: str, searched: set[str]) -> None:
    row = find_strategy(strategy)
    values = suggest(FixedTrial(), row, CONFIG)
    assert searched <= set(values)
    assert ("distill.mixup" in values) == (row.outside or row.teachers != "none")
    assert ("distill.unlabelled_per_labelled" in values) == row.unlabelled
    assert as_toml(values).count(" = ") == len(values)


class FixedTrial:
    """Proposes the lowest value of every setting."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool, step: float | None) -> float:
        assert low < high
        return low


def test_no_temperature_is_tried_that_the_last_one_would_contradict() -> None:
    config = replace(CONFIG, distill=replace(CONFIG.distill, temperature_start=5.0, temperature_end=3.0))
    values = suggest(FixedTrial(), find_strategy("guided"), config)
    assert values["distill.temperature_start"] == 3.0
    assert with_values(config, values).distill.temperature_start == 3.0


@pytest.mark.parametrize(("gate", "strategy"), [("off", "weckd+teachers"), ("interval", "weckd")])
def test_teachers_from_outside_teach_every_trial_or_none(gate: Any, strategy: str, ears: Path, tmp_path: Path) -> None:
    """A teacher with random weights is no better than the student alone, so that the gate leaves it out."""
    config = replace(CONFIG, distill=DistillConfig(strategy="weckd+teachers", teacher_gate=gate))
    search = Search(trials=2, storage=f"sqlite:///{tmp_path / 'shared.db'}", teachers=[toy_teacher()])
    found = tune(ears, config, search, tmp_path / "one", SilentProgress())
    assert found.strategy == strategy
    assert len(list((tmp_path / "one").glob("soft-labels-*"))) == 1  # the last link's, which the gate judges in any case


def test_teachers_that_are_fine_tuned_are_trained_once_for_all_trials(ears: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, distill=DistillConfig(strategy="single-union+teachers", teacher_gate="off"))
    teachers = open_teachers(config, ["single-union+teachers"])
    search = Search(trials=2, storage=f"sqlite:///{tmp_path / 'shared.db'}", teachers=teachers)
    tune(ears, config, search, tmp_path / "one", SilentProgress())
    assert len(list((tmp_path / "one").glob("link-teacher-*"))) == 3
    assert len(list((tmp_path / "one").glob("link-M1-*"))) == 2


def test_settings_are_the_same_wherever_they_lie_and_whatever_training_does_not_read() -> None:
    def settings(folder: str, queries: int, epochs: int = 1) -> BuildConfig:
        guard = GuardConfig(ood_dirs=(f"{folder}/ood",))
        train = replace(CONFIG.train, epochs=epochs)
        return without_paths(replace(CONFIG, guard=guard, bench=BenchConfig(queries=queries), train=train))

    assert settings("/one", 64) == settings("/two", 128) != settings("/one", 64, epochs=2)


def test_what_is_written_for_the_best_trial_reads_back_as_it_was() -> None:
    values = {"train.learning_rate": 0.0012345678901, "distill.temperature_start": 2.3456712345}
    found = parse_toml(as_toml(values), where="best.toml")
    assert {f"{table}.{name}": value for table, one in found.items() for name, value in one.items()} == values


def test_a_storage_that_cannot_be_opened_is_one_line(ears: Path, tmp_path: Path) -> None:
    with raises(ConfigError, "E_CONFIG_STORAGE") as caught:
        tune(ears, CONFIG, Search(trials=1, storage="nowhere://x"), tmp_path / "out", SilentProgress())
    assert "\n" not in str(caught.value)


def test_a_missing_optuna_names_its_extra(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from weckd_edge.core.errors import MissingDependency

    monkeypatch.setitem(sys.modules, "optuna", None)
    with raises(MissingDependency, "E_MISSING_LIBRARY", says="weckd-edge[train]"):
        tune(ears, CONFIG, Search(trials=1, storage="sqlite://"), tmp_path / "out", SilentProgress())


def test_processes_that_train_together_cannot_search(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "count_processes", lambda: 2)
    with raises(ConfigError, "E_CONFIG_DISTRIBUTED"):
        tune(ears, CONFIG, Search(trials=1, storage=f"sqlite:///{tmp_path / 'a.db'}"), tmp_path / "out", SilentProgress())


def test_a_storage_that_fails_on_the_way_is_one_line(tmp_path: Path) -> None:
    """A full disk, or a server that has gone, is told by whatever library happens to notice it."""
    import sqlite3

    with (
        raises(StoreError, "E_STORE_STORAGE", says=("x.db", "database or disk is full")) as caught,
        storage_errors("x.db"),
    ):
        raise sqlite3.OperationalError("database or disk is full")
    assert "\n" not in str(caught.value)
    with pytest.raises(KeyError), storage_errors("x.db"):
        raise KeyError("a defect")
