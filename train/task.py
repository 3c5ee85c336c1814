"""What a link is asked to do with a batch: the loop knows only that a task gives a ``loss``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from weckd_edge.artifacts import InputContract
from weckd_edge.config import DistillConfig
from weckd_edge.train.augment import Views, apply_views
from weckd_edge.train.losses import (
    annealed_temperature,
    labelled_cross_entropy,
    soft_target_loss,
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
    """

    images: Tensor
    labels: Tensor
    views: Views


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


class ChainTask:
    """A link learns from its predecessor, under the same view, and from its own share of the labels.

    ``(1 - weight) * cross-entropy + weight * soft targets + attention * spatial attention``.
    """

    def __init__(
        self, teacher: Student, teacher_contract: InputContract, contract: InputContract, config: DistillConfig
    ) -> None:
        self.teacher = teacher.eval().requires_grad_(False)
        self.teacher_contract = teacher_contract
        self.contract = contract
        self.config = config

    def __call__(self, student: nn.Module, batch: Batch, progress: float) -> dict[str, Tensor]:
        """Return ``loss`` and the teacher's part of it, ``soft``."""
        config = self.config
        pixels = apply_views(batch.images, batch.views, self.contract.input_size)
        if self.teacher_contract.input_size == self.contract.input_size:
            teacher_pixels = pixels
        else:
            teacher_pixels = apply_views(batch.images, batch.views, self.teacher_contract.input_size)
        logits, features = student(normalise(pixels, self.contract))
        with torch.no_grad():
            teacher_logits, teacher_features = self.teacher(normalise(teacher_pixels, self.teacher_contract))
        temperature = annealed_temperature(config.temperature_start, config.temperature_end, progress)
        soft = soft_target_loss(logits, teacher_logits, temperature)
        loss = (1 - config.weight) * labelled_cross_entropy(logits, batch.labels) + config.weight * soft
        if config.attention and features is not None and teacher_features is not None:
            loss = loss + config.attention * spatial_attention_loss(features, teacher_features)
        return {"loss": loss, "soft": soft.detach()}
