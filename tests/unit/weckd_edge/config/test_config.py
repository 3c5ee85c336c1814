"""Settings that contradict themselves are refused before any work starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.errors import raises
from weckd_edge.config import BuildConfig, DataConfig, LinkConfig, load_config
from weckd_edge.core.errors import ConfigError


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "build.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_weights_are_taken_from_the_config_files_own_folder(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, '[[link]]\nmodel = "a"\nweights = "w/x.safetensors"\n[[link]]\nmodel = "b"\n'))
    assert config.link[0].weights == str(tmp_path / "w" / "x.safetensors")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[train]\nepoch = 3\n", "unknown key 'epoch'; did you mean 'epochs'?"),
        ("[trian]\n", "unknown key 'trian'; did you mean 'train'?"),
        ("[data]\nshare = 0.5\n", "asks for 150% of the training images"),
        ("[data]\ntest_fraction = 0.7\n", "expected over 0 and under 0.5"),
        ("[distill]\ntemperature_start = 1\ntemperature_end = 4\n", "annealing expects 0 < end <= start"),
        ("[gates]\naccuracy = 90\n", "0.9 for 90 %"),
        ('[[link]]\nmodel = "a"\n', "at least two links"),
        ('[[link]]\nmodel = "a"\nweights = "w"\npretrained = true\n', "contradict each other"),
        ("[input]\nframe = [4, 4]\n", "expected 16 to 8192 pixels"),
        ("seed = 'x'\n", "expected a whole number"),
        ("not toml", "expected TOML"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(tmp_path: Path, text: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text))
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    with raises(ConfigError, "E_FILE_MISSING", says="nowhere.toml"):
        load_config(tmp_path / "nowhere.toml")


def test_labelled_subsets_that_just_fit_are_taken() -> None:
    BuildConfig(data=DataConfig(share=1 / 3), link=(LinkConfig(model="a"),) * 3)
