"""Update files: what is in them, that the update systems' own tools take them, and what is refused before they are made."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.bundle.packaging.base import PAYLOAD_NAME, Signer
from weckd_edge.bundle.packaging.package import package_bundle
from weckd_edge.bundle.packaging.table import FORMATS, find_format, load_writer
from weckd_edge.bundle.packaging.tools import run_tool
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal
from weckd_edge.core.errors import BundleError, ConfigError, MissingDependency, StoreError

Run = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Pair:
    """A key in the form that Mender's tool reads, its public half, and its certificate."""

    key: Path
    public: Path
    certificate: Path


def need(*tools: str) -> None:
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


def tool(*command: object, expect: int = 0) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done.stdout + done.stderr


def make_pair(folder: Path, name: str) -> Pair:
    need("openssl")
    key, public, certificate = folder / f"{name}.pem", folder / f"{name}.pub", folder / f"{name}.crt"
    tool("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
    tool("openssl", "ec", "-in", key, "-pubout", "-out", public)
    tool("openssl", "req", "-x509", "-new", "-key", key, "-subj", f"/CN={name}", "-days", 30, "-out", certificate)
    return Pair(key=key, public=public, certificate=certificate)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path, "updates")


@pytest.fixture
def bundle(toy: ModuleType, tmp_path: Path) -> Path:
    """Version 7, with a file that cannot be compressed: RAUC refuses a bundle of less than a page."""
    made = toy.write_bundle(tmp_path / "bundle")
    folder: Path = made.folder
    (folder / "evidence").mkdir()
    (folder / "evidence/noise").write_bytes(np.random.default_rng(0).bytes(20_000))
    seal(folder, replace(made.manifest, version=7))
    return folder


def files_of(tar: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return {entry.name: opened.extractfile(entry).read() for entry in opened}  # type: ignore[union-attr]


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_tar_holds_every_file_and_nothing_of_who_made_it(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out/update.tar"
    done = package_bundle(bundle, out, format_name="tar")
    assert files_of(out.read_bytes()) == files_below(bundle)
    with tarfile.open(out) as tar:
        entries = tar.getmembers()
    names = [entry.name for entry in entries]
    assert names[0] == "manifest.json"
    assert names[1:] == sorted(names[1:])
    assert {(e.mtime, e.uid, e.gid, e.uname, e.gname, e.mode, e.type) for e in entries} == {(0, 0, 0, "", "", 0o644, b"0")}
    assert (done.version, done.compatible, done.signed) == ("7", "generic-x86", False)
    assert (done.bytes, done.sha256) == (out.stat().st_size, hashlib.sha256(out.read_bytes()).hexdigest())


def test_equal_bundles_give_equal_bytes(bundle: Path, tmp_path: Path) -> None:
    other = shutil.copytree(bundle, tmp_path / "elsewhere/copy", copy_function=shutil.copyfile)
    (other / "device").mkdir()
    (other / "device/engine").write_text("built on a device, and not part of an update")
    (other / "manifest.json").chmod(0o600)
    for name in ("tar", "swupdate"):
        package_bundle(bundle, tmp_path / "a", format_name=name)
        package_bundle(other, tmp_path / "b", format_name=name)
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_changed_bundle_is_refused_and_nothing_is_left_behind(bundle: Path, tmp_path: Path) -> None:
    (bundle / "evidence/noise").write_bytes(b"other")
    out = tmp_path / "out"
    with raises(BundleError, "E_BUNDLE_DIGEST", says="evidence/noise"):
        package_bundle(bundle, out / "update.tar", format_name="tar")
    assert not out.exists()


def test_a_file_changed_after_it_was_proved_is_noticed(bundle: Path, tmp_path: Path) -> None:
    opened = open_bundle(bundle)
    (bundle / "evidence/noise").write_bytes((bundle / "evidence/noise").read_bytes()[::-1])
    with raises(BundleError, "E_BUNDLE_DIGEST", says="evidence/noise"):
        load_writer(FORMATS["tar"])(opened, tmp_path / "update.tar", None)


def test_a_failed_export_leaves_the_one_before_it(bundle: Path, pair: Pair, tmp_path: Path) -> None:
    need("rauc", "mksquashfs")
    out = tmp_path / "out/update"
    package_bundle(bundle, out, format_name="tar")
    before = out.read_bytes()
    other = make_pair(tmp_path, "other")
    with raises(ConfigError, "E_CONFIG_TOOL", says="rauc"):
        package_bundle(bundle, out, format_name="rauc", signer=Signer(key=pair.key, certificate=other.certificate))
    assert out.read_bytes() == before
    assert list(out.parent.iterdir()) == [out]


def test_the_owners_key_is_checked_first(bundle: Path, pair: Pair, tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    with raises(BundleError, "E_BUNDLE_UNSIGNED"):
        package_bundle(bundle, tmp_path / "u", format_name="tar", key=pair.public)
    sign(bundle, pair.key)
    done = package_bundle(bundle, tmp_path / "u", format_name="tar", key=pair.public)
    assert not [line for line in done.warnings if "sign" in line]
    assert list(files_of((tmp_path / "u").read_bytes()))[:2] == ["manifest.json", "signature"]
    unchecked = package_bundle(bundle, tmp_path / "u", format_name="tar")
    assert any("was not checked" in line for line in unchecked.warnings)


def test_what_speaks_against_a_bundle_is_reported(toy: ModuleType, tmp_path: Path) -> None:
    folder = toy.write_bundle(tmp_path / "bundle").folder
    warnings = package_bundle(folder, tmp_path / "u", format_name="tar").warnings
    assert [next(w for w in ("synthetic", "not signed", "no version") if w in line) for line in warnings] == [
        "synthetic",
        "not signed",
        "no version",
    ]
    seal(folder, replace(open_bundle(folder).manifest, passed=False, synthetic=False, version=1))
    warnings = package_bundle(folder, tmp_path / "u", format_name="tar").warnings
    assert "does not pass its gates" in warnings[0]
    assert len(warnings) == 2


def test_a_name_that_would_break_out_of_the_metadata_is_refused(bundle: Path, tmp_path: Path) -> None:
    seal(bundle, replace(open_bundle(bundle).manifest, name='x"; hardware-compatibility: ["'))
    with raises(BundleError, "E_BUNDLE_PACKAGE_NAME"):
        package_bundle(bundle, tmp_path / "u", format_name="tar")


def test_a_path_too_long_for_a_tar_is_named(bundle: Path, tmp_path: Path) -> None:
    draft = open_bundle(bundle).manifest
    (bundle / ("a" * 180)).write_text("")
    seal(bundle, draft)
    with raises(BundleError, "E_BUNDLE_PACKAGE_NAME"):
        package_bundle(bundle, tmp_path / "u", format_name="tar")


def test_an_update_is_not_written_into_its_bundle(bundle: Path) -> None:
    with raises(ConfigError, "E_CONFIG_OUT_PLACE"):
        package_bundle(bundle, bundle / "update.tar", format_name="tar")


def test_a_place_that_cannot_be_written_is_one_line(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with raises(StoreError, "E_STORE_UNWRITABLE"):
        package_bundle(bundle, tmp_path / "file/update.tar", format_name="tar")


def test_keys_that_do_not_fit_the_format_are_refused(bundle: Path, pair: Pair, tmp_path: Path) -> None:
    bare, full = Signer(key=pair.key), Signer(key=pair.key, certificate=pair.certificate)
    lost = Signer(key=tmp_path / "none", certificate=pair.certificate)
    for name, signer, named in (
        ("tar", bare, ("tar", "--sign")),
        ("rauc", None, ("--sign-key", "--sign-cert")),
        ("rauc", bare, "rauc"),
        ("swupdate", bare, "swupdate"),
        ("mender", full, "mender"),
        ("rauc", lost, str(tmp_path / "none")),
    ):
        with raises(ConfigError, "E_CONFIG_KEY", says=named):
            package_bundle(bundle, tmp_path / "u", format_name=name, signer=signer)


def test_an_unknown_format_lists_the_known_ones() -> None:
    with raises(ConfigError, "E_CONFIG_CHOICE", says="'rauc'"):
        find_format("rauk")


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_loaded(name: str) -> None:
    assert callable(load_writer(FORMATS[name]))


def test_a_tool_that_is_not_there_names_its_package() -> None:
    with raises(MissingDependency, "E_MISSING_PROGRAM", says="apt install some-package"):
        run_tool("weckd-no-such-tool", [], package="some-package", hint="")


def test_rauc_takes_its_bundle_and_gives_the_tar_back(bundle: Path, pair: Pair, tmp_path: Path) -> None:
    need("rauc", "mksquashfs", "unsquashfs")
    out = tmp_path / "update.raucb"
    done = package_bundle(bundle, out, format_name="rauc", signer=Signer(key=pair.key, certificate=pair.certificate))
    assert done.signed
    told = tool("rauc", f"--keyring={pair.certificate}", "info", out)
    assert re.search(r"Compatible:\s+'generic-x86'", told)
    assert re.search(r"Version:\s+'7'", told)
    assert re.search(r"Bundle Format:\s+verity", told)
    assert PAYLOAD_NAME in told
    assert "signature verification failed" in tool(
        "rauc", f"--keyring={make_pair(tmp_path, 'other').certificate}", "info", out, expect=1
    )
    tool("rauc", f"--keyring={pair.certificate}", "extract", out, tmp_path / "content")
    assert files_of((tmp_path / "content" / PAYLOAD_NAME).read_bytes()) == files_below(bundle)


def test_rauc_refuses_a_changed_bundle(bundle: Path, pair: Pair, tmp_path: Path) -> None:
    need("rauc", "mksquashfs")
    out = tmp_path / "update.raucb"
    package_bundle(bundle, out, format_name="rauc", signer=Signer(key=pair.key, certificate=pair.certificate))
    raw = bytearray(out.read_bytes())
    raw[-200] ^= 1  # in the signed manifest at the end
    out.write_bytes(raw)
    tool("rauc", f"--keyring={pair.certificate}", "info", out, expect=1)


def swupdate(out: Path, hardware: str, *options: object, expect: int = 0) -> str:
    return tool("swupdate", "-c", "-i", out, "-H", f"weckd:{hardware}", *options, expect=expect)


def test_swupdate_takes_its_file_for_the_right_device_and_key_alone(bundle: Path, pair: Pair, tmp_path: Path) -> None:
    need("swupdate")
    out = tmp_path / "update.swu"
    package_bundle(bundle, out, format_name="swupdate", signer=Signer(key=pair.key, certificate=pair.certificate))
    key = ("-k", pair.certificate)
    assert "SWUPDATE successful" in swupdate(out, "generic-x86", *key)
    assert "not compatible with hardware" in swupdate(out, "jetson-nano-4gb", *key, expect=1)
    other = make_pair(tmp_path, "other").certificate
    assert "Authentication of all signatures failed" in swupdate(out, "generic-x86", "-k", other, expect=1)
    raw = bytearray(out.read_bytes())
    raw[raw.index(b"selftest/frames.npy") + 2000] ^= 1  # inside the tar
    out.write_bytes(raw)
    swupdate(out, "generic-x86", *key, expect=1)


def test_an_swu_is_a_cpio_with_its_description_first(bundle: Path, pair: Pair, tmp_path: Path) -> None:
    need("cpio")
    out = tmp_path / "update.swu"
    package_bundle(bundle, out, format_name="swupdate", signer=Signer(key=pair.key, certificate=pair.certificate))
    tool("sh", "-c", f"mkdir {tmp_path}/x && cd {tmp_path}/x && cpio -i --quiet < {out}")
    listed = tool("sh", "-c", f"cpio -t --quiet < {out}").split()
    assert listed == ["sw-description", "sw-description.sig", PAYLOAD_NAME, "weckd-install.sh"]
    text = (tmp_path / "x/sw-description").read_text()
    assert 'version = "7";' in text
    for name in (PAYLOAD_NAME, "weckd-install.sh"):
        assert hashlib.sha256((tmp_path / "x" / name).read_bytes()).hexdigest() in text
    assert files_of((tmp_path / "x" / PAYLOAD_NAME).read_bytes()) == files_below(bundle)
    tool("sh", "-n", tmp_path / "x/weckd-install.sh")


def test_mender_artifact_takes_its_artifact(bundle: Path, pair: Pair, tmp_path: Path) -> None:
    need("mender-artifact")
    out = tmp_path / "update.mender"
    package_bundle(bundle, out, format_name="mender", signer=Signer(key=pair.key))
    assert "validated successfully" in tool("mender-artifact", "validate", "-k", pair.public, out)
    told = tool("mender-artifact", "read", "-k", pair.public, out)
    digest = open_bundle(bundle).manifest.manifest_sha256
    for line in (
        f"Name: toy-7-{digest[:12]}",
        "Compatible devices: '[generic-x86]'",
        "Type:   weckd-bundle",
        "data-partition.weckd.version: 7",
        "signed and verified correctly",
    ):
        assert line in told
    tool("mender-artifact", "validate", "-k", make_pair(tmp_path, "other").public, out, expect=4)
    with tarfile.open(out) as artifact:
        inner = artifact.extractfile("data/0000.tar")
        assert inner is not None
        assert files_of(files_of(inner.read())[PAYLOAD_NAME]) == files_below(bundle)


def test_a_key_that_mender_cannot_read_is_explained(bundle: Path, pair: Pair, tmp_path: Path) -> None:
    need("mender-artifact")
    tool("openssl", "pkcs8", "-topk8", "-nocrypt", "-in", pair.key, "-out", tmp_path / "pkcs8.pem")
    with raises(ConfigError, "E_CONFIG_TOOL", says="BEGIN EC PRIVATE KEY"):
        package_bundle(bundle, tmp_path / "u", format_name="mender", signer=Signer(key=tmp_path / "pkcs8.pem"))


def test_the_command_prints_the_file_and_talks_on_stderr(bundle: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "u.tar"
    code, text, talk = run("package", "tar", bundle, "--out", out)
    assert (code, text) == (0, f"{out}\n")
    assert "for generic-x86, version 7" in talk
    assert "warning: trained on synthetic images" in talk
    code, text, talk = run("package", "tar", bundle, "--out", out, "--json")
    assert code == 0
    assert json.loads(text)["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    code, text, talk = run("package", "rauc", bundle, "--out", out)
    assert (code, text) == (2, "")
    assert "--sign-key" in talk
    assert run("package", "swupdate", bundle, "--out", out, "--sign-cert", out)[0] == 2
