"""The smallest data set that can be learned, two classes told apart by their bright half, and its student."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from weckd_edge.artifacts import NetworkInput
from weckd_edge.config import LinkConfig, TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.pixel_cache import CachedImages
from weckd_edge.train.distill.loop.augmentation import apply_views, draw_views
from weckd_edge.train.distill.loop.engine import TrainingRun, fit_student
from weckd_edge.train.distill.loop.sampler import TrainingImages
from weckd_edge.train.distill.loop.task import TrainingTask
from weckd_edge.train.networks.models import Student, create_student

SIDE, COUNT = 40, 32
INPUT = NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
CONFIG = TrainConfig(epochs=4, steps_per_epoch=6, batch=8, learning_rate=3e-3, augment=0, threads=1)

Weights = dict[str, Tensor]


def student(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return create_student(LinkConfig(model="test_resnet", input_size=32), 2).student


def feed() -> TrainingImages:
    """Return 32 images, every second of each class; the first half carries labels."""
    random = np.random.default_rng(0)
    labels = np.arange(COUNT, dtype=np.int64) % 2
    pixels = random.integers(0, 60, (COUNT, SIDE, SIDE, 3), dtype=np.uint8)
    pixels[labels == 0, : SIDE // 2] += 150
    pixels[labels == 1, SIDE // 2 :] += 150
    return TrainingImages(
        images={32: CachedImages(pixels=pixels)}, labels=labels, labelled=np.arange(16), unlabelled=np.arange(16, COUNT)
    )


def accuracy(network: Student) -> float:
    """Return the part of all images that a network predicts rightly, on the CPU, without random views."""
    data = feed()
    views = draw_views(COUNT, 0, torch.Generator().manual_seed(0))
    images = (apply_views(data.pictures(np.arange(COUNT))[32], views, 32) / 255 - 0.5) / 0.5
    with torch.inference_mode():
        return float((network.cpu().eval()(images)[0].argmax(1).numpy() == data.labels).mean())


@dataclass
class Curve:
    """Keeps the loss of each step of a training; those that an earlier run has taken are not numbers."""

    losses: list[float] = field(default_factory=list)

    def start(self, step: int) -> None:
        self.losses = [float("nan")] * step

    def add(self, step: int, values: Any) -> None:
        if step != len(self.losses) + 1:
            raise AssertionError(f"expected step {len(self.losses) + 1}, got {step}")
        self.losses.append(values["loss"])

    def save(self) -> None:
        return None

    def end(self) -> None:
        return None


@dataclass(frozen=True)
class Trained:
    """A student that was trained, its weights on the CPU, and the loss of each step."""

    network: Student
    weights: Weights
    losses: list[float]

    @property
    def fall(self) -> float:
        """How far the mean loss of the last third of the steps lies under that of the first third."""
        third = len(self.losses) // 3
        return sum(self.losses[:third]) / third - sum(self.losses[-third:]) / third


def train(
    task: TrainingTask, config: TrainConfig, scratch: Path, network: Student | None = None, seed: int = 5, **shown: Any
) -> Trained:
    """Train a student, a new one unless it is given; ``shown`` changes what it sees."""
    scratch.mkdir(exist_ok=True)
    curve = Curve()
    run = TrainingRun(name="x", seed=seed, scratch=scratch, curves=curve)
    data = replace(feed(), **shown)
    trained = fit_student(student() if network is None else network, task, data, config, run, SilentProgress())
    return Trained(trained, {name: value.cpu().clone() for name, value in trained.state_dict().items()}, curve.losses)
