"""The check on a GPU, in its smallest form: every piece writes its line, what is there is not done again, time is kept."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Check:
    """The scripts, which lie outside the package."""

    check: ModuleType
    lines: ModuleType
    full_study: ModuleType


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> Check:
    monkeypatch.syspath_prepend(ROOT)
    return Check(*(importlib.import_module(f"benchmarks.gpu.{name}") for name in ("check", "lines", "full_study")))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def pieces(path: Path) -> list[str]:
    return [line["piece"] for line in lines_of(path)]


@pytest.fixture
def two_tests(scripts: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of two tests that pass, which is run in place of this folder."""
    source = tmp_path / "test_something.py"
    source.write_text("def test_one():\n    pass\n\n\ndef test_two():\n    pass\n")
    monkeypatch.setattr(scripts.check, "TESTS", str(source))
    return source


@pytest.mark.slow
def test_every_piece_writes_a_line_once(
    scripts: Check, two_tests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gpu.jsonl"
    given = ["--small", "--out", str(out), "--work", str(tmp_path / "work"), "--budget", "300"]
    assert scripts.check.main(given) == 0, capsys.readouterr().out
    assert pieces(out) == ["tests"] + ["rate"] * 3 + ["study"] * 2 + ["study load", "end"]
    found = lines_of(out)
    assert found[-1]["left_out"] == found[-1]["failed"] == []
    assert (found[0]["tests"], found[0]["failures"], len(found[0]["times_s"])) == (2, 0, 2)
    assert all(line["steps_per_s"] > 0 and len(line["times_ns"]) == 3 for line in found if line["piece"] == "rate")
    assert [line["strategy"] for line in found if line["piece"] == "study"] == ["single-subset", "relay"]
    assert all(line["steps"] == 4 for line in found if line["piece"] == "study")
    for line in (line for line in found if line["piece"] == "study"):
        right = sum(one == other for one, other in zip(line["predicted"], line["truth"], strict=True))
        assert right == line["correct"]
        assert len(line["groups"]) == line["test_images"] > 0
    assert all({"commit", "environment", "device", "date"} <= line.keys() for line in found)
    assert len(list((tmp_path / "work/phantom").glob("pixels-*"))) == 1
    assert scripts.check.main([*given, "--parts", "tests", "rates"]) == 0
    assert pieces(out)[len(found) :] == ["end"]


def test_what_does_not_fit_into_the_time_is_left_out_and_named(scripts: Check, tmp_path: Path) -> None:
    out = tmp_path / "gpu.jsonl"
    assert scripts.check.main(["--small", "--out", str(out), "--budget", "0", "--parts", "rates"]) == 0
    assert pieces(out) == ["end"]
    assert len(lines_of(out)[-1]["left_out"]) == 3
    lane = scripts.full_study.Lane(
        name="ears",
        data=tmp_path,
        weights=None,
        seeds=(1, 2),
        small=False,
        precision="bf16-mixed",
        work=tmp_path / "work",
        ends_at=0.0,
        step_s=0.01,
    )
    left_out = scripts.full_study.run(lane, scripts.lines.Results(path=out))
    assert [key["strategy"] for key in left_out] == [*scripts.full_study.STRATEGIES] * 2
    assert {key["steps"] for key in left_out} == {6000}


def test_a_test_that_fails_fails_the_check(scripts: Check, two_tests: Path, tmp_path: Path) -> None:
    two_tests.write_text("def test_one():\n    pass\n\n\ndef test_two():\n    raise ValueError\n")
    out = tmp_path / "gpu.jsonl"
    assert scripts.check.main(["--small", "--out", str(out), "--parts", "tests"]) == 1
    line, end = lines_of(out)
    assert (line["tests"], line["failures"]) == (2, 1)
    assert "ValueError" in line["tail"]
    assert len(end["failed"]) == 1


def test_what_is_not_installed_is_named_before_anything_runs(
    scripts: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(scripts.check.NEEDED, "rates", ("json", "no_such_module"))
    assert scripts.check.main(["--small", "--out", str(tmp_path / "gpu.jsonl"), "--parts", "rates"]) == 1
    assert "no_such_module" in capsys.readouterr().out
    assert not (tmp_path / "gpu.jsonl").exists()
