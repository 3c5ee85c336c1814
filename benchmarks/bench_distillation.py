"""What teaching costs beside plain training: ``python benchmarks/bench_distillation.py``.

Single steps of this loop, in turns in one process: a link that learns from a teacher (whose forward pass is part of the
step), the same link on labels alone, and the same on images that are already on the device as floats, without views (what an
input path that costs nothing would give). Appends one line to results/distillation.jsonl.
"""

from __future__ import annotations

import os
import statistics
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from record import append

from weckd_edge.artifacts import InputContract
from weckd_edge.config import DistillConfig, LinkConfig, TrainConfig
from weckd_edge.train.engine import make_optimizer
from weckd_edge.train.losses import labelled_cross_entropy
from weckd_edge.train.models import Student, create
from weckd_edge.train.sampler import Feed, epoch_batches
from weckd_edge.train.task import Batch, ChainTask, LabelTask, Teacher

ROUNDS, BATCH, CLASSES = 24, 32, 4
TEACHER = LinkConfig(model="mobilenetv2_100", input_size=128)
STUDENT = LinkConfig(model="mobilenetv2_035", input_size=128)


def contract(size: int) -> InputContract:
    half = (0.5, 0.5, 0.5)
    return InputContract(frame_height=380, frame_width=420, crop="center", input_size=size, mean=half, std=half)


def main() -> None:
    torch.set_num_threads(os.cpu_count() or 1)
    rng = np.random.default_rng(0)
    side = round(1.15 * 128)
    feed = Feed(
        pixels=rng.integers(0, 256, (256, side, side, 3), dtype=np.uint8),
        labels=(np.arange(256) % CLASSES).astype(np.int64),
        labelled=np.arange(64),
        pool=np.arange(64, 256),
    )
    plain = contract(128)
    teacher = create(TEACHER, CLASSES).student.to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, 3, 128, 128)

    def ready(student: Student, batch: Batch, progress: float) -> dict[str, torch.Tensor]:
        return {"loss": labelled_cross_entropy(student(images)[0], batch.labels)}

    tasks = {
        "taught": ChainTask([Teacher(teacher, plain)], plain, DistillConfig(), CLASSES),
        "labels_alone": LabelTask(plain),
        "ready_tensors": ready,
    }
    students, optimizers = {}, {}
    for name in tasks:
        students[name] = create(STUDENT, CLASSES).student.to(memory_format=torch.channels_last).train()
        optimizers[name] = make_optimizer(students[name], TrainConfig())
    times: dict[str, list[int]] = {name: [] for name in tasks}
    batches = epoch_batches(feed, seed=0, epoch=0, steps=(ROUNDS + 2) * 3, batch=BATCH, augment=0.5)
    for round_ in range(ROUNDS + 2):
        for name, task in tasks.items():
            start_ns = time.monotonic_ns()
            batch = next(batches)
            optimizers[name].zero_grad(set_to_none=True)
            task(students[name], batch, 0.1)["loss"].backward()
            optimizers[name].step()
            if round_ >= 2:
                times[name].append(time.monotonic_ns() - start_ns)
    medians = {name: statistics.median(samples) for name, samples in times.items()}
    append(
        "distillation",
        f"one step of {STUDENT.model} taught by {TEACHER.model}, both at 128 px, batch {BATCH}, FP32",
        times,
        ["torch", "timm"],
        ratio_taught=round(medians["taught"] / medians["labels_alone"], 3),
        ratio_input_path=round(medians["labels_alone"] / medians["ready_tensors"], 3),
    )


if __name__ == "__main__":
    main()
