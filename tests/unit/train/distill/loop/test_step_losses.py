"""Losses of steps: read one by one on a CPU, some together on a GPU, and never passed over where they are not finite."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from support.errors import raises
from weckd_edge.core.errors import ModelError
from weckd_edge.train.distill.loop.step_losses import EVERY, RATE, StepLosses


def losses_on(device: str, scale: float | None = None) -> StepLosses:
    scaler = None if scale is None else SimpleNamespace(get_scale=lambda: scale)
    fabric: Any = SimpleNamespace(
        device=torch.device(device), strategy=SimpleNamespace(precision=SimpleNamespace(scaler=scaler))
    )
    return StepLosses(fabric)


def take(losses: StepLosses, step: int, norm: float = 1.0) -> None:
    parts = {"loss": torch.tensor(step / 2), "hard": torch.tensor(float(step))}
    losses.add(step, parts if step % 2 else {"loss": parts["loss"]}, torch.tensor(norm), 0.1 * step)


def test_a_cpu_is_read_after_every_step() -> None:
    losses = losses_on("cpu")
    take(losses, 1)
    assert losses.read(rest=False) == [(1, {"loss": 0.5, "hard": 1.0, RATE: 0.1})]
    assert losses.read(rest=True) == []


def test_a_gpu_is_read_once_in_some_steps_and_no_step_is_lost() -> None:
    losses, found = losses_on("cuda"), []
    readings = []
    for step in range(1, EVERY + 4):
        take(losses, step)
        read = losses.read(rest=step == EVERY + 3)
        readings.append(len(read))
        found += read
    assert [count for count in readings if count] == [EVERY, 3]
    assert [step for step, _ in found] == list(range(1, EVERY + 4))
    assert all(values["loss"] == step / 2 and ("hard" in values) == (step % 2 == 1) for step, values in found)


@pytest.mark.parametrize("norm", [float("nan"), float("inf")])
def test_gradients_that_are_no_numbers_end_the_training(norm: float) -> None:
    losses = losses_on("cuda")
    take(losses, 1)
    take(losses, 2, norm)
    with raises(ModelError, "E_MODEL_NOT_FINITE", says=("step 2", str(norm))):
        losses.read(rest=True)


def test_half_precision_may_leave_out_a_step_but_not_all() -> None:
    losses = losses_on("cuda", scale=32768.0)
    take(losses, 1, float("inf"))
    assert len(losses.read(rest=True)) == 1
    losses = losses_on("cuda", scale=0.5)
    take(losses, 1, float("inf"))
    with raises(ModelError, "E_MODEL_NOT_FINITE", says="step 1"):
        losses.read(rest=True)
