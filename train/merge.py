"""One network out of several of the same kind: the mean of their weights, with batch norms that fit it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from weckd_edge.artifacts import InputContract
from weckd_edge.train.models import Student
from weckd_edge.train.probe import plain_inputs
from weckd_edge.train.sampler import Feed

BATCH = 32


def merge(student: Student, others: Sequence[Student], feed: Feed, contract: InputContract) -> None:
    """Give a student the mean of its own weights and of others', and batch-norm statistics measured anew.

    Wortsman et al. 2022, arXiv 2203.05482. The mean network's activations are those of none of its parts, so their
    statistics do not fit it (Izmailov et al. 2018, arXiv 1803.05407).

    Args:
        student: On the CPU; ends in evaluation mode.
        others: Of the same network.
        feed: The statistics come from every image it shows, seen plainly.
        contract: How the network wants its input.
    """
    states = [student.state_dict(), *(other.state_dict() for other in others)]
    with torch.no_grad():
        for key, value in states[0].items():
            if value.is_floating_point():
                value.copy_(torch.stack([state[key] for state in states]).mean(dim=0))
    measure_batch_norms(student, feed, contract)


def measure_batch_norms(student: Student, feed: Feed, contract: InputContract) -> None:
    """Set every batch norm's running mean and variance to their average over a feed's images, in batches of equal size."""
    norms = [module for module in student.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    shown = np.random.default_rng(0).permutation(np.concatenate([feed.labelled, feed.pool]))
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a plain average over batches
    student.train()
    size = min(BATCH, len(shown))
    with torch.no_grad():
        for start in range(0, len(shown) - size + 1, size):
            student(plain_inputs(feed, shown[start : start + size], contract))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    student.eval()
