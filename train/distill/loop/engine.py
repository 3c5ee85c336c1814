"""The training loop of every strategy: batches, a task that returns a loss, and a checkpoint to resume from."""

from __future__ import annotations

import copy
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from weckd_edge.config import TrainConfig
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import write_atomic
from weckd_edge.train.distill.loop.distributed import check_batch, fabric_for, restart_scaler, synchronised, take_best
from weckd_edge.train.distill.loop.early_stopping import EarlyStopping, ValidationScore
from weckd_edge.train.distill.loop.held_images import made_ahead
from weckd_edge.train.distill.loop.moving_average import MovingAverage
from weckd_edge.train.distill.loop.sampler import TrainingImages, batch_parts, epoch_batches
from weckd_edge.train.distill.loop.step_losses import RATE, StepLosses
from weckd_edge.train.distill.loop.task import Batch, TrainingTask
from weckd_edge.train.distill.reproducible import reproducible
from weckd_edge.train.networks.models import Student
from weckd_edge.train.run_logging.base import NO_CURVES, Curves

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"

RANDOM_CLASSIFIER = 10.0
"""Factor of the learning rate of a classifier with random weights over the backbone's."""


def make_optimizer(
    student: Student, config: TrainConfig, classifier_rate: float = RANDOM_CLASSIFIER
) -> torch.optim.Optimizer:
    """Return AdamW with weight decay on matrices only and ``classifier_rate`` times the learning rate for the classifier."""
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
    # One kernel for all weights saves a CPU a twentieth of a step. It would scale half precision's gradients itself, before
    # they are clipped.
    return torch.optim.AdamW([g for g in groups if g["params"]], fused=config.precision != "16-mixed")


def _classifier(student: Student) -> nn.Module:
    module: nn.Module = student.backbone.get_classifier()  # type: ignore[operator]  # timm's models are untyped
    return module


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingRun:
    """One training of a student.

    Attributes:
        name: Name shown beside the progress.
        seed: Seed of the batches; with the same starting weights it makes the result, to the byte on the CPU.
        scratch: Folder of the checkpoint; exists.
        kept: Folders in which processes on this machine may have kept checkpoints of this training.
        classifier_rate: Factor of the classifier's learning rate over the backbone's.
        curves: Receiver of each step's loss, its parts and the learning rate; of several processes, the first one's.
    """

    name: str
    seed: int
    scratch: Path
    classifier_rate: float = RANDOM_CLASSIFIER
    curves: Curves = NO_CURVES
    kept: tuple[Path, ...] = ()


def fit_student(
    student: Student,
    task: TrainingTask,
    feed: TrainingImages,
    config: TrainConfig,
    run: TrainingRun,
    progress: Progress,
    stopping: EarlyStopping | None = None,
) -> Student:
    """Train a student; a checkpoint after every epoch lets the next call with the same arguments go on from there.

    Args:
        student: Network with its starting weights.
        task: Returns the loss of a batch.
        feed: Images that may be seen.
        config: Settings of the loop.
        run: Seed of this training, and the folder of its checkpoint.
        progress: Receiver of the progress.
        stopping: Early stopping, which also counts the epochs; None trains for all epochs.

    Returns:
        The same student, in evaluation mode, on the device that trained it; with ``stopping``, with the weights of its best
        epoch.
    """
    fabric = fabric_for(config)
    check_batch(*batch_parts(feed, config.batch), config)
    given = student
    student = synchronised(student, fabric) if fabric.world_size > 1 else student
    # Small networks train about 1.5 times as fast on a CPU with channels last (see benchmarks/).
    student.to(fabric.device).to(memory_format=torch.channels_last)
    task.move_to(fabric.device)
    feed = feed if feed.device == fabric.device else feed.on(fabric.device)
    restart_scaler(fabric)
    optimizer = make_optimizer(student, config, run.classifier_rate)
    compiled: nn.Module = torch.compile(student) if config.compile else student  # type: ignore[assignment]  # a module still
    model, optimizer = fabric.setup(compiled, optimizer)
    checkpoint, steps, total = run.scratch / CHECKPOINT, config.steps_per_epoch, config.epochs * config.steps_per_epoch
    average = MovingAverage(student, 1 - 1 / max(1.0, config.ema * total)) if config.ema else None
    kept = [checkpoint, *(folder / CHECKPOINT for folder in run.kept)]
    done = _resume(fabric, kept, student, optimizer, average, stopping)
    run.curves.start(done * steps)
    losses = StepLosses(fabric)
    schedule = _make_schedule(optimizer, config, done * steps)
    with progress.task(run.name, total, done * steps) as shown, reproducible(config.threads):
        for epoch in range(done, config.epochs):
            if stopping is not None and stopping.is_over:
                shown.end_after(epoch * steps)
                progress.note(_describe_end(run.name, epoch, config.epochs, stopping.best_epoch))
                break
            torch.manual_seed(run.seed * 1_000_003 + epoch)
            model.train()
            batches = epoch_batches(feed, config, seed=run.seed, epoch=epoch, uses=task.view_reuse)
            for step, batch in enumerate(batches if feed.is_held else made_ahead(batches), start=epoch * steps):
                taken = _train_step(fabric, model, optimizer, task, batch, config.accumulate, step / total)
                losses.add(step + 1, *taken, optimizer.param_groups[0]["lr"])
                schedule.step()
                if average is not None:
                    average.take(student)
                for at, values in losses.read(rest=step + 1 == (epoch + 1) * steps):
                    run.curves.add(at, values)
                    shown.advance(1, **{name: value for name, value in values.items() if name != RATE})
            if stopping is not None:
                score = _take_score(fabric, stopping, student if average is None else average.module)
                run.curves.add((epoch + 1) * steps, score.values())
            run.curves.save()
            if fabric.local_rank == 0:
                _save(checkpoint, fabric, student, optimizer, average, stopping, epoch + 1)
    _take_final_weights(given, student, average, stopping)
    return given.to(fabric.device).eval()


def _describe_end(name: str, epoch: int, epochs: int, best: int) -> str:
    return f"{name}: ended after epoch {epoch} of {epochs}; epoch {best} is kept"


def _take_final_weights(
    given: Student, student: Student, average: MovingAverage | None, stopping: EarlyStopping | None
) -> None:
    """Give a student, and the one it was copied from, the weights of its best epoch or their average, where there is one."""
    if stopping is not None:
        stopping.restore(student)
    elif average is not None:
        student.load_state_dict(average.module.state_dict())
    if given is not student:
        given.load_state_dict(student.state_dict())


def _train_step(
    fabric: Fabric, model: Any, optimizer: Any, task: TrainingTask, batch: Batch, accumulate: int, part: float
) -> tuple[dict[str, Tensor], Tensor]:
    """Take one gradient step on this process's part of a batch.

    Args:
        fabric: The processes that train together.
        model: Student as fabric has set it up.
        optimizer: Optimizer as fabric has set it up.
        task: Returns the loss of a batch.
        batch: Images of all processes.
        accumulate: Number of pieces that the part is processed in, one after another.
        part: Part of the training that is done, 0..1.

    Returns:
        The losses of the last piece, and the norm of the gradients before they were clipped; both on the device.
    """
    optimizer.zero_grad(set_to_none=True)
    own = _to_device(batch, fabric.device).part(fabric.global_rank, fabric.world_size)
    for which in range(accumulate):
        last = which == accumulate - 1
        with fabric.no_backward_sync(model, enabled=not last), fabric.autocast():
            losses = task(model, own.part(which, accumulate), part)
            fabric.backward(losses["loss"] / accumulate)
    norm = fabric.clip_gradients(model, optimizer, max_norm=5.0, error_if_nonfinite=False)
    optimizer.step()
    return {name: value.detach() for name, value in losses.items()}, cast(Tensor, norm)


def _take_score(fabric: Fabric, stopping: EarlyStopping, network: nn.Module) -> ValidationScore:
    """Let the first process score an epoch's weights, and every process take note of the same score; return it."""
    student = cast(Student, network)  # an average of students holds one
    score = cast(ValidationScore, fabric.broadcast(stopping.score(student) if fabric.global_rank == 0 else None))
    stopping.take(score, student)
    return score


def _to_device(batch: Batch, device: torch.device) -> Batch:
    weights = None if batch.label_weights is None else batch.label_weights.to(device, non_blocking=True)
    return replace(
        batch,
        pictures={size: pictures.to(device) for size, pictures in batch.pictures.items()},
        labels=batch.labels.to(device, non_blocking=True),
        views=batch.views.to(device),
        label_weights=weights,
    )


def _make_schedule(optimizer: Any, config: TrainConfig, done: int) -> LambdaLR:
    """Return the schedule of the learning rate over all epochs, after ``done`` gradient steps."""
    total = config.epochs * config.steps_per_epoch
    return LambdaLR(optimizer, lambda step: _rate_factor(step / total, warmup=1 / config.epochs / 2), last_epoch=done - 1)


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
    fabric: Fabric,
    student: Student,
    optimizer: Any,
    average: MovingAverage | None,
    stopping: EarlyStopping | None,
    epochs: int,
) -> None:
    state = {"student": student.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epochs}
    state["precision"] = fabric.strategy.precision.state_dict()
    if average is not None:
        state["average"] = average.state_dict()
    if stopping is not None:
        state["stopping"] = stopping.state_dict()
    # Write to memory first: torch's own writer raises another kind of error where the disk is full.
    written = io.BytesIO()
    torch.save(state, written)
    write_atomic(path, written.getvalue())


def _resume(
    fabric: Fabric,
    paths: Sequence[Path],
    student: Student,
    optimizer: Any,
    average: MovingAverage | None,
    stopping: EarlyStopping | None,
) -> int:
    """Restore the latest checkpoint that any process has in every process; return the number of epochs it holds."""
    found = [state for path in dict.fromkeys(paths) if (state := _read_checkpoint(path))]
    latest = max(found, key=_epochs, default=None)
    state = take_best(fabric, latest, 0 if latest is None else _epochs(latest))
    if state is None:
        return 0
    named: dict[str, Any] = {"student": student, "optimizer": optimizer, "average": average, "stopping": stopping}
    parts = {**{name: part for name, part in named.items() if part is not None}, "precision": fabric.strategy.precision}
    before = {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    try:
        for name, part in parts.items():
            part.load_state_dict(state[name])
    except Exception:  # whatever is wrong with it, training anew is right
        for name, part in parts.items():
            part.load_state_dict(before[name])
        logger.warning("the checkpoint of %s cannot be read; this link starts again", paths[0].parent, exc_info=True)
        return 0
    logger.info("going on after epoch %d", _epochs(state))
    return _epochs(state)


def _epochs(state: dict[str, Any]) -> int:
    """Return the number of epochs that a checkpoint holds; 0 where it is none."""
    found = state.get("epochs")
    return found if isinstance(found, int) else 0
