"""Losses that a link learns from."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from weckd_edge.core.errors import ConfigError, did_you_mean

SoftLoss = Callable[[Tensor, Tensor, float], Tensor]
"""Loss of a student's and a teacher's logits ``[B, classes]`` at a temperature, a scalar."""


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the Kullback-Leibler divergence of softened predictions, times T squared (Hinton 2015, arXiv 1503.02531).

    Args:
        student: Logits ``[B, classes]``.
        teacher: Logits ``[B, classes]``.
        temperature: Temperature that softens both.
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2


def evidence(features: Tensor) -> Tensor:
    """Return the evidence of a feature map ``[B, C, h, w]``: the channels' mean square, ``[B, 1, h, w]``."""
    return features.pow(2).mean(dim=1, keepdim=True)


def spatial_attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the distance of two attention maps (Zagoruyko and Komodakis 2017, arXiv 1612.03928, equation 2, squared).

    Args:
        student: Evidence ``[B, 1, h, w]``.
        teacher: Evidence ``[B, 1, h', w']``; resized to the student's where they differ.
    """
    if teacher.shape[2:] != student.shape[2:]:
        teacher = F.interpolate(teacher, size=student.shape[2:], mode="bilinear", align_corners=False)
    a, b = F.normalize(student.flatten(1), dim=1), F.normalize(teacher.flatten(1), dim=1)
    return (a - b).pow(2).sum(dim=1).mean()


def annealed_temperature(start: float, end: float, progress: float) -> float:
    """Return the temperature at ``progress`` 0..1 of the training: linear from start to end."""
    return start + (end - start) * min(max(progress, 0.0), 1.0)


def labelled_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the cross-entropy over the images that have a label (others carry -1); zero where none has.

    Args:
        logits: Logits ``[B, classes]``.
        labels: Class of each image ``[B]``, -1 for none.
        weights: Weight of each image ``[B]``, with a mean of 1 over a step's labelled images; None weights all alike.
    """
    count = (labels >= 0).sum().clamp_min(1)
    if weights is None:
        return F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum") / count
    return (weights * F.cross_entropy(logits, labels, ignore_index=-1, reduction="none")).sum() / count


def decoupled_loss(student: Tensor, teacher: Tensor, temperature: float, beta: float = 4.0) -> Tensor:
    """Return the loss of decoupled distillation: the target class against the rest, and the rest among themselves.

    (Zhao 2022, arXiv 2203.08679.) The target is the teacher's own decision, as most images carry no label. With two classes
    the rest is one class and its part is zero.

    Args:
        student: Logits ``[B, classes]``.
        teacher: Logits ``[B, classes]``.
        temperature: Temperature that softens both.
        beta: Weight of the rest; the target class has weight 1.
    """
    target = F.one_hot(teacher.argmax(dim=1), teacher.shape[1]).bool()
    p_student, p_teacher = (student / temperature).softmax(dim=1), (teacher / temperature).softmax(dim=1)
    one, other = (p_student * target).sum(dim=1), (p_teacher * target).sum(dim=1)
    tiny = torch.finfo(one.dtype).tiny
    split_student = torch.stack([one, 1 - one], dim=1).clamp_min(tiny).log()
    split_teacher = torch.stack([other, 1 - other], dim=1).clamp_min(tiny)
    first = F.kl_div(split_student, split_teacher, reduction="batchmean")
    hidden = torch.finfo(student.dtype).min / 4
    rest_student = (student / temperature).masked_fill(target, hidden).log_softmax(dim=1)
    rest_teacher = (teacher / temperature).masked_fill(target, hidden).softmax(dim=1)
    rest = F.kl_div(rest_student, rest_teacher, reduction="batchmean")
    return (first + beta * rest) * temperature**2


def relational_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the loss of DIST: predictions need only correlate, over an image's classes and over a class's images.

    (Huang 2022, arXiv 2205.10536.) With two classes the correlation over classes is 1 or -1 whatever the student predicts.

    Args:
        student: Logits ``[B, classes]``.
        teacher: Logits ``[B, classes]``.
        temperature: Temperature that softens both.
    """
    a, b = (student / temperature).softmax(dim=1), (teacher / temperature).softmax(dim=1)
    deviation = 1 - _correlation(a, b).mean() + 1 - _correlation(a.T, b.T).mean()
    return deviation * temperature**2


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    return F.cosine_similarity(a, b, dim=1, eps=1e-8)


def standardised_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the loss of soft targets of standardised logits: only their shape is learned (Sun 2024, arXiv 2403.01427).

    With two classes standardised logits are always plus and minus one.

    Args:
        student: Logits ``[B, classes]``.
        teacher: Logits ``[B, classes]``.
        temperature: Temperature that softens both; about 2 for standardised logits.
    """
    return soft_target_loss(_standardise(student), _standardise(teacher), temperature)


def _standardise(logits: Tensor) -> Tensor:
    centred = logits - logits.mean(dim=1, keepdim=True)
    return centred / (centred.pow(2).mean(dim=1, keepdim=True).sqrt() + 1e-7)


SOFT_LOSSES: dict[str, SoftLoss] = {
    "kl": soft_target_loss,
    "dkd": decoupled_loss,
    "dist": relational_loss,
    "standardised": standardised_loss,
}
DEGENERATE_WITH_TWO_CLASSES = ("dist", "standardised")


def choose_soft_loss(name: str, classes: int) -> SoftLoss:
    """Return a loss by its name.

    Raises:
        ConfigError: No loss has this name, or it is constant with so few classes.
    """
    if name not in SOFT_LOSSES:
        raise ConfigError(f"unknown distillation loss '{name}'{did_you_mean(name, SOFT_LOSSES)}", code="E_CONFIG_CHOICE")
    if classes == 2 and name in DEGENERATE_WITH_TWO_CLASSES:
        raise ConfigError(
            f"distill.loss = '{name}' is the same for every prediction with two classes; use 'kl' or 'dkd'",
            code="E_CONFIG_CONFLICT",
        )
    return SOFT_LOSSES[name]
