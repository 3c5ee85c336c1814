"""Losses of gradient steps; a GPU is asked for them once in some steps, as each question waits until it has caught up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from weckd_edge.core.errors import ModelError

RATE = "learning rate"
"""Name of the learning rate among the figures of a step."""

EVERY = 16
"""Number of steps after which a GPU is asked."""

SMALLEST_SCALE = 1.0
"""Factor of half precision's loss under which no gradient will be finite any more; it is halved after each that is not."""


class StepLosses:
    """Losses of the steps that were not read yet.

    Args:
        fabric: The processes that train together.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._every = 1 if fabric.device.type == "cpu" else EVERY
        self._scaler: Any = getattr(fabric.strategy.precision, "scaler", None)
        self._waiting: list[tuple[int, Mapping[str, Tensor], Tensor, float]] = []

    def add(self, step: int, losses: Mapping[str, Tensor], norm: Tensor, rate: float) -> None:
        """Take a step, counted from 1: its losses, the norm of its gradients, both on the device, and its learning rate."""
        self._waiting.append((step, losses, norm, rate))

    def read(self, *, rest: bool) -> list[tuple[int, dict[str, float]]]:
        """Return the losses and rates of the steps since the last reading, each with its step.

        Args:
            rest: Whether no step follows; else nothing is returned before some have come together.

        Raises:
            ModelError: The training has diverged.
        """
        if not self._waiting or (len(self._waiting) < self._every and not rest):
            return []
        values = [value for _, losses, norm, _ in self._waiting for value in (*losses.values(), norm)]
        numbers = iter(torch.stack([value.detach().float() for value in values]).tolist())
        found = []
        for step, losses, _, rate in self._waiting:
            found.append((step, {**{name: next(numbers) for name in losses}, RATE: rate}))
            self._check_finite(step, next(numbers))
        self._waiting.clear()
        return found

    def _check_finite(self, step: int, norm: float) -> None:
        """Refuse gradients that are not finite; half precision skips such a step, unless it comes to no other."""
        finite = abs(norm) < float("inf")
        if finite or (self._scaler is not None and self._scaler.get_scale() >= SMALLEST_SCALE):
            return
        raise ModelError(
            f"step {step}: expected gradients that are numbers, found {norm}; lower train.learning_rate, or train with "
            "precision = '32-true'",
            code="E_MODEL_NOT_FINITE",
        )
