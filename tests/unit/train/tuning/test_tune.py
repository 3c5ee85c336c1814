"""The search of settings: shared by a database, resumed, and blind to test images."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from support.errors import raises
from support.goldens import FOLDER, stable_json
from support.training.toy_chain import TOY_LINKS, TOY_LINKS_TOML
from weckd_edge.config import BuildConfig, DataConfig, DistillConfig, TrainConfig, load_config
from weckd_edge.core.errors import ConfigError, StoreError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.tuning import tune as module
from weckd_edge.train.tuning.tune import tune
from weckd_edge.train.tuning.work_queue import storage_errors

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
    first = tune(ears, CONFIG, 2, storage, tmp_path / "one", SilentProgress())
    second = tune(ears, CONFIG, 3, storage, tmp_path / "two", SilentProgress())
    assert (first.trials, second.trials) == (2, 3)
    assert first.name == second.name
    assert len(list((tmp_path / "two").glob("link-M2-*"))) == 1
    assert second.val_accuracy >= first.val_accuracy


def test_a_finished_search_trains_nothing(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    found = tune(ears, CONFIG, 1, storage, tmp_path / "one", SilentProgress())

    def never(*args: object) -> None:
        raise AssertionError("nothing is left to try")

    monkeypatch.setattr(module, "run_strategy", never)
    assert tune(ears, CONFIG, 1, storage, tmp_path / "one", SilentProgress()) == found


def test_other_settings_are_another_search(ears: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    one = tune(ears, CONFIG, 1, storage, tmp_path / "one", SilentProgress())
    other = replace(CONFIG, train=replace(CONFIG.train, batch=12))
    assert tune(ears, other, 1, storage, tmp_path / "one", SilentProgress()).name != one.name


def test_what_is_found_is_a_file_to_build_with(
    ears: Path, tmp_path: Path, chain: Path, run: Callable[..., tuple[int, str, str]], golden: Callable[[Path, str], None]
) -> None:
    given = ("--data", ears, "--config", chain, "--trials", "1", "--out", tmp_path / "out")
    code, text, err = run("tune", *given, "--json", "--quiet")
    assert code == 0, err
    golden(FOLDER / "json/tune.json", stable_json(text, tmp_path, "words"))
    found = json.loads(text)
    config = load_config(Path(found["best_file"]))
    assert config.train.learning_rate == pytest.approx(found["learning_rate"], rel=1e-4)
    assert config.distill.distill_weight == pytest.approx(found["distill_weight"], rel=1e-3)
    assert config.distill.temperature_start == pytest.approx(found["temperature_start"], rel=1e-3)


def test_a_storage_that_cannot_be_opened_is_one_line(ears: Path, tmp_path: Path) -> None:
    with raises(ConfigError, "E_CONFIG_STORAGE") as caught:
        tune(ears, CONFIG, 1, "nowhere://x", tmp_path / "out", SilentProgress())
    assert "\n" not in str(caught.value)


def test_a_missing_optuna_names_its_extra(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from weckd_edge.core.errors import MissingDependency

    monkeypatch.setitem(sys.modules, "optuna", None)
    with raises(MissingDependency, "E_MISSING_LIBRARY", says="weckd-edge[train]"):
        tune(ears, CONFIG, 1, "sqlite://", tmp_path / "out", SilentProgress())


def test_processes_that_train_together_cannot_search(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "count_processes", lambda: 2)
    with raises(ConfigError, "E_CONFIG_DISTRIBUTED"):
        tune(ears, CONFIG, 1, f"sqlite:///{tmp_path / 'a.db'}", tmp_path / "out", SilentProgress())


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
