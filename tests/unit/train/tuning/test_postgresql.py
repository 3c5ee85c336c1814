"""Lanes that share a study or a search through a real PostgreSQL server, also where a lane or the server is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from support.errors import raises
from support.programs.lanes import Lane, Lanes
from support.programs.postgres import PASSWORD
from support.training.toy_chain import TOY_LINKS_TOML
from weckd_edge.core.errors import ConfigError
from weckd_edge.train.tuning.shared_storage import open_study

pytest.importorskip("optuna")

CHAIN = (
    TOY_LINKS_TOML
    + """
[data]
labelled_fraction = 0.25

[train]
epochs = 1
steps_per_epoch = 1
batch = 8
threads = 1
accelerator = "cpu"
"""
)
COSTS = ("seconds", "cpu_seconds", "joules")


@pytest.fixture
def given(ears: Path, tmp_path: Path) -> tuple[str | Path, ...]:
    """The data and the settings of every command."""
    (tmp_path / "chain.toml").write_text(CHAIN)
    return ("--data", ears, "--config", tmp_path / "chain.toml", "--quiet", "--json")


def study(lanes: Lanes, given: tuple[str | Path, ...], out: Path, storage: str, seeds: int = 1, **kw: Any) -> Lane:
    shared = ("--storage", storage) if storage else ()
    return lanes.start("study", *given, "--strategies", "single-subset", "--seeds", str(seeds), *shared, "--out", out, **kw)


def runs(out: Path) -> list[dict[str, Any]]:
    """Return the runs that a lane has written, without what they took."""
    found = [json.loads(line) for line in (out / "trials.jsonl").read_text().splitlines()]
    return [{name: value for name, value in run.items() if name not in COSTS} for run in found]


def gives_away(folder: Path) -> list[Path]:
    """Return the files below a folder that hold the password."""
    return [path for path in folder.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]


def test_a_lane_takes_over_from_one_that_was_killed_and_ends_where_one_process_does(
    lanes: Lanes, postgres: Any, given: tuple[str | Path, ...], tmp_path: Path
) -> None:
    """Both start at once on an empty database, whose tables one of them makes."""
    storage, folds = postgres.database("killed"), ("--folds", "2")
    killed = study(lanes, (*given, *folds), tmp_path / "a", storage, hold=True)
    other = study(lanes, (*given, *folds), tmp_path / "b", storage, hold=True)
    killed.wait_until_held()
    other.wait_until_held()
    killed.kill()
    other.held.unlink()
    alone = study(lanes, (*given, *folds), tmp_path / "alone", "")
    assert killed.wait().returncode == -signal.SIGKILL
    done, single = other.wait(), alone.wait()
    assert (done.returncode, single.returncode) == (0, 0), done.stderr + single.stderr
    assert runs(tmp_path / "b") == runs(tmp_path / "alone")
    assert (tmp_path / "b/splits.jsonl").read_bytes() == (tmp_path / "alone/splits.jsonl").read_bytes()
    states = postgres.query("SELECT state, count(*) FROM trials GROUP BY state ORDER BY 1", "killed").splitlines()
    assert {line.partition("|")[0]: int(line.partition("|")[2]) for line in states}["COMPLETE"] == 2
    assert "FAIL|1" in states
    assert gives_away(tmp_path) == []
    assert PASSWORD not in done.stdout + done.stderr


def test_a_lane_that_was_out_of_reach_goes_on_beside_the_one_that_took_its_piece(
    lanes: Lanes, postgres: Any, given: tuple[str | Path, ...], tmp_path: Path
) -> None:
    """As where a machine was asleep; the second one has the piece's result before the first, or after it."""
    storage = postgres.database("asleep")
    first = study(lanes, given, tmp_path / "a", storage, hold=True)
    first.wait_until_held()
    os.kill(first.pid, signal.SIGSTOP)
    second = study(lanes, given, tmp_path / "b", storage, hold=True)
    second.wait_until_held()
    first.held.unlink()
    os.kill(first.pid, signal.SIGCONT)
    done = first.wait()
    assert done.returncode == 0, done.stderr
    second.held.unlink()
    assert second.wait().returncode == 0
    assert runs(tmp_path / "a") == runs(tmp_path / "b")
    assert postgres.query("SELECT count(*) FROM trials WHERE state = 'COMPLETE'", "asleep") == "1"


def test_a_server_that_dies_is_one_line_and_one_that_comes_back_is_gone_on_with(
    lanes: Lanes, postgres: Any, given: tuple[str | Path, ...], tmp_path: Path
) -> None:
    storage = postgres.database("dies")
    lane = study(lanes, given, tmp_path / "a", storage, hold=True)
    lane.wait_until_held()
    postgres.stop()
    try:
        time.sleep(1.5)  # a heartbeat fails
        lane.held.unlink()
        done = lane.wait()
    finally:
        postgres.start()
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "error[E_STORE_STORAGE]" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    again = study(lanes, given, tmp_path / "a", storage)
    other = study(lanes, given, tmp_path / "b", storage, hold=True)
    assert again.wait().returncode == 0
    other.held.touch()
    assert other.wait().returncode == 0
    assert runs(tmp_path / "a") == runs(tmp_path / "b")


def test_a_server_that_starts_again_while_a_link_is_trained_ends_nothing(
    lanes: Lanes, postgres: Any, given: tuple[str | Path, ...], tmp_path: Path
) -> None:
    lane = study(lanes, given, tmp_path / "a", postgres.database("restarts"), hold=True)
    lane.wait_until_held()
    postgres.stop()
    postgres.start()
    lane.held.unlink()
    done = lane.wait()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_two_lanes_share_a_search(lanes: Lanes, postgres: Any, given: tuple[str | Path, ...], tmp_path: Path) -> None:
    storage = postgres.database("tuned")
    both = [lanes.start("tune", *given, "--trials", "2", "--storage", storage, "--out", tmp_path / name) for name in "ab"]
    done = [lane.wait() for lane in both]
    assert [one.returncode for one in done] == [0, 0], done[0].stderr + done[1].stderr
    found = [json.loads(one.stdout) for one in done]
    assert found[0]["name"] == found[1]["name"]
    finished = int(postgres.query("SELECT count(*) FROM trials WHERE state IN ('COMPLETE', 'PRUNED')", "tuned"))
    assert 2 <= finished <= 3  # each may have begun the last one
    assert all(2 <= one["trials"] <= finished for one in found)
    assert gives_away(tmp_path) == []


@pytest.mark.parametrize("wrong", ["password", "port", "database"])
def test_a_server_that_does_not_let_in_is_one_line_without_the_password(wrong: str, postgres: Any) -> None:
    parts = {"password": PASSWORD, "port": str(postgres.port), "database": "postgres"}
    parts[wrong] = {"password": f"{PASSWORD}-not", "port": "1", "database": "nothing"}[wrong]
    address = f"postgresql://weckd:{parts['password']}@127.0.0.1:{parts['port']}/{parts['database']}"
    with (
        raises(ConfigError, "E_CONFIG_STORAGE", says=f"weckd:***@127.0.0.1:{parts['port']}") as caught,
        open_study(address, "a", 0),
    ):
        pass
    assert "\n" not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_socket_and_a_password_in_the_environment_are_enough(postgres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    postgres.database("local")
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    address = f"postgresql://weckd@/local?host={postgres.folder}&port={postgres.port}"
    with open_study(address, "a", 0, heartbeat=True) as study:
        assert study.trials == []
    assert postgres.query("SELECT study_name FROM studies", "local") == "a"
