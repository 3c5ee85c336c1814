"""What processes that train together keep, and what the next ones find of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from weckd_edge.config import TrainConfig
from weckd_edge.core.fingerprint import Key
from weckd_edge.core.store import FileRef, Workspace, file_ref
from weckd_edge.train.distill.loop import distributed
from weckd_edge.train.distill.loop.distributed import shared_stage
from weckd_edge.train.distill.loop.process_folders import kept_here, own_folder, workspaces_here

KEY = Key(inputs="a", code="b", libraries={})


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    content: FileRef


def make(folder: Path) -> Made:
    (folder / "file").write_text("made")
    return Made(content=file_ref(folder, folder / "file"))


def never(folder: Path) -> Made:
    raise AssertionError("it is there")


def test_a_process_keeps_its_folder_until_its_training_has_ended_well(tmp_path: Path) -> None:
    folder = tmp_path / "nothing"

    def ends_on_the_way() -> None:
        nonlocal folder
        with own_folder(tmp_path / "work", 3) as folder:
            folder.mkdir(parents=True)
            raise KeyError

    with pytest.raises(KeyError):
        ends_on_the_way()
    assert folder == tmp_path / "work/processes/3"
    assert folder.is_dir()
    with own_folder(tmp_path / "work", 3) as folder:
        (folder / "something").touch()
    assert not (tmp_path / "work").exists()


def test_a_folder_that_the_first_process_uses_too_stays(tmp_path: Path) -> None:
    (tmp_path / "work/link-M1").mkdir(parents=True)
    with own_folder(tmp_path / "work", 1) as folder:
        folder.mkdir(parents=True)
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["link-M1"]


def test_all_workspaces_of_a_machine_are_looked_through_the_own_one_first(tmp_path: Path) -> None:
    for rank in (1, 2):
        (tmp_path / f"processes/{rank}").mkdir(parents=True)
    first, one, two = Workspace(tmp_path), Workspace(tmp_path / "processes/1"), Workspace(tmp_path / "processes/2")
    assert [place.root for place in workspaces_here(first)] == [first.root, one.root, two.root]
    assert [place.root for place in workspaces_here(two)] == [two.root, first.root, one.root]
    assert kept_here(two.root / "scratch/x", two)[1:] == (tmp_path / "scratch/x", one.root / "scratch/x")


@pytest.mark.parametrize("before", ["work", "work/processes/1"])
@pytest.mark.parametrize("now", ["work", "work/processes/1", "work/processes/2"])
def test_a_step_that_any_process_of_this_machine_has_finished_is_used(before: str, now: str, tmp_path: Path) -> None:
    """One process is left, as where a machine goes on alone."""
    shared_stage(TrainConfig(), Workspace(tmp_path / before), "step", Made, KEY, make)
    (tmp_path / now).mkdir(parents=True, exist_ok=True)
    (tmp_path / now / "processes").mkdir(exist_ok=True)
    found = shared_stage(TrainConfig(), Workspace(tmp_path / now), "step", Made, KEY, make if now == before else never)
    assert (found.folder / "file").read_text() == "made"
    assert found.folder.parent == tmp_path / now


class FakeFabric:
    """One of three processes, the others of which hold what is given."""

    device = "cpu"

    def __init__(self, rank: int, world_size: int = 3) -> None:
        self.global_rank, self.world_size = rank, world_size
        self.sent: list[tuple[Any, int]] = []

    def broadcast(self, value: Any, src: int = 0) -> Any:
        self.sent.append((value, src))
        return value if src == self.global_rank else f"of {src}"


@pytest.mark.parametrize(("worths", "source"), [((0, 0, 0), None), ((1, 1, 0), 0), ((0, 2, 5), 2), ((4, 5, 5), 1)])
def test_the_process_with_the_most_gives_it_to_all(
    worths: tuple[int, ...], source: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def all_gather(into: list[Any], own: Any) -> None:
        for tensor, worth in zip(into, worths, strict=True):
            tensor.fill_(worth)

    monkeypatch.setattr(distributed.distributed, "all_gather", all_gather)
    for rank in range(3):
        fabric: Any = FakeFabric(rank)
        taken = distributed.take_best(fabric, "own", worths[rank])
        if source is None:
            assert (taken, fabric.sent) == (None, [])
        else:
            assert fabric.sent == [("own" if rank == source else None, source)]
            assert taken == ("own" if rank == source else f"of {source}")
    alone: Any = FakeFabric(0, 1)
    assert distributed.take_best(alone, "own", 0) == "own"
