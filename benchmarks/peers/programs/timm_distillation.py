"""timm's own distillation, ``timm.task.LogitDistillationTask``, then the conversion by hand.

The first link of weckd-edge's chain is the same network at 4/3 of the size. Here it is the teacher, trained by the recipe of
by_hand.py on the same images, which is fair to both: neither borrows the other's training. Teacher and student share the
time as the links of ``docs/examples/study-small.toml`` do, 0.4 and 0.6 of it. The teacher sees what the student sees,
enlarged to its own size, as the task shows both one batch. Temperature 4 is that of timm's example; both losses weigh 1, its
default.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from peers.job import Built, Job
from peers.programs import by_hand
from peers.programs.by_hand import DISTRIBUTIONS, open_deployed, open_trained

__all__ = ["DISTRIBUTIONS", "build", "open_deployed", "open_trained"]

TEACHER_TIME = 0.4


def build(job: Job) -> Built:
    """Train a teacher, train the student with it, convert the student to int8, and tell where that is."""
    import torch

    torch.manual_seed(job.seed)
    torch.set_num_threads(job.threads)
    large = 32 * round(job.size * 4 / 3 / 32)
    alone = by_hand.classification_task(by_hand.create_network(job))
    first, planning = by_hand.plan_steps(alone, job, large, TEACHER_TIME * job.seconds)
    start = time.monotonic()
    teacher = by_hand.fine_tune(alone, job, large, first)
    seconds = time.monotonic() - start
    taught = distillation_task(by_hand.create_network(job), teacher, large)
    second, more_planning = by_hand.plan_steps(taught, job, job.size, (1 - TEACHER_TIME) * job.seconds)
    start = time.monotonic()
    student = by_hand.fine_tune(taught, job, job.size, second)
    seconds += time.monotonic() - start
    torch.save(student.state_dict(), Path(job.folder) / by_hand.WEIGHTS)
    by_hand.convert(student, job, Path(job.folder) / "deployed")
    return Built(
        deployed="deployed",
        network=("deployed/model.xml", "deployed/model.bin"),
        training_seconds=seconds,
        steps=first + second,
        planning_seconds=planning + more_planning,
        notes=(
            "its teacher is the same network at 4/3 of the size, trained by the recipe of `by_hand` in 0.4 of the time; it "
            "teaches from the student's images, enlarged, as timm's task has one batch for both",
        ),
    )


# user: distill
def distillation_task(student: Any, teacher: Any, size: int) -> Any:
    from timm.loss import LabelSmoothingCrossEntropy
    from timm.task import LogitDistillationTask

    return LogitDistillationTask(
        student_model=student,
        teacher_model=at_size(teacher, size),
        criterion=LabelSmoothingCrossEntropy(0.1),
        temperature=4.0,
        verbose=False,
    )


def at_size(network: Any, size: int) -> Any:
    import torch

    resize = torch.nn.Upsample(size=(size, size), mode="bilinear", align_corners=False)
    taught = torch.nn.Sequential(resize, network)
    taught.pretrained_cfg = network.pretrained_cfg
    return taught.requires_grad_(False)


# end of user
