"""Before the first step and after the last: a classifier that already knows, and batch norms that fit plain images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from weckd_edge.artifacts import InputContract
from weckd_edge.config import LinkConfig
from weckd_edge.errors import StoreError
from weckd_edge.train import cost
from weckd_edge.train.merge import ENOUGH, measure_batch_norms, merge
from weckd_edge.train.models import Student, create
from weckd_edge.train.probe import plain_inputs, probe, ridge
from weckd_edge.train.sampler import Feed

SIDE = 40
CONTRACT = InputContract(
    frame_height=SIDE, frame_width=SIDE, crop="center", input_size=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
)


def student(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return create(LinkConfig(model="test_resnet", input_size=32), 3).student


def feed(count: int) -> Feed:
    """Three classes by colour; a third of the images carries a label."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 120, (count, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[np.arange(count), :, :, labels] += 100
    return Feed(
        pixels=pixels, labels=labels.astype(np.int64), labelled=np.arange(count // 3), pool=np.arange(count // 3, count)
    )


def answers(network: Student, images: Feed) -> torch.Tensor:
    with torch.inference_mode():
        return network(plain_inputs(images, np.arange(len(images.labels)), CONTRACT))[0]


def test_ridge_finds_what_made_the_targets() -> None:
    features = torch.randn(400, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 3
    weight, bias = torch.randn(5, 2, dtype=torch.float64), torch.tensor([1.0, -2.0], dtype=torch.float64)
    found, constant = ridge(features, features @ weight + bias)
    assert torch.allclose(found, weight, atol=0.02)
    assert torch.allclose(constant, bias, atol=0.1)


def test_a_probed_classifier_answers_images_it_has_not_seen_and_the_trunk_stays() -> None:
    images, network = feed(90), student()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    wrong = (answers(network.eval(), images).argmax(1).numpy() == images.labels).mean()
    assert probe(network, images, CONTRACT, 3)
    right = (answers(network, images).argmax(1).numpy() == images.labels)[images.pool].mean()
    assert right > 0.95 > wrong
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"trunk.fc.weight", "trunk.fc.bias"}


def test_a_classifier_that_is_no_linear_layer_is_left_alone() -> None:
    network = student()
    network.trunk.fc = nn.Sequential(nn.Linear(8, 3))  # type: ignore[assignment]  # any module
    assert not probe(network, feed(30), CONTRACT, 3)


def test_networks_are_merged_one_by_one_as_long_as_that_makes_it_no_worse() -> None:
    one, good, bad = student(1), student(2), student(3)
    wanted = {
        key: (value + good.state_dict()[key]) / 2 for key, value in one.state_dict().items() if value.is_floating_point()
    }
    scores = iter([0.7, 0.6, 0.7])
    assert merge(one, [bad, good], lambda network: next(scores)) == 1
    assert all(torch.allclose(one.state_dict()[key], value, atol=1e-6) for key, value in wanted.items())


def test_batch_norms_are_those_of_the_plain_images() -> None:
    images, network = feed(ENOUGH + 8), student()
    seen: list[torch.Tensor] = []
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    momentum = norm.momentum
    handle = norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    assert measure_batch_norms(network, images, CONTRACT, lambda student: 0.5)
    handle.remove()
    assert sum(map(len, seen)) == ENOUGH + 8
    assert norm.running_mean is not None
    assert torch.allclose(norm.running_mean, torch.cat(seen).mean((0, 2, 3)), atol=1e-3)
    assert (norm.momentum, network.training) == (momentum, False)


def test_few_images_change_no_batch_norm() -> None:
    network = student()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert not measure_batch_norms(network, feed(ENOUGH - 1), CONTRACT, lambda student: 0.5)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_statistics_that_make_it_worse_are_put_back() -> None:
    network = student()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    scores = iter([0.9, 0.8])
    assert not measure_batch_norms(network, feed(ENOUGH), CONTRACT, lambda student: next(scores))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not network.training


def test_work_is_measured_beside_its_artefact_and_summed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = tmp_path / "power/intel-rapl:0"
    counter.mkdir(parents=True)
    monkeypatch.setattr(cost, "POWERCAP", counter.parent)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (counter / "energy_uj").write_text("5000000")
        with cost.metered(tmp_path / name):
            (counter / "energy_uj").write_text("12000000")
    total = cost.total([tmp_path / "a", tmp_path / "b", tmp_path / "nothing"])
    assert total.joules == 14.0
    assert total.seconds >= 0


def test_a_counter_that_began_anew_or_cannot_be_read_tells_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cost.spent_joules({"a": 10.0}, {"a": 1.0}) is None
    assert cost.spent_joules({"a": 10.0, "b": 1.0}, {"a": 12.0}) == 2.0
    monkeypatch.setattr(cost, "POWERCAP", tmp_path)
    with cost.metered(tmp_path):
        pass
    assert cost.total([tmp_path]).joules is None
    (tmp_path / cost.FILE).write_text("{}")
    with pytest.raises(StoreError):
        cost.total([tmp_path])
