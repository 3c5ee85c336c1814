"""The loop on each device: precisions, averages, compiled kernels, resumption, several processes, rounding.

On the CPU a training is the same to the byte each time. A GPU adds in another order from run to run: there two trainings
count as the same where no weight differs by more than ``SAME``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from support.training import trains
from weckd_edge.config import DistillConfig
from weckd_edge.train.distill.linear_probe import plain_inputs
from weckd_edge.train.distill.loop.engine import CHECKPOINT
from weckd_edge.train.distill.loop.task import DistillationTask, LabelTask, Teacher
from weckd_edge.train.quantize_aware.fake_quantize import RoundedStudent

SAME = 2e-3
"""Largest difference of two weights of the same training on a GPU; a step of this training moves a weight by 3e-3."""


class KilledError(Exception):
    pass


class Dies(LabelTask):
    """Ends the program, so to speak, before it has taken some steps."""

    def __init__(self, network_input: Any, step: int) -> None:
        super().__init__(network_input)
        self.left = step

    def __call__(self, *args: Any) -> dict[str, torch.Tensor]:
        self.left -= 1
        if not self.left:
            raise KilledError
        return super().__call__(*args)


def assert_same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], accelerator: str) -> None:
    """Demand the same weights: to the byte on the CPU, within ``SAME`` on a GPU."""
    assert one.keys() == other.keys()
    for name, value in one.items():
        if accelerator == "cpu":
            assert torch.equal(value, other[name]), name
        else:
            assert torch.allclose(value.float(), other[name].float(), rtol=1e-2, atol=SAME), name


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed"])
def test_mixed_precision_learns_as_fp32_does(halves: Any, accelerator: str, precision: str, tmp_path: Path) -> None:
    if (accelerator, precision) == ("cpu", "16-mixed"):
        pytest.skip("half precision needs a GPU")
    config = replace(halves.CONFIG, accelerator=accelerator, epochs=6)
    full = halves.train(LabelTask(halves.INPUT), config, tmp_path / "full")
    mixed = halves.train(LabelTask(halves.INPUT), replace(config, precision=precision), tmp_path / "mixed")
    assert all(torch.isfinite(value).all() for value in mixed.weights.values())
    assert all(value.dtype != torch.float16 for value in mixed.weights.values())
    assert mixed.fall > 0.5 * full.fall > 0
    assert halves.accuracy(mixed.network) >= halves.accuracy(full.network) - 0.1 >= 0.8
    assert mixed.losses != full.losses


def test_averaged_weights_are_the_mean_of_those_that_the_steps_gave(halves: Any, accelerator: str, tmp_path: Path) -> None:
    config, network, seen = replace(halves.CONFIG, accelerator=accelerator, ema=0.5), halves.student(), []

    class Watches(LabelTask):
        def __call__(self, student: Any, *args: Any) -> dict[str, torch.Tensor]:
            seen.append({name: value.detach().cpu().clone() for name, value in network.state_dict().items()})
            return super().__call__(student, *args)

    averaged = halves.train(Watches(halves.INPUT), config, tmp_path / "averaged", network)
    last = halves.train(LabelTask(halves.INPUT), replace(config, ema=0), tmp_path / "last")
    steps = config.epochs * config.steps_per_epoch
    wanted = {name: value.double() for name, value in seen[0].items()}
    for count, weights in enumerate([*seen[1:], last.weights], start=1):
        part = 1 - min(1 - 1 / (0.5 * steps), count / (9 + count))
        wanted = {name: value + part * (weights[name] - value) for name, value in wanted.items()}
    for name, value in averaged.weights.items():
        if value.is_floating_point():
            assert torch.allclose(value.double(), wanted[name], atol=1e-5 if accelerator == "cpu" else SAME), name
    assert any(not torch.allclose(value, last.weights[name], atol=SAME) for name, value in averaged.weights.items())


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_a_killed_training_ends_as_an_unbroken_one(halves: Any, accelerator: str, precision: str, tmp_path: Path) -> None:
    if (accelerator, precision) == ("cpu", "16-mixed"):
        pytest.skip("half precision needs a GPU")
    config = replace(halves.CONFIG, accelerator=accelerator, precision=precision, ema=0.3)
    whole = halves.train(LabelTask(halves.INPUT), config, tmp_path / "whole")
    with pytest.raises(KilledError):
        halves.train(Dies(halves.INPUT, 15), config, tmp_path / "killed")
    kept = torch.load(tmp_path / "killed" / CHECKPOINT, weights_only=True)
    assert kept["epochs"] == 2
    assert ("scale" in kept["precision"]) is (precision == "16-mixed")
    again = halves.train(Later(halves.INPUT), config, tmp_path / "killed")
    assert_same(whole.weights, again.weights, accelerator)


class Later(LabelTask):
    """Refuses the steps that were taken before."""

    def __call__(self, student: Any, batch: Any, progress: float) -> dict[str, torch.Tensor]:
        if progress < 0.5:
            raise AssertionError("a step was taken again")
        return super().__call__(student, batch, progress)


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore")  # of the compiler
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_compiled_kernels_give_the_same_losses(halves: Any, precision: str, tmp_path: Path) -> None:
    """On the CPU tests/unit/train/distill/loop/test_engine.py does this: it takes a compiler half a minute."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    config = replace(halves.CONFIG, epochs=1, accelerator="gpu", precision=precision)
    plain = halves.train(LabelTask(halves.INPUT), config, tmp_path / "plain")
    compiled = halves.train(LabelTask(halves.INPUT), replace(config, compile=True), tmp_path / "compiled")
    assert compiled.losses == pytest.approx(plain.losses, rel=0.02 if precision == "32-true" else 0.1, abs=0.02)


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_that_train_together_end_where_one_does(accelerator: str, processes: int, tmp_path: Path) -> None:
    if processes == 2 and accelerator == "cpu":
        pytest.skip("tests/unit/train/distill/loop/test_distributed.py does this")
    if accelerator == "gpu" and torch.cuda.device_count() < processes:
        pytest.skip(f"there are fewer than {processes} GPUs")
    for name in ("alone", "together"):
        (tmp_path / name).mkdir()
    trains.main(tmp_path / "alone", "", accelerator)
    launcher = [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    how = "ddp" if processes == 1 else ""
    subprocess.run(
        [sys.executable, *launcher, str(Path(trains.__file__)), str(tmp_path / "together"), how, accelerator],
        check=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    alone, together = (load_file(tmp_path / name / "weights.safetensors") for name in ("alone", "together"))
    assert_same(alone, together, "gpu")


def test_a_rounded_student_learns_on_the_device(halves: Any, accelerator: str, tmp_path: Path) -> None:
    config = replace(halves.CONFIG, accelerator=accelerator, learning_rate=1e-3)
    teacher = halves.train(LabelTask(halves.INPUT), replace(config, learning_rate=3e-3), tmp_path / "teacher").network.cpu()
    shown = [plain_inputs(halves.feed(), np.arange(16), halves.INPUT)]
    rounded = RoundedStudent(halves.student().backbone, shown, "cpu")
    before = rounded.ranges.clone()
    task = DistillationTask([Teacher(teacher, halves.INPUT)], halves.INPUT, DistillConfig(distill_weight=1.0), 2)
    trained = halves.train(task, config, tmp_path / "rounded", rounded)
    assert trained.fall > 0
    assert all(torch.isfinite(value).all() for value in trained.weights.values())
    assert not torch.equal(trained.weights["ranges"], before)
