"""Two processes train as one: the same weights within rounding, and the second receives what the first has finished."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from support.errors import raises
from weckd_edge.config import TrainConfig
from weckd_edge.core.errors import ConfigError
from weckd_edge.train.distill.loop import distributed

PROGRAM = Path(__file__).parents[4] / "support/training/trains.py"


def train(folder: Path, count: int, how: str = "") -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    together = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"] if count > 1 else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, *together, str(PROGRAM), str(folder), how],
        check=True,
        timeout=300,
        env=environment,
        capture_output=True,
    )
    return load_file(folder / "weights.safetensors")


@pytest.mark.parametrize("how", ["", "stops"])
def test_two_processes_end_where_one_does(tmp_path: Path, how: str) -> None:
    alone, together = train(tmp_path / "one", 1, how), train(tmp_path / "two", 2, how)
    assert alone.keys() == together.keys()
    for key, value in alone.items():
        assert torch.allclose(value.float(), together[key].float(), rtol=1e-3, atol=2e-4), key


def test_a_batch_that_cannot_be_divided_evenly_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "count_processes", lambda: 3)
    with raises(ConfigError, "E_CONFIG_DISTRIBUTED", says=("16", "3")):
        distributed.check_batch(16, 16, TrainConfig())
    distributed.check_batch(24, 24, TrainConfig(batch=48))


def test_the_launchers_are_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (distributed.count_processes(), distributed.is_first()) == (1, True)
    for key, value in {"SLURM_NTASKS": "8", "SLURM_PROCID": "5", "SLURM_NNODES": "2", "SLURM_JOB_NAME": "train"}.items():
        monkeypatch.setenv(key, value)
    with raises(ConfigError, "E_CONFIG_DISTRIBUTED", says="ntasks-per-node"):
        distributed.count_processes()
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    assert (distributed.count_processes(), distributed.is_first()) == (8, False)


CHAIN = """
link = [
  { model = "resnet10t", input_size = 32, options = { channels = [16, 16, 16, 16], stem_width = 8 } },
  { model = "resnet10t", input_size = 32, options = { channels = [8, 8, 8, 8], stem_width = 8 } },
]
data = { labelled_fraction = 0.25 }
train = { epochs = 1, steps_per_epoch = 2, batch = 8, threads = 1, accelerator = "cpu" }
"""


def test_a_study_of_two_processes_goes_on_from_what_the_first_has_kept(ears: Path, tmp_path: Path) -> None:
    (tmp_path / "chain.toml").write_text(CHAIN)

    def study(strategies: str, *launcher: str) -> list[dict[str, Any]]:
        names = ["--strategies", strategies, "--seeds", "1", "--out", str(tmp_path / f"out{len(launcher)}")]
        given = ["study", "--data", str(ears), "--config", str(tmp_path / "chain.toml"), *names, "--json", "--quiet"]
        done = subprocess.run(
            [sys.executable, *launcher, "-m", "weckd_edge", *given],
            check=False,
            timeout=300,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found: list[dict[str, Any]] = json.loads(done.stdout)["strategies"]
        return found

    def accuracies(row: dict[str, Any]) -> list[float]:
        return [run["accuracy"] for run in row["runs"]]

    two = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    study("takd", *two)
    together = study("takd,dgkd+unlabelled", *two)
    alone = study("takd,dgkd+unlabelled")
    assert [row["name"] for row in together] == ["takd", "dgkd+unlabelled"]
    assert accuracies(together[0]) == pytest.approx(accuracies(alone[0]), abs=0.1)
    assert len(list((tmp_path / "out4").glob("link-M1-*"))) == 1
