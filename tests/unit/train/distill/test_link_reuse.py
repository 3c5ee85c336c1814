"""When a trained link is taken from the store again, and what it costs to look it up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.training.toy_chain import TOY_LINKS
from weckd_edge.artifacts import DatasetIndex, Labels
from weckd_edge.config import BuildConfig, DistillConfig, LinkConfig, TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace

pytest.importorskip("torch")
pytest.importorskip("timm")

from support.training.hub_folder import write_hub_folder
from weckd_edge.pipeline.outside_teachers import open_teachers
from weckd_edge.train.distill import trainer as trainer_module
from weckd_edge.train.distill.chain import make_trainer, plan_chain, run_strategy
from weckd_edge.train.distill.outside.teaching import prepare_teachers
from weckd_edge.train.distill.strategies import find_strategy

CONFIG = BuildConfig(
    link=TOY_LINKS,
    train=TrainConfig(epochs=1, steps_per_epoch=1, batch=4, accelerator="cpu", threads=1),
    distill=DistillConfig(strategy="single-all"),
)
NEW_NAMES = Labels(("fluid", "healthy", "wax"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "images"


@pytest.fixture
def index(networks: ModuleType, root: Path) -> DatasetIndex:
    found: DatasetIndex = networks.write_images(root, train=9, val=3, test=3)
    return found


def opened(root: Path, index: DatasetIndex, config: BuildConfig, folder: Path) -> tuple[Any, Any]:
    """Return a trainer of this data set, and the plans of its links."""
    plans = plan_chain(index, config)
    return make_trainer(Workspace(folder), root, index, plans, SilentProgress()), plans


def test_a_renamed_class_keeps_the_trained_weights_and_takes_the_new_name(
    root: Path, index: DatasetIndex, tmp_path: Path
) -> None:
    found = []
    for one in (index, replace(index, labels=NEW_NAMES)):
        trainer, plans = opened(root, one, CONFIG, tmp_path / "work")
        (link,) = run_strategy(trainer, plans, find_strategy("single-all"), CONFIG)
        found.append(link)
    assert found[1].reused
    assert found[1].artifact.labels == NEW_NAMES
    assert found[1].artifact.weights == found[0].artifact.weights


def test_teachers_that_were_fine_tuned_before_a_class_was_renamed_teach_by_its_new_name(
    root: Path, index: DatasetIndex, tmp_path: Path
) -> None:
    teachers = open_teachers(CONFIG, ["guided+teachers"])
    taught = []
    for one in (index, replace(index, labels=NEW_NAMES)):
        trainer, _ = opened(root, one, CONFIG, tmp_path / "work")
        taught.append(prepare_teachers(trainer, teachers, None, CONFIG))
    assert all(network.reused for network in taught[1].networks)
    assert taught[1].soft_labels.artifact.training == taught[0].soft_labels.artifact.training


def test_new_weights_under_the_same_name_train_the_link_anew(root: Path, index: DatasetIndex, tmp_path: Path) -> None:
    def reused(seed: int) -> bool:
        name = write_hub_folder(tmp_path / "hub", seed)
        config = replace(CONFIG, link=2 * (LinkConfig(model=name, input_size=32),))
        trainer, plans = opened(root, index, config, tmp_path / "work")
        return run_strategy(trainer, plans, find_strategy("single-all"), config)[-1].reused

    assert [reused(seed) for seed in (1, 1, 2)] == [False, True, False]


def test_the_cached_pixels_are_verified_once_for_all_links(
    root: Path, index: DatasetIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opens: list[int] = []

    def open_cache(*given: Any) -> Any:
        opens.append(1)
        return real(*given)

    real = trainer_module.open_cache
    monkeypatch.setattr(trainer_module, "open_cache", open_cache)
    trainer, plans = opened(root, index, CONFIG, tmp_path / "work")
    links = run_strategy(trainer, plans, find_strategy("takd"), CONFIG)
    assert [link.reused for link in links] == [False, False]
    assert len(opens) == 1
    assert list(trainer.cached_images()) == [32]
    trainer.cache_plan = replace(trainer.cache_plan, sizes=(32, 48))
    assert list(trainer.cached_images()) == [32, 48], "another plan is another cache"
    assert len(opens) == 2
