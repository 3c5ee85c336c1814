"""Images on the device that trains: the same as in their files, as many as there is room for, made ahead of their step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from support.training import bright_halves
from weckd_edge.config import TrainConfig
from weckd_edge.train.data.pixel_cache import CachedImages
from weckd_edge.train.distill.loop import held_images
from weckd_edge.train.distill.loop.held_images import hold, made_ahead
from weckd_edge.train.distill.loop.sampler import TrainingImages, epoch_batches
from weckd_edge.train.distill.loop.task import LabelTask

CPU = torch.device("cpu")
SHOWN = TrainConfig(steps_per_epoch=5, batch=4, augment=0.5)


def feed() -> TrainingImages:
    random = np.random.default_rng(0)
    return TrainingImages(
        images={
            size: CachedImages(pixels=random.integers(0, 256, (12, size, size, 3), dtype=np.uint8)) for size in (20, 10, 30)
        },
        labels=np.arange(12, dtype=np.int64) % 2,
        labelled=np.arange(8),
        unlabelled=np.arange(8, 12),
    )


def test_batches_of_held_images_are_those_of_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_images, "PIECE", 5)
    read = feed()
    held = replace(read, held=hold(read.images, CPU, 1 << 20))
    assert held.held.keys() == {10, 20, 30}
    for one, two in zip(
        epoch_batches(read, SHOWN, seed=1, epoch=0), epoch_batches(held, SHOWN, seed=1, epoch=0), strict=True
    ):
        assert all(torch.equal(one.pictures[size].pixels, two.pictures[size].pixels) for size in (10, 20, 30))
        assert torch.equal(one.labels, two.labels)


@pytest.mark.parametrize(("bytes_over", "sizes"), [(0, {10, 20}), (-1, {10}), (12 * 3 * 900, {10, 20, 30})])
def test_images_of_small_networks_are_held_first_as_far_as_there_is_room(bytes_over: int, sizes: set[int]) -> None:
    assert hold(feed().images, CPU, 12 * 3 * (100 + 400) + bytes_over).keys() == sizes


def test_a_cpu_reads_its_images_in_place() -> None:
    here = feed().on(CPU)
    assert here.is_held
    assert not here.held


def test_an_item_is_made_while_the_one_before_is_used() -> None:
    begun = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(begun):
            event.set()
            yield number

    for number in made_ahead(items()):
        if number < 3:
            assert begun[number + 1].wait(10)


def test_what_fails_ahead_fails_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the file is gone")

    ahead = made_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(OSError, match="gone"):
        next(ahead)


@pytest.mark.parametrize("way", ["ahead", "held"])
def test_a_training_ends_with_the_same_bytes_however_its_images_come(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(bright_halves.CONFIG, epochs=2, augment=0.5, accelerator="cpu")
    usual = bright_halves.train(LabelTask(bright_halves.INPUT), config, tmp_path / "usual")
    if way == "ahead":
        monkeypatch.setattr(TrainingImages, "is_held", False)
    held = hold(bright_halves.feed().images, CPU, 1 << 20) if way == "held" else {}
    other = bright_halves.train(LabelTask(bright_halves.INPUT), config, tmp_path / "other", held=held)
    assert other.losses == usual.losses
    assert all(torch.equal(value, other.weights[name]) for name, value in usual.weights.items())
