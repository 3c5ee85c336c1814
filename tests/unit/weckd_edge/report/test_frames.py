"""Pictures for the report: what cannot be read or mapped is told in its place, and names no folder of this machine."""

import dataclasses
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image

from weckd_edge.report.frames import picture_frames


def save(path: Path, shade: int) -> str:
    Image.fromarray(np.full((40, 40, 3), shade, np.uint8)).save(path)
    return path.name


def test_frames_are_shown_with_maps_and_what_is_missing_is_reported(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG but no more")
    names = [save(tmp_path / f"{n}.png", 40 * n) for n in range(3)]
    found = picture_frames(bundle.folder, bundle.manifest, tmp_path, [*names[:2], "gone.png", "torn.png"], names)
    assert set(found) == {*names, "gone.png", "torn.png"}
    contract = bundle.manifest.input
    for name in names:
        assert found[name].frame is not None
        assert found[name].frame.shape == (contract.frame_height, contract.frame_width, 3)
    assert found[names[0]].overlay is not None
    assert found[names[2]].overlay is None
    for name in ("gone.png", "torn.png"):
        assert found[name].frame is None
        assert name in found[name].note
        assert str(tmp_path) not in found[name].note


def test_a_model_that_does_not_open_leaves_frames_without_maps(toy: ModuleType, tmp_path: Path) -> None:
    bundle = toy.write_bundle(tmp_path / "b")
    name = save(tmp_path / "0.png", 90)
    lost = dataclasses.replace(
        bundle.manifest, models=(), onnx=dataclasses.replace(bundle.manifest.onnx, path="model/lost.onnx")
    )
    (found,) = picture_frames(bundle.folder, lost, tmp_path, [name], []).values()
    assert found.frame is not None
    assert found.overlay is None
    assert found.note == "what ships cannot be opened on the machine that built it"
