"""The TensorRT backend against a stand-in for NVIDIA's headers and libraries; it never met the real ones."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from weckd_edge.core.store import file_ref


@pytest.fixture(scope="module")
def tensorrt_library(firmware: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    stand_in = firmware.SOURCE / "tests/stand_in"
    return firmware.build(
        tmp_path_factory.mktemp("tensorrt") / "build",
        "-DWECKD_TENSORRT=ON",
        "-DWECKD_OPENVINO=OFF",
        "-DWECKD_SANITIZE=ON",
        f"-DTENSORRT_INCLUDE_DIR={stand_in}",
        f"-DCUDA_RUNTIME_INCLUDE_DIR={stand_in}",
    )


def build_engine(folder: Path, text: str, onnx_sha256: str) -> None:
    """Write what ``finalize`` writes, as far as a reader looks at it."""
    device = folder / "device"
    (device / "engines/abc").mkdir(parents=True, exist_ok=True)
    (device / "engines/abc/model.engine").write_text(text)
    ref = file_ref(device, device / "engines/abc/model.engine")
    record = {
        "engine": {"path": ref.path, "sha256": ref.sha256, "bytes": ref.bytes},
        "identity": {"onnx_sha256": onnx_sha256},
    }
    (device / "engine.json").write_text(json.dumps(record))


def run_frames(library: Any, folder: Path, raw: Path, side: int, expect: int = 0) -> str:
    options = ("--backend", "tensorrt", "--library", library.folder / "tests/libcudart.so")
    env = {"LD_LIBRARY_PATH": str(library.folder / "tests")}
    return str(library.run("runner", folder, *options, "frames", raw, side, side, 0, 0, expect=expect, env=env))


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_an_engine_of_this_graph_predicts(
    tensorrt_library: Any, firmware: ModuleType, toy: ModuleType, tmp_path: Path, kind: str
) -> None:
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb")
    side = toy.SIDE
    build_engine(bundle.folder, f"engine {kind} {side} {side} 3", bundle.manifest.onnx.sha256)
    (tmp_path / "raw").write_bytes(toy.frames().tobytes())
    by_engine = firmware.read_predictions(run_frames(tensorrt_library, bundle.folder, tmp_path / "raw", side))
    for frame, (_, prediction, _, probabilities) in zip(toy.frames(), by_engine, strict=True):
        sums = np.array([frame.reshape(-1)[k::3].sum() for k in range(3)], np.float64)
        assert probabilities == pytest.approx(list(sums / sums.sum()), abs=1e-6)
        assert prediction == int(sums.argmax())


@pytest.mark.parametrize(
    ("text", "onnx", "status", "words"),
    [
        ("not an engine", None, -15, "built by another version"),
        ("engine uint8 8 9 3", None, -15, "not what the manifest says"),
        ("engine uint8 8 8 4", None, -15, "not what the manifest says"),
        ("engine uint8 8 8 3", "0" * 64, -14, "no backend with a model"),
    ],
)
def test_another_engine_is_refused(
    tensorrt_library: Any, toy: ModuleType, tmp_path: Path, text: str, onnx: str | None, status: int, words: str
) -> None:
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb")
    build_engine(bundle.folder, text, onnx or bundle.manifest.onnx.sha256)
    (tmp_path / "raw").write_bytes(toy.frames().tobytes())
    out = run_frames(tensorrt_library, bundle.folder, tmp_path / "raw", toy.SIDE, expect=1)
    assert out.startswith(f"status {status}:")
    assert words in out


def test_a_changed_engine_is_refused(tensorrt_library: Any, toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "bundle", device="jetson-orin-nano-8gb")
    build_engine(bundle.folder, "engine uint8 8 8 3", bundle.manifest.onnx.sha256)
    (bundle.folder / "device/engines/abc/model.engine").write_text("engine uint8 8 8 4")
    (tmp_path / "raw").write_bytes(toy.frames().tobytes())
    out = run_frames(tensorrt_library, bundle.folder, tmp_path / "raw", toy.SIDE, expect=1)
    assert out.startswith("status -5:")
