"""Settings by name: typed by their table, put over a file, shown with their origin, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from weckd_edge.config import (
    BuildConfig,
    build,
    in_force,
    load_config,
    parse_setting,
    setting_names,
    settings_in_force,
    settings_toml,
)
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.toml_file import read_toml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.epochs=3", 3),
        (" train.epochs = 3 ", 3),
        ("train.learning_rate=.5", 0.5),
        ("train.learning_rate=1e-3", 0.001),
        ("train.linear_probe=false", False),
        ("train.precision=16-mixed", "16-mixed"),
        ("data.near_duplicate_distance=none", None),
        ("guard.min_sharpness=auto", "auto"),
        ("guard.min_sharpness=3", 3),
        ("report.slices=site, age", ["site", "age"]),
        ('report.slices=["site"]', ["site"]),
        ("model_card.owner=2024", "2024"),
        ('model_card.owner="a = b"', "a = b"),
        ("audit.discs=[0.3, 0.5]", [0.3, 0.5]),
        ("seed=7", 7),
    ],
)
def test_a_value_takes_the_type_of_its_setting(text: str, value: Any) -> None:
    assert parse_setting(BuildConfig, text) == (text.partition("=")[0].strip(), value)


def test_a_path_is_relative_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_setting(BuildConfig, "data.unlabelled=more") == ("data.unlabelled", str(tmp_path / "more"))
    assert parse_setting(BuildConfig, "guard.ood_dirs=a,b")[1] == [str(tmp_path / "a"), str(tmp_path / "b")]
    name, teachers = parse_setting(BuildConfig, 'distill.teachers=[{weights="t.onnx"}]')
    (tmp_path / "far").mkdir()
    (tmp_path / "far/c.toml").write_text('[data]\nunlabelled = "own"\n')
    assert load_config(Path("far/c.toml")).data.unlabelled == str(tmp_path / "far/own")
    given = dict([parse_setting(BuildConfig, "data.unlabelled=more")])
    assert load_config(Path("far/c.toml"), given).data.unlabelled == str(tmp_path / "more")
    (tmp_path / "far/c.toml").write_text('[[link]]\nmodel = "a"\n[[link]]\nmodel = "b"\n')
    (teacher,) = load_config(Path("far/c.toml"), {name: teachers}).distill.teachers
    assert teacher.weights == str(tmp_path / "t.onnx")


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("train.epoch=3", "E_RECORD_KEY_UNKNOWN", "did you mean 'train.epochs'?"),
        ("trian.epochs=3", "E_RECORD_KEY_UNKNOWN", "did you mean 'train.epochs'?"),
        ("batch=3", "E_RECORD_KEY_UNKNOWN", "did you mean 'train.batch'?"),
        ("qqqqqq=3", "E_RECORD_KEY_UNKNOWN", "unknown setting. 'weckd-edge config show'"),
        ("train=3", "E_RECORD_KEY_UNKNOWN", "--set train: unknown setting"),
        ("train.epochs", "E_CONFIG_VALUE", "expected table.key=value"),
        ("=3", "E_CONFIG_VALUE", "expected table.key=value"),
        ("train.epochs=abc", "E_RECORD_TYPE", "expected an integer, got 'abc'"),
        ("train.epochs=1.5", "E_RECORD_TYPE", "expected an integer"),
        ("train.epochs=none", "E_RECORD_TYPE", "expected an integer, got 'none'"),
        ("train.learning_rate=nan", "E_RECORD_TYPE", "expected a number, got 'nan'"),
        ("train.linear_probe=yes", "E_RECORD_TYPE", "expected true or false, got 'yes'"),
        ("train.precision=bf16", "E_RECORD_CHOICE", "did you mean 'bf16-mixed'?"),
    ],
)
def test_a_wrong_setting_is_refused_with_the_nearest_name_or_the_expected_type(text: str, code: str, says: str) -> None:
    with raises(ConfigError, code, says=says):
        parse_setting(BuildConfig, text)


def test_settings_stand_over_the_file_and_the_rest_of_its_table_stays(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("seed = 3\n[train]\nepochs = 4\nbatch = 8\n")
    config = load_config(tmp_path / "c.toml", {"train.epochs": 9, "gates.min_accuracy": 0.5})
    assert (config.seed, config.train.epochs, config.train.batch, config.gates.min_accuracy) == (3, 9, 8, 0.5)
    assert config.train.learning_rate == BuildConfig().train.learning_rate


def test_settings_that_only_hold_together_are_taken_together(tmp_path: Path) -> None:
    with raises(ConfigError, "E_CONFIG_CONFLICT"):
        load_config(None, {"data.labelled_fraction": 0.5})
    links = [{"model": "a"}, {"model": "b"}]
    assert len(load_config(None, {"data.labelled_fraction": 0.5, "link": links}).link) == 2


def test_a_value_beyond_its_limits_says_where_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("seed = 3\n")
    with raises(ConfigError, "E_CONFIG_RANGE", says="c.toml with those of the command line.train: epochs = 0"):
        load_config(tmp_path / "c.toml", {"train.epochs": 0})
    with raises(ConfigError, "E_CONFIG_RANGE", says="settings.train: epochs = 0"):
        load_config(None, {"train.epochs": 0})


def test_every_setting_has_one_name_and_one_origin(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        "seed = 3\n[train]\nepochs = 4\nbatch = 8\n[[link]]\nmodel = 'a'\n[[link]]\nmodel = 'b'\n"
    )
    found = settings_in_force(tmp_path / "c.toml", {"train.epochs": 9})
    assert [one.name for one in found] == list(setting_names(BuildConfig))
    origins = {one.name: one.origin for one in found}
    assert {name for name, origin in origins.items() if origin == "file"} == {"seed", "train.batch", "link"}
    assert {name for name, origin in origins.items() if origin == "command line"} == {"train.epochs"}
    assert {one.name: one.value for one in found}["train.epochs"] == 9


def test_the_file_of_settings_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.toml").write_text("seed = 3\n[[link]]\nmodel = 'a'\n[[link]]\nmodel = 'b'\n")
    read: list[Path] = []

    def note(path: Path) -> dict[str, Any]:
        read.append(path)
        return read_toml(path)

    for module in (build, in_force):
        monkeypatch.setattr(module, "read_toml", note)
    assert {one.name: one.value for one in settings_in_force(tmp_path / "c.toml", {})}["seed"] == 3
    assert read == [tmp_path / "c.toml"]


STRANGE = {
    "model_card.owner": 'He said "no"\n\t\x7f\\ Ä 耳',
    "report.slices": ["a b", 'c"d'],
    "report.bands": [{"column": "age", "edges": [1.5, 2.0]}],
    "train.learning_rate": 1e-5,
    "gates.better_than_chance": True,
    "link": [
        {"model": "a", "options": {"channels": [16, 32], "stem_type": "deep"}, "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]},
        {"model": "b"},
    ],
}


def test_what_is_shown_reads_back_as_the_same_settings(tmp_path: Path) -> None:
    shown = settings_toml(settings_in_force(None, STRANGE))
    (tmp_path / "shown.toml").write_text(shown)
    assert load_config(tmp_path / "shown.toml") == load_config(None, STRANGE)
    assert "# max_latency_p90_ms is not set" in shown
    origins = [line.rpartition("# ")[2] for line in shown.splitlines() if "  # " in line]
    assert set(origins) == {"default", "command line"}
    settings = [line for line in shown.splitlines() if line.startswith(("learning_rate", "epochs"))]
    assert settings[0].split() == ["epochs", "=", "10", "#", "default"]
    assert settings[1].split() == ["learning_rate", "=", "1e-05", "#", "command", "line"]
