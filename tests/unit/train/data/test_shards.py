"""Several processes read a data set in shards; later runs decode nothing of it again, and find the very same."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.errors import printed, raises
from support.read_images import Notes, break_start, count_decoding, make_older
from weckd_edge.config import BuildConfig, DataConfig
from weckd_edge.core.errors import StoreError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import Workspace
from weckd_edge.pipeline.context import choose_profile, start
from weckd_edge.pipeline.request import BuildRequest
from weckd_edge.pipeline.steps.read_data import index_data
from weckd_edge.train.data.check import check_data
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.scan_store import DATABASE, open_scan_store
from weckd_edge.train.data.shards import Shard, ShardReport, read_shard

Run = Callable[..., tuple[int, str, str]]
CONFIG = DataConfig(labelled_fraction=0.3)
PATHS = [f"{label}/{i}.png" for label in ("dark", "light") for i in range(12)]  # of the data set "ears"
THIRDS = [Shard(number=n, count=3) for n in (1, 2, 3)]


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the images that are decoded, as they are."""
    return count_decoding(monkeypatch)


def check(data: Path, cache: Path | None, progress: SilentProgress | None = None) -> str:
    return to_json(check_data(data, CONFIG, progress or SilentProgress(), cache))


def index(data: Path, cache: Path | None) -> str:
    silent = SilentProgress()
    return to_json(build_index(data, CONFIG, labelled_subsets=1, seed=2, skip_bad=True, progress=silent, cache=cache))


def read(data: Path, shard: Shard, cache: Path, progress: SilentProgress | None = None) -> ShardReport:
    return read_shard(data, shard, cache, progress or SilentProgress(), CONFIG)


def paths_of(*shards: Shard) -> list[str]:
    return sorted(path for path in PATHS if any(shard.holds(path) for shard in shards))


def test_shards_read_at_the_same_time_leave_nothing_to_decode(ears: Path, tmp_path: Path, decoded: list[str]) -> None:
    (ears / "light" / "bad.png").write_bytes(b"hello")
    plain = check(ears, None), index(ears, None)
    cache = tmp_path / "cache"
    command = [sys.executable, "-m", "weckd_edge", "data", "read", str(ears), "--cache", str(cache), "-q", "--shard"]
    running = [subprocess.Popen([*command, str(shard)], stdout=subprocess.PIPE, text=True) for shard in THIRDS]
    printed_last = [process.communicate(timeout=300)[0].splitlines()[-1] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    with_bad = next(shard for shard in THIRDS if shard.holds("light/bad.png"))
    for shard, line in zip(THIRDS, printed_last, strict=True):
        unreadable = "1 file" if shard == with_bad else "0 files"
        assert line.startswith(f"shard {shard}: {len(paths_of(shard))} images read, {unreadable} unreadable; ")
        assert line.endswith(f"with --cache {cache}")
    assert not (cache / DATABASE).exists()

    decoded.clear()
    notes = Notes()
    assert (check(ears, cache, notes), index(ears, cache)) == plain
    assert decoded == ["light/bad.png"] * 2  # what cannot be read is tried again each time
    assert notes.notes == [f"{cache}: 3 shards, with what was read of 24 images"]


def test_of_a_missing_shard_the_files_are_read_and_kept(ears: Path, tmp_path: Path, decoded: list[str]) -> None:
    plain = check(ears, None)
    for shard in THIRDS[:2]:
        read(ears, shard, tmp_path / "cache")
    decoded.clear()
    assert check(ears, tmp_path / "cache") == plain
    assert sorted(decoded) == paths_of(THIRDS[2])
    decoded.clear()
    assert check(ears, tmp_path / "cache") == plain
    assert read(ears, THIRDS[2], tmp_path / "cache").images == len(paths_of(THIRDS[2]))
    assert decoded == []


KILLED = """
import os, sys
from pathlib import Path
from weckd_edge.cli.main import main
from weckd_edge.train.data import scan as module

module._BATCH = 2
decode = module._Reader._decode
module._Reader._decode = lambda own, one: os.kill(os.getpid(), 9) if one.path == sys.argv[1] else decode(own, one)
main(sys.argv[2:])
"""


def test_a_shard_that_was_killed_goes_on_where_it_was(ears: Path, tmp_path: Path, decoded: list[str]) -> None:
    own = paths_of(THIRDS[0])
    assert len(own) > 4
    command = ["data", "read", str(ears), "--cache", str(tmp_path / "cache"), "--shard", "1/3", "-q"]
    assert subprocess.run([sys.executable, "-c", KILLED, own[4], *command], check=False).returncode == -9
    assert read(ears, THIRDS[0], tmp_path / "cache").images == len(own)
    assert decoded == own[4:]


def test_a_file_that_changed_after_its_shard_ran_is_read_anew(ears: Path, tmp_path: Path, decoded: list[str]) -> None:
    for shard in THIRDS:
        read(ears, shard, tmp_path / "cache")
    (ears / "dark" / "3.png").write_bytes((ears / "light" / "3.png").read_bytes())
    os.utime(ears / "light" / "4.png", ns=(1, 1))
    (ears / "light" / "5.png").unlink()
    decoded.clear()
    found = check(ears, tmp_path / "cache")
    assert decoded == ["dark/3.png", "light/4.png"]
    decoded.clear()
    indexed = index(ears, tmp_path / "cache")
    assert decoded == []
    assert (found, indexed) == (check(ears, None), index(ears, None))


def foreign(place: Path) -> None:
    place.write_bytes(b"")
    with sqlite3.connect(place) as connection:
        connection.execute("CREATE TABLE image (path TEXT)")
    connection.close()


@pytest.mark.parametrize(
    ("damage", "said"), [(break_start, "damaged"), (foreign, "damaged"), (make_older, "another version")]
)
def test_a_shard_that_cannot_be_trusted_is_not_used_and_left_for_its_own_run(
    ears: Path, tmp_path: Path, decoded: list[str], damage: Callable[[Path], None], said: str
) -> None:
    plain = check(ears, None)
    for shard in THIRDS:
        read(ears, shard, tmp_path / "cache")
    place = tmp_path / "cache" / THIRDS[1].file
    damage(place)
    left = place.read_bytes()
    decoded.clear()
    notes = Notes()
    assert check(ears, tmp_path / "cache", notes) == plain
    assert sorted(decoded) == paths_of(THIRDS[1])
    assert len(notes.notes) == 2
    assert said in notes.notes[0]
    assert str(place) in notes.notes[0]
    assert place.read_bytes() == left

    (tmp_path / "cache" / DATABASE).unlink()
    decoded.clear()
    notes = Notes()
    read(ears, THIRDS[1], tmp_path / "cache", notes)
    assert sorted(decoded) == paths_of(THIRDS[1])
    assert said in notes.notes[0]
    decoded.clear()
    assert check(ears, tmp_path / "cache") == plain
    assert decoded == []


def test_a_thumbnail_that_was_altered_in_a_shard_is_refused_by_the_name_of_its_file(ears: Path, tmp_path: Path) -> None:
    for number, shard in enumerate(THIRDS):
        for path in paths_of(shard)[:1]:
            copy = ears / path.replace("/", f"/copy{number}-")  # near duplicates, whose thumbnails are compared
            copy.write_bytes((ears / path).read_bytes() + b"\0")
    for shard in THIRDS:
        read(ears, shard, tmp_path / "cache")
    with sqlite3.connect(tmp_path / "cache" / THIRDS[2].file) as connection:
        connection.execute("UPDATE thumbnail SET pictures = zeroblob(1796)")
    connection.close()
    with raises(StoreError, "E_STORE_DIGEST", says=THIRDS[2].file):
        check(ears, tmp_path / "cache")


def test_what_a_run_of_the_whole_set_has_read_a_shard_does_not_read_again(
    ears: Path, tmp_path: Path, decoded: list[str]
) -> None:
    check(ears, tmp_path / "cache")
    decoded.clear()
    assert read(ears, THIRDS[0], tmp_path / "cache").images == len(paths_of(THIRDS[0]))
    assert decoded == []


def test_shards_of_two_divisions_serve_together(ears: Path, tmp_path: Path, decoded: list[str]) -> None:
    plain = check(ears, None)
    half = Shard(number=2, count=2)
    for shard in (THIRDS[0], half):
        read(ears, shard, tmp_path / "cache")
    decoded.clear()
    assert check(ears, tmp_path / "cache") == plain
    assert sorted(decoded) == sorted(set(PATHS) - set(paths_of(THIRDS[0], half)))


def test_shards_wait_for_nobody_but_a_run_of_the_whole_set_and_their_own_like(ears: Path, tmp_path: Path) -> None:
    cache, silent = tmp_path / "cache", SilentProgress()
    with open_scan_store(cache, silent, THIRDS[0].file):
        assert read(ears, THIRDS[1], cache).images == len(paths_of(THIRDS[1]))
        with raises(StoreError, "E_STORE_LOCKED", says=THIRDS[0].file):
            read(ears, THIRDS[0], cache)
        with raises(StoreError, "E_STORE_LOCKED", says="cache"):
            check(ears, cache)
    with open_scan_store(cache, silent), raises(StoreError, "E_STORE_LOCKED", says="cache"):
        read(ears, THIRDS[0], cache)
    assert check(ears, cache) == check(ears, None)


def test_a_folder_without_locks_is_refused_in_one_line(ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(handle: object, kind: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with raises(StoreError, "E_STORE_UNWRITABLE", says=("cache", "No locks available")):
        read(ears, THIRDS[0], tmp_path / "cache")


def test_shards_of_another_path_are_named_before_everything_is_read_anew(
    ears: Path, tmp_path: Path, decoded: list[str]
) -> None:
    read(ears, THIRDS[0], tmp_path / "cache")
    moved = ears.rename(tmp_path / "moved")
    decoded.clear()
    notes = Notes()
    assert '"images": 24' in check(moved, tmp_path / "cache", notes)
    assert sorted(decoded) == sorted(PATHS)
    assert [str(moved) in text and "1 shard," in text for text in notes.warnings] == [True]


def test_each_file_is_in_one_shard_by_its_path_alone_and_shards_are_about_equal() -> None:
    paths = [f"normal/part{n // 1000}/{n:06d}.png" for n in range(16_000)]
    shards = [Shard(number=n + 1, count=8) for n in range(8)]
    sizes = [0] * 8
    for path in paths:
        expected = int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") % 8
        assert [shard.holds(path) for shard in shards] == [n == expected for n in range(8)]
        sizes[expected] += 1
    assert max(sizes) - min(sizes) < 200
    assert Shard(number=1, count=1).holds("wax/\udcff.png")  # a name that is not UTF-8


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("0/3", "E_CONFIG_RANGE", "1/3"),
        ("4/3", "E_CONFIG_RANGE", "3/3"),
        ("1/0", "E_CONFIG_RANGE", "256"),
        ("1/257", "E_CONFIG_RANGE", "256"),
        ("a/b", "E_CONFIG_VALUE", "a/b"),
        ("3", "E_CONFIG_VALUE", "3/8"),
        ("1/3/3", "E_CONFIG_VALUE", "3/8"),
        ("-1/3", "E_CONFIG_VALUE", "3/8"),
        ("²/3", "E_CONFIG_VALUE", "3/8"),
        ("", "E_CONFIG_VALUE", "3/8"),
        ("1/99999999999", "E_CONFIG_VALUE", "3/8"),
    ],
)
def test_a_wrong_shard_is_refused_in_one_line(ears: Path, tmp_path: Path, run: Run, text: str, code: str, says: str) -> None:
    status, out, err = run("data", "read", ears, "--cache", tmp_path / "cache", f"--shard={text}")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert printed(err, code, says=("--shard", says))
    assert not (tmp_path / "cache").exists()


def test_json_names_the_shard_and_its_unreadable_files(ears: Path, tmp_path: Path, run: Run) -> None:
    (ears / "light" / "bad.png").write_bytes(b"hello")
    status, out, _ = run("data", "read", ears, "--cache", tmp_path / "cache", "--shard", "1/1", "--json")
    assert status == 0
    assert json.loads(out) == {
        "shard": 1,
        "shards": 1,
        "file": str(tmp_path / "cache" / "shard-1-of-1.sqlite"),
        "images": 24,
        "bad_files": [{"path": "light/bad.png", "reason": "not an image but text"}],
    }


def test_no_shard_is_kept_in_the_data_set(ears: Path, run: Run) -> None:
    status, _, err = run("data", "read", ears, "--cache", ears / "cache", "--shard", "1/2")
    assert status == 2
    assert printed(err, "E_CONFIG_OUT_PLACE", says="--cache")
    assert not (ears / "cache").exists()


def test_a_build_takes_what_shards_have_read(ears: Path, tmp_path: Path, decoded: list[str]) -> None:
    for shard in THIRDS:
        read(ears, shard, tmp_path / "cache")
    decoded.clear()

    def indexed(name: str, cache: Path | None) -> str:
        config = BuildConfig(data=CONFIG)
        request = BuildRequest(data=ears, target="cpu", device=None, out=tmp_path / name, config=config, cache=cache)
        work = Workspace(tmp_path / f"{name}.work")
        return to_json(index_data(start(request, choose_profile("cpu", None), work, SilentProgress())))

    found = indexed("shared", tmp_path / "cache")
    assert decoded == []
    assert found == indexed("alone", None)
    assert sorted(decoded) == sorted(PATHS)


def test_a_build_keeps_no_cache_in_the_data_set(ears: Path, tmp_path: Path, run: Run) -> None:
    status, _, err = run("build", "--data", ears, "--target", "cpu", "--out", tmp_path / "out", "--cache", ears / "cache")
    assert status == 2
    assert printed(err, "E_CONFIG_OUT_PLACE", says="--cache")
