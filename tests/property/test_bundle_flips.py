"""Any one changed byte of any file of a bundle is refused, and the message names the file."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import factories
from support.bundles import toy
from support.bundles.signing_keys import write_pair
from support.errors import raises
from weckd_edge.artifacts import FileRef, FrameSpec, GoldenFrames, InputSpec, NetworkInput
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.writer import seal
from weckd_edge.core.errors import BundleError
from weckd_edge.core.store import file_ref

FILES = (
    "manifest.json",
    "model/model.onnx",
    "selftest/frames.npy",
    "selftest/expected.npy",
    "evidence/build.json",
)
SETTINGS = settings(
    derandomize=True, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flips") / "bundle"
    for name in ("model", "selftest", "evidence"):
        (folder / name).mkdir(parents=True)
    (folder / "model/model.onnx").write_bytes(bytes(range(256)))
    (folder / "evidence/build.json").write_text("{}\n")
    np.save(folder / "selftest/frames.npy", np.zeros((1, 4, 4, 3), np.uint8))
    np.save(folder / "selftest/expected.npy", np.full((1, 2), 0.5, np.float32))

    def ref(path: str) -> FileRef:
        return file_ref(folder, folder / path)

    seal(
        folder,
        factories.manifest(
            labels=("effusion", "normal"),
            input=InputSpec(
                frame=FrameSpec(height=4, width=4, crop="center"),
                network=NetworkInput(height=32, width=32, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
            ),
            onnx=ref("model/model.onnx"),
            models=(
                toy.of_graph("openvino", ref("model/model.onnx"), expected=ref("selftest/expected.npy"), tolerance=1e-3),
            ),
            selftest=GoldenFrames(frames=ref("selftest/frames.npy"), reference="openvino 1 int8"),
            synthetic=True,
        ),
    )
    return folder


CODES = ("E_BUNDLE_DIGEST", "E_BUNDLE_FORMAT", "E_BUNDLE_NEWER", "E_JSON")
"""Of a changed manifest, what is wrong depends on where it was changed."""


def refused_with_one_byte_changed(folder: Path, name: str, position: int, value: int, key: Path | None = None) -> None:
    path = folder / name
    good = path.read_bytes()
    changed = bytearray(good)
    changed[position % len(good)] ^= value
    try:
        path.write_bytes(changed)
        with raises(BundleError, *CODES, says=name):
            open_bundle(folder, key=key)
    finally:
        path.write_bytes(good)


@SETTINGS
@given(name=st.sampled_from(FILES), position=st.integers(0, 1 << 20), value=st.integers(1, 255))
def test_one_changed_byte_is_refused_and_its_file_named(bundle: Path, name: str, position: int, value: int) -> None:
    refused_with_one_byte_changed(bundle, name, position, value)


@SETTINGS
@given(name=st.sampled_from(FILES), length=st.integers(0, 1 << 20))
def test_a_file_cut_short_is_refused_and_named(bundle: Path, name: str, length: int) -> None:
    path = bundle / name
    good = path.read_bytes()
    try:
        path.write_bytes(good[: length % len(good)])
        with raises(BundleError, *CODES, says=name):
            open_bundle(bundle)
    finally:
        path.write_bytes(good)


def test_bits_all_over_the_manifest_count(bundle: Path) -> None:
    size = (bundle / "manifest.json").stat().st_size
    for position in range(0, size, 3):
        refused_with_one_byte_changed(bundle, "manifest.json", position, 1 << (position % 8))
    assert open_bundle(bundle).signature == "unsigned"


@settings(SETTINGS, max_examples=60)
@given(name=st.sampled_from((*FILES, "signature", "signature")), position=st.integers(0, 1 << 20), bit=st.integers(0, 7))
def test_with_a_key_one_flipped_bit_of_the_signature_is_refused_too(
    signed: tuple[Path, Path], name: str, position: int, bit: int
) -> None:
    folder, key = signed
    path = folder / name
    good = path.read_bytes()
    changed = bytearray(good)
    changed[position % len(good)] ^= 1 << bit
    try:
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            open_bundle(folder, key=key)
    finally:
        path.write_bytes(good)


@pytest.fixture(scope="module")
def signed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    pytest.importorskip("model_signing")
    from weckd_edge.bundle.signing import sign

    folder = tmp_path_factory.mktemp("signed")
    shutil.copytree(bundle, folder / "bundle")
    private, public = write_pair(folder)
    sign(folder / "bundle", private)
    assert open_bundle(folder / "bundle", key=public).signature == "valid"
    return folder / "bundle", public
