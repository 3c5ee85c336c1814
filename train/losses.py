"""The terms a link learns from."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def soft_target_loss(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of softened answers, times T squared (Hinton, Vinyals, Dean 2015, arXiv 1503.02531).

    Args:
        student: Logits ``[B, classes]``.
        teacher: Logits ``[B, classes]``.
        temperature: Softens both.
    """
    log_student = F.log_softmax(student / temperature, dim=1)
    log_teacher = F.log_softmax(teacher / temperature, dim=1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True) * temperature**2


def attention_map(features: Tensor) -> Tensor:
    """Return where a feature map ``[B, C, h, w]`` found evidence: channel mean of squares, ``[B, h, w]``, norm 1."""
    energy = features.pow(2).mean(dim=1)
    return F.normalize(energy.flatten(1), dim=1).view_as(energy)


def spatial_attention_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Distance of two attention maps (Zagoruyko and Komodakis 2017, arXiv 1612.03928, their equation 2, squared).

    Args:
        student: Features ``[B, C, h, w]``.
        teacher: Features ``[B, C', h', w']``; its map is resized to the student's where they differ.
    """
    if teacher.shape[2:] != student.shape[2:]:
        energy = teacher.pow(2).mean(dim=1, keepdim=True)
        teacher = F.interpolate(energy, size=student.shape[2:], mode="bilinear", align_corners=False).sqrt()
    return (attention_map(student) - attention_map(teacher)).pow(2).sum(dim=(1, 2)).mean()


def annealed_temperature(start: float, end: float, progress: float) -> float:
    """Return the temperature at ``progress`` 0..1 of the training: linear from start to end."""
    return start + (end - start) * min(max(progress, 0.0), 1.0)


def labelled_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy over the images that have a label (others carry -1); zero where none has."""
    if not bool((labels >= 0).any()):
        return torch.zeros((), device=logits.device)
    return F.cross_entropy(logits, labels, ignore_index=-1)
