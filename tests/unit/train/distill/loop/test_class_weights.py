"""Class weights: the definition, torch's own weighted loss as the measure, and what a trained link does of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from weckd_edge.artifacts import NetworkInput
from weckd_edge.config import DistillConfig, LinkConfig, TrainConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.train.data.pixel_cache import CachedImages
from weckd_edge.train.distill.loop.class_weights import balanced_weights, step_weights
from weckd_edge.train.distill.loop.engine import TrainingRun, fit_student
from weckd_edge.train.distill.loop.sampler import TrainingImages, epoch_batches
from weckd_edge.train.distill.loop.task import Batch, DistillationTask, LabelTask, Teacher, draw_mixup
from weckd_edge.train.networks.models import Student, create_student

INPUT = NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
RARE = np.array([0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2, 2], np.int64)


def student(seed: int = 0) -> Student:
    torch.manual_seed(seed)
    return create_student(LinkConfig(model="test_resnet", input_size=32), 3).student.eval()


def feed(labelled: int = len(RARE), *, weighted: bool = True) -> TrainingImages:
    labels = np.concatenate([RARE, RARE])
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels), 40, 40, 3), dtype=np.uint8)
    return TrainingImages(
        images={32: CachedImages(pixels=pixels)},
        labels=labels,
        labelled=np.arange(labelled),
        unlabelled=np.arange(len(RARE), len(labels)),
        class_weights=balanced_weights(labels[:labelled]) if weighted else None,
    )


def a_batch(**changes: bool) -> Batch:
    batches = epoch_batches(
        feed(**changes), TrainConfig(steps_per_epoch=1, batch=12, augment=0.5, balance=0.0), seed=3, epoch=0
    )
    return next(batches)


def weighted_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Torch's own weighted loss over the images that have a label."""
    loss: torch.Tensor = nn.CrossEntropyLoss(weight=torch.from_numpy(balanced_weights(RARE)), ignore_index=-1)(
        logits, labels
    )
    return loss


def plain_logits(pupil: Student, batch: Batch) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    handle = pupil.register_forward_hook(lambda _, __, output: seen.append(output[0].detach()))
    LabelTask(INPUT)(pupil, batch, 0.0)
    handle.remove()
    return seen[0]


def test_a_class_weighs_the_inverse_of_its_labels_and_the_mean_over_the_labels_is_one() -> None:
    weights = balanced_weights(RARE)
    assert weights == pytest.approx([12 / (3 * 7), 12 / (3 * 1), 12 / (3 * 4)])
    assert weights[RARE].mean() == pytest.approx(1)
    assert balanced_weights(np.array([0, 2, 2, 2])) == pytest.approx([2.0, 0.0, 2 / 3])


def test_an_image_without_a_label_weighs_nothing_and_the_others_one_on_average() -> None:
    weights = step_weights(balanced_weights(RARE), np.array([0, 1, -1, 2, -1]))
    assert weights[[2, 4]].tolist() == [0, 0]
    assert weights[[0, 1, 3]].mean() == pytest.approx(1)
    assert weights[1] / weights[0] == pytest.approx(7)


def test_the_first_links_loss_is_torchs_own_weighted_cross_entropy() -> None:
    pupil, batch = student(), a_batch()
    found = LabelTask(INPUT)(pupil, batch, 0.0)["loss"]
    logits = plain_logits(pupil, batch)
    assert found.item() == pytest.approx(weighted_loss(logits, batch.labels).item(), rel=1e-5)
    plain = LabelTask(INPUT)(pupil, a_batch(weighted=False), 0.0)["loss"]
    assert plain.item() == pytest.approx(nn.CrossEntropyLoss(ignore_index=-1)(logits, batch.labels).item(), rel=1e-5)
    assert abs(plain.item() - found.item()) > 1e-3


@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_a_taught_links_loss_of_the_labels_is_torchs_own_weighted_cross_entropy(mixup: float) -> None:
    pupil, batch = student(), a_batch()
    config = DistillConfig(distill_weight=0.0, mixup=mixup)
    seen: list[torch.Tensor] = []
    pupil.register_forward_hook(lambda _, __, output: seen.append(output[0].detach()))
    found = DistillationTask([Teacher(student(1), INPUT)], INPUT, config, 3)(pupil, batch, 0.3)["loss"].item()
    mix = draw_mixup(batch, mixup, torch.Generator().manual_seed(batch.seed))
    wanted = weighted_loss(seen[0], batch.labels)
    if mix is not None:
        wanted = mix.part * wanted + (1 - mix.part) * weighted_loss(seen[0], batch.labels[mix.partner])
    assert (mix is None) == (mixup == 0)
    assert found == pytest.approx(wanted.item(), rel=1e-5)


def test_a_step_in_parts_is_the_same_step() -> None:
    """As accumulated gradients and several processes need it: the parts' mean is the whole batch's loss."""
    pupil, batch = student(), a_batch()
    task = LabelTask(INPUT)
    parts = [task(pupil, batch.part(which, 3), 0.0)["loss"].item() for which in range(3)]
    assert np.mean(parts) == pytest.approx(task(pupil, batch, 0.0)["loss"].item(), rel=1e-5)


def test_only_labels_that_the_link_may_see_are_counted() -> None:
    assert feed(labelled=4).class_weights == pytest.approx([1.0])


def test_a_link_with_balanced_weights_predicts_a_rare_class_more_often(tmp_path: Path) -> None:
    """Noise says nothing of a class: the mean prediction is how often the link met each, which the weights make even."""
    config = TrainConfig(
        epochs=2, steps_per_epoch=20, batch=12, learning_rate=1e-3, augment=0, balance=0, accelerator="cpu", threads=1
    )
    labels = np.tile(RARE, 20)
    pixels = np.random.default_rng(0).integers(0, 256, (len(labels) + 64, 32, 32, 3), dtype=np.uint8)

    def mean_prediction(weights: NDArray[np.float32] | None) -> NDArray[np.float32]:
        images = TrainingImages(
            images={32: CachedImages(pixels=pixels[:-64])},
            labels=labels,
            labelled=np.arange(len(labels)),
            unlabelled=np.zeros(0, np.int64),
            class_weights=weights,
        )
        scratch = tmp_path / str(weights is None)
        scratch.mkdir()
        trained = fit_student(
            student(), LabelTask(INPUT), images, config, TrainingRun(name="x", seed=1, scratch=scratch), SilentProgress()
        )
        with torch.inference_mode():
            logits, _ = trained(torch.from_numpy(pixels[-64:]).permute(0, 3, 1, 2) / 255 * 2 - 1)
        found: NDArray[np.float32] = logits.softmax(1).mean(0).numpy()
        return found

    plain, weighted = mean_prediction(None), mean_prediction(balanced_weights(labels))
    assert plain[1] < 0.2 < weighted[1]
    assert weighted[0] < 0.5 < plain[0]
