"""Settings come as a file, as a ``BuildConfig`` or as a mapping, and wrong ones are refused."""

from pathlib import Path
from typing import Any

import pytest

import weckd_edge
from support.errors import raises
from weckd_edge.api.settings import choose_target, read_config
from weckd_edge.config import BuildConfig, TrainConfig
from weckd_edge.core.errors import ConfigError

LINKS = [{"model": "a"}, {"model": "b", "input_size": 64}]
TOML = '[[link]]\nmodel = "a"\n[[link]]\nmodel = "b"\ninput_size = 64\n[train]\nepochs = 3\n'


def test_nothing_is_the_defaults() -> None:
    assert read_config(None) == BuildConfig()
    assert read_config(None, links=()).link == ()


def test_a_config_is_taken_as_it_is() -> None:
    config = BuildConfig(train=TrainConfig(epochs=3))
    assert read_config(config) is config


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_and_a_mapping_of_its_tables_say_the_same(tmp_path: Path, kind: Any) -> None:
    (tmp_path / "build.toml").write_text(TOML)
    found = read_config(kind(tmp_path / "build.toml"))
    assert found == read_config({"link": LINKS, "train": {"epochs": 3}})
    assert found.train.epochs == 3
    assert found.link[1].input_size == 64


def test_a_mapping_may_hold_tuples_and_paths(tmp_path: Path) -> None:
    found = read_config({"input": {"frame": (480, 640)}, "guard": {"ood_dirs": (tmp_path / "others",)}})
    assert found.input.frame == (480, 640)
    assert found.guard.ood_dirs == (str(tmp_path / "others"),)


def test_a_mapping_without_links_takes_those_of_the_call() -> None:
    assert read_config({"seed": 3}).link == BuildConfig().link
    assert read_config({"seed": 3}, links=()).link == ()
    assert read_config({"link": LINKS}, links=()).link[0].model == "a"


@pytest.mark.parametrize(
    ("config", "code", "found"),
    [
        ({"trian": {}}, "E_RECORD_KEY_UNKNOWN", "trian"),
        ({"train": {"epoch": 3}}, "E_RECORD_KEY_UNKNOWN", "epoch"),
        ({"train": {"epochs": "three"}}, "E_RECORD_TYPE", "epochs"),
        ({"train": 3}, "E_RECORD_TYPE", "train"),
    ],
)
def test_a_wrong_mapping_is_refused_by_its_key(config: Any, code: str, found: str) -> None:
    with raises(ConfigError, code, says=found):
        read_config(config)


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    with raises(ConfigError, "E_FILE_MISSING", says="none.toml"):
        read_config(tmp_path / "none.toml")


def test_a_target_is_one_of_two() -> None:
    assert [choose_target(name) for name in ("cpu", "jetson")] == ["cpu", "jetson"]
    with raises(ConfigError, "E_CONFIG_CHOICE", says=("'gpu'", "cpu", "jetson")):
        choose_target("gpu")


def test_wrong_arguments_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with raises(ConfigError, "E_CONFIG_CHOICE", says="'gpu'"):
        weckd_edge.build(tmp_path, out=tmp_path / "out", target="gpu")
    with raises(ConfigError, "E_RECORD_KEY_UNKNOWN", says="colour"):
        weckd_edge.compile_model("x.onnx", tmp_path, out=tmp_path / "out", hints={"colour": "bgr"})
    assert list(tmp_path.iterdir()) == []
