"""What a link is asked to do with a batch: the loop knows only that a task gives a ``loss``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from weckd_edge.artifacts import InputContract
from weckd_edge.config import DistillConfig
from weckd_edge.train.augment import Views, apply_views
from weckd_edge.train.losses import (
    annealed_temperature,
    choose_soft_loss,
    labelled_cross_entropy,
    spatial_attention_loss,
)
from weckd_edge.train.models import Student
from weckd_edge.train.preprocess import normalise


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """One step's images.

    Attributes:
        images: uint8 ``[B, R, R, 3]``.
        labels: int64 ``[B]``, -1 where the link may not see the label.
        views: The random view of each image.
        labelled: How many of the images, from the first, carry a label.
        seed: For whatever a task draws at random.
    """

    images: Tensor
    labels: Tensor
    views: Views
    labelled: int
    seed: int


class Task(Protocol):
    """Scores a batch."""

    def __call__(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return ``loss`` and figures to show; ``progress`` is the part of the training that is done, 0..1."""


class LabelTask:
    """Cross-entropy on the share's labels alone: the first link, and the undistilled twin."""

    def __init__(self, contract: InputContract) -> None:
        self.contract = contract

    def __call__(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return the cross-entropy as ``loss``."""
        images = normalise(apply_views(batch.images, batch.views, self.contract.input_size), self.contract)
        logits, _ = student(images)
        return {"loss": labelled_cross_entropy(logits, batch.labels)}


@dataclass(frozen=True, slots=True)
class Teacher:
    """A trained link, the input it expects, and what it counts beside others."""

    student: Student
    contract: InputContract
    weight: float = 1.0


class ChainTask:
    """A link learns from one or more earlier ones, under the same view, and from the labels it may see.

    ``(1 - weight) * cross-entropy + weight * soft targets + attention * spatial attention``. The soft targets are the
    weighted mean over the teachers that take part in the step; attention is compared with the last of them. In the last
    part of the training (``refine``) the labels are alone.
    """

    def __init__(self, teachers: Sequence[Teacher], contract: InputContract, config: DistillConfig, classes: int) -> None:
        self.teachers = nn.ModuleList(t.student.eval().requires_grad_(False) for t in teachers)
        self.contracts = [t.contract for t in teachers]
        self.weights = [t.weight for t in teachers]
        self.contract = contract
        self.config = config
        self.soft_loss = choose_soft_loss(config.loss, classes)

    def __call__(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return ``loss`` and the teachers' part of it, ``soft``."""
        config = self.config
        generator = torch.Generator().manual_seed(batch.seed)
        if progress >= 1 - config.refine:
            logits, _ = student(self._shown(batch, self.contract, None))
            return {"loss": labelled_cross_entropy(logits, batch.labels)}
        mix = draw_mix(batch, config.mixup, generator)
        logits, features = student(self._shown(batch, self.contract, mix))
        temperature = annealed_temperature(config.temperature_start, config.temperature_end, progress)
        hard = labelled_cross_entropy(logits, batch.labels)
        if mix is not None:
            hard = mix.part * hard + (1 - mix.part) * labelled_cross_entropy(logits, batch.labels[mix.partner])
        soft, attention = torch.zeros_like(hard), torch.zeros_like(hard)
        taking_part = self._choose(generator)
        together = sum(self.weights[position] for position in taking_part)
        for position in taking_part:
            with torch.no_grad():
                answer, map_ = self.teachers[position](self._shown(batch, self.contracts[position], mix))
            soft = soft + self.soft_loss(logits, answer, temperature) * (self.weights[position] / together)
            if position == taking_part[-1] and config.attention and features is not None and map_ is not None:
                attention = config.attention * spatial_attention_loss(features, map_)
        loss = (1 - config.weight) * hard + config.weight * soft + attention
        return {"loss": loss, "soft": soft.detach()}

    def _choose(self, generator: torch.Generator) -> list[int]:
        """Return the positions of the teachers that take part: never none."""
        draws = torch.rand(len(self.teachers), generator=generator)
        kept = [i for i, draw in enumerate(draws.tolist()) if draw >= self.config.teacher_drop]
        return kept or [int(draws.argmax())]

    def _shown(self, batch: Batch, contract: InputContract, mix: Mix | None) -> Tensor:
        pixels = apply_views(batch.images, batch.views, contract.input_size)
        if mix is not None:
            pixels = mix.part * pixels + (1 - mix.part) * pixels[mix.partner]
        return normalise(pixels, contract)


@dataclass(frozen=True, slots=True)
class Mix:
    """Pairs of images laid over each other: ``part`` of each and the rest of its ``partner`` (positions ``[B]``)."""

    part: float
    partner: Tensor


def draw_mix(batch: Batch, chance: float, generator: torch.Generator) -> Mix | None:
    """Draw a mixture for a batch, or none; labelled images are mixed with labelled ones, so that labels mix too.

    Zhang et al. 2018, arXiv 1710.09412, with ``Beta(1, 1)``.
    """
    if float(torch.rand((), generator=generator)) >= chance:
        return None
    part = float(torch.rand((), generator=generator))
    first = torch.randperm(batch.labelled, generator=generator)
    rest = torch.randperm(len(batch.images) - batch.labelled, generator=generator) + batch.labelled
    return Mix(part, torch.cat([first, rest]).to(batch.images.device))
