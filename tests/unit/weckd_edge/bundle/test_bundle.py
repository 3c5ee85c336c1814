import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from support import factories
from support.errors import raises
from weckd_edge.artifacts import (
    BuiltModel,
    FileRef,
    FrameSpec,
    Gate,
    GoldenFrames,
    InputSpec,
    Manifest,
    NetworkInput,
)
from weckd_edge.bundle.files import BundleFolder
from weckd_edge.bundle.reader import is_bundle, open_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.core.errors import BundleError
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import file_ref, sha256_bytes


def make_bundle(folder: Path) -> Manifest:
    """A small sealed bundle; the model is not one."""
    for name in ("model/openvino", "selftest", "evidence"):
        (folder / name).mkdir(parents=True)
    (folder / "model/model.onnx").write_bytes(b"onnx")
    (folder / "model/openvino/model.xml").write_bytes(b"<xml/>")
    (folder / "model/openvino/model.bin").write_bytes(b"\x00\x01\x02")
    (folder / "evidence/build.json").write_text("{}")
    np.save(folder / "selftest/frames.npy", np.zeros((2, 8, 8, 3), np.uint8))
    np.save(folder / "selftest/expected.npy", np.full((2, 2), 0.5, np.float32))
    return seal(folder, draft(folder))


def draft(folder: Path) -> Manifest:
    def ref(path: str) -> FileRef:
        return file_ref(folder, folder / path)

    return factories.manifest(
        labels=("effusion", "normal"),
        input=InputSpec(
            frame=FrameSpec(height=8, width=8, crop="center"),
            network=NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
        ),
        models=(
            BuiltModel(
                backend="openvino",
                backend_version="1",
                precision="int8",
                kind="model",
                files=(ref("model/openvino/model.xml"), ref("model/openvino/model.bin")),
                source_sha256="00",
                expected=ref("selftest/expected.npy"),
                tolerance=1e-3,
            ),
        ),
        onnx=ref("model/model.onnx"),
        selftest=GoldenFrames(frames=ref("selftest/frames.npy"), reference="openvino 1 int8"),
        gates=(Gate(name="min_accuracy", limit=0.8, value=0.9, verdict="PASS", reason="0.9 is at least 0.8"),),
        synthetic=True,
    )


def rewrite(folder: Path, change) -> None:
    """Change the manifest and give it a self digest that fits, as a careful attacker without the key would."""
    path = folder / "manifest.json"
    data = json.loads(path.read_bytes())
    change(data)
    data["manifest_sha256"] = "0" * 64
    data["manifest_sha256"] = sha256_bytes(to_json(data).encode())
    path.write_text(to_json(data))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_a_sealed_bundle_opens_and_lists_every_file(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.signature == "unsigned"
    assert [ref.path for ref in bundle.manifest.files] == sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"
    )


def test_sealing_the_same_files_twice_gives_the_same_bytes(folder: Path) -> None:
    before = (folder / "manifest.json").read_bytes()
    seal(folder, draft(folder))
    assert (folder / "manifest.json").read_bytes() == before


def test_sealing_again_drops_a_signature_that_no_longer_fits(folder: Path) -> None:
    (folder / "signature").write_text("{}")
    assert open_bundle(folder).signature == "unchecked"
    seal(folder, draft(folder))
    assert open_bundle(folder).signature == "unsigned"


@pytest.mark.parametrize("path", ["model/model.onnx", "model/openvino/model.bin", "evidence/build.json"])
def test_a_changed_a_longer_and_a_missing_file_are_named(folder: Path, path: str) -> None:
    good = (folder / path).read_bytes()
    for bad in (bytes([good[0] ^ 1]) + good[1:], good + b"\0", b""):
        (folder / path).write_bytes(bad)
        with raises(BundleError, "E_BUNDLE_DIGEST", says=path):
            open_bundle(folder)
    (folder / path).unlink()
    with raises(BundleError, "E_BUNDLE_FILE_MISSING", says=path):
        open_bundle(folder)


def test_what_goes_from_the_devices_own_folder_while_it_is_listed_is_left_out(folder: Path) -> None:
    """Another process finalizes the bundle meanwhile; of the sealed files none may go."""
    for name in ("a", "b", "c/choice.json"):
        (folder / "device" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "device" / name).write_text("{}")
    with BundleFolder(folder) as below:
        names = below.names()
        assert next(names) == "device/a"
        (folder / "device/b").unlink()
        shutil.rmtree(folder / "device/c")
        found = next(names)
        assert found.startswith("evidence/")
        shutil.rmtree(folder / "model")
        with raises(BundleError, "E_BUNDLE_IO"):
            list(names)


def test_an_added_file_is_named_and_what_the_device_builds_is_left_alone(folder: Path) -> None:
    (folder / "device/a").mkdir(parents=True)
    (folder / "device/a/model.engine").write_bytes(b"engine")
    open_bundle(folder)
    (folder / "model/extra.bin").write_bytes(b"x")
    with raises(BundleError, "E_BUNDLE_UNLISTED_FILE", says="model/extra.bin"):
        open_bundle(folder)


def test_links_and_special_files_are_refused_even_where_their_content_fits(folder: Path) -> None:
    model = folder / "model/model.onnx"
    model.rename(folder.parent / "elsewhere")
    model.symlink_to(folder.parent / "elsewhere")
    with raises(BundleError, "E_BUNDLE_LINK", says="model/model.onnx"):
        open_bundle(folder)
    model.unlink()
    (folder / "model").rename(folder.parent / "model")
    (folder / "model").symlink_to(folder.parent / "model")
    with raises(BundleError, "E_BUNDLE_LINK"):
        open_bundle(folder)
    (folder / "model").unlink()
    os.mkfifo(folder / "model")
    with raises(BundleError, "E_BUNDLE_LINK"):
        open_bundle(folder)


def test_a_manifest_that_is_a_link_is_refused(folder: Path) -> None:
    (folder / "manifest.json").rename(folder.parent / "m")
    (folder / "manifest.json").symlink_to(folder.parent / "m")
    with raises(BundleError, "E_BUNDLE_LINK", says="manifest.json"):
        open_bundle(folder)


@pytest.mark.parametrize(
    "path",
    [
        "../outside",
        "/etc/passwd",
        "a/../../b",
        "model//model.onnx",
        "./model",
        "",
        "a\\b",
        "a\x01b",
        "a\x7fb",
        "a\u00e9",
        "a" * 512,
        "device/x",
    ],
)
def test_a_listed_path_that_could_leave_the_folder_is_refused(folder: Path, path: str) -> None:
    (folder.parent / "outside").write_bytes(b"x")
    rewrite(folder, lambda data: data["files"].append({"path": path, "sha256": sha256_bytes(b"x"), "bytes": 1}))
    with raises(BundleError, "E_BUNDLE_LISTING"):
        open_bundle(folder)


def test_a_file_listed_twice_is_refused(folder: Path) -> None:
    rewrite(folder, lambda data: data["files"].append(data["files"][0]))
    with raises(BundleError, "E_BUNDLE_LISTING"):
        open_bundle(folder)


def test_a_model_that_is_not_the_listed_file_is_refused(folder: Path) -> None:
    rewrite(folder, lambda data: data["onnx"].update(sha256="f" * 64))
    with raises(BundleError, "E_BUNDLE_LISTING", says="model/model.onnx"):
        open_bundle(folder)


def test_a_duplicate_key_in_the_manifest_is_refused(folder: Path) -> None:
    path = folder / "manifest.json"
    text = path.read_text().replace('"name": "toy"', '"name": "toy", "name": "toy"')
    path.write_text(text)
    with raises(BundleError, "E_JSON"):
        open_bundle(folder)


def test_a_newer_format_is_refused_before_its_unknown_keys(folder: Path) -> None:
    rewrite(folder, lambda data: data.update(schema_version=2, novelty=True))
    with raises(BundleError, "E_BUNDLE_NEWER", says=("2", "1")):
        open_bundle(folder)


def test_a_changed_label_in_an_unsigned_manifest_is_found(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"normal"', '"norman"'))
    with raises(BundleError, "E_BUNDLE_DIGEST", says="manifest.json"):
        open_bundle(folder)


def test_a_draft_that_names_a_missing_file_cannot_be_sealed(folder: Path) -> None:
    bad = dataclasses.replace(draft(folder), onnx=FileRef(path="model/none.onnx", sha256="0" * 64, bytes=0))
    with raises(BundleError, "E_BUNDLE_LISTING", says="model/none.onnx"):
        seal(folder, bad)


def test_something_that_is_no_bundle_is_refused_in_one_line(tmp_path: Path) -> None:
    with raises(BundleError, "E_BUNDLE_IO"):
        open_bundle(tmp_path / "none")
    with raises(BundleError, "E_BUNDLE_NO_MANIFEST", says="manifest.json"):
        open_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text("[" * 100_000)
    with raises(BundleError, "E_JSON"):
        open_bundle(tmp_path)


def test_is_bundle_knows_a_damaged_bundle_from_somebody_elses_folder(folder: Path, tmp_path: Path) -> None:
    (folder / "model/model.onnx").unlink()
    assert is_bundle(folder)
    (tmp_path / "manifest.json").write_text('{"files": []}')
    assert not is_bundle(tmp_path)
    assert not is_bundle(tmp_path / "none")
    (tmp_path / "manifest.json").write_bytes(b"\xff\xfe")
    assert not is_bundle(tmp_path)
