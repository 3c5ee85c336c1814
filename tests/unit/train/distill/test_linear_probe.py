"""Before the first step and after the last: a classifier that already knows, and batch norms that fit plain images."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from weckd_edge.artifacts import NetworkInput
from weckd_edge.config import LinkConfig
from weckd_edge.core.errors import StoreError
from weckd_edge.train.data.pixel_cache import CachedImages
from weckd_edge.train.distill import training_cost
from weckd_edge.train.distill.linear_probe import fit_linear_probe, plain_inputs, ridge
from weckd_edge.train.distill.loop.sampler import TrainingImages
from weckd_edge.train.distill.model_soup import ENOUGH, make_soup, measure_batch_norms
from weckd_edge.train.networks.models import Student, create_student

SIDE = 40
INPUT = NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def student(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return create_student(LinkConfig(model="test_resnet", input_size=32), 3).student


def feed(count: int) -> TrainingImages:
    """Three classes by colour; a third of the images carries a label."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 3
    pixels = rng.integers(0, 120, (count, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[np.arange(count), :, :, labels] += 100
    return TrainingImages(
        images={INPUT.side: CachedImages(pixels=pixels)},
        labels=labels.astype(np.int64),
        labelled=np.arange(count // 3),
        unlabelled=np.arange(count // 3, count),
    )


def answers(network: Student, images: TrainingImages) -> torch.Tensor:
    with torch.inference_mode():
        return network(plain_inputs(images, np.arange(len(images.labels)), INPUT))[0]


def test_ridge_finds_what_made_the_targets() -> None:
    features = torch.randn(400, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 3
    weight, bias = torch.randn(5, 2, dtype=torch.float64), torch.tensor([1.0, -2.0], dtype=torch.float64)
    found, constant = ridge(features, features @ weight + bias)
    assert torch.allclose(found, weight, atol=0.02)
    assert torch.allclose(constant, bias, atol=0.1)


def test_a_linear_probe_predicts_images_it_has_not_seen_and_the_backbone_stays() -> None:
    images, network = feed(90), student()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    wrong = (answers(network.eval(), images).argmax(1).numpy() == images.labels).mean()
    assert fit_linear_probe(network, images, INPUT, 3)
    right = (answers(network, images).argmax(1).numpy() == images.labels)[images.unlabelled].mean()
    assert right > 0.95 > wrong
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"backbone.fc.weight", "backbone.fc.bias"}


def test_a_classifier_that_is_no_linear_layer_is_left_alone() -> None:
    network = student()
    network.backbone.fc = nn.Sequential(nn.Linear(8, 3))  # type: ignore[assignment]  # any module
    assert not fit_linear_probe(network, feed(30), INPUT, 3)


def test_networks_are_merged_one_by_one_as_long_as_that_makes_it_no_worse() -> None:
    one, good, bad = student(1), student(2), student(3)
    wanted = {
        key: (value + good.state_dict()[key]) / 2 for key, value in one.state_dict().items() if value.is_floating_point()
    }
    scores = iter([0.7, 0.6, 0.7])
    assert make_soup(one, [bad, good], lambda network: next(scores)) == 1
    assert all(torch.allclose(one.state_dict()[key], value, atol=1e-6) for key, value in wanted.items())


def test_batch_norms_are_those_of_the_plain_images() -> None:
    images, network = feed(ENOUGH + 8), student()
    seen: list[torch.Tensor] = []
    norm = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    momentum = norm.momentum
    handle = norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    assert measure_batch_norms(network, images, INPUT, lambda student: 0.5)
    handle.remove()
    assert sum(map(len, seen)) == ENOUGH + 8
    assert norm.running_mean is not None
    assert torch.allclose(norm.running_mean, torch.cat(seen).mean((0, 2, 3)), atol=1e-3)
    assert (norm.momentum, network.training) == (momentum, False)


def test_few_images_change_no_batch_norm() -> None:
    network = student()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert not measure_batch_norms(network, feed(ENOUGH - 1), INPUT, lambda student: 0.5)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_statistics_that_make_it_worse_are_put_back() -> None:
    network = student()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    scores = iter([0.9, 0.8])
    assert not measure_batch_norms(network, feed(ENOUGH), INPUT, lambda student: next(scores))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not network.training


def count(counter: Path, microjoule: int) -> None:
    """Set a counter in one step, as the kernel does: another thread reads it meanwhile."""
    fresh = counter.with_name("fresh")
    fresh.write_text(f"{microjoule}\n")
    fresh.replace(counter)


@pytest.fixture
def energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The counter of a machine with one package and no GPU; it wraps at 20 J."""
    monkeypatch.setattr(training_cost, "read_gpu_joules", dict)
    folder = tmp_path / "sys/class/powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    (folder / "name").write_text("package-0\n")
    (folder / "max_energy_range_uj").write_text("20000000\n")
    (folder / "energy_uj").write_text("5000000\n")
    return folder / "energy_uj"


def test_work_is_measured_beside_its_artefact_and_summed(tmp_path: Path, energy: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        count(energy, 5_000_000)
        with training_cost.metered(tmp_path / name, tmp_path):
            count(energy, 12_000_000)
    total = training_cost.total_cost([tmp_path / "a", tmp_path / "b", tmp_path / "nothing"])
    assert total.joules == 14.0
    assert total.seconds >= 0


def test_a_step_within_a_step_counts_once_and_belongs_to_all_that_need_it(tmp_path: Path) -> None:
    """Two steps need the same third one: what the first of them waited for is not its own, and the second needs it too."""
    for name in ("one", "two", "shared"):
        (tmp_path / name).mkdir()
    ticks = iter(range(0, 100_000_000_000, 10_000_000_000))

    def clock() -> int:
        return next(ticks)

    with training_cost.metered(tmp_path / "one", tmp_path, clock=clock):  # 0 s
        with training_cost.metered(tmp_path / "shared", tmp_path, clock=clock):  # 10 s
            pass  # 20 s
        training_cost.needs(tmp_path / "shared")
    with training_cost.metered(tmp_path / "two", tmp_path, clock=clock):  # 40 s, after the end at 30
        training_cost.needs(tmp_path / "shared")
    seconds = {name: training_cost.total_cost([tmp_path / name]).seconds for name in ("shared", "one", "two")}
    assert seconds == {"shared": 10, "one": 30, "two": 20}
    assert training_cost.total_cost([tmp_path / name for name in ("one", "two", "shared")]).seconds == 40


def test_a_counter_that_wraps_twice_during_one_link_is_read_often_enough(tmp_path: Path, energy: Path) -> None:
    readings = threading.Semaphore(0)

    def clock() -> int:
        readings.release()
        return time.monotonic_ns()

    with training_cost.metered(tmp_path, tmp_path, 0.001, clock):
        for microjoule in (15_000_000, 1_000_000, 11_000_000, 1_000_000):
            count(energy, microjoule)
            while readings.acquire(blocking=False):
                pass
            for _ in range(2):  # the second reading begins after the first one has ended, and so after the count
                assert readings.acquire(timeout=30)
    assert training_cost.total_cost([tmp_path]).joules == 36.0


def test_a_counter_that_goes_meanwhile_tells_nothing(tmp_path: Path, energy: Path) -> None:
    with training_cost.metered(tmp_path, tmp_path):
        energy.unlink()
    assert training_cost.total_cost([tmp_path]).joules is None


def test_gpus_are_added_and_one_that_began_anew_is_not(
    tmp_path: Path, energy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus = iter([{"gpu0": 10.0}, {"gpu0": 13.0}])
    monkeypatch.setattr(training_cost, "read_gpu_joules", lambda: next(gpus))
    with training_cost.metered(tmp_path, tmp_path):
        count(energy, 6_000_000)
    assert training_cost.total_cost([tmp_path]).joules == 4.0
    assert training_cost.spent_joules({"a": 10.0}, {"a": 1.0}) is None
    assert training_cost.spent_joules({"a": 10.0, "b": 1.0}, {"a": 12.0}) == 2.0


def test_where_nothing_can_be_read_no_energy_is_reported(tmp_path: Path, energy: Path) -> None:
    energy.unlink()
    with training_cost.metered(tmp_path, tmp_path):
        pass
    assert training_cost.total_cost([tmp_path]).joules is None
    (tmp_path / training_cost.FILE).write_text("{}")
    with pytest.raises(StoreError):
        training_cost.total_cost([tmp_path])
