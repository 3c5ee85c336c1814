"""Two machines train together under torchrun: two network namespaces with a folder each. One of them dies on the way."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.training.toy_chain import TOY_LINKS_TOML

CHAIN = (
    TOY_LINKS_TOML
    + """
[data]
labelled_fraction = 0.25

[train]
epochs = 4
steps_per_epoch = 2
batch = 8
threads = 1
accelerator = "cpu"
"""
)


@pytest.fixture
def machines_of(tmp_path: Path) -> Iterator[Any]:
    module = importlib.import_module("support.programs.two_machines")
    reason = module.missing()
    if reason is not None:
        pytest.skip(reason)
    with module.TwoMachines(tmp_path) as machines:
        yield machines


def weights(out: Path) -> dict[str, bytes]:
    """Return the weights of the links that a folder keeps, by the links' names."""
    return {path.parent.name.rpartition("-")[0]: path.read_bytes() for path in out.glob("link-*/weights.safetensors")}


def wait_until_held(held: Path, *started: Any) -> int:
    """Wait until a process has ended its first epoch; return its number."""
    end = time.monotonic() + 200
    while not held.exists() or not held.read_text():
        said = "\n".join(one.log.read_text()[-3000:] for one in started)
        assert time.monotonic() < end, said
        assert all(one.process.poll() is None for one in started), said
        time.sleep(0.05)
    return int(held.read_text())


@pytest.mark.slow
def test_processes_that_torchrun_starts_again_find_each_other(lanes: Any, ears: Path, tmp_path: Path) -> None:
    """Although they read what the killed ones have written: torchrun keeps one store for all of its starts."""
    pytest.importorskip("torch")
    two_machines = importlib.import_module("support.programs.two_machines")
    held, log = tmp_path / "held", tmp_path / "log"
    (tmp_path / "chain.toml").write_text(CHAIN)
    python = (sys.executable, "-S", "-E", two_machines.SHIM, lanes.socket)
    launcher = (
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        "--max-restarts",
        "1",
    )
    given = ("study", "--data", ears, "--config", tmp_path / "chain.toml", "--strategies", "single-subset", "--seeds", "1")
    command = [*launcher, "--no-python", *python, *given, "--out", tmp_path / "out"]
    environment = {**os.environ, "PWD": str(tmp_path), "OMP_NUM_THREADS": "1", "WECKD_EDGE_TEST_HOLD": str(held)}
    environment.pop("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", None)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
        )
    try:
        os.kill(wait_until_held(held, two_machines.Started("here", process, log)), signal.SIGKILL)
        assert process.wait(timeout=200) == 0, log.read_text()[-3000:]
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert "done before" in log.read_text()
    assert len(weights(tmp_path / "out")) == 1
    assert not (tmp_path / "out/processes").exists()


@pytest.mark.slow
def test_two_machines_end_where_one_does_and_a_dead_one_takes_part_again(
    machines_of: Any, lanes: Any, ears: Path, tmp_path: Path
) -> None:
    """A process of machine b is killed, which torchrun starts again; then the whole machine, and it comes back as first."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import load

    (tmp_path / "chain.toml").write_text(CHAIN)
    given = ("study", "--data", ears, "--config", tmp_path / "chain.toml", "--strategies", "takd", "--seeds", "1", "--json")

    def start(name: str, run: str, **kw: Any) -> Any:
        return machines_of.torchrun(name, lanes.socket, *given, "--out", tmp_path / run / name, **kw)

    (tmp_path / "whole").mkdir()
    whole = [start(name, "whole") for name in "ab"]
    alone = lanes.start(*given, "--out", tmp_path / "alone")
    for one in whole:
        one.wait()
    assert alone.wait().returncode == 0
    expected = weights(tmp_path / "whole/a")
    assert sorted(expected) == sorted(weights(tmp_path / "alone")) == ["link-M1", "link-M2"]
    assert not (tmp_path / "whole/b").exists()  # what it kept on the way is gone
    for link, content in weights(tmp_path / "alone").items():
        found = load(expected[link])
        for key, value in load(content).items():
            assert torch.allclose(value.float(), found[key].float(), rtol=1e-3, atol=2e-4), (link, key)

    (tmp_path / "dies").mkdir()
    held = tmp_path / "held"
    staying = start("a", "dies")
    dying = start("b", "dies", WECKD_EDGE_TEST_HOLD=str(held))
    os.kill(wait_until_held(held, staying, dying), signal.SIGKILL)
    held.unlink()  # the next process of torchrun on machine b is held at the end of its first epoch, too
    wait_until_held(held, staying, dying)
    machines_of.kill("b")
    again = start("b", "dies", first=True, WECKD_EDGE_TEST_HOLD=str(held))
    again.wait()
    staying.wait()
    assert weights(tmp_path / "dies/b") == expected
    results = [json.loads((tmp_path / run / "trials.jsonl").read_text()) for run in ("whole/a", "dies/b")]
    assert results[0]["predicted"] == results[1]["predicted"]
    assert "done before" in again.log.read_text()
