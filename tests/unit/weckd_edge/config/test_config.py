"""Settings that contradict themselves are refused before any work starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from support.errors import raises
from weckd_edge.config import (
    AbstainConfig,
    BuildConfig,
    DataConfig,
    ExamConfig,
    LinkConfig,
    exam_settings,
    load_config,
    paths_of,
    without_folders,
)
from weckd_edge.config.base import map_paths, path_field
from weckd_edge.core.errors import ConfigError

CHAIN = '[[link]]\nmodel = "a"\nweights = "in/w"\n[[link]]\nmodel = "b"\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "build.toml"
    path.write_text(text, encoding="utf-8")
    return path


def tables_within(table: type) -> Iterator[type]:
    """Yield a table of settings and those within it."""
    yield table
    for kind in get_type_hints(table).values():
        for one in (kind, *get_args(kind)):
            if is_dataclass(one) and isinstance(one, type):
                yield from tables_within(one)


def test_every_path_of_a_file_is_taken_from_its_folder_and_stripped_for_a_bundle(tmp_path: Path) -> None:
    text = (
        '[data]\nunlabelled = "in/u"\n[train]\nlog_dir = "in/l"\n[select]\nmeasurements = "in/m"\n[audit]\nmasks = "in/k"\n'
    )
    config = load_config(write(tmp_path, text + '[guard]\nood_dirs = ["in/f", "in/g"]\n' + CHAIN))
    expected = {
        "unlabelled": ["u"],
        "measurements": ["m"],
        "masks": ["k"],
        "ood_dirs": ["f", "g"],
        "weights": ["w"],
    }
    found: dict[str, list[str]] = {}
    for name, path in paths_of(config):
        assert Path(path).parent == tmp_path / "in"
        found.setdefault(name.rpartition(".")[2], []).append(Path(path).name)
    assert found == expected
    assert config.train.log_dir == str(tmp_path / "in/l")
    assert without_folders(config).train.log_dir == "l"
    assert sorted(path for _, path in paths_of(without_folders(config))) == ["f", "g", "k", "m", "u", "w"]
    marked = {item.name for table in tables_within(BuildConfig) for item in fields(table) if item.metadata.get("path")}
    assert marked == {*found, "log_dir"}  # which is written, and so none of the paths that are read


def test_a_setting_that_is_described_as_relative_to_a_file_is_marked_as_a_path() -> None:
    described, marked = set(), set()
    for table in tables_within(BuildConfig):
        entries = re.findall(r"^ {8}(\w+): (.*\n(?: {12}.*\n)*)", table.__doc__ or "", re.MULTILINE)
        described |= {(table, name) for name, told in entries if "relative to" in " ".join(told.split())}
        marked |= {(table, item.name) for item in fields(table) if item.metadata.get("path")}
    assert described == marked != set()


@dataclass(frozen=True, kw_only=True)
class Inner:
    new: str | None = path_field(default=None)
    many: tuple[str, ...] = path_field(default=())
    words: str = "no/path"
    numbers: tuple[float, ...] = (1.0,)
    options: dict[str, Any] = field(default_factory=lambda: {"a": "no/path"})


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()


def test_a_new_path_in_any_table_is_found_by_its_mark_alone() -> None:
    table = Outer(inner=Inner(new="a"), inners=(Inner(many=("b", "c")), Inner(new="")))
    assert list(paths_of(table)) == [("inner.new", "a"), ("inners.many", "b"), ("inners.many", "c")]
    changed = map_paths(table, lambda path: f"/{path}")
    assert changed == Outer(inner=Inner(new="/a"), inners=(Inner(many=("/b", "/c")), Inner(new="")))


def test_weights_are_taken_from_the_config_files_own_folder(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, '[[link]]\nmodel = "a"\nweights = "w/x.safetensors"\n[[link]]\nmodel = "b"\n'))
    assert config.link[0].weights == str(tmp_path / "w" / "x.safetensors")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[train]\nepoch = 3\n", "unknown key 'epoch'; did you mean 'epochs'?"),
        ("[trian]\n", "unknown key 'trian'; did you mean 'train'?"),
        ("[data]\nlabelled_fraction = 0.5\n", "asks for 150% of the training images"),
        ("[data]\ntest_fraction = 0.7\n", "expected over 0 and under 0.5"),
        ("[distill]\ntemperature_start = 1\ntemperature_end = 4\n", "annealing expects 0 < end <= start"),
        ("[gates]\nmin_accuracy = 90\n", "0.9 for 90 %"),
        ('[[link]]\nmodel = "a"\n', "at least two links"),
        ('[[link]]\nmodel = "a"\nweights = "w"\npretrained = true\n', "contradict each other"),
        ("[input]\nframe = [4, 4]\n", "expected 16 to 8192 pixels"),
        ("[abstain]\nthreshold = 1.0\n", "threshold = 1.0: expected 0 up to under 1"),
        ("[abstain]\nthreshold = 0.5\nmax_group_error = 0.05\n", "threshold and max_group_error contradict each other"),
        ("[exam]\nthreshold = 0.5\nmax_group_error = 0.05\n", "threshold and max_group_error contradict each other"),
        ("[exam]\ntop_k = [4, 33]\n", "each 1 to 32"),
        ("[exam]\nmin_frames = 9\nmax_frames = 8\n", "the second not under the first"),
        ("[exam]\nagreement = 1.0\n", "expected over 0.5 and under 1"),
        ("[gates]\nmin_exam_accuracy = 90\n", "0.9 for 90 %"),
        ("seed = 'x'\n", "expected an integer"),
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


def test_examinations_have_the_threshold_of_single_frames_unless_they_have_their_own() -> None:
    frames = AbstainConfig(max_group_error=0.1, confidence=0.9, on_failure="report")
    taken = exam_settings(BuildConfig(abstain=frames))
    assert (taken.threshold, taken.max_group_error) == (None, 0.1)
    assert (taken.confidence, taken.on_failure) == (0.9, "report")
    assert exam_settings(BuildConfig(abstain=AbstainConfig(threshold=0.7))).threshold == 0.7
    own = ExamConfig(threshold=0.4)
    assert exam_settings(BuildConfig(abstain=frames, exam=own)) == own


def test_labelled_subsets_that_just_fit_are_taken() -> None:
    BuildConfig(data=DataConfig(labelled_fraction=1 / 3), link=(LinkConfig(model="a"),) * 3)
