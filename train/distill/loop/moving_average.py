"""The exponential moving average of a student's weights."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import Tensor, nn

from weckd_edge.train.networks.models import Student


class MovingAverage(nn.Module):
    """Exponential moving average of a student's weights and batch-norm statistics, starting from them.

    The decay starts low, ``(1 + n) / (10 + n)`` after ``n`` steps, so that the first steps do not linger. torch's
    ``AveragedModel`` does the same, and makes a GPU wait for the number of steps each time; here it stays on the CPU.

    Args:
        student: Network whose weights are averaged.
        decay: Weight of the old average after many steps, 0..1.

    Attributes:
        module: Network with the averaged weights.
    """

    count: Tensor
    """Number of weights taken, those at the start counted in, int64 ``[]`` on the CPU."""

    def __init__(self, student: Student, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(student)
        self.decay = decay
        self.register_buffer("count", torch.ones((), dtype=torch.long))

    @torch.no_grad()
    def take(self, student: Student) -> None:
        """Take the weights that a step has given."""
        count = int(self.count)
        pairs = list(zip(_values(self.module), _values(student), strict=True))
        blended = [(kept, value) for kept, value in pairs if kept.is_floating_point()]
        copied = [(kept, value) for kept, value in pairs if not kept.is_floating_point()]
        torch._foreach_lerp_(*_columns(blended), 1 - min(self.decay, count / (9 + count)))
        if copied:
            torch._foreach_copy_(*_columns(copied))
        self.count += 1


def _values(network: nn.Module) -> chain[Tensor]:
    return chain(network.parameters(), network.buffers())


def _columns(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    return [kept for kept, _ in pairs], [value for _, value in pairs]
