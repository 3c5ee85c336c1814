"""TOML files that somebody wrote: one line for each that cannot be used, in no time, and a byte order mark is no fault."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.errors import raises
from weckd_edge.config import load_config
from weckd_edge.core.errors import ConfigError, DeviceError
from weckd_edge.core.toml_file import MAX_BYTES, read_toml
from weckd_edge.devices.profiles.profile import load_profile


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed = -1", "seed = -1: expected 0 to 2147483647"),
        (f"seed = {'9' * 26}", "seed: expected an integer of at most 64 bits"),
        (f"seed = {'9' * 5000}", "expected TOML"),
        ("seed = 4294967296", "expected 0 to 2147483647"),
        ("[gates]\nmax_latency_p90_ms = inf", "gates.max_latency_p90_ms = inf: expected a finite number"),
        ("[train]\nweight_decay = nan", "train.weight_decay = nan: expected a finite number"),
        ("[train]\nthreads = -1", "threads = -1: expected 0 to 1024"),
        ("[train]\nbatch = 9000000000000000000", "expected 4 to 65536"),
        ("[bench]\nwarmup = -1", "warmup = -1: expected 0 to"),
        (f'[select]\nlink = "M{"9" * 5000}"', "expected smallest, last, or such as M2"),
        ('[guard]\nood_dirs = [""]', "expected folders, found an empty text"),
        (f"x = {'[' * 20000}{']' * 20000}", "nested too deeply"),
        (f"[train]\n{'a.' * 40}a = 1", "nested too deeply"),
        (f"{'a.' * 200000}a = 1", "expected keys of a few parts"),
    ],
)  # fmt: skip
def test_a_setting_that_no_build_could_use_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "c.toml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_left_out_as_in_a_csv(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbfseed = 7\r\n")
    assert load_config(tmp_path / "c.toml").seed == 7


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def make_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(6 << 30)


@pytest.mark.parametrize(
    ("make", "code"), [(make_pipe, "E_FILE_KIND"), (make_device, "E_FILE_KIND"), (make_huge, "E_FILE_LIMIT")]
)
def test_a_file_that_never_ends_is_refused_at_once(make: Callable[[Path], None], code: str, tmp_path: Path) -> None:
    make(tmp_path / "c.toml")
    with raises(ConfigError, code):
        load_config(tmp_path / "c.toml")
    with raises(DeviceError, code):
        load_profile(tmp_path / "c.toml")


def test_a_file_may_be_as_large_as_is_reported(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("a = 1\n" + "#" * (MAX_BYTES - 6))
    assert read_toml(tmp_path / "c.toml") == {"a": 1}


def test_a_device_that_no_update_system_can_name_is_refused_when_its_profile_is_read(tmp_path: Path) -> None:
    for name in ("my board", "ü", "x" * 101, ""):
        (tmp_path / "d.toml").write_text(f'extends = "generic-x86"\nid = "{name}"\n')
        with raises(DeviceError, "E_DEVICE_PROFILE", says="100"):
            load_profile(tmp_path / "d.toml")
