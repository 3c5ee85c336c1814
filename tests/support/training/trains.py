"""Trains one small student, alone or as one of several processes, and writes its weights.

``trains.py FOLDER [HOW [ACCELERATOR]]``; ``stops``: early stopping ends the training after the second of four epochs, and
keeps the first; ``ddp``: one process trains as a group of processes does.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric

from weckd_edge.artifacts import NetworkInput
from weckd_edge.config import DistillConfig, LinkConfig, TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.pixel_cache import CachedImages
from weckd_edge.train.distill.loop import engine
from weckd_edge.train.distill.loop.distributed import is_first
from weckd_edge.train.distill.loop.early_stopping import EarlyStopping, ValidationScore
from weckd_edge.train.distill.loop.engine import TrainingRun, fit_student
from weckd_edge.train.distill.loop.sampler import TrainingImages
from weckd_edge.train.distill.loop.task import DistillationTask, Teacher
from weckd_edge.train.networks.models import Student, create_student, save_weights

SIDE = 40
INPUT = NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def student(seed: int) -> Student:
    torch.manual_seed(seed)
    return create_student(LinkConfig(model="test_resnet", input_size=32), 2).student


def score(network: Student) -> ValidationScore:
    """Give a score that falls; only the first process is to ask."""
    if not is_first():
        raise AssertionError("the validation images are scored by the first process alone")
    SCORES.append(1 - 0.1 * len(SCORES))
    return ValidationScore(accuracy=SCORES[-1], cross_entropy=0.0)


SCORES: list[float] = []


def main(folder: Path, how: str, accelerator: str) -> None:
    random = np.random.default_rng(0)
    feed = TrainingImages(
        images={32: CachedImages(pixels=random.integers(0, 256, (32, SIDE, SIDE, 3), dtype=np.uint8))},
        labels=np.arange(32, dtype=np.int64) % 2,
        labelled=np.arange(16),
        unlabelled=np.arange(16, 32),
    )
    stopping = EarlyStopping(1, score) if how == "stops" else None
    config = TrainConfig(
        epochs=2, steps_per_epoch=4, batch=4, learning_rate=1e-3, ema=0.2, accelerator=accelerator, threads=1
    )
    if how == "ddp":
        group = Fabric(accelerator=accelerator, devices=1, strategy="ddp")
        group.launch()
        engine.fabric_for = lambda config: group
    if stopping:
        config = replace(config, epochs=4)
    task = DistillationTask([Teacher(student(1), INPUT)], INPUT, DistillConfig(), 2)
    scratch = folder if is_first() else folder / "other"
    scratch.mkdir(exist_ok=True)
    trained = fit_student(
        student(0),
        task,
        feed,
        config,
        TrainingRun(name="x", seed=3, scratch=scratch),
        SilentProgress(),
        stopping,
    )
    if stopping and (stopping.epochs, stopping.best_epoch) != (2, 1):
        raise AssertionError(f"expected two epochs of which the first is kept, found {stopping.epochs}")
    if is_first():
        save_weights(trained, folder / "weights.safetensors")


if __name__ == "__main__":
    how, accelerator = [*sys.argv[2:], *["", "cpu"][len(sys.argv) - 2 :]]
    main(Path(sys.argv[1]), how, accelerator)
