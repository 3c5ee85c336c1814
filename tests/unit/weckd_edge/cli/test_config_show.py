"""``weckd-edge config show``, and the settings that other commands take from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.errors import raises
from weckd_edge.cli.build import BuildSettings
from weckd_edge.cli.compile_model import CompileSettings
from weckd_edge.cli.parsing.links import parse_links
from weckd_edge.config import BuildConfig, LinkConfig, load_config
from weckd_edge.core.errors import ConfigError

Run = Callable[..., tuple[int, str, str]]


def test_what_it_prints_is_a_settings_file_with_origins(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[train]\nepochs = 4\nbatch = 8\n")
    code, out, err = run("config", "show", "--config", tmp_path / "c.toml", "--epochs", "9", "--set", "seed=5")
    assert (code, err) == (0, "")
    lines = {line.split(" = ")[0]: line.rpartition("# ")[2] for line in out.splitlines() if " = " in line and "#" in line}
    assert (lines["epochs"], lines["batch"], lines["seed"]) == ("default", "file", "command line")  # of [quantize_aware]
    assert "epochs = 9                                      # command line" in out
    (tmp_path / "shown.toml").write_text(out)
    config = load_config(tmp_path / "shown.toml")
    assert (config.train.epochs, config.train.batch, config.seed) == (9, 8, 5)


def test_json_gives_value_and_origin_of_every_setting(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("config", "show", "--batch", "4", "--links", "a,b@64=w.safetensors", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["config"] is None
    assert found["settings"]["train.batch"] == {"value": 4, "origin": "command line"}
    assert found["settings"]["train.epochs"] == {"value": 10, "origin": "default"}
    assert [link["weights"] for link in found["settings"]["link"]["value"]] == [None, str(Path.cwd() / "w.safetensors")]


def test_a_link_is_written_with_its_size_and_width() -> None:
    found = parse_links("a, b@64=w.safetensors, hf_hub:c/d@48:0.85, b@32:.7=w.safetensors, b@32:1")
    assert [(link.model, link.input_size, link.width) for link in found] == [
        ("a", LinkConfig(model="a").input_size, 1.0),
        ("b", 64, 1.0),
        ("hf_hub:c/d", 48, 0.85),
        ("b", 32, 0.7),
        ("b", 32, 1.0),
    ]
    assert [bool(link.weights) for link in found] == [False, True, False, True, False]


@pytest.mark.parametrize(
    "text", ["", "@64", "a@", "a@:0.5", "a@64:", "a@64:half", "a@64:1:2", "a@0x40", "a@64:nan", "a@64@32"]
)
def test_a_link_that_is_written_otherwise_is_refused(text: str) -> None:
    with raises(ConfigError, "E_CONFIG_VALUE", says=(f"'{text}'", "model[@pixels[:width]][=weights file]")):
        parse_links(text)


def test_a_width_over_one_is_refused() -> None:
    with raises(ConfigError, "E_CONFIG_RANGE", says=("width = 2",)):
        parse_links("a@64:2")


def test_an_unknown_setting_is_one_line_with_the_nearest(run: Run) -> None:
    code, out, err = run("config", "show", "--set", "train.epoch=3")
    assert (code, out) == (2, "")
    assert err.startswith("error[E_RECORD_KEY_UNKNOWN]: --set train.epoch: unknown setting; did you mean 'train.epochs'?")


def test_the_last_of_two_values_of_one_setting_holds(run: Run) -> None:
    _, out, _ = run("config", "show", "--set", "train.batch=8", "--set", "train.batch=16", "--json")
    assert json.loads(out)["settings"]["train.batch"]["value"] == 16


def settings(kind: type[BuildSettings], **given: object) -> BuildSettings:
    nothing = {"config_file": None, "overrides": (), "seed": None, "epochs": None, "batch": None, "links": None}
    return kind(**nothing | given)  # type: ignore[arg-type]


def test_a_build_takes_the_chain_from_the_command_line_or_leaves_it_to_be_chosen() -> None:
    auto = settings(BuildSettings, links="auto", epochs=2)
    assert auto.auto_links
    assert auto.load().link == BuildConfig().link
    assert auto.load().train.epochs == 2
    named = settings(BuildSettings, links="resnet18@64,resnet10t@64")
    assert not named.auto_links
    assert [(link.model, link.input_size) for link in named.load().link] == [("resnet18", 64), ("resnet10t", 64)]


def test_a_compile_has_no_chain_of_its_own_but_that_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("seed = 3\n")
    without = CompileSettings(
        config_file=None, overrides=("bench.queries=64",), seed=None, crop_pct=None, interpolation=None
    ).load()
    assert without.link == ()
    assert without.bench.queries == 64
    of_file = CompileSettings(
        config_file=tmp_path / "c.toml", overrides=(), seed=None, crop_pct=None, interpolation=None
    ).load()
    assert len(of_file.link) == 3
