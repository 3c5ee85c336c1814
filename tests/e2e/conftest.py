"""One small build for each target, shared by every test of this folder."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.programs.command_line import ImportedOnce

CONFIG = """
seed = 3

[[link]]
model = "resnet10t"
input_size = 48
options = { channels = [16, 16, 32, 32], stem_width = 8 }

[[link]]
model = "resnet10t"
input_size = 48
options = { channels = [16, 16, 16, 16], stem_width = 8 }

[[link]]
model = "resnet10t"
input_size = 32
width = 0.5
options = { channels = [16, 16, 16, 16], stem_width = 8 }

[distill]
strategy = "weckd+unlabelled"

[data]
labelled_fraction = 0.2

[train]
epochs = 3
steps_per_epoch = 4
batch = 16
threads = 1

[audit]
images = 64
masked_images = 16
discs = [0.5]

[quantize]
precision = "int8"
method = "minmax"
images = 16

[bench]
queries = 64
warmup = 4

[selftest]
frames = 5

[gates]
max_accuracy_drop = 1.0
better_than_chance = false
"""


Process = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Built:
    """A finished build: its bundle, what it printed, and how to run it again."""

    bundle: Path
    data: Path
    config: Path
    target: str
    done: subprocess.CompletedProcess[str]

    @property
    def summary(self) -> Any:
        return json.loads(self.done.stdout)

    def arguments(self, out: Path) -> tuple[str | Path, ...]:
        return (
            *("build", "--data", self.data, "--target", self.target, "--config", self.config),
            *("--out", out, "--json", "--quiet"),
        )


@pytest.fixture(scope="session")
def process() -> Iterator[Process]:
    """The command line, in a process of its own that finds the libraries imported."""
    with ImportedOnce() as run:
        yield run


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, process: Process) -> Path:
    """A folder with a synthetic set and the configuration of a tiny build."""
    folder = tmp_path_factory.mktemp("e2e")
    done = process("data", "synth", "--out", folder / "phantom", "--images", "180", "--size", "64x80", "--quiet")
    assert done.returncode == 0, done.stderr
    (folder / "tiny.toml").write_text(CONFIG)
    return folder


def _build(process: Process, place: Path, target: str, *, name: str = "", settings: str = "") -> Built:
    config = place / f"tiny{name}.toml"
    config.write_text(CONFIG + settings)
    built = Built(
        bundle=place / f"{target}{name}-bundle",
        data=place / "phantom",
        config=config,
        target=target,
        done=subprocess.CompletedProcess([], 0),
    )
    done = process(*built.arguments(built.bundle))
    assert done.returncode == 0, done.stderr
    return Built(bundle=built.bundle, data=built.data, config=built.config, target=target, done=done)


@pytest.fixture(scope="session")
def cpu(process: Process, place: Path) -> Built:
    """A build for ``--target cpu``."""
    for module in ("torch", "timm", "onnxruntime", "openvino"):
        pytest.importorskip(module)
    return _build(process, place, "cpu")


@pytest.fixture(scope="session")
def jetson(process: Process, place: Path) -> Built:
    """A build for ``--target jetson`` on this host; it finds the links trained where there is a build for ``cpu``."""
    for module in ("torch", "timm", "onnxruntime", "tensorrt_rtx"):
        pytest.importorskip(module)
    trained = place / "cpu-bundle.work"
    if trained.is_dir():
        shutil.copytree(trained, place / "jetson-bundle.work")
    return _build(process, place, "jetson")


FRAME = """
[input]
resize = "antialiased_bilinear"
"""


@pytest.fixture(scope="session")
def frame_cpu(process: Process, place: Path) -> Built:
    """A build for ``--target cpu`` whose graph takes the camera frame."""
    for module in ("torch", "timm", "onnxruntime", "openvino"):
        pytest.importorskip(module)
    return _build(process, place, "cpu", name="-frame", settings=FRAME)


@pytest.fixture(scope="session")
def frame_jetson(process: Process, place: Path, frame_cpu: Built) -> Built:
    """A build for ``--target jetson`` of the same links, whose graph takes the camera frame."""
    pytest.importorskip("tensorrt_rtx")
    shutil.copytree(place / "cpu-frame-bundle.work", place / "jetson-frame-bundle.work")
    return _build(process, place, "jetson", name="-frame", settings=FRAME)
