"""The comparison with other tools: its work, its format, its steps and its going on, without any of the tools."""

from __future__ import annotations

import ast
import csv
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from support.programs.benchmark_scripts import BENCHMARKS, load_script

FOLDS = 3
ROOT = BENCHMARKS.parent


@pytest.fixture(scope="module")
def peers() -> SimpleNamespace:
    names = ("catalogue", "environments", "job", "measure", "pieces", "run", "step", "work")
    return SimpleNamespace(**{name: load_script(f"peers.{name}") for name in names})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 30 groups of two images each."""
    root, random = tmp_path_factory.mktemp("data") / "noise", np.random.default_rng(0)
    rows = []
    for label in ("bright", "dark"):
        (root / label).mkdir(parents=True)
        for at in range(60):
            pixels = random.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / label / f"{at}.png")
            rows.append({"file": f"{label}/{at}.png", "label": label, "group": f"{label}-{at // 2}"})
    with (root / "groups.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "label", "group"])
        writer.writeheader()
        writer.writerows(rows)
    return root


@pytest.fixture(scope="module")
def works(peers: SimpleNamespace, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, str], Any]:
    """Every piece of work of the data set, by fold and number of labels."""
    folder, labels = tmp_path_factory.mktemp("work"), list(peers.work.LABELS)
    return {
        (fold, work.labels): work
        for fold in range(1, FOLDS + 1)
        for work in peers.work.lay_out_fold(dataset, fold, FOLDS, labels, 0, folder)
    }


def images(work: Any, split: str) -> set[Path]:
    return {path.resolve() for path in (work.folder / split).glob("*/*")}


def group(path: Path) -> str:
    return f"{path.parent.name}-{int(path.stem) // 2}"


def test_no_held_out_image_nor_one_of_its_group_is_trained_on(works: dict[tuple[int, str], Any]) -> None:
    for work in works.values():
        test, train, val = ({group(path) for path in images(work, split)} for split in ("test", "train", "val"))
        assert test
        assert val
        assert not test & (train | val)
        assert not train & val


def test_more_labels_hold_fewer_labels_and_the_same_held_out_images(works: dict[tuple[int, str], Any]) -> None:
    for fold in range(1, FOLDS + 1):
        one, three, every = (works[fold, labels] for labels in ("57", "171", "all"))
        assert images(one, "train") < images(three, "train") < images(every, "train")
        for split in ("test", "val"):
            assert images(one, split) == images(three, split) == images(every, split)
        counts = every.counts
        assert sum(counts.values()) == 120
        assert one.counts["train"] == pytest.approx(counts["train"] / 10, abs=2)
        assert three.counts["train"] == pytest.approx(3 * counts["train"] / 10, abs=4)


def test_each_image_is_tested_in_one_fold(works: dict[tuple[int, str], Any]) -> None:
    tested = [path for fold in range(1, FOLDS + 1) for path in images(works[fold, "57"], "test")]
    assert len(tested) == len(set(tested)) == 120


def test_the_groups_of_test_images_are_kept_outside_the_folder(works: dict[tuple[int, str], Any]) -> None:
    work = works[1, "57"]
    assert sorted(path.name for path in work.folder.iterdir()) == ["test", "train", "val"]
    assert work.classes == ("bright", "dark")
    assert work.groups == {f"{p.parent.name}/{p.name}": group(p) for p in images(work, "test")}


def test_work_that_is_there_is_not_laid_out_again(peers: SimpleNamespace, works: dict[tuple[int, str], Any]) -> None:
    work = works[1, "57"]
    before = work.folder.stat().st_mtime_ns
    (again,) = peers.work.lay_out_fold(Path("/nowhere/noise"), 1, FOLDS, ["57"], 0, work.folder.parents[2])
    assert again == work
    assert work.folder.stat().st_mtime_ns == before


def job_of(peers: SimpleNamespace, data: Path, folder: Path, peer: str = "by_hand") -> Any:
    return peers.job.Job(
        peer=peer, data=str(data), labels=("bright", "dark"), folder=str(folder), size=96, seconds=2.0, threads=1, seed=0,
        weights=None, network=None,
    )  # fmt: skip


def toy_program() -> ModuleType:
    """A peer that deploys a threshold."""
    program = ModuleType("toy")

    def build(job: Any) -> Any:
        deployed = Path(job.folder) / "deployed"
        deployed.mkdir()
        (deployed / "threshold.txt").write_text("127.5")
        module = sys.modules["peers.job"]
        return module.Built(
            deployed="deployed", network=("deployed/threshold.txt",), training_seconds=1.0, steps=3, seconds_before=5.0
        )

    def open_deployed(job: Any, built: Any) -> Callable[[Any], Any]:
        threshold = float((Path(job.folder) / built.deployed / "threshold.txt").read_text())

        def predict(frame: Any) -> Any:
            assert frame.dtype == np.uint8
            assert frame.shape[2] == 3
            return np.array([0.75, 0.25] if frame.mean() > threshold else [0.25, 0.75])

        return predict

    vars(program).update(
        build=build, open_deployed=open_deployed, open_trained=lambda job, built: None, DISTRIBUTIONS=("numpy",)
    )
    return program


def finish(peers: SimpleNamespace, job: Any) -> Any:
    """Run the steps of the toy, and return its result."""
    folder, program = Path(job.folder), toy_program()
    peers.step.build(job, program, folder)
    peers.step.predict(job, program, folder, "deployed")
    peers.step.predict(job, program, folder, "trained")
    peers.step.memory(job, program, folder)
    latency = {"640x480": peers.pieces.latency_of([[1_000_000, 2_000_000], [3_000_000]], [[4_000_000], [6_000_000]])}
    return peers.pieces.put_together(job, latency)


@pytest.fixture
def result(peers: SimpleNamespace, works: dict[tuple[int, str], Any], tmp_path: Path) -> Any:
    return finish(peers, job_of(peers, works[1, "57"].folder, tmp_path))


def test_a_job_goes_out_and_a_result_comes_back(
    peers: SimpleNamespace, works: dict[tuple[int, str], Any], tmp_path: Path
) -> None:
    job = job_of(peers, works[1, "57"].folder, tmp_path)
    peers.job.write(tmp_path / "job.json", job)
    assert peers.job.read_job(tmp_path / "job.json") == job
    result = finish(peers, job)
    assert list(result.images) == sorted(works[1, "57"].groups)
    assert set(result.deployed) <= {(0.75, 0.25), (0.25, 0.75)}
    assert result.trained is None
    assert (result.deployed_bytes, result.network_bytes) == (5, 5)
    assert result.seconds >= 5.0
    assert result.latency["640x480"] == peers.job.Latency(
        p50_ms=2.0, p90_ms=pytest.approx(2.8), frames=3, ours_p50_ms=5.0, over_ours=(1.5 / 4 + 3 / 6) / 2
    )
    assert result.peak_bytes >= result.resident_bytes > 1e6
    assert result.versions["numpy"] == np.__version__
    assert result.lines == peers.pieces.lines_of("by_hand")
    assert peers.job.result_of(json.loads(json.dumps(asdict(result))), job.labels) == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"deployed": [[0.5, 0.5]]}, "a prediction for each of"),
        ({"images": ["a"], "deployed": [[0.2, 0.3, 0.5]]}, "expected 2 probabilities, got 3"),
        ({"images": ["a"], "deployed": [[3.0, -2.0]]}, "probabilities that sum to 1"),
        ({"images": ["a"], "deployed": [[float("nan"), 1.0]]}, "probabilities that sum to 1"),
        ({"images": [], "deployed": []}, "at least one test image"),
        ({"latency": {}}, "latencies of at least one size"),
        ({"latency": {"640x480": {"p50_ms": 2.0, "p90_ms": 1.0, "frames": 5}}}, "0 < p50 <= p90"),
        ({"resident_bytes": 0}, "resident_bytes: expected more than 0"),
        ({"speed": 3}, "unknown field 'speed'"),
        ({"schema_version": 9}, "version 1 of the format, got 9"),
        ({"built": {"deployed": "x"}}, "Built:"),
    ],
)
def test_a_wrong_result_is_refused_in_one_line(
    peers: SimpleNamespace, result: Any, change: dict[str, Any], message: str
) -> None:
    data = json.loads(json.dumps(asdict(result))) | change
    with pytest.raises(peers.job.FormatError, match=message) as caught:
        peers.job.result_of(data, ("bright", "dark"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"labels": ("one",)}, {"seconds": 0.0}, {"threads": 0}])
def test_a_wrong_job_is_refused(peers: SimpleNamespace, tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(peers.job.FormatError, match="expected"):
        replace(job_of(peers, tmp_path, tmp_path), **change)


SPEAKS = """
import sys
for line in sys.stdin:
    size, _, count = line.strip().rpartition(" ")
    print("a library says something")
    print("times: " + str([{ns}] * int(count)), flush=True)
"""


def test_two_artefacts_are_timed_in_turn(peers: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def command(step: str, place: Any) -> list[str]:
        assert step == "time"
        return [sys.executable, "-c", SPEAKS.format(ns=2_000_000 if place.folder.name == "ours" else 3_000_000)]

    monkeypatch.setattr(peers.pieces, "_command", command)
    for name in ("it", "ours"):
        (tmp_path / name).mkdir()
    place = peers.pieces.Place(python=Path(sys.executable), job=tmp_path / "it" / "job.json")
    found = peers.pieces.time_in_turn(place, tmp_path / "ours", 10)
    assert set(found) == {"own size", "640x480"}
    assert found["640x480"] == peers.job.Latency(p50_ms=3.0, p90_ms=3.0, frames=10, ours_p50_ms=2.0, over_ours=1.5)
    alone = peers.pieces.time_in_turn(place, None, 10)
    assert alone["own size"].ours_p50_ms is None


def test_an_artefact_that_cannot_be_opened_leaves_its_last_words(
    peers: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers.pieces, "_command", lambda step, place: [sys.executable, "-c", "raise SystemExit('no model')"])
    place = peers.pieces.Place(python=Path(sys.executable), job=tmp_path / "job.json")
    with pytest.raises(peers.pieces.StepError, match="time ended with 1: no model"):
        peers.pieces.time_in_turn(place, None, 10)
    with pytest.raises(peers.pieces.StepError, match="build ended with 1: no model"):
        peers.pieces.run_step("build", place, threads=1, most_s=60)


@pytest.fixture
def command_line(
    peers: SimpleNamespace, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[dict[str, Any]]]:
    """A function that runs run.py with peers whose steps are the toy's, and returns all lines; it counts their runs."""
    monkeypatch.setattr(peers.environments, "make", lambda peer, folder, share_torch: Path(sys.executable))
    out = tmp_path / "peers.jsonl"

    def run(run_piece: Callable[..., Any], *names: str) -> list[dict[str, Any]]:
        monkeypatch.setattr(peers.pieces, "run_piece", run_piece)
        given = [
            "run.py", "--data", str(dataset), "--weights", str(tmp_path), "--peers", *names, "--labels", "57", "all",
            "--folds", "3", "--only-folds", "2", "--seconds", "2", "--environments", str(tmp_path / "e"), "--out", str(out),
        ]  # fmt: skip
        monkeypatch.setattr(sys, "argv", given)
        peers.run.main()
        return [json.loads(line) for line in out.read_text().splitlines()]

    return run


def test_done_pieces_are_skipped_and_failed_ones_are_tried_again(
    peers: SimpleNamespace, command_line: Callable[..., list[dict[str, Any]]]
) -> None:
    ran: list[tuple[str, bool]] = []

    def run_piece(job: Any, python: Path, ours: Path | None, frames: int) -> Any:
        ran.append((job.peer, ours is not None))
        if job.peer == "fastai" and len(ran) < 5:
            raise peers.pieces.StepError("build ended with 1: no such network")
        Path(job.folder).mkdir(parents=True)
        return finish(peers, job)

    first = command_line(run_piece, "fastai", "weckd_edge")
    assert ran == [("weckd_edge", False)] * 2 + [("fastai", True)] * 2, (
        "ours comes first, so that the others are timed with it"
    )
    assert [line.get("failed") for line in first] == [None, None, *["build ended with 1: no such network"] * 2]
    assert {(line["set"], line["fold"], line["folds"], line["seconds"]) for line in first} == {("noise", 2, 3, 2.0)}
    assert [line["labels"] for line in first] == ["57", "all", "57", "all"]
    done = first[0]
    assert done["classes"] == ["bright", "dark"]
    assert [done["classes"][at] for at in done["truth"]] == [image.split("/")[0] for image in done["result"]["images"]]
    assert done["groups"][0] == group(Path(done["result"]["images"][0]))

    second = command_line(run_piece, "fastai", "weckd_edge")
    assert ran[4:] == [("fastai", True)] * 2
    assert second[:4] == first
    assert "result" in second[4]
    assert "result" in second[5]
    assert command_line(run_piece, "fastai", "weckd_edge") == second
    assert len(ran) == 6


def test_a_peer_that_needs_anothers_network_says_so_where_there_is_none(
    peers: SimpleNamespace, command_line: Callable[..., list[dict[str, Any]]]
) -> None:
    def run_piece(job: Any, python: Path, ours: Path | None, frames: int) -> Any:
        if job.peer == "onnxruntime_static":
            assert (Path(job.network) / "built.json").is_file()
        Path(job.folder).mkdir(parents=True)
        return finish(peers, job)

    (line, _) = command_line(run_piece, "onnxruntime_static")
    assert line["failed"] == "it takes the network of by_hand, which was not run on these images"
    later = command_line(run_piece, "onnxruntime_static", "by_hand")
    assert [(one["peer"], "result" in one) for one in later[2:]] == [
        *[("by_hand", True)] * 2,
        *[("onnxruntime_static", True)] * 2,
    ]


def test_a_peer_without_an_environment_leaves_a_line_for_each_piece(
    peers: SimpleNamespace, command_line: Callable[..., list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(peer: Any, folder: Path, share_torch: bool) -> Path:
        raise peers.environments.PipError("-m pip install ended with 1: no matching distribution")

    monkeypatch.setattr(peers.environments, "make", make)
    lines = command_line(lambda *_: None, "olive")
    assert [line["failed"] for line in lines] == ["-m pip install ended with 1: no matching distribution"] * 2


def test_an_environment_is_made_once_and_may_look_into_the_projects(
    peers: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def run(command: list[str]) -> None:
        commands.append(command)
        if command[1:3] == ["-m", "venv"]:
            (Path(command[3]) / "lib" / "python3.11" / "site-packages").mkdir(parents=True)

    monkeypatch.setattr(peers.environments, "_run", run)
    fastai, ours = peers.catalogue.PEERS["fastai"], peers.catalogue.PEERS["weckd_edge"]
    assert peers.environments.make(ours, tmp_path) == Path(sys.executable)
    assert commands == []
    python = peers.environments.make(fastai, tmp_path)
    assert python == tmp_path / "fastai_learner" / "bin" / "python"
    assert not list(tmp_path.rglob("*.pth"))
    assert "fastai>=2.8" in commands[1]
    peers.environments.make(fastai, tmp_path)
    assert len(commands) == 2
    peers.environments.remove(fastai, tmp_path)
    peers.environments.make(fastai, tmp_path, share_torch=True)
    (shared,) = tmp_path.rglob("*.pth")
    assert Path(shared.read_text().strip()).is_dir()


def test_a_users_lines_are_counted_between_the_marks(peers: SimpleNamespace) -> None:
    one = ["# user: one", "def go():", '    """Go.', "", '    Far."""', "    # a remark", "    return 1", "# end of user"]
    source = "\n".join(["import numpy", *one, "# user: two", "x = 1", "# end of user"])
    assert peers.job.count_lines(source, ["one"]) == 2
    assert peers.job.count_lines(source, ["one", "two"]) == 3
    with pytest.raises(peers.job.FormatError, match="expected a part '# user: three', found one, two"):
        peers.job.count_lines(source, ["three"])
    with pytest.raises(peers.job.FormatError, match="found the end of the file"):
        peers.job.count_lines("# user: one\nx = 1", ["one"])


def test_every_peer_has_a_program_with_the_three_functions_its_requirements_and_lines(peers: SimpleNamespace) -> None:
    for name, peer in peers.catalogue.PEERS.items():
        source = (peers.catalogue.PROGRAMS / f"{peer.program}.py").read_text(encoding="utf-8")
        body = ast.parse(source).body
        named = {one.name for one in body if isinstance(one, ast.FunctionDef)}
        named |= {alias.name for one in body if isinstance(one, ast.ImportFrom) for alias in one.names}
        assert {"build", "open_deployed", "open_trained"} <= named, name
        assert peer.requirements_file.is_file(), name
        assert peers.pieces.lines_of(name) > 5, name
        assert peer.network_of is None or peer.network_of in peers.catalogue.PEERS, name


def test_the_project_imports_nothing_of_its_peers() -> None:
    foreign = {"ultralytics", "fastai", "olive", "anomalib"}
    for folder in ("weckd_edge", "train", "compile", "devices"):
        for path in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found = {alias.name for one in ast.walk(tree) if isinstance(one, ast.Import) for alias in one.names}
            found |= {one.module or "" for one in ast.walk(tree) if isinstance(one, ast.ImportFrom)}
            assert not foreign & {name.partition(".")[0] for name in found}, path
