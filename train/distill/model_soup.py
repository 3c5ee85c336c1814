"""Average the weights of links of the same network, and fit batch norms to the images that a device will see."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from weckd_edge.artifacts import NetworkInput
from weckd_edge.train.distill.linear_probe import plain_inputs
from weckd_edge.train.distill.loop.sampler import TrainingImages
from weckd_edge.train.networks.models import Student

BATCH = 32
ENOUGH = 128
"""Least number of images to measure batch-norm statistics on; those of some dozen are worse than the old ones."""

Evaluate = Callable[[Student], float]
"""Returns how well a student predicts images that no training has seen; higher is better."""


def make_soup(student: Student, others: Sequence[Student], evaluate: Evaluate) -> int:
    """Average a student's weights with those of other networks that make it no worse: a greedy soup.

    Wortsman et al. 2022, arXiv 2203.05482. Batch-norm statistics are averaged too.

    Args:
        student: Network, on any device.
        others: Students of the same network, in the order in which they are tried.
        evaluate: Returns how well the student predicts.

    Returns:
        Number of the others that were taken in.
    """
    chosen = [_copy(student)]
    best = evaluate(student)
    device = next(student.parameters()).device
    for other in others:
        other.to(device)
        student.load_state_dict(_mean([*chosen, other.state_dict()]))
        if (found := evaluate(student)) >= best:
            best = found
            chosen.append(other.state_dict())
        else:
            student.load_state_dict(_mean(chosen))
    return len(chosen) - 1


def _copy(student: Student) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in student.state_dict().items()}


def _mean(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {
        key: torch.stack([state[key] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for key, value in states[0].items()
    }


def measure_batch_norms(student: Student, feed: TrainingImages, network_input: NetworkInput, evaluate: Evaluate) -> bool:
    """Set every batch norm's running mean and variance to their average over images without random views, if that helps.

    The running statistics of a short training are of views, turned and coloured, not of the frames a camera sends. With
    statistics of plain images, accuracy was up to eight points higher on otoscope frames, and up to seven lower on blood
    cells.

    Args:
        student: Network; ends in evaluation mode.
        feed: Training images on the student's device, all of which are used, with a label or without.
        network_input: Size and normalisation of the network's input.
        evaluate: Returns how well the student predicts; where the new statistics make it worse, the old ones are put back.

    Returns:
        Whether the statistics were changed; never with fewer than ``ENOUGH`` images.
    """
    shown = np.random.default_rng(0).permutation(np.concatenate([feed.labelled, feed.unlabelled]))
    if len(shown) < ENOUGH:
        return False
    student.eval()
    kept, before_score = _copy(student), evaluate(student)
    norms = [module for module in student.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a plain average over batches
    student.train()
    with torch.no_grad():
        for part in np.array_split(shown, math.ceil(len(shown) / BATCH)):
            student(plain_inputs(feed, part, network_input))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    student.eval()
    if evaluate(student) < before_score:
        student.load_state_dict(kept)
        return False
    return True
