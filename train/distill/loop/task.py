"""Tasks of a link: each returns the loss of a batch, which is all that the loop knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from weckd_edge.artifacts import NetworkInput
from weckd_edge.config import DistillConfig
from weckd_edge.train.distill.loop.augmentation import Pictures, Views, apply_views
from weckd_edge.train.distill.loop.losses import (
    annealed_temperature,
    choose_soft_loss,
    evidence,
    labelled_cross_entropy,
    spatial_attention_loss,
)
from weckd_edge.train.distill.loop.teacher_cache import TeacherCache
from weckd_edge.train.networks.models import Student
from weckd_edge.train.networks.preprocess import normalise


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Images of one step.

    Attributes:
        pictures: Cached images by the size of the networks that they are for.
        labels: Class of each image, int64 ``[B]``, -1 where the link may not see it.
        label_weights: Weight of each image in the loss of the labels, float32 ``[B]``, with a mean of 1 over the labelled
            images of a whole step; None weights all alike.
        views: Random view of each image.
        slots: Slot of each image, int64 ``[B]`` on the CPU; in one epoch a slot is one image under one view.
        images: Index of each image among all training images, int64 ``[B]`` on the CPU.
        epoch: Number of the epoch, from 0.
        labelled: Number of images, from the first on, that carry a label.
        seed: Seed of everything that a task draws at random.
    """

    pictures: Mapping[int, Pictures]
    labels: Tensor
    views: Views
    slots: Tensor
    images: Tensor
    epoch: int
    labelled: int
    seed: int
    label_weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def shown_to(self, size: int) -> Tensor:
        """Return the images under their views, as a network of this size is shown them, ``[B, 3, size, size]`` in 0..255."""
        return apply_views(self.pictures[size], self.views, size)

    def at(self, positions: Tensor) -> Batch:
        """Return some of the images, by their positions ``[b]`` on the CPU, with their views."""
        there = positions.to(self.labels.device, non_blocking=True)
        return replace(
            self,
            pictures={size: pictures.at(there) for size, pictures in self.pictures.items()},
            labels=self.labels[there],
            label_weights=None if self.label_weights is None else self.label_weights[there],
            views=self.views.at(there),
            slots=self.slots[positions],
            images=self.images[positions],
            labelled=int((positions < self.labelled).sum()),
        )

    def part(self, which: int, of: int) -> Batch:
        """Return every ``of``-th image from ``which`` on, with and without labels alike."""
        if of == 1:
            return self
        labelled, rest = torch.arange(len(self)).tensor_split([self.labelled])
        return self.at(torch.cat([labelled[which::of], rest[which::of]]))


class TrainingTask(Protocol):
    """Task that returns the loss of a batch; each view may be shown ``view_reuse`` times in an epoch."""

    @property
    def view_reuse(self) -> int: ...

    def move_to(self, device: torch.device) -> None:
        """Bring what the task needs, its teachers and their soft labels, to the device that trains."""

    def __call__(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return ``loss`` and figures to show; ``progress`` is the part of the training that is done, 0..1."""


class LabelTask:
    """Task of the first link and of the undistilled baseline: cross-entropy on the labelled subset alone."""

    view_reuse = 1

    def __init__(self, network_input: NetworkInput) -> None:
        self.input = network_input

    def move_to(self, device: torch.device) -> None:
        """Do nothing: the labels come with each batch."""

    def __call__(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the cross-entropy as ``loss``."""
        images = normalise(batch.shown_to(self.input.side), self.input)
        logits, _ = student(images)
        return {"loss": _label_loss(logits, batch, None)}


@dataclass(frozen=True, slots=True)
class Teacher:
    """Trained link, fixed, with the input that it expects."""

    student: Student
    input: NetworkInput


class DistillationTask:
    """Task of a link that learns from one or more earlier ones, under the same view, and from the labels it may see.

    ``(1 - weight) * cross-entropy + weight * soft targets + attention * spatial attention``. The soft targets are the
    mean over the teachers that take part in the step; attention is compared with the last link among them. In the last
    part of the training (``label_only_fraction``) only the labels count.

    A ``corrected`` teacher does not count where it errs: on an image whose label the student sees and the teacher misses,
    only the label counts (mixed images have no single label, and the teacher counts for all of them).

    Teachers from outside the chain take part as one more teacher, whose soft label of an image was computed before and is
    the same under every view (``weckd_edge.train.distill.outside``). Soft labels of mixed images are mixed as these are.

    The teachers are fixed, so their prediction of an image under a view is kept for as long as the epoch shows that view
    (Shen and Xing 2022, arXiv 2112.01528); predictions of mixed images are not kept.
    """

    def __init__(
        self,
        teachers: Sequence[Teacher],
        network_input: NetworkInput,
        config: DistillConfig,
        classes: int,
        *,
        corrected: bool = False,
        soft_labels: Tensor | None = None,
    ) -> None:
        """Take the teachers.

        Args:
            teachers: Earlier links, the nearest last.
            network_input: Size and normalisation of the student's input.
            config: Settings of the distillation.
            classes: Number of classes.
            corrected: Whether a teacher is left out on images whose label the student sees and the teacher misses.
            soft_labels: Log-probabilities of the teachers from outside, for every training image ``[N, classes]``.
        """
        self.teachers = nn.ModuleList(t.student.eval().requires_grad_(False) for t in teachers)
        self.inputs = [t.input for t in teachers]
        self.input = network_input
        self.config = config
        self.corrected = corrected
        self.view_reuse = config.view_reuse
        self.soft_loss = choose_soft_loss(config.loss, classes)
        self.teacher_caches = [TeacherCache() for _ in teachers]
        self.soft_labels = soft_labels

    def move_to(self, device: torch.device) -> None:
        """Bring the teachers to a device, with their convolutions channels last, and the soft labels."""
        self.teachers.to(device).to(memory_format=torch.channels_last)
        if self.soft_labels is not None:
            self.soft_labels = self.soft_labels.to(device)

    def __call__(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return ``loss`` and its parts: ``hard`` of the labels, ``soft`` of the teachers, and ``attention`` if used."""
        config = self.config
        generator = torch.Generator().manual_seed(batch.seed)
        if progress >= 1 - config.label_only_fraction:
            logits, _ = student(self._teacher_input(batch, self.input, None))
            return {"loss": _label_loss(logits, batch, None)}
        mix = draw_mixup(batch, config.mixup, generator)
        logits, features = student(self._teacher_input(batch, self.input, mix))
        temperature = annealed_temperature(config.temperature_start, config.temperature_end, progress)
        hard = _label_loss(logits, batch, mix)
        soft, attention = torch.zeros_like(hard), torch.zeros_like(hard)
        taking_part = self.choose_teachers(generator)
        nearest = max((at for at in taking_part if at < len(self.teachers)), default=None)
        for position in taking_part:
            target, map_ = self._teacher_outputs(position, batch, mix)
            soft = soft + self._soft(logits, target, batch, mix, temperature) / len(taking_part)
            if position == nearest and config.attention and features is not None and map_ is not None:
                attention = config.attention * spatial_attention_loss(evidence(features), map_)
        loss = (1 - config.teachers_part) * hard + config.teachers_part * soft + attention
        parts = {"loss": loss, "hard": hard.detach(), "soft": soft.detach()}
        return {**parts, "attention": attention.detach()} if config.attention else parts

    def _soft(self, logits: Tensor, target: Tensor, batch: Batch, mix: Mixup | None, temperature: float) -> Tensor:
        if not self.corrected or mix is not None:
            return self.soft_loss(logits, target, temperature)
        right = (batch.labels < 0) | (target.argmax(dim=1) == batch.labels)
        rows = right.nonzero().squeeze(1)
        if not len(rows):
            return torch.zeros((), device=logits.device)
        return self.soft_loss(logits[rows], target[rows], temperature) * right.float().mean()

    def _teacher_outputs(self, position: int, batch: Batch, mix: Mixup | None) -> tuple[Tensor, Tensor | None]:
        """Return a teacher's logits ``[B, classes]`` and evidence ``[B, 1, h, w]`` (None where it has no map)."""
        if self.soft_labels is not None and position == len(self.teachers):
            images = batch.images.to(self.soft_labels.device, non_blocking=True)
            return _mixed(self.soft_labels[images], mix), None
        if mix is not None or self.view_reuse == 1:
            return self._run_teacher(position, batch, mix)
        kept = self.teacher_caches[position]
        kept.turn_to(batch.epoch)
        if len(new := kept.missing(batch.slots)):
            unseen = batch if len(new) == len(batch) else batch.at(new)
            kept.add(unseen.slots, *self._run_teacher(position, unseen, None))
        return kept.of(batch.slots)

    def _run_teacher(self, position: int, batch: Batch, mix: Mixup | None) -> tuple[Tensor, Tensor | None]:
        with torch.no_grad():
            logits, features = self.teachers[position](self._teacher_input(batch, self.inputs[position], mix))
            return logits, None if features is None else evidence(features)

    def choose_teachers(self, generator: torch.Generator) -> list[int]:
        """Return the positions of the teachers that take part, at least one; those from outside come behind the links."""
        draws = torch.rand(len(self.teachers) + (self.soft_labels is not None), generator=generator)
        kept = [i for i, draw in enumerate(draws.tolist()) if draw >= self.config.teacher_dropout]
        return kept or [int(draws.argmax())]

    def _teacher_input(self, batch: Batch, network_input: NetworkInput, mix: Mixup | None) -> Tensor:
        pixels = batch.shown_to(network_input.side)
        if mix is not None:
            pixels = mix.part * pixels + (1 - mix.part) * pixels[mix.partner]
        return normalise(pixels, network_input)


def _mixed(soft_labels: Tensor, mix: Mixup | None) -> Tensor:
    """Return log-probabilities ``[B, classes]``, their probabilities mixed as the images are."""
    if mix is None:
        return soft_labels
    mixed = mix.part * soft_labels.exp() + (1 - mix.part) * soft_labels[mix.partner].exp()
    return mixed.clamp_min(torch.finfo(mixed.dtype).tiny).log()


def _label_loss(logits: Tensor, batch: Batch, mix: Mixup | None) -> Tensor:
    """Return the cross-entropy on the labels, mixed as the images are."""
    own = labelled_cross_entropy(logits, batch.labels, batch.label_weights)
    if mix is None:
        return own
    weights = None if batch.label_weights is None else batch.label_weights[mix.partner]
    return mix.part * own + (1 - mix.part) * labelled_cross_entropy(logits, batch.labels[mix.partner], weights)


@dataclass(frozen=True, slots=True)
class Mixup:
    """Pairs of images laid over each other: ``part`` of each and the rest of its ``partner`` (positions ``[B]``)."""

    part: float
    partner: Tensor


def draw_mixup(batch: Batch, chance: float, generator: torch.Generator) -> Mixup | None:
    """Draw a mixture for a batch, or none; labelled images are mixed with labelled ones, so that labels mix too.

    Zhang et al. 2018, arXiv 1710.09412, with ``Beta(1, 1)``.
    """
    if float(torch.rand((), generator=generator)) >= chance:
        return None
    part = float(torch.rand((), generator=generator))
    first = torch.randperm(batch.labelled, generator=generator)
    rest = torch.randperm(len(batch) - batch.labelled, generator=generator) + batch.labelled
    return Mixup(part, torch.cat([first, rest]).to(batch.labels.device, non_blocking=True))
