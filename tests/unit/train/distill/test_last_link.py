"""A last link gives its place to the same network trained alone where validation images show that to be better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from support import factories
from weckd_edge.artifacts import ChainRecord
from weckd_edge.config import TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Stage
from weckd_edge.report.chapters.verdicts import chain_sentence
from weckd_edge.train.distill.last_link import take_better


@dataclass(frozen=True)
class Named:
    """What is read of a link's record."""

    name: str
    weights: Any


def link(name: str, sha256: str) -> Any:
    return Stage(
        name=name,
        artifact=Named(name=name, weights=SimpleNamespace(sha256=sha256)),
        folder=Path(name),
        seconds=1.0,
        reused=False,
    )


def trainer(rights: dict[str, np.ndarray], images_of_a_group: int = 1) -> Any:
    """Return a trainer whose index has 100 validation images of class 0, and whose links are right as told."""
    records = [SimpleNamespace(label=0, group=f"g{i // images_of_a_group}") for i in range(100)]

    def predict(stage: Any, split: str) -> np.ndarray:
        assert split == "val"
        return np.stack([rights[stage.folder.name], ~rights[stage.folder.name]], axis=1).astype(np.float32)

    return SimpleNamespace(
        index=SimpleNamespace(split=lambda name: records if name == "val" else []),
        predict=predict,
        progress=SilentProgress(),
    )


def right(count: int) -> np.ndarray:
    return np.arange(100) < count


LINKS = (link("M1", "1"), link("M2", "2"))
ALONE = link("baseline", "b")


def test_a_network_alone_that_is_shown_better_takes_the_place_and_the_name() -> None:
    links, set_aside = take_better(trainer({"M2": right(70), "baseline": right(90)}), LINKS, ALONE, TrainConfig())
    assert [(one.artifact.name, one.artifact.weights.sha256) for one in links] == [("M1", "1"), ("M2", "b")]
    assert links[-1].folder == ALONE.folder
    assert set_aside is not None
    assert set_aside.link is LINKS[-1]
    assert set_aside.reason.startswith(
        "M2 is the same network trained alone, which is right on 90.0% of the validation images"
    )
    assert "on 70.0%: +20.0 points (+" in set_aside.reason


@pytest.mark.parametrize(("alone", "group"), [(74, 1), (70, 1), (50, 1), (90, 25)])
def test_it_stays_where_that_is_not_shown(alone: int, group: int) -> None:
    """Four images of 100, none, a worse network; or twenty images, in five groups of twenty-five."""
    found = take_better(trainer({"M2": right(70), "baseline": right(alone)}, group), LINKS, ALONE, TrainConfig())
    assert found == (LINKS, None)


def test_the_same_weights_and_a_set_without_validation_images_change_nothing() -> None:
    same = link("baseline", "2")
    assert take_better(trainer({"M2": right(1), "baseline": right(99)}), LINKS, same, TrainConfig()) == (LINKS, None)
    empty = replace_index(trainer({}))
    assert take_better(empty, LINKS, ALONE, TrainConfig()) == (LINKS, None)


def replace_index(made: Any) -> Any:
    return SimpleNamespace(index=SimpleNamespace(split=lambda name: []), predict=made.predict, progress=made.progress)


def test_the_report_says_that_the_chain_did_not_help() -> None:
    first, last = factories.link("M1"), replace(factories.link("M3"), weights=factories.file_reference("m3.safetensors"))
    chain = ChainRecord(links=(first, last), baseline=replace(last, name="baseline"), labels_used=3)
    assert chain_sentence(chain).startswith("No. M3 is the baseline, the same network trained alone")
