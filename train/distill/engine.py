"""One loop for every strategy: it knows batches, a task that gives a loss, and how to go on after a kill."""

from __future__ import annotations

import io
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from weckd_edge.config import TrainConfig
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import write_atomic
from weckd_edge.train.distill.distributed import check_batch, fabric_for, synchronised
from weckd_edge.train.distill.early_stopping import EarlyStopping, ValidationScore
from weckd_edge.train.distill.reproducible import reproducible
from weckd_edge.train.distill.sampler import TrainingImages, batch_parts, epoch_batches
from weckd_edge.train.distill.task import Batch, TrainingTask
from weckd_edge.train.networks.models import Student

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"


RANDOM_CLASSIFIER = 10.0
"""How many times the trunk's learning rate a classifier takes that starts from random weights."""


def make_optimizer(
    student: Student, config: TrainConfig, classifier_rate: float = RANDOM_CLASSIFIER
) -> torch.optim.Optimizer:
    """Return AdamW: weight decay on matrices only, ``classifier_rate`` times the learning rate for the classifier."""
    head = {id(p) for p in _classifier(student).parameters()}
    groups = []
    for in_head in (False, True):
        for decayed in (False, True):
            chosen = [p for p in student.parameters() if (id(p) in head) is in_head and (p.ndim > 1) is decayed]
            groups.append(
                {
                    "params": chosen,
                    "lr": config.learning_rate * (classifier_rate if in_head else 1),
                    "weight_decay": config.weight_decay if decayed else 0.0,
                }
            )
    return torch.optim.AdamW([g for g in groups if g["params"]])


def _classifier(student: Student) -> nn.Module:
    module: nn.Module = student.backbone.get_classifier()  # type: ignore[operator]  # timm's models are untyped
    return module


def fit_student(
    student: Student,
    task: TrainingTask,
    feed: TrainingImages,
    config: TrainConfig,
    *,
    seed: int,
    name: str,
    scratch: Path,
    progress: Progress,
    classifier_rate: float = RANDOM_CLASSIFIER,
    stopping: EarlyStopping | None = None,
) -> Student:
    """Train a student; a checkpoint after every epoch lets the next call with the same arguments go on from there.

    Args:
        student: With its starting weights.
        task: Gives the loss of a batch.
        feed: What may be seen.
        config: The loop.
        seed: Of the batches; with the same starting weights it makes the result, to the byte on the CPU.
        name: Shown beside the progress.
        scratch: Where the checkpoint is kept.
        progress: Where the work is shown.
        classifier_rate: How many times the backbone's learning rate the classifier takes.
        stopping: Ends the training early, and holds how many epochs it took; None trains for all epochs.

    Returns:
        The same student, in evaluation mode, on the CPU; with ``stopping``, with the weights of its best epoch.
    """
    fabric = fabric_for(config)
    check_batch(*batch_parts(feed, config.batch), config)
    given = student
    if fabric.world_size > 1:
        student = synchronised(student, fabric)
    # Channels last: the convolutions of small networks train about 1.5 times as fast on a CPU (see benchmarks/).
    student.to(memory_format=torch.channels_last)
    if isinstance(teachers := getattr(task, "teachers", None), nn.Module):
        teachers.to(fabric.device).to(memory_format=torch.channels_last)
    optimizer = make_optimizer(student, config, classifier_rate)
    compiled: nn.Module = torch.compile(student) if config.compile else student  # type: ignore[assignment]  # a module still
    model, optimizer = fabric.setup(compiled, optimizer)
    checkpoint = scratch / CHECKPOINT
    total = config.epochs * config.steps_per_epoch
    average = moving_average(student, 1 - 1 / max(1.0, config.ema * total)) if config.ema else None
    done = _resume(fabric, checkpoint, student, optimizer, average, stopping)
    schedule = LambdaLR(
        optimizer,
        lambda step: _rate_factor(step / total, warmup=1 / config.epochs / 2),
        last_epoch=done * config.steps_per_epoch - 1,
    )
    with progress.task(name, total, done * config.steps_per_epoch) as shown, reproducible(config.threads):
        for epoch in range(done, config.epochs):
            if stopping is not None and stopping.is_over:
                shown.end_after(epoch * config.steps_per_epoch)
                progress.note(f"{name}: ended after epoch {epoch} of {config.epochs}; epoch {stopping.best_epoch} is kept")
                break
            torch.manual_seed(seed * 1_000_003 + epoch)
            model.train()
            batches = epoch_batches(
                feed,
                seed=seed,
                epoch=epoch,
                steps=config.steps_per_epoch,
                batch=config.batch,
                augment=config.augment,
                balance=config.balance,
                uses=task.view_reuse,
            )
            for step, batch in enumerate(batches, start=epoch * config.steps_per_epoch):
                part = step / total
                optimizer.zero_grad(set_to_none=True)
                own = _to_device(batch.part(fabric.global_rank, fabric.world_size), fabric.device)
                for which in range(config.accumulate):
                    last = which == config.accumulate - 1
                    with fabric.no_backward_sync(model, enabled=not last), fabric.autocast():
                        result = task(model, own.part(which, config.accumulate), part)
                        fabric.backward(result["loss"] / config.accumulate)
                fabric.clip_gradients(model, optimizer, max_norm=5.0)
                optimizer.step()
                schedule.step()
                if average is not None:
                    average.update_parameters(student)
                shown.advance(1, **{key: value.item() for key, value in result.items()})
            if stopping is not None:
                _take_score(fabric, stopping, student if average is None else average.module)
            if fabric.global_rank == 0:
                _save(checkpoint, student, optimizer, average, stopping, epoch + 1)
    if stopping is not None:
        stopping.restore(student)
    elif average is not None:
        student.load_state_dict(average.module.state_dict())
    if given is not student:
        given.load_state_dict(student.state_dict())
    return given.cpu().eval()


def moving_average(student: Student, decay: float) -> AveragedModel:
    """Return the exponential moving average of a student's weights and batch-norm statistics, which starts as they are.

    The decay starts low, ``(1 + n) / (10 + n)`` after ``n`` steps, so that the first steps do not linger.

    Args:
        student: Whose weights.
        decay: After many steps.
    """

    def blend(kept: Tensor, value: Tensor, count: Tensor | int) -> Tensor:
        if not kept.is_floating_point():
            return value
        return kept.lerp(value, 1 - min(decay, int(count) / (9 + int(count))))

    average = AveragedModel(student, avg_fn=blend, use_buffers=True)
    average.n_averaged.fill_(1)  # the starting weights: with a count of none the first step would take their place
    return average


def _take_score(fabric: Fabric, stopping: EarlyStopping, network: nn.Module) -> None:
    """Let the first process score an epoch's weights, and every process take note of the same score."""
    student = cast(Student, network)  # an average of students holds one
    score = fabric.broadcast(stopping.score(student) if fabric.global_rank == 0 else None)
    stopping.take(cast(ValidationScore, score), student)


def _to_device(batch: Batch, device: torch.device) -> Batch:
    weights = None if batch.label_weights is None else batch.label_weights.to(device)
    return replace(
        batch,
        images=batch.images.to(device),
        labels=batch.labels.to(device),
        views=batch.views.to(device),
        label_weights=weights,
    )


def _rate_factor(part: float, warmup: float) -> float:
    """Return the part of the peak learning rate: a linear warm-up, then a fall to a hundredth along a cosine."""
    if part < warmup:
        return (part + 1e-3) / (warmup + 1e-3)
    along = (part - warmup) / (1 - warmup)
    return 0.01 + 0.99 * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * along))))


def _read_checkpoint(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever is wrong with it, training anew is right
        logger.warning("%s cannot be read; this link starts again", path, exc_info=True)
        return None
    return state


def _save(
    path: Path,
    student: Student,
    optimizer: Any,
    average: AveragedModel | None,
    stopping: EarlyStopping | None,
    epochs: int,
) -> None:
    state = {"student": student.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epochs}
    if average is not None:
        state["average"] = average.state_dict()
    if stopping is not None:
        state["stopping"] = stopping.state_dict()
    # In memory first: torch's own writer ends in an error of its own kind where the disk is full.
    written = io.BytesIO()
    torch.save(state, written)
    write_atomic(path, written.getvalue())


def _resume(
    fabric: Fabric,
    path: Path,
    student: Student,
    optimizer: Any,
    average: AveragedModel | None,
    stopping: EarlyStopping | None,
) -> int:
    """Take up the first process's checkpoint in every process; return how many epochs it holds."""
    state = fabric.broadcast(_read_checkpoint(path) if fabric.global_rank == 0 else None)
    if state is None:
        return 0
    try:
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        if average is not None:
            average.load_state_dict(state["average"])
        if stopping is not None:
            stopping.load_state_dict(state["stopping"])
    except Exception:  # whatever is wrong with it, training anew is right
        logger.warning("%s cannot be read; this link starts again", path, exc_info=True)
        return 0
    logger.info("going on after epoch %d", state["epochs"])
    return int(state["epochs"])
