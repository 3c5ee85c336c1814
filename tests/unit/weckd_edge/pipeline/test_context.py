"""What a build knows when it begins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from weckd_edge.config import BuildConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.devices.profiles.profile import load_profile
from weckd_edge.pipeline import context
from weckd_edge.pipeline.request import BuildRequest
from weckd_edge.pipeline.steps import bench


@pytest.mark.parametrize(("profile", "counts"), [("generic-x86", True), ("jetson-orin-nano-8gb", False)])
def test_a_latency_counts_where_this_machine_is_the_device_and_runs_what_is_deployed(
    profile: str, counts: bool, ears: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Jetson builds its engine after the bundle is sealed, so that the bench of the build is of something else."""
    monkeypatch.setattr(context, "is_same_device", lambda *_: True)
    found = load_profile(profile)
    request = BuildRequest(data=ears, target=found.target, device=None, out=tmp_path / "out", config=BuildConfig())
    assert context.start(request, found, Workspace(tmp_path / "work"), SilentProgress()).on_device is counts


@pytest.mark.parametrize("half", [False, True])
def test_the_bench_runs_the_model_in_the_precision_that_is_deployed(half: bool) -> None:
    deployed = SimpleNamespace(backend="openvino", model=Path("m"), precision="fp16", half=half)
    exported = SimpleNamespace(artifact=SimpleNamespace(labels=("a", "b"), network_input_name="x"))
    student: Any = SimpleNamespace(deployed=deployed, exported=exported, input=None, onnx=Path("g"))
    assert bench._model(student, None).half is half
