"""One bad image of each kind at every door that takes images: it is named with its reason, and the others go on."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from support.errors import raises
from support.programs.demo_server import serving_bundle
from weckd_edge.config import AuditConfig, BuildConfig, DataConfig, QuantizeConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import SilentProgress
from weckd_edge.devices.runtime.decision import ABSTAIN
from weckd_edge.train.data.index import build_index
from weckd_edge.train.data.unlabelled import unlabelled_fingerprint
from weckd_edge.train.input_guard.ood_frames import ood_frames

Run = Callable[..., tuple[int, str, str]]


class Notes(SilentProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(f"warning: {text}")


@pytest.fixture
def bad_ears(ears: Path, crafted: ModuleType) -> tuple[Path, dict[str, str]]:
    """A data set with bad files among its light images, and what is said of each."""
    return ears, {f"light/{name}": said for name, said in crafted.write_bad(ears / "light").items()}


@pytest.fixture
def bundle(toy: ModuleType, tmp_path: Path) -> Path:
    folder: Path = toy.write_bundle(tmp_path / "b").folder
    return folder


def assert_named(found: dict[str, str], expected: dict[str, str]) -> None:
    assert set(found) == set(expected)
    for name, said in expected.items():
        assert said in found[name], name


@pytest.mark.parametrize("explained", [False, True], ids=["predict", "explain"])
def test_predict_classifies_the_others(
    run: Run, bundle: Path, bad_ears: tuple[Path, dict[str, str]], tmp_path: Path, explained: bool
) -> None:
    root, bad = bad_ears
    for path in [*root.glob("*/??.png"), *root.glob("dark/?.png")]:
        path.unlink()
    (root / "light/folder.png").mkdir()
    more = ("--explain", tmp_path / "pictures") if explained else ()
    code, out, _ = run("predict", bundle, root, "--backend", "onnxruntime", "--json", *more)
    answers = {Path(row["file"]).relative_to(root).as_posix(): row for row in json.loads(out)["images"]}
    assert code == 0
    assert sum(row["code"] is None or row["probabilities"] != {} for row in answers.values()) == 10
    refused = {name: row for name, row in answers.items() if row["code"] == "unreadable"}
    assert {row["decision"] for row in refused.values()} == {ABSTAIN}
    assert_named({name: row["reason"] for name, row in refused.items()}, bad)


def test_predict_takes_what_a_shell_makes_of_a_pattern(
    run: Run, bundle: Path, bad_ears: tuple[Path, dict[str, str]]
) -> None:
    root, bad = bad_ears
    (root / "light/folder.png").mkdir()
    named = sorted((root / "light").glob("*.png"))
    code, out, _ = run("predict", bundle, *named, "--backend", "onnxruntime", "--json")
    rows = {Path(row["file"]).name: row for row in json.loads(out)["images"]}
    assert code == 0
    assert len(rows) == len(named)
    assert "not a regular file" in rows["folder.png"]["reason"]
    assert rows["0.png"]["code"] != "unreadable"
    assert bad["light/dead.png"] in rows["dead.png"]["reason"]


def test_data_check_counts_and_names_them(run: Run, bad_ears: tuple[Path, dict[str, str]]) -> None:
    root, bad = bad_ears
    code, out, _ = run("data", "check", root, "--json", "--quiet")
    found = json.loads(out)
    assert (code, found["images"]) == (0, 24)
    assert_named({file["path"]: file["reason"] for file in found["bad_files"]}, bad)


def test_a_split_names_them_all_and_goes_on_where_it_may(
    run: Run, bad_ears: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    root, bad = bad_ears
    code, _, err = run("data", "split", root, "--out", tmp_path / "s.json", "--quiet")
    assert code == 1
    assert f"{len(bad)} files cannot be used" in err
    assert all(name in err and said in err for name, said in bad.items())
    code, _, _ = run("data", "split", root, "--out", tmp_path / "s.json", "--skip-bad", "--quiet", "--labelled-subsets", "1")
    assert code == 0
    index = json.loads((tmp_path / "s.json").read_text())
    assert_named({file["path"]: file["reason"] for file in index["bad_files"]}, bad)
    code, out, _ = run("data", "verify-index", tmp_path / "s.json", root, "--json", "--quiet")
    assert (code, json.loads(out)["present"]) == (0, 24)


def test_unlabelled_frames_are_left_out_alike(ears: Path, tmp_path: Path, crafted: ModuleType) -> None:
    bad = crafted.write_bad(tmp_path / "pool")
    Image.effect_noise((40, 36), 90).convert("RGB").save(tmp_path / "pool/whole.png")
    assert unlabelled_fingerprint(tmp_path / "pool")
    config = DataConfig(unlabelled=str(tmp_path / "pool"))
    index = build_index(ears, config, labelled_subsets=1, seed=0, skip_bad=True, progress=SilentProgress())
    assert [image.path for image in index.unlabelled] == ["whole.png"]
    assert_named({file.path: file.reason for file in index.bad_files}, bad)


def test_the_audit_says_how_many_were_left_out(bad_ears: tuple[Path, dict[str, str]]) -> None:
    pytest.importorskip("torch")
    from weckd_edge.train.audit.run import audit_folder

    root, bad = bad_ears
    found = audit_folder(root, BuildConfig(), SilentProgress())
    assert found.images == 24
    first = min(bad)
    assert f"{len(bad)} files cannot be read and are left out, such as {first}" in " ".join(found.notes)


def masks_of(root: Path, folder: Path) -> list[Path]:
    made = []
    for file in sorted(root.rglob("*.png")):
        mask = folder / file.relative_to(root)
        mask.parent.mkdir(parents=True, exist_ok=True)
        inside = np.zeros((36, 40), np.uint8)
        inside[10:20, 10:20] = 255
        Image.fromarray(inside).save(mask)
        made.append(mask)
    return made


def test_a_bad_mask_leaves_its_image_out_of_the_audit(ears: Path, tmp_path: Path, crafted: ModuleType) -> None:
    pytest.importorskip("torch")
    from weckd_edge.train.audit.run import audit_folder

    masks = masks_of(ears, tmp_path / "masks")
    masks[0].write_bytes(crafted.png_of(1, 100_000))
    masks[1].write_bytes(crafted.png_of(40, 35))
    config = BuildConfig(audit=AuditConfig(masks=str(tmp_path / "masks"), discs=()))
    found = audit_folder(ears, config, SilentProgress())
    assert found.masking is not None
    assert found.masking.images == 22
    assert f"2 masks cannot be used and are left out of the masking audit, such as {masks[0]}" in " ".join(found.notes)
    for mask in masks:
        mask.write_bytes(b"")
    with raises(DataError, "E_DATA_MASKS", says=("24", "empty file")):
        audit_folder(ears, config, SilentProgress())


def test_calibration_images_are_left_out_where_that_is_asked_for(ears: Path, tmp_path: Path, crafted: ModuleType) -> None:
    from weckd_edge.pipeline.steps.read_calibration import read_calibration

    index = build_index(ears, DataConfig(), labelled_subsets=1, seed=0, skip_bad=False, progress=SilentProgress())
    more = tmp_path / "more"
    for n, label in enumerate(("dark", "light")):
        (more / label).mkdir(parents=True)
        for k in range(5):
            pixels = np.random.default_rng(900 + 10 * n + k).integers(0, 255, (36, 40, 3), np.uint8)
            Image.fromarray(pixels).save(more / label / f"{k}.png")
    bad = crafted.write_bad(more / "dark")
    config = BuildConfig(quantize=QuantizeConfig(images=8))
    with raises(DataError, "E_DATA_BAD_IMAGES", says=(f"{len(bad)}", "--skip-bad")):
        read_calibration(more, index, config, SilentProgress())
    notes = Notes()
    found = read_calibration(more, index, config, notes, skip_bad=True)
    assert len(found.index.images) == 10
    assert f"calibration: {len(bad)} files of {more} cannot be used" in notes.said[0]


def test_frames_that_should_be_refused_are_shown_without_the_bad_ones(
    toy: ModuleType, bundle: Path, tmp_path: Path, crafted: ModuleType
) -> None:
    from weckd_edge.bundle.reader import open_bundle

    bad = crafted.write_bad(tmp_path / "others")
    Image.new("RGB", (30, 20), (200, 0, 0)).save(tmp_path / "others/whole.png")
    notes = Notes()
    kinds = ood_frames(
        open_bundle(bundle).manifest.input.frame,
        [],
        seed=0,
        phantoms=False,
        folders=[str(tmp_path / "others")],
        progress=notes,
    )
    frames = {name: list(found) for name, found in kinds}
    assert len(frames["others"]) == 1
    told = "\n".join(notes.said)
    assert all(name in told and said in told for name, said in bad.items())


def test_the_demo_predicts_the_next_image(bundle: Path, tmp_path: Path, crafted: ModuleType) -> None:
    bad = crafted.write_bad(tmp_path / "images")
    (tmp_path / "images/sparse.png").unlink()
    Image.new("RGB", (30, 20)).save(tmp_path / "whole.png")
    with (
        serving_bundle(bundle) as server,
        closing(http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)) as connection,
    ):

        def ask(path: str, data: bytes) -> tuple[int, dict]:  # type: ignore[type-arg]
            connection.request("POST", path, data)
            with connection.getresponse() as reply:
                return reply.status, json.loads(reply.read())

        for file in sorted((tmp_path / "images").iterdir()):
            if file.is_file():
                status, found = ask("/api/predict", file.read_bytes())
                assert (status, found["prediction"]["decision"]) == (200, ABSTAIN)
                assert bad[file.name] in found["prediction"]["reason"]
                assert ask("/api/explain", file.read_bytes())[0] == 422
        status, found = ask("/api/predict", (tmp_path / "whole.png").read_bytes())
        assert (status, set(found["prediction"]["probabilities"])) == (200, {"effusion", "normal", "wax"})
