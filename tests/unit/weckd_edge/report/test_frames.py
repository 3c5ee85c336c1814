"""Pictures for the report: a map where one was asked for, and what cannot be mapped is told in its place."""

import dataclasses
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Manifest
from weckd_edge.report.frames import picture_frames


def frames(count: int, manifest: Manifest) -> dict[str, NDArray[np.uint8]]:
    shape = (manifest.input.frame.height, manifest.input.frame.width, 3)
    return {f"{n}.png": np.full(shape, 40 * n, np.uint8) for n in range(count)}


def test_frames_are_shown_and_those_that_are_asked_for_with_maps(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b")
    some = frames(3, bundle.manifest)
    found = picture_frames(bundle.folder, bundle.manifest, some, ["0.png", "1.png"], {})
    assert list(found) == ["0.png", "1.png", "2.png"]
    assert all((found[name].frame == frame).all() for name, frame in some.items())
    assert [picture.overlay is not None for picture in found.values()] == [True, True, False]


def test_what_is_predicted_already_is_not_asked_again(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b")
    some = frames(1, bundle.manifest)
    nonsense = np.array([np.nan, np.nan, np.nan], np.float32)
    known = {backend: {"0.png": nonsense} for backend in ("openvino", "onnxruntime")}
    (found,) = picture_frames(bundle.folder, bundle.manifest, some, ["0.png"], known).values()
    assert found.overlay is None
    assert "the model gave no number" in found.note


def test_a_model_that_does_not_open_leaves_frames_without_maps(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b")
    lost = dataclasses.replace(
        bundle.manifest, models=(), onnx=dataclasses.replace(bundle.manifest.onnx, path="model/lost.onnx")
    )
    (found,) = picture_frames(bundle.folder, lost, frames(1, bundle.manifest), ["0.png"], {}).values()
    assert found.frame is not None
    assert found.overlay is None
    assert found.note == "the deployed model cannot be opened on the build machine"
