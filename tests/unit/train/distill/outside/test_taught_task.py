"""Kept soft labels in the loss: one more teacher, whose word on an image is the same under every view."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weckd_edge.artifacts import NetworkInput
from weckd_edge.config import DistillConfig, TrainConfig
from weckd_edge.train.data.pixel_cache import CachedImages
from weckd_edge.train.distill.loop.losses import soft_target_loss
from weckd_edge.train.distill.loop.sampler import TrainingImages, epoch_batches
from weckd_edge.train.distill.loop.task import Batch, DistillationTask, Teacher

INPUT = NetworkInput(height=16, width=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
COUNT, CLASSES = 12, 3
SOFT = torch.randn(COUNT, CLASSES, generator=torch.Generator().manual_seed(0)).log_softmax(dim=1)
PLAIN = DistillConfig(temperature_start=2.0, temperature_end=2.0, distill_weight=0.7, teacher_dropout=0.0, view_reuse=1)


class Constant(nn.Module):
    """Student, or teacher, that says the same of every image; its map is everywhere alike."""

    def __init__(self, logits: list[float]) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.logits.expand(len(images), -1), torch.ones(len(images), 2, 4, 4)


def batch() -> Batch:
    """Images in another order than that of the soft labels, some without a label."""
    feed = TrainingImages(
        images={16: CachedImages(pixels=np.zeros((COUNT, 18, 18, 3), np.uint8))},
        labels=np.arange(COUNT) % CLASSES,
        labelled=np.arange(6),
        unlabelled=np.arange(6, COUNT),
    )
    return next(epoch_batches(feed, TrainConfig(batch=4, steps_per_epoch=1), seed=0, epoch=0))


def task(config: DistillConfig = PLAIN, *teachers: nn.Module, **options: Any) -> DistillationTask:
    opened = [Teacher(cast(Any, teacher), INPUT) for teacher in teachers]
    return DistillationTask(opened, INPUT, config, CLASSES, soft_labels=SOFT, **options)


def test_a_batch_knows_which_images_it_shows_in_every_part_of_it() -> None:
    whole = batch()
    assert len(whole.images) == len(whole) == 8
    assert (whole.images[:4] < 6).all()
    assert (whole.images[4:] >= 6).all()
    assert torch.equal(whole.labels[:4], whole.images[:4] % CLASSES)
    part = whole.part(1, 2)
    assert torch.equal(part.images, whole.images[[1, 3, 5, 7]])


def test_the_loss_is_the_distance_from_each_images_own_soft_label() -> None:
    shown, student = batch(), Constant([1.0, 0.0, -1.0])
    found = task()(student, shown, 0.5)
    logits = student.logits.expand(len(shown), -1)
    assert found["soft"].item() == pytest.approx(soft_target_loss(logits, SOFT[shown.images], 2.0).item(), rel=1e-5)
    assert found["loss"].item() == pytest.approx(0.3 * found["hard"].item() + 0.7 * found["soft"].item(), rel=1e-5)


def test_beside_a_link_both_count_alike_and_attention_is_the_links() -> None:
    shown, student, link = batch(), Constant([1.0, 0.0, -1.0]), Constant([0.0, 2.0, 0.0])
    found = task(replace(PLAIN, attention=1.0), link)(student, shown, 0.5)
    logits = student.logits.expand(len(shown), -1)
    of_link = soft_target_loss(logits, link.logits.expand(len(shown), -1), 2.0)
    of_kept = soft_target_loss(logits, SOFT[shown.images], 2.0)
    assert found["soft"].item() == pytest.approx(((of_link + of_kept) / 2).item(), rel=1e-5)
    assert found["attention"].item() == pytest.approx(0, abs=1e-6)  # the same map: it was compared with the link's


def test_a_soft_label_that_misses_a_label_does_not_count_where_teachers_are_corrected() -> None:
    shown, student = batch(), Constant([1.0, 0.0, -1.0])
    right = (shown.labels < 0) | (SOFT[shown.images].argmax(dim=1) == shown.labels)
    assert 0 < int(right.sum()) < len(shown)
    logits = student.logits.expand(len(shown), -1)[right]
    expected = soft_target_loss(logits, SOFT[shown.images][right], 2.0) * right.float().mean()
    assert task(corrected=True)(student, shown, 0.5)["soft"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_soft_labels_of_mixed_images_are_mixed_alike() -> None:
    shown, student = batch(), Constant([1.0, 0.0, -1.0])
    always = replace(PLAIN, mixup=1.0)
    mixed, plain = task(always)(student, shown, 0.5)["soft"], task()(student, shown, 0.5)["soft"]
    assert mixed.isfinite()
    assert 0 < mixed.item() < plain.item()  # the mean of two soft labels lies nearer to an undecided student
