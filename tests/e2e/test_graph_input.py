"""Graphs that take pixels and graphs that take the frame: whatever is done with a bundle, it is shown camera frames."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from weckd_edge.core.optional_imports import is_installed

pytestmark = pytest.mark.slow


def outputs(process: Any, *args: str | Path) -> Any:
    done = process(*args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def graph_input(bundle: Path) -> tuple[str, list[int]]:
    """Return the name and the shape of the graph's input."""
    onnx = pytest.importorskip("onnx")
    (taken,) = onnx.load(bundle / "model/model.onnx").graph.input
    return taken.name, [d.dim_value for d in taken.type.tensor_type.shape.dim]


@pytest.fixture(params=["cpu", "frame_cpu"])
def on_cpu(request: pytest.FixtureRequest) -> Any:
    """A build for this processor, whose graph takes pixels or the frame."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["jetson", "frame_jetson"])
def for_jetson(request: pytest.FixtureRequest) -> Any:
    """A build for a Jetson, whose graph takes pixels or the frame."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(
    ("target", "resize", "taken"),
    [
        ("cpu", "area", "pixels"),
        ("jetson", "area", "pixels"),
        ("frame_cpu", "antialiased_bilinear", "frame"),
        ("frame_jetson", "antialiased_bilinear", "frame"),
    ],
)
def test_the_graph_takes_what_the_resize_says_and_the_self_test_camera_frames(
    target: str, resize: str, taken: str, request: pytest.FixtureRequest, process: Any
) -> None:
    built = request.getfixturevalue(target)
    manifest = json.loads((built.bundle / "manifest.json").read_text())
    side = manifest["input"]["network"]["width"]
    shape = [1, side, side, 3] if taken == "pixels" else [1, 64, 80, 3]
    assert (manifest["input"]["frame"]["resize"], manifest["input_name"]) == (resize, taken)
    assert graph_input(built.bundle) == (taken, shape)
    frames = np.load(built.bundle / "selftest/frames.npy")
    assert frames.shape[1:] == (64, 80, 3)
    result = outputs(process, "verify", built.bundle, "--json")
    passed = {test["backend"]: test["passed"] for test in result["selftest"]}
    assert passed.pop("tensorrt", None) is None, "not built yet"
    has_litert = target == "cpu" and taken == "pixels" and is_installed("ai_edge_litert")
    assert passed == dict.fromkeys(("openvino", "onnxruntime", *(["litert"] if has_litert else [])), True)


@pytest.mark.parametrize("name", ["cpu", "jetson", "frame_cpu", "frame_jetson"])
def test_every_graph_of_a_bundle_is_of_versions_that_the_oldest_parsers_read(
    request: pytest.FixtureRequest, name: str
) -> None:
    onnx = pytest.importorskip("onnx")
    from weckd_edge.compile.graph import HALF_OPSET, IR_VERSIONS, OPSET

    graphs = sorted(request.getfixturevalue(name).bundle.rglob("*.onnx"))
    assert graphs
    for path in graphs:
        model = onnx.load(path)
        written = [(entry.domain, entry.version) for entry in model.opset_import]
        opset = HALF_OPSET if "float16" in path.name else OPSET
        assert (written, model.ir_version) == ([("", opset)], IR_VERSIONS[opset]), path.name


def test_every_form_of_the_graph_predicts_alike(on_cpu: Any, for_jetson: Any) -> None:
    for built in (on_cpu, for_jetson):
        verification = json.loads((built.bundle / "evidence/verification.json").read_text())
        assert verification["parity"]
        assert all(pair["passed"] for pair in verification["parity"])


def test_predict_gives_the_predictions_that_verification_recorded(on_cpu: Any, process: Any) -> None:
    predictions = json.loads((on_cpu.bundle / "evidence/verification.json").read_text())["predictions"][:4]
    files = [on_cpu.data / prediction["path"] for prediction in predictions]
    rows = outputs(process, "predict", on_cpu.bundle, *files, "--json", "--ignore-guard")["images"]
    for row, prediction in zip(rows, predictions, strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(prediction["compiled"], abs=1e-6)


def test_bench_times_the_frame_and_the_network_alone(frame_cpu: Any, process: Any) -> None:
    result = outputs(process, "bench", frame_cpu.bundle, "--queries", "64", "--warmup", "2", "--json", "--quiet")
    assert result["end_to_end"]["samples"] == result["network"]["samples"] == 64
    assert result["cold_start_ns"] > 0


def test_explain_maps_the_camera_frame(on_cpu: Any, process: Any, tmp_path: Path) -> None:
    image = next(on_cpu.data.rglob("*.png"), None) or next(on_cpu.data.rglob("*.jpg"))
    out = tmp_path / "maps"
    done = process("predict", on_cpu.bundle, image, "--explain", out, "--ignore-guard")
    assert done.returncode == 0, done.stderr
    assert list(out.glob("*.png"))


@pytest.mark.parametrize("version", ["8.5.2", "8.6.2", "10.3.0", "10.13.3", "11.4.1"])
def test_finalize_builds_on_a_recorded_jetson_what_the_host_prepared(
    for_jetson: Any, machines: ModuleType, tensorrt: ModuleType, tmp_path: Path, version: str
) -> None:
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.devices.jetson.finalize import finalize
    from weckd_edge.devices.runtime.model_choice import choose_model
    from weckd_edge.devices.runtime.predict import open_model

    folder = tmp_path / "bundle"
    shutil.copytree(for_jetson.bundle, folder)
    bundle = open_bundle(folder)
    tensorrt.become(version)
    done = finalize(bundle, root=machines.jetson(tmp_path / "root", tensorrt=f"{version}.2"))
    assert done.choice.frames == 5
    assert done.choice.max_abs <= done.choice.tolerance
    assert choose_model(bundle, "tensorrt").model.graph
    model = open_model(open_bundle(folder), backend="tensorrt")
    assert model.runner.input_shape == (1, 64, 80, 3)
    spec = model.bundle.manifest.input
    assert model.runner.graph.input_shape == (spec.frame_shape if done.choice.takes == "frame" else spec.graph_shape)
    model.close()
