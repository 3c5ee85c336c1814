"""What teaching costs beside plain training: ``python benchmarks/bench_distillation.py``.

Single steps of this loop, in turns in one process, of the chain that a build trains by default: every link on labels alone,
and every taught link with its teacher's forward pass as part of the step, each view used twice (``view_reuse``). Beside them
timm's own task for the same pair on the same images and views, and the middle link on images that are on the device already
as floats (what an input path that costs nothing would give). Appends one line to results/distillation.jsonl.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from record import append
from timm.task import LogitDistillationTask
from torch import nn

from weckd_edge.artifacts import FrameSpec, NetworkInput
from weckd_edge.config import DistillConfig, LinkConfig, TrainConfig
from weckd_edge.train.data.pixel_cache import CachedImages, plan_cache
from weckd_edge.train.distill.loop.engine import make_optimizer
from weckd_edge.train.distill.loop.losses import labelled_cross_entropy
from weckd_edge.train.distill.loop.sampler import TrainingImages, epoch_batches
from weckd_edge.train.distill.loop.task import Batch, DistillationTask, LabelTask, Teacher
from weckd_edge.train.networks.models import Student, create_student
from weckd_edge.train.networks.preprocess import normalise

STEPS, WARMUP, BATCH, CLASSES, USES = 24, 2, 32, 4, 2
LINKS = tuple(
    LinkConfig(model=model, input_size=size)
    for model, size in (("mobilenetv2_100", 128), ("mobilenetv2_050", 128), ("mobilenetv2_035", 96))
)
DISTILL = DistillConfig(view_reuse=USES)
Step = Callable[[Batch], torch.Tensor]


def input_of(size: int) -> NetworkInput:
    return NetworkInput(height=size, width=size, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def network(which: int) -> Student:
    return create_student(LINKS[which], CLASSES).student.to(memory_format=torch.channels_last).train()


def own_step(which: int, teacher: int | None) -> tuple[nn.Module, Step]:
    student, shape = network(which), input_of(LINKS[which].input_size)
    task: Any = LabelTask(shape)
    if teacher is not None:
        taught_by = Teacher(network(teacher), input_of(LINKS[teacher].input_size))
        task = DistillationTask([taught_by], shape, DISTILL, CLASSES)
    return student, lambda batch: task(student, batch, 0.1)["loss"]


def timm_step(which: int, teacher: int) -> tuple[nn.Module, Step]:
    """timm's task: the same pair, batch, views and normalisation; plain soft targets, without attention."""
    student, shape = network(which), input_of(LINKS[which].input_size)
    task = LogitDistillationTask(
        student.backbone, network(teacher).backbone, task_loss_weight=0.3, temperature=4.0, verbose=False
    )

    def step(batch: Batch) -> torch.Tensor:
        images = normalise(batch.shown_to(shape.side), shape)
        loss: torch.Tensor = task(images, batch.labels)["loss"]
        return loss

    return student, step


def ready_step(which: int) -> tuple[nn.Module, Step]:
    student, size = network(which), LINKS[which].input_size
    images = torch.randn(BATCH, 3, size, size).contiguous(memory_format=torch.channels_last)
    return student, lambda batch: labelled_cross_entropy(student(images)[0], batch.labels)


def typical(samples: Sequence[int]) -> float:
    """Return a step's time: the mean of the medians of the passes that see a view for the first, second, ... time."""
    each = len(samples) // USES
    return statistics.mean(statistics.median(samples[i * each : (i + 1) * each]) for i in range(USES))


def main() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    rng = np.random.default_rng(0)
    frame = FrameSpec(height=480, width=640, crop="center", resize="area")
    plan = plan_cache(256, frame, [link.input_size for link in LINKS])
    sides = {size: plan.side(size) for size in plan.sizes}
    feed = TrainingImages(
        images={
            size: CachedImages(pixels=rng.integers(0, 256, (256, side, side, 3), dtype=np.uint8), span=plan.span(size))
            for size, side in sides.items()
        },
        labels=(np.arange(256) % CLASSES).astype(np.int64),
        labelled=np.arange(256),
        unlabelled=np.zeros(0, np.int64),
    )
    steps = {
        "M1_plain": own_step(0, None),
        "M2_plain": own_step(1, None),
        "M2_taught": own_step(1, 0),
        "M2_timm": timm_step(1, 0),
        "M2_ready_tensors": ready_step(1),
        "M3_plain": own_step(2, None),
        "M3_taught": own_step(2, 1),
    }
    optimizers = {name: make_optimizer(_student(module), TrainConfig()) for name, (module, _) in steps.items()}
    times: dict[str, list[int]] = {name: [] for name in steps}
    shown = TrainConfig(steps_per_epoch=STEPS, batch=BATCH, augment=0.5, balance=0.0)
    warm = list(epoch_batches(feed, replace(shown, steps_per_epoch=WARMUP), seed=0, epoch=0))
    timed = list(epoch_batches(feed, shown, seed=0, epoch=1, uses=USES))
    for batch in [*warm, *timed]:
        for name, (_, step) in steps.items():
            start_ns = time.monotonic_ns()
            optimizers[name].zero_grad(set_to_none=True)
            step(batch).backward()
            optimizers[name].step()
            if batch.epoch == 1:
                times[name].append(time.monotonic_ns() - start_ns)
    cost = {name: typical(samples) for name, samples in times.items()}
    append(
        "distillation",
        f"single steps of the links, batch {BATCH}, FP32, {torch.get_num_threads()} threads",
        times,
        ["torch", "timm"],
        ratio_chain=round(
            (cost["M1_plain"] + cost["M2_taught"] + cost["M3_taught"])
            / (cost["M1_plain"] + cost["M2_plain"] + cost["M3_plain"]),
            3,
        ),
        ratio_beside_timm=round(cost["M2_taught"] / cost["M2_timm"], 3),
        ratio_input_path=round(cost["M2_plain"] / cost["M2_ready_tensors"], 3),
    )


def _student(module: nn.Module) -> Student:
    assert isinstance(module, Student)
    return module


if __name__ == "__main__":
    main()
