"""One file gives the same pixels at every door, and the same is said of it: check, build, calibration, infer, demo."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from support.bundles.predicting import predict_images
from support.crafted_dicom import dicom
from weckd_edge.artifacts import SPLITS, ImageRecord
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.compile.quantize.calibration_images import calibration_frames
from weckd_edge.config import DataConfig
from weckd_edge.core.progress import SilentProgress
from weckd_edge.core.store import Workspace
from weckd_edge.devices.attribution import explain_images as explain_module
from weckd_edge.devices.attribution.explain_images import explain_images
from weckd_edge.devices.demo.session import DemoSession
from weckd_edge.devices.images.decoding import decode
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.images.pixels import pixels_sha256
from weckd_edge.devices.images.split_frames import decode_split
from weckd_edge.devices.runtime.backends.table import open_runner
from weckd_edge.devices.runtime.decision import ABSTAIN
from weckd_edge.devices.runtime.predict import find_image_files, open_bundle_model
from weckd_edge.report.frames import picture_frames
from weckd_edge.train.data.check import check_data
from weckd_edge.train.data.index import build_index

Run = Callable[..., tuple[int, str, str]]


def colours(seed: int) -> Image.Image:
    cells = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return Image.fromarray(cells).resize((44, 36), Image.Resampling.BICUBIC)


def write_pictures(folder: Path) -> None:
    """Write a picture of each form: eight of a class, no two alike."""
    exif = Image.Exif()
    exif[0x112] = 6
    deep = Image.fromarray(np.asarray(colours(3).convert("L")).astype(np.uint16) * 16)
    veiled = colours(5).convert("RGBA")
    veiled.putalpha(10)
    white = io.BytesIO()
    colours(6).convert("L").save(white, "TIFF", tiffinfo={262: 0})
    forms: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "a/plain.png": (colours(0), {}),
        "a/turned.jpg": (colours(1), {"exif": exif}),
        "a/inks.jpg": (colours(2).convert("CMYK"), {}),
        "a/deep.png": (deep, {}),
        "a/pages.tif": (colours(4), {"save_all": True, "append_images": [colours(90)]}),
        "a/veiled.png": (veiled, {}),
        "a/palette.gif": (colours(7), {"save_all": True, "append_images": [colours(91)]}),
        "b/bits.png": (colours(8).convert("1"), {}),
        "b/film.webp": (colours(9), {"save_all": True, "append_images": [colours(92)]}),
        "b/j2k.jp2": (colours(10), {}),
        "b/two.jpg": (colours(11), {"format": "MPO", "save_all": True, "append_images": [colours(93)]}),
        "b/flat.bmp": (Image.new("RGB", (44, 36), (9, 9, 9)), {}),
        "b/grey.pgm": (colours(12).convert("L"), {}),
        "b/odd.png": (colours(13).resize((60, 90)), {}),
    }
    for name, (image, options) in forms.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name, **options)
    (folder / "a/white.tif").write_bytes(white.getvalue())
    if importlib.util.find_spec("pydicom") is not None:
        scan = np.asarray(colours(14).convert("L")).astype(np.uint16) * 12
        (folder / "b/scan.dcm").write_bytes(dicom(scan, BitsStored=12, WindowCenter=1500, WindowWidth=2000))


SAID = {
    "a/deep.png": ["W_FEW_BITS"],
    "a/pages.tif": ["I_FIRST_OF_SEVERAL"],
    "a/veiled.png": ["W_HIDDEN_BY_TRANSPARENCY"],
    "a/palette.gif": ["I_FIRST_OF_SEVERAL"],
    "b/film.webp": ["I_FIRST_OF_SEVERAL"],
    "b/two.jpg": ["I_FIRST_OF_SEVERAL"],
    **({"b/scan.dcm": ["I_GREYS_BY_WINDOW"]} if importlib.util.find_spec("pydicom") is not None else {}),
    "b/flat.bmp": ["W_NEARLY_ONE_VALUE"],
}


class Watched:
    """A runner that keeps the frames it is given."""

    def __init__(self, runner: Any, seen: list[NDArray[np.uint8]]) -> None:
        self._runner, self._seen = runner, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    def run(self, frame: NDArray[np.uint8]) -> Any:
        self._seen.append(frame.copy())
        return self._runner.run(frame)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "set")
    return tmp_path / "set"


@pytest.fixture
def bundle(toy: ModuleType, tmp_path: Path) -> Path:
    folder: Path = toy.write_bundle(tmp_path / "bundle").folder
    return folder


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[NDArray[np.uint8]]:
    frames: list[NDArray[np.uint8]] = []

    def opened(*args: Any, **kwargs: Any) -> Watched:
        return Watched(open_runner(*args, **kwargs), frames)

    monkeypatch.setattr("weckd_edge.devices.runtime.frame_runner.open_runner", opened)
    monkeypatch.setattr(explain_module, "explain_frame", lambda model, frame, label: (_ for _ in ()).throw(Stop))
    return frames


class Stop(Exception):  # noqa: N818 - it ends an explanation once its frame was seen
    pass


def test_every_door_gives_the_same_pixels(
    pictures: Path, bundle: Path, seen: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    torch_pixels = pytest.importorskip("weckd_edge.train.data.pixel_cache")
    spec = open_bundle(bundle).manifest.input.frame
    files = sorted(path for path in pictures.rglob("*") if path.is_file())
    pixels = {path: decode(path) for path in files}
    expected = {path: fit_to_frame(found, spec.height, spec.width)[None] for path, found in pixels.items()}
    config = DataConfig(near_duplicate_distance=None, test_fraction=0.3, val_fraction=0.2)
    index = build_index(pictures, config, labelled_subsets=1, seed=0, skip_bad=False, progress=SilentProgress())
    assert {pictures / r.path: r.pixels_sha256 for r in index.images} == {p: pixels_sha256(x) for p, x in pixels.items()}

    def assert_same(door: str, frames: Any) -> None:
        found = list(frames)
        assert len(found) == len(files), door
        for path, frame in zip(files, found, strict=True):
            assert np.array_equal(frame, expected[path]), (door, path.name)

    assert_same("training", torch_pixels.frames_of(files, spec))
    records = {record.path: record for record in index.images}
    chosen: list[ImageRecord] = [records[path.relative_to(pictures).as_posix()] for path in files]
    assert_same("calibration", calibration_frames(pictures, chosen, spec))
    work = Workspace(bundle.with_name("work"))
    splits = [decode_split(work, index, split, pictures, spec, SilentProgress()) for split in SPLITS]
    held = {record.path: frame for one in splits for record, frame in zip(one.records, one.frames, strict=True)}
    frames = {record.path: held[record.path] for record in chosen}
    shown = picture_frames(bundle, open_bundle(bundle).manifest, frames, [], {})
    assert_same("report", (shown[record.path].frame[None] for record in chosen))
    predict_images(bundle, [pictures], backend="onnxruntime", ignore_guard=True)
    assert_same("predict", seen)
    with DemoSession(bundle, backend="onnxruntime") as session:
        seen.clear()
        for path in files:
            session.predict(path.read_bytes())
        assert_same("demo", seen)
    for n, path in enumerate(files):
        seen.clear()
        with closing(open_bundle_model(bundle, backend="onnxruntime")) as model, pytest.raises(Stop):
            list(explain_images(model, [path], tmp_path / f"maps{n}", ignore_guard=True))
        assert np.array_equal(seen[0], expected[path]), ("explain", path.name)


def test_every_door_says_the_same(pictures: Path, bundle: Path, run: Run, tmp_path: Path) -> None:
    answers = predict_images(bundle, [pictures], backend="onnxruntime")
    found = {Path(a.file).relative_to(pictures).as_posix(): [note.code for note in a.notes] for a in answers}
    assert {name: codes for name, codes in found.items() if codes} == SAID
    with DemoSession(bundle, backend="onnxruntime") as session:
        told = {name: session.predict((pictures / name).read_bytes())["prediction"]["notes"] for name in found}
    assert {name: [note["code"] for note in notes] for name, notes in told.items()} == found
    codes = {"W_FEW_BITS", "W_HIDDEN_BY_TRANSPARENCY", "W_NEARLY_ONE_VALUE", "I_FIRST_OF_SEVERAL"}
    assert {note.code for note in check_data(pictures, DataConfig(), SilentProgress()).notes} >= codes
    code, out, _ = run("data", "split", pictures, "--out", tmp_path / "s.json", "--labelled-subsets", "1", "--json", "-q")
    assert code == 0
    assert {note["code"] for note in json.loads(out)["notes"]} >= codes
    _, out, _ = run("data", "check", pictures, "-q")
    assert all(code in out for code in codes)
    assert f"4 of {len(found)} images hold several pages or frames, of which the first is read" in out
    _, out, _ = run("predict", bundle, pictures, "--backend", "onnxruntime")
    assert "nearly one colour: 99.5% of its pixels lie within 16 of 256 levels" in out


def test_predict_says_what_it_skipped_in_a_folder(bundle: Path, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    colours(0).save(folder / "a.png")
    colours(1).save(folder / "no_ending", "JPEG")
    colours(2).save(folder / "b.jp2")
    (folder / "notes.txt").write_text("left ear first")
    (folder / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(99))
    (folder / "frames.zip").write_bytes(b"PK\x03\x04" + bytes(99))
    (folder / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(99))
    (folder / "x.tga").write_bytes(bytes([0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 40, 0, 30, 0, 24, 0]) + bytes(90))
    (folder / "scan").write_bytes(bytes(128) + b"DICM" + bytes(20))
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / "x.heic").write_bytes(b"not HEIC at all")
    code, out, _ = run("predict", bundle, folder, "--backend", "onnxruntime", "--json")
    found = json.loads(out)
    answers = {Path(row["file"]).name: row for row in found["images"]}
    assert code == 0
    assert set(answers) == {"a.png", "no_ending", "b.jp2", "scan", "x.heic"}
    assert {answers[name]["decision"] for name in ("scan", "x.heic")} == {ABSTAIN}
    installed = importlib.util.find_spec("pydicom") is not None
    assert ("no transfer syntax" if installed else "weckd-edge[dicom]") in answers["scan"]["reason"]
    assert "not an image but text" in answers["x.heic"]["reason"]
    assert {Path(row["file"]).name: row["reason"] for row in found["skipped"]} == {
        "notes.txt": "not an image but text",
        "Thumbs.db": "not an image but an OLE file, such as Thumbs.db or an old Office document",
        "frames.zip": "not an image but a ZIP archive",
        "film.mp4": "not an image but a film",
        "x.tga": "TGA is not read; convert it to JPEG or PNG",
    }
    _, out, _ = run("predict", bundle, folder, "--backend", "onnxruntime")
    assert "notes.txt" in out
    assert "not an image but a ZIP archive" in out
    assert find_image_files([folder / "a.png"]).skipped == ()
