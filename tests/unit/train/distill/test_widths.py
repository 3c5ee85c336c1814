"""A chain of one model in three widths: trained, handed on in the weights, taken from the store again, refined for int8."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import pytest

from weckd_edge.artifacts import DatasetIndex, Link
from weckd_edge.config import BuildConfig, DistillConfig, LinkConfig, QuantizeAwareConfig, TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Stage, Workspace

torch = pytest.importorskip("torch")
pytest.importorskip("timm")
pytest.importorskip("torch_pruning")

from weckd_edge.train.distill import trainer as trainer_module  # noqa: E402 - behind the skips
from weckd_edge.train.distill.chain import make_trainer, plan_chain, run_strategy, train_alone  # noqa: E402 - likewise
from weckd_edge.train.distill.strategies import find_strategy  # noqa: E402 - likewise
from weckd_edge.train.networks.models import inherit_weights, load_link  # noqa: E402 - likewise
from weckd_edge.train.networks.pruning import counts_of  # noqa: E402 - likewise
from weckd_edge.train.quantize_aware.finetune import refine_for_int8  # noqa: E402 - likewise

WIDTHS = (1.0, 0.75, 0.5)
CONFIG = BuildConfig(
    seed=4,
    link=tuple(LinkConfig(model="test_resnet", input_size=32, width=width) for width in WIDTHS),
    train=TrainConfig(epochs=1, steps_per_epoch=2, batch=8, accelerator="cpu", threads=1),
    distill=DistillConfig(strategy="guided"),
    quantize_aware=QuantizeAwareConfig(epochs=1),
)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A chain that was trained, and what it takes to ask for it again."""

    trainer: Any
    plans: Any
    links: tuple[Stage[Link], ...]
    started: list[tuple[float, float]]
    measured: list[int]


@pytest.fixture(scope="module")
def trained(networks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    root = tmp_path_factory.mktemp("images")
    index: DatasetIndex = networks.write_images(root, train=24, val=6, test=6)
    plans = plan_chain(index, CONFIG)
    trainer = make_trainer(Workspace(tmp_path_factory.mktemp("work")), root, index, plans, SilentProgress())
    started: list[tuple[float, float]] = []
    measured: list[int] = []

    def inherit(student: Any, predecessor: Any, images: Any) -> None:
        before = sum(counts_of(predecessor.backbone).values())
        inherit_weights(student, predecessor, images)
        started.append((before, sum(counts_of(student.backbone).values())))

    def measure(student: Any, *_: Any) -> bool:
        measured.append(sum(counts_of(student.backbone).values()))
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer_module, "inherit_weights", inherit)
        patch.setattr(trainer_module, "measure_batch_norms", measure)
        links = run_strategy(trainer, plans, find_strategy("guided"), CONFIG)
    return Trained(trainer=trainer, plans=plans, links=links, started=started, measured=measured)


def test_each_link_starts_from_the_weights_of_the_wider_one_before_it(trained: Trained) -> None:
    channels = [sum(counts_of(load_link(link.artifact, link.folder).backbone).values()) for link in trained.links]
    assert channels[0] > channels[1] > channels[2]
    assert trained.started == [(channels[0], channels[1]), (channels[1], channels[2])]
    # At its end each link may take the statistics of plain images; before its training, one that lost channels too.
    assert trained.measured == [channels[0], channels[1], channels[1], channels[2], channels[2]]


def test_the_records_say_the_width_and_the_sizes_that_were_planned(trained: Trained) -> None:
    records = [link.artifact for link in trained.links]
    assert [record.width for record in records] == list(WIDTHS)
    assert [(r.parameters, r.macs) for r in records] == [(p.size.parameters, p.size.macs) for p in trained.plans]
    assert [record.network_text for record in records[:2]] == ["test_resnet", "test_resnet, width 0.75"]


def test_the_chain_is_taken_from_the_store_and_another_width_is_trained_anew(trained: Trained) -> None:
    again = run_strategy(trained.trainer, trained.plans, find_strategy("guided"), CONFIG)
    assert all(link.reused for link in again)
    links = (*CONFIG.link[:2], replace(CONFIG.link[2], width=0.25))
    narrower = replace(CONFIG, link=links)
    plans = plan_chain(trained.trainer.index, narrower)
    found = run_strategy(trained.trainer, plans, find_strategy("guided"), narrower)
    assert [link.reused for link in found] == [True, True, False]


def test_the_baseline_is_the_pruned_network_alone(trained: Trained) -> None:
    alone = train_alone(trained.trainer, trained.plans, find_strategy("guided"), CONFIG).artifact
    assert (alone.width, alone.parameters, alone.parent) == (0.5, trained.plans[-1].size.parameters, None)


def test_a_pruned_link_learns_further_under_int8_rounding(trained: Trained) -> None:
    refined = refine_for_int8(trained.trainer, trained.plans, CONFIG, trained.links, 2, "cpu")
    last = trained.links[2].artifact
    assert (refined.artifact.width, refined.artifact.parameters) == (last.width, last.parameters)
    shown = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        assert load_link(refined.artifact, refined.folder)(shown)[0].shape == (1, 3)
