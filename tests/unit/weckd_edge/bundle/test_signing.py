import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.bundles.signing_keys import write_pair
from support.errors import raises
from weckd_edge.bundle.signing import SignatureError, check_signature, sign
from weckd_edge.config import BuildConfig
from weckd_edge.core.errors import BundleError, ConfigError, MissingDependency
from weckd_edge.pipeline.checks import check_libraries
from weckd_edge.pipeline.request import BuildRequest

pytest.importorskip("model_signing")

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa


def check(folder: Path, key: Path) -> None:
    check_signature((folder / "manifest.json").read_bytes(), (folder / "signature").read_bytes(), key, where="signature")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_pair(tmp_path_factory.mktemp("keys"), "a")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every library that a build needs."""
    monkeypatch.setattr("weckd_edge.pipeline.checks.is_installed", lambda name: True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle/manifest.json").write_text('{"labels": ["normal"]}\n')
    return tmp_path / "bundle"


def test_the_owner_of_the_key_is_recognised_wherever_the_bundle_lies(folder: Path, keys: tuple[Path, Path]) -> None:
    sign(folder, keys[0])
    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "signature"]
    check(folder, keys[1])
    moved = folder.rename(folder.with_name("another name"))
    check(moved, keys[1])


@pytest.mark.parametrize("curve", ["SECP384R1", "SECP521R1"])
def test_the_larger_curves_work_too(folder: Path, tmp_path: Path, curve: str) -> None:
    private, public = write_pair(tmp_path, "b", curve)
    sign(folder, private)
    check(folder, public)


def test_another_key_a_changed_manifest_and_no_signature_are_refused(
    folder: Path, tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    sign(folder, keys[0])
    _, other = write_pair(tmp_path, "other")
    with raises(SignatureError, "E_BUNDLE_SIGNATURE", says="other.pub"):
        check(folder, other)
    (folder / "manifest.json").write_text('{"labels": ["norman"]}\n')
    with raises(SignatureError, "E_BUNDLE_SIGNATURE"):
        check(folder, keys[1])


def test_a_signature_of_another_manifest_cannot_be_moved_here(folder: Path, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "manifest.json").write_text('{"labels": ["wax"]}\n')
    sign(other, keys[0])
    (folder / "signature").write_bytes((other / "signature").read_bytes())
    with pytest.raises(SignatureError):
        check(folder, keys[1])


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"dsseEnvelope": {}}', "\xff", "[" * 100_000])
def test_what_is_no_signature_is_refused_as_one(folder: Path, keys: tuple[Path, Path], text: str) -> None:
    (folder / "signature").write_text(text, encoding="latin-1")
    with raises(SignatureError, "E_BUNDLE_SIGNATURE"):
        check(folder, keys[1])


def change_signature(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads((folder / "signature").read_text())
    change(data)
    (folder / "signature").write_text(json.dumps(data))


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["verificationMaterial"]["publicKey"].pop("hint"),
        lambda data: data["verificationMaterial"]["publicKey"].update(hint="0" * 64),
        lambda data: data["verificationMaterial"].update(tlogEntries=[{}]),
        lambda data: data["dsseEnvelope"]["signatures"].append(data["dsseEnvelope"]["signatures"][0]),
        lambda data: data["dsseEnvelope"]["signatures"][0].update(keyid="x"),
        lambda data: data["dsseEnvelope"].update(payloadType="application/json"),
        lambda data: data.update(mediaType="application/json"),
        lambda data: data.update(novelty=1),
    ],
)
def test_a_signature_of_another_form_is_refused(
    folder: Path, keys: tuple[Path, Path], change: Callable[[dict[str, Any]], object]
) -> None:
    sign(folder, keys[0])
    change_signature(folder, lambda data: None)
    check(folder, keys[1])
    change_signature(folder, change)
    with raises(SignatureError, "E_BUNDLE_SIGNATURE"):
        check(folder, keys[1])


def test_model_signings_own_check_and_ours_take_the_same_signature(folder: Path, keys: tuple[Path, Path]) -> None:
    from model_signing import hashing, verifying

    sign(folder, keys[0])
    check(folder, keys[1])
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=keys[1])
    verifier.set_hashing_config(hashing.Config().use_file_serialization(hashing_algorithm="sha256"))
    verifier.verify(folder / "manifest.json", folder / "signature")


def test_a_key_that_cannot_be_used_is_a_wrong_request(folder: Path, tmp_path: Path, keys: tuple[Path, Path]) -> None:
    sign(folder, keys[0])
    with raises(ConfigError, "E_CONFIG_KEY"):
        sign(folder, tmp_path / "none.pem")
    with raises(ConfigError, "E_CONFIG_KEY"):
        check(folder, keys[0])
    with raises(ConfigError, "E_CONFIG_KEY"):
        sign(folder, keys[1])


@pytest.mark.parametrize(
    ("key", "password", "reason"),
    [
        (lambda: ed25519.Ed25519PrivateKey.generate(), None, "another kind of key"),
        (lambda: rsa.generate_private_key(65537, 2048), None, "another kind of key"),
        (lambda: ec.generate_private_key(ec.SECP256K1()), None, "another kind of key"),
        (lambda: ec.generate_private_key(ec.SECP256R1()), b"secret", "encrypted"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_before_a_build_and_by_the_signature(
    folder: Path, tmp_path: Path, installed: None, key: Callable[[], Any], password: bytes | None, reason: str
) -> None:
    how = serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
    path = tmp_path / "key.pem"
    path.write_bytes(key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how))
    request = BuildRequest(data=tmp_path, target="cpu", device=None, out=tmp_path / "out", config=BuildConfig(), key=path)
    for use in (lambda: check_libraries(request), lambda: sign(folder, path)):
        with raises(ConfigError, "E_CONFIG_KEY", says=("P-256", "P-384", "P-521", reason)):
            use()


def test_a_public_key_is_refused_before_a_build_and_a_private_one_is_not(
    tmp_path: Path, installed: None, keys: tuple[Path, Path]
) -> None:
    request = BuildRequest(data=tmp_path, target="cpu", device=None, out=tmp_path / "out", config=BuildConfig(), key=keys[0])
    check_libraries(request)
    with raises(ConfigError, "E_CONFIG_KEY"):
        check_libraries(replace(request, key=keys[1]))


def test_a_folder_without_a_manifest_is_not_signed(tmp_path: Path, keys: tuple[Path, Path]) -> None:
    with raises(BundleError, "E_BUNDLE_NO_MANIFEST", says="manifest.json"):
        sign(tmp_path, keys[0])
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_the_message_names_it(
    folder: Path, keys: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sign(folder, keys[0])
    for name in [name for name in sys.modules if name.partition(".")[0] in ("model_signing", "cryptography")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("model_signing", "cryptography"):
        monkeypatch.setitem(sys.modules, name, None)
    with raises(MissingDependency, "E_MISSING_LIBRARY", says="weckd-edge[sign]"):
        sign(folder, keys[0])
    with raises(MissingDependency, "E_MISSING_LIBRARY", says="weckd-edge[sign]"):
        check(folder, keys[1])
