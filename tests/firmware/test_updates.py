"""weckd-update: what it installs and refuses, and that a power cut at any change to the disk leaves a bundle that runs."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from weckd_edge.bundle import open_bundle, seal
from weckd_edge.signing import sign
from weckd_edge.store import file_ref
from weckd_edge.updates.base import Signer
from weckd_edge.updates.export import export_bundle

MODULE = Path(__file__).parents[2] / "devices/firmware/update/mender/weckd-bundle"
SYSTEMD = Path(__file__).parents[2] / "devices/firmware/update/systemd"
CUT = 86


@dataclass(frozen=True)
class Tool:
    """A build of weckd-update, the store and key it is called with, and the folder in memory where the camera looks."""

    built: Any
    store: Path
    key: Path

    @property
    def run(self) -> Path:
        return self.store.with_name(self.store.name + ".run")

    @property
    def program(self) -> Path:
        return Path(self.built.folder) / "update/weckd-update"

    def call(
        self, *args: object, env: dict[str, str] | None = None, key: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = [self.program, *self.options(key), *args]
        return subprocess.run(
            list(map(str, command)),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, **(env or {})},
        )

    def options(self, key: Path | None = None) -> list[object]:
        return ["--store", self.store, "--run", self.run, "--key", key or self.key, "--backend", "echo"]

    def done(self, *args: object, **more: Any) -> str:
        result = self.call(*args, **more)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def refused(self, *args: object, **more: Any) -> str:
        result = self.call(*args, **more)
        assert result.returncode == 1, result.stdout + result.stderr
        return result.stderr

    def take(self, bundle: Path) -> None:
        """Install a bundle, start it, and call it good."""
        for step in (("install", bundle), ("boot",), ("confirm",)):
            self.done(*step)

    def status(self) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in self.done("status").splitlines())

    def refused_ids(self) -> list[str]:
        return [line.split()[1] for line in self.done("status").splitlines() if line.startswith("refused ")]

    def wanted(self) -> str:
        """Return the digest of the bundle that is to run from the next start on."""
        return self.status()["current"].split()[0]

    def kept(self, bundle: Path) -> Path:
        return self.store / "bundles" / digest_of(bundle)

    def runs(self) -> str:
        """Return the digest that the bundle names which the camera finds."""
        return digest_of(self.run / "current")

    def version(self) -> int:
        """Prove the bundle that the camera finds, and return its version."""
        found: int = open_bundle(self.run / "current", key=self.key).manifest.version
        return found

    def elsewhere(self, store: Path) -> Tool:
        return replace(self, store=store)


def digest_of(folder: Path) -> str:
    found: str = json.loads((folder / "manifest.json").read_text())["manifest_sha256"]
    return found


@pytest.fixture(scope="session")
def updates(firmware: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return firmware.build(tmp_path_factory.mktemp("updates") / "build", "-DWECKD_UPDATE=ON")


@pytest.fixture(scope="module")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    pytest.importorskip("model_signing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("keys")
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "key.pem", folder / "key.pub"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


@pytest.fixture(scope="module")
def make(toy: ModuleType, key_pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make signed bundles that the stand-in for a model answers; ``wrong``: by other answers than it gives."""
    folder = tmp_path_factory.mktemp("bundles")

    def make(version: int, *, wrong: bool = False, seed: int = 0, signed: bool = True) -> Path:
        bundle: Path = folder / f"v{version}-{wrong}-{seed}-{signed}"
        if bundle.exists():
            return bundle
        draft = toy.write_bundle(bundle, tolerance={"echo": 1e-6}, seed=seed).manifest
        flat = np.load(bundle / "selftest/frames.npy").reshape(draft_frames(bundle), -1).astype(np.float64)
        answers = np.stack([flat[:, k::3].sum(axis=1) for k in range(3)], axis=1) / flat.sum(axis=1, keepdims=True)
        np.save(
            bundle / "selftest/expected.npy",
            answers[:, ::-1].copy().astype(np.float32) if wrong else answers.astype(np.float32),
        )
        golden = replace(draft.selftest, expected=file_ref(bundle, bundle / "selftest/expected.npy"))
        seal(bundle, replace(draft, version=version, selftest=golden))
        if signed:
            sign(bundle, key_pair[0])
        return bundle

    return make


def draft_frames(bundle: Path) -> int:
    return int(np.load(bundle / "selftest/frames.npy").shape[0])


@pytest.fixture
def tool(updates: Any, key_pair: tuple[Path, Path], tmp_path: Path) -> Tool:
    return Tool(built=updates, store=tmp_path / "store", key=key_pair[1])


def tar_of(bundle: Path, out: Path) -> Path:
    export_bundle(bundle, out, format_name="tar")
    return out


def test_a_tar_is_installed_tried_and_confirmed(tool: Tool, make: Callable[..., Path], tmp_path: Path) -> None:
    first, second = make(1), make(2)
    assert "on trial" in tool.done("install", tar_of(first, tmp_path / "1.tar"))
    assert tool.wanted() == digest_of(first)
    assert "on trial" in tool.done("boot")
    assert tool.runs() == digest_of(first)
    tool.done("confirm")
    assert (tool.status()["trial"], tool.status()["lowest"]) == ("no", "version 1")
    tool.done("install", tar_of(second, tmp_path / "2.tar"))
    assert tool.runs() == digest_of(first)  # until the camera is started again
    tool.done("boot")
    assert tool.runs() == digest_of(second)
    status = tool.status()
    assert status["runs"] == digest_of(second)
    assert status["good"].split()[0] == digest_of(first)
    assert (status["trial"], status["current"].split()[1:4]) == ("yes", ["version", "2", "generic-x86"])
    tool.done("confirm")
    assert tool.status()["previous"].split()[0] == digest_of(first)
    assert tool.version() == 2


def test_what_is_installed_is_byte_for_byte_what_was_exported(tool: Tool, make: Callable[..., Path], tmp_path: Path) -> None:
    tool.done("install", tar_of(make(1), tmp_path / "1.tar"))
    below = {p.relative_to(make(1)): p.read_bytes() for p in make(1).rglob("*") if p.is_file()}
    kept = tool.kept(make(1))
    assert {p.relative_to(kept): p.read_bytes() for p in kept.rglob("*") if p.is_file()} == below


def test_a_folder_is_installed_without_what_another_device_built(
    tool: Tool, make: Callable[..., Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(make(1), tmp_path / "folder")
    (folder / "device").mkdir()
    (folder / "device/engine").write_text("of another device")
    tool.done("install", folder)
    assert not (tool.kept(make(1)) / "device").exists()


def test_what_is_not_the_owners_is_refused_and_nothing_changes(
    tool: Tool, make: Callable[..., Path], tmp_path: Path
) -> None:
    tool.take(make(3))
    before = (tool.store / "state").read_bytes()
    changed = shutil.copytree(make(4), tmp_path / "changed")
    (changed / "model/model.onnx").write_bytes(b"other")
    for source, words in (
        (make(4, signed=False), "not signed"),
        (changed, "was changed since"),
        (make(2), "expected version 3 or newer, found 2"),
        (make(4, wrong=True), "self-test did not pass"),
        (tmp_path / "none", "expected a tar or a bundle's folder"),
    ):
        assert words in tool.refused("install", source)
        assert (tool.store / "state").read_bytes() == before
        assert tool.wanted() == digest_of(make(3))
        assert not (tool.store / "staging").exists()
    assert len(list((tool.store / "bundles").iterdir())) == 1


def test_another_owners_key_takes_nothing(tool: Tool, make: Callable[..., Path], tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    other = tmp_path / "other.pub"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    assert "not this key's" in tool.refused("install", make(1), key=other)


@pytest.mark.parametrize(
    "args", [(), ("fly",), ("install",), ("boot", "x"), ("boot", "--tries", "0"), ("boot", "--unsigned")]
)
def test_a_wrong_request_shows_the_usage(tool: Tool, args: tuple[str, ...]) -> None:
    result = tool.call(*args)
    assert result.returncode == 2
    assert "usage: weckd-update" in result.stderr
    assert not tool.store.exists()


def test_a_bundle_that_fails_at_boot_gives_way_and_is_not_taken_again(tool: Tool, make: Callable[..., Path]) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    damage(tool.kept(make(2)))
    out = tool.done("boot")
    assert out.startswith(f"rolled back to {digest_of(make(1))}")
    assert tool.runs() == digest_of(make(1))
    assert not tool.kept(make(2)).exists()
    assert (tool.status()["trial"], tool.status()["refused"]) == ("no", digest_of(make(2)))
    assert "--again" in tool.refused("install", make(2))
    tool.done("install", make(2), "--again")
    assert tool.wanted() == digest_of(make(2))


def damage(folder: Path) -> None:
    path = folder / "model/model.onnx"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def test_a_bundle_that_is_never_confirmed_gives_way(tool: Tool, make: Callable[..., Path]) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    for tries in range(1, 4):
        assert "on trial" in tool.done("boot")
        assert tool.status()["tries"] == f"{tries} of 3"
    assert "started 3 times and never confirmed" in tool.done("boot")
    assert tool.runs() == digest_of(make(1))


def test_the_first_bundle_stays_as_there_is_no_other(tool: Tool, make: Callable[..., Path]) -> None:
    tool.done("install", make(1))
    for _ in range(6):
        assert "runs" in tool.done("boot")
    assert tool.status()["tries"] == "3 of 3"  # and the disk is not written again and again


def test_a_confirmed_bundle_that_wears_out_gives_way_to_the_one_before(tool: Tool, make: Callable[..., Path]) -> None:
    for version in (1, 2):
        tool.take(make(version))
    damage(tool.kept(make(2)))
    assert "rolled back" in tool.done("boot")
    assert tool.runs() == digest_of(make(1))
    damage(tool.kept(make(1)))
    assert "was changed" in tool.refused("boot")


def test_a_missing_key_or_runtime_changes_nothing(tool: Tool, make: Callable[..., Path]) -> None:
    for version in (1, 2):
        tool.take(make(version))
    before = (tool.store / "state").read_bytes()
    assert "no backend called 'none'" in tool.refused("boot", "--backend", "none")
    assert (tool.store / "state").read_bytes() == before


def test_rollback_goes_back_and_forth(tool: Tool, make: Callable[..., Path]) -> None:
    tool.done("install", make(1))
    assert "no earlier bundle" in tool.refused("rollback")
    tool.done("boot")
    tool.done("confirm")
    tool.done("install", make(2))
    tool.done("rollback")  # from trial
    assert tool.wanted() == digest_of(make(1))
    tool.take(make(3))
    tool.done("rollback")  # from a confirmed one
    assert tool.wanted() == digest_of(make(1))
    assert "runs" in tool.done("boot")
    assert "expected version 3 or newer" in tool.refused("install", make(2))
    tool.done("rollback")
    assert tool.wanted() == digest_of(make(3))


@pytest.mark.parametrize("how", ["empty", "cut", "flipped", "gone", "a link"])
def test_a_damaged_state_is_made_again_from_what_is_proved(tool: Tool, make: Callable[..., Path], how: str) -> None:
    for version in (1, 2):
        tool.take(make(version))
    path = tool.store / "state"
    raw = path.read_bytes()
    flipped = raw.replace(b"tries 0", b"tries 1")
    path.unlink()
    if how == "a link":
        path.symlink_to("lock")
    elif how != "gone":
        path.write_bytes({"empty": b"", "cut": raw[:-20], "flipped": flipped}[how])
    assert "on trial" in tool.done("boot")  # nobody knows any more that it was confirmed
    assert tool.runs() == digest_of(make(2))
    assert tool.status()["good"].split()[0] == digest_of(make(1))
    path.unlink()
    damage(tool.kept(make(2)))
    tool.done("boot")
    assert tool.runs() == digest_of(make(1))
    assert tool.status()["trial"] == "no"


def test_a_store_without_a_bundle_says_so(tool: Tool) -> None:
    assert "install one" in tool.refused("boot")
    assert "state" in tool.refused("status")


def test_the_preparing_program_is_run_on_the_staged_bundle(tool: Tool, make: Callable[..., Path], tmp_path: Path) -> None:
    script = tmp_path / "prepare"
    script.write_text('#!/bin/sh\nmkdir "$1/device" && echo built > "$1/device/engine"\n')
    script.chmod(0o755)
    tool.done("install", make(1), "--prepare", script)
    assert (tool.kept(make(1)) / "device/engine").read_text() == "built\n"
    script.write_text("#!/bin/sh\nexit 1\n")
    assert "prepare the bundle" in tool.refused("install", make(2), "--prepare", script)
    assert tool.wanted() == digest_of(make(1))


def test_only_what_is_signed_reaches_the_preparing_program(tool: Tool, make: Callable[..., Path], tmp_path: Path) -> None:
    script = tmp_path / "prepare"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(0o755)
    tool.refused("install", make(1, signed=False), "--prepare", script)
    assert not (tmp_path / "ran").exists()


def test_a_self_test_that_crashes_or_hangs_has_failed(tool: Tool, make: Callable[..., Path], tmp_path: Path) -> None:
    tool.take(make(1))
    source = tmp_path / "bad.c"
    source.write_text(
        "#include <stdlib.h>\n#include <unistd.h>\n"
        'int weckd_selftest(void *b, void *r) { (void)b; (void)r; if (getenv("HANG")) { sleep(60); } abort(); }\n'
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "bad.so", source], check=True)
    bad = {"LD_PRELOAD": str(tmp_path / "bad.so")}
    assert "crashed, or did not end" in tool.refused("install", make(2), env=bad)
    start = time.monotonic()
    assert "within 1 s" in tool.refused("install", make(2), "--timeout", 1, env={**bad, "HANG": "1"})
    assert time.monotonic() - start < 30
    assert tool.wanted() == digest_of(make(1))


def test_a_real_runtime_tests_what_is_installed(
    tool: Tool, toy: ModuleType, key_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    if tool.built.openvino is None:
        pytest.skip("OpenVINO's wheel is not installed")
    runtime = ("--backend", "openvino", "--library", tool.built.openvino)
    good = toy.write_bundle(tmp_path / "good").folder
    sign(good, key_pair[0])
    tool.done("install", tar_of(good, tmp_path / "good.tar"), *runtime)
    assert "runs" in tool.done("boot", *runtime)
    strict = toy.write_bundle(tmp_path / "strict", seed=1).folder
    np.save(strict / "selftest/expected.npy", np.full((4, 3), 1 / 3, np.float32))
    draft = open_bundle(good).manifest
    golden = replace(draft.selftest, expected=file_ref(strict, strict / "selftest/expected.npy"))
    seal(strict, replace(draft, selftest=golden, onnx=file_ref(strict, strict / "model/model.onnx")))
    sign(strict, key_pair[0])
    assert "a probability differs by" in tool.refused("install", strict, *runtime)
    assert tool.wanted() == digest_of(good)


def test_one_at_a_time(tool: Tool, make: Callable[..., Path]) -> None:
    import fcntl

    tool.done("install", make(1))
    with (tool.store / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "another weckd-update is at work" in tool.refused("install", make(2))


Entry = tuple[tarfile.TarInfo, bytes]


def entries_of(tar: Path) -> list[Entry]:
    with tarfile.open(tar) as opened:
        return [(entry, opened.extractfile(entry).read()) for entry in opened]  # type: ignore[union-attr]


def packed(entries: list[Entry], format_: int = tarfile.USTAR_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format_) as tar:
        for entry, data in entries:
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def renamed(entries: list[Entry], name: str) -> list[Entry]:
    more = tarfile.TarInfo(name)
    more.size = 1
    return [*entries, (more, b"x")]


def typed(entries: list[Entry], kind: bytes) -> list[Entry]:
    more = tarfile.TarInfo("model/more")
    more.type, more.linkname = kind, "../../../passwd"
    return [*entries, (more, b"")]


BAD_TARS: dict[str, tuple[str, Callable[[list[Entry]], bytes]]] = {
    "a way up": ("may not hold", lambda e: packed(renamed(e, "../escaped"))),
    "a way up inside": ("may not hold", lambda e: packed(renamed(e, "model/../../escaped"))),
    "an absolute path": ("may not hold", lambda e: packed(renamed(e, "/tmp/weckd-escaped"))),
    "a dot": ("may not hold", lambda e: packed(renamed(e, "./more"))),
    "an empty part": ("may not hold", lambda e: packed(renamed(e, "model//more"))),
    "a backslash": ("may not hold", lambda e: packed(renamed(e, "model\\more"))),
    "a line break": ("may not hold", lambda e: packed(renamed(e, "model\nmore"))),
    "a deep path": ("may not hold", lambda e: packed(renamed(e, "a/" * 40 + "a"))),
    "a symbolic link": ("holds a link", lambda e: packed(typed(e, tarfile.SYMTYPE))),
    "a hard link": ("holds a link", lambda e: packed(typed(e, tarfile.LNKTYPE))),
    "a folder": ("holds a link", lambda e: packed(typed(e, tarfile.DIRTYPE))),
    "a device": ("holds a link", lambda e: packed(typed(e, tarfile.CHRTYPE))),
    "a pipe": ("holds a link", lambda e: packed(typed(e, tarfile.FIFOTYPE))),
    "an engine of another device": ("not part of an update", lambda e: packed(renamed(e, "device/engine"))),
    "a file in the place of what a device builds": ("not part of an update", lambda e: packed(renamed(e, "device"))),
    "a file twice": ("cannot be made", lambda e: packed([*e, e[1]])),
    "a file more": ("it was added", lambda e: packed(renamed(e, "model/more"))),
    "a file less": ("missing", lambda e: packed(e[:-1])),
    "GNU's tar": ("expected a POSIX tar", lambda e: packed(e, tarfile.GNU_FORMAT)),
    "nothing": ("damaged or cut short", lambda e: b""),
    "no tar": ("expected a POSIX tar", lambda e: b"x" * 10240),
    "an end without files": ("no bundle", lambda e: bytes(1024)),
    "one block of end": (
        "damaged or cut short",
        lambda e: packed(e).rstrip(b"\0") + bytes(512 - len(packed(e).rstrip(b"\0")) % 512),
    ),
    "more behind the end": ("damaged or cut short", lambda e: packed(e) + b"x" * 512),
    "a wrong checksum": ("expected a POSIX tar", lambda e: b"M" + packed(e)[1:]),
    "a size in base 256": ("expected a POSIX tar", lambda e: with_size(packed(e), b"\x80" + bytes(10) + b"\x01")),
    "a size too large": ("more than the", lambda e: with_size(packed(e), b"77777777777\0")),
}


def with_size(tar: bytes, size: bytes) -> bytes:
    """Put another size into the first header, with a checksum that holds."""
    head = bytearray(tar[:512])
    head[124:136] = size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + tar[512:]


@pytest.mark.parametrize("what", BAD_TARS)
def test_a_crafted_tar_is_refused(tool: Tool, make: Callable[..., Path], tmp_path: Path, what: str) -> None:
    words, craft = BAD_TARS[what]
    bad = tmp_path / "bad.tar"
    bad.write_bytes(craft(entries_of(tar_of(make(1), tmp_path / "good.tar"))))
    assert words in tool.refused("install", bad)
    assert {path.name for path in tool.store.iterdir()} == {"lock"}
    assert {path.name for path in tmp_path.iterdir()} == {"store", "bad.tar", "good.tar"}


def test_every_cut_of_a_tar_is_refused(tool: Tool, make: Callable[..., Path], tmp_path: Path) -> None:
    raw = tar_of(make(1), tmp_path / "good.tar").read_bytes()
    whole = len(raw.rstrip(b"\0"))
    cut = tmp_path / "cut.tar"
    for length in range(0, whole, 311):
        cut.write_bytes(raw[:length])
        tool.refused("install", cut)
    assert {path.name for path in tool.store.iterdir()} == {"lock"}


def test_limits_hold(tool: Tool, make: Callable[..., Path], tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    (big / "file").write_bytes(bytes(2 << 20))
    assert "1 MiB that are taken" in tool.refused("install", big, "--most-mib", 1)
    many = tmp_path / "many"
    many.mkdir()
    for i in range(4097):
        (many / str(i)).touch()
    assert "more than the 4096 files" in tool.refused("install", many)


# ---- the power is cut at every change to the disk


Scenario = tuple[list[tuple[object, ...]], tuple[object, ...], set[int]]


def scenarios(make: Callable[..., Path], folder: Path) -> dict[str, Scenario]:
    """Name: what was done before, the command that is cut, and the versions of which one must run afterwards."""
    tars = {version: tar_of(make(version), folder / f"{version}.tar") for version in (1, 2, 3)}
    one: list[tuple[object, ...]] = [("install", tars[1]), ("boot",), ("confirm",)]
    trial: list[tuple[object, ...]] = [*one, ("install", tars[2])]
    two: list[tuple[object, ...]] = [*trial, ("boot",), ("confirm",)]
    return {
        "the first install": ([], ("install", tars[1]), {1}),
        "an update": (one, ("install", tars[2]), {1, 2}),
        "an update of three": (two, ("install", tars[3]), {2, 3}),
        "an update over one on trial": ([*trial, ("boot",)], ("install", tars[3]), {2, 3}),
        "a folder": (one, ("install", make(2)), {1, 2}),
        "confirming": ([*trial, ("boot",)], ("confirm",), {2}),
        "confirming the third": ([*two, ("install", tars[3]), ("boot",)], ("confirm",), {3}),
        "rolling back": (trial, ("rollback",), {1, 2}),
        "rolling back what was confirmed": (two, ("rollback",), {1, 2}),
        "a start on trial": (trial, ("boot",), {2}),
        "a start that gives up": ([*trial, ("boot",), ("boot",), ("boot",)], ("boot",), {1}),
        "a start without a state": ([*two, ("lose", "state")], ("boot",), {2}),
    }


NAMES = (
    "the first install",
    "an update",
    "an update of three",
    "an update over one on trial",
    "a folder",
    "confirming",
    "confirming the third",
    "rolling back",
    "rolling back what was confirmed",
    "a start on trial",
    "a start that gives up",
    "a start without a state",
)


def cuts(
    tool: Tool, template: Path, command: tuple[object, ...], scratch: Path, *, lose: bool
) -> Iterator[tuple[int, Tool]]:
    """Yield a store after each possible cut: before change 1, 2, ... of the command, and right behind its end."""
    shim = str(next((Path(tool.built.folder) / "update").glob("libweckd_cut.*")))
    fresh = restore(template, scratch / "whole")
    count = scratch / "count"
    env = {"LD_PRELOAD": shim, "WECKD_CUT_COUNT": str(count)}
    tool.elsewhere(fresh).done(*command, env=env)
    total = int(count.read_text())
    assert total > 3
    for at in range(1, total + 2):
        store = restore(template, scratch / "cut")
        env = {"LD_PRELOAD": shim, "WECKD_CUT_AT": str(at)}
        if lose:
            saved = restore(None, scratch / "saved")
            env["WECKD_CUT_LOSE"] = str(saved)
        result = tool.elsewhere(store).call(*command, env=env)
        assert result.returncode == CUT, (at, result.stdout, result.stderr)
        yield at, tool.elsewhere(store)


def restore(template: Path | None, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    if template is None:
        folder.mkdir()
    elif template.exists():
        shutil.copytree(template, folder, symlinks=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("lose", [False, True], ids=["all is kept", "what is not synced is lost"])
@pytest.mark.parametrize("name", NAMES)
def test_a_power_cut_at_any_change_leaves_a_bundle_that_runs(
    tool: Tool, make: Callable[..., Path], tmp_path: Path, name: str, lose: bool
) -> None:
    before, command, versions = scenarios(make, tmp_path)[name]
    assert set(scenarios(make, tmp_path)) == set(NAMES)
    for step in before:
        if step[0] == "lose":
            (tool.store / str(step[1])).unlink()
        else:
            tool.done(*step)
    template = tool.store.rename(tmp_path / "template") if tool.store.exists() else tmp_path / "template"
    seen: set[int] = set()
    ended = b""
    for at, after in cuts(tool, template, command, tmp_path, lose=lose):
        started = after.call("boot")
        if started.returncode != 0 and name == "the first install":
            assert "install one" in started.stderr, (at, started.stderr)
            seen.add(0)
        else:
            assert started.returncode == 0, (at, started.stdout, started.stderr)
            assert after.version() in versions, at
            seen.add(after.version())
        ended = (after.store / "state").read_bytes() if started.returncode == 0 else b""
        if command[0] == "install":  # and the same update goes through now
            after.done(*command)
            assert after.wanted() == digest_of(make(max(versions)))
            assert not (after.store / "staging").exists()
    assert seen - {0} == versions
    whole = tool.elsewhere(tmp_path / "whole")
    whole.done("boot")
    assert ended == (whole.store / "state").read_bytes()  # the last cut was behind the end: all of it is on the disk


@pytest.mark.slow
@pytest.mark.parametrize("lose", [False, True], ids=["all is kept", "what is not synced is lost"])
def test_power_cuts_one_after_the_other_leave_a_bundle_that_runs(
    tool: Tool, make: Callable[..., Path], tmp_path: Path, lose: bool
) -> None:
    before, command, versions = scenarios(make, tmp_path)["an update"]
    for step in before:
        tool.done(*step)
    template = tool.store.rename(tmp_path / "template")
    shim = str(next((Path(tool.built.folder) / "update").glob("libweckd_cut.*")))
    twice = 0
    for at, after in cuts(tool, template, command, tmp_path, lose=lose):
        for again in range(1, 40):  # each start gets one change further than the one before
            env = {"LD_PRELOAD": shim, "WECKD_CUT_AT": str(again)}
            if lose:
                env["WECKD_CUT_LOSE"] = str(restore(None, tmp_path / "saved"))
            code = after.call("boot", env=env).returncode
            if code == 0:
                break
            assert code == CUT, (at, again)
            twice += 1
        else:
            pytest.fail(f"cut {at}: no start came to its end")
        after.done("boot")
        assert after.version() in versions
    assert twice > 10


def test_the_cut_misses_no_call_that_changes_the_disk(updates: Any) -> None:
    """What weckd-update imports of the C library, other than what the shim stands in for, changes no file."""
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    program = Path(updates.folder) / "update/weckd-update"
    listed = subprocess.run(["nm", "-D", "--undefined-only", program], capture_output=True, text=True, check=True).stdout
    imports = {re.split(r"[ @]", line.strip())[1] for line in listed.splitlines()}
    stood_in = {"open", "openat", "write", "fsync", "mkdir", "mkdirat", "symlinkat", "unlinkat", "renameat"}
    others = {
        "creat", "link", "linkat", "rename", "renameat2", "unlink", "rmdir", "symlink", "truncate", "ftruncate", "pwrite",
        "writev", "fallocate", "posix_fallocate", "fdatasync", "sync", "syncfs", "copy_file_range", "sendfile", "mknod",
        "mknodat", "chmod", "fchmod", "fchmodat", "chown", "fchown", "utimensat", "futimens", "mmap", "open64", "openat64",
        "syscall", "remove", "fwrite_unlocked", "freopen", "mkstemp", "mkdtemp", "setxattr",
    }  # fmt: skip
    assert imports & others == set()
    assert stood_in - {"mkdir", "open"} <= imports


@pytest.mark.parametrize("compiler", [("cc", "c++"), ("clang", "clang++")], ids=lambda pair: pair[0])
def test_memory_and_undefined_behaviour_are_sound(
    compiler: tuple[str, str], firmware: ModuleType, key_pair: tuple[Path, Path], make: Callable[..., Path], tmp_path: Path
) -> None:
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"{compiler[0]} is not installed")
    options = ("-DWECKD_UPDATE=ON", "-DWECKD_OPENVINO=OFF", "-DWECKD_SANITIZE=ON")
    built = firmware.build(tmp_path / "build", *options, compiler=compiler)
    tool = Tool(built=built, store=tmp_path / "store", key=key_pair[1])
    tool.take(tar_of(make(1), tmp_path / "1.tar"))
    tool.done("install", make(2))
    for command in ("boot", "status", "rollback", "boot", "confirm"):
        tool.done(command)
    (tool.store / "state").write_bytes(b"x" * 3000)
    tool.done("boot")
    entries = entries_of(tmp_path / "1.tar")
    for words, craft in BAD_TARS.values():
        (tmp_path / "bad.tar").write_bytes(craft(entries))
        assert words in tool.refused("install", tmp_path / "bad.tar")
    raw = (tmp_path / "1.tar").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(raw)
        for place in random.integers(0, len(raw.rstrip(b"\0")), 3):
            broken[place] ^= 1 << int(random.integers(8))
        (tmp_path / "bad.tar").write_bytes(broken)
        assert tool.call("install", tmp_path / "bad.tar").returncode in (0, 1)  # a bit of a time or a mode harms nothing


# ---- what stands around it


def test_the_mender_module_installs_commits_and_goes_back(tool: Tool, make: Callable[..., Path], tmp_path: Path) -> None:
    conf = tmp_path / "update.conf"
    conf.write_text(f'WECKD_UPDATE_OPTIONS="--store {tool.store} --key {tool.key} --backend echo"\n')

    def module(state: str, bundle: Path | None = None, expect: int = 0) -> str:
        tree = tmp_path / "tree"
        (tree / "files").mkdir(parents=True, exist_ok=True)
        if bundle is not None:
            tar_of(bundle, tree / "files/weckd-bundle.tar")
        env = {**os.environ, "WECKD_UPDATE_CONF": str(conf), "WECKD_UPDATE": str(tool.program)}
        done = subprocess.run(["sh", MODULE, state, tree], capture_output=True, text=True, env=env, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    assert module("SupportsRollback") == "Yes\n"
    assert module("NeedsArtifactReboot") == "Automatic\n"
    module("ArtifactInstall", make(1))
    module("ArtifactCommit")
    assert tool.status()["trial"] == "no"
    module("ArtifactInstall", make(2))
    module("ArtifactVerifyReboot")
    module("ArtifactRollback")
    assert tool.current() == digest_of(make(1))
    module("ArtifactRollback")  # a second time does no harm
    assert tool.current() == digest_of(make(1))
    assert module("ArtifactInstall", make(3, wrong=True), expect=1) == ""
    assert os.access(MODULE, os.X_OK)


def test_the_units_are_understood_by_systemd(tool: Tool, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    camera = SYSTEMD.parents[1] / "examples/weckd-camera.service"
    for source in (camera, SYSTEMD / "weckd-confirm.service", SYSTEMD / "weckd-confirm.timer"):
        text = (
            source.read_text()
            .replace("/usr/bin/weckd-update", str(tool.program))
            .replace("/usr/bin/camera_loop", "/bin/true")
        )
        (tmp_path / source.name).write_text(text)
    drop_in = tmp_path / "weckd-camera.service.d/update.conf"
    drop_in.parent.mkdir()
    text = (SYSTEMD / "weckd-camera.service.d-update.conf").read_text()
    drop_in.write_text(text.replace("/usr/bin/weckd-update", str(tool.program)).replace("/usr/bin/camera_loop", "/bin/true"))
    units = [tmp_path / name for name in ("weckd-camera.service", "weckd-confirm.service", "weckd-confirm.timer")]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    said = [line for line in done.stderr.splitlines() if "weckd" in line and "/weckd-camera.service:" not in line]
    assert said == []


IN_A_ROOT_OF_ITS_OWN = """
set -e
mount -t tmpfs none "$SCRATCH"
mkdir "$SCRATCH/etc" "$SCRATCH/etc.work" "$SCRATCH/bin" "$SCRATCH/bin.work"
mount -t tmpfs none /var/lib
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$SCRATCH/etc,workdir=$SCRATCH/etc.work" /etc
mount -t overlay overlay -o "lowerdir=/usr/bin,upperdir=$SCRATCH/bin,workdir=$SCRATCH/bin.work" /usr/bin
mkdir /etc/weckd /var/lib/weckd
cp "$PROGRAM" /usr/bin/weckd-update
echo 'WECKD_UPDATE_OPTIONS="--store /var/lib/weckd/store --key /etc/weckd/key.pem --backend echo"' > /etc/weckd/update.conf
cp "$KEY" /etc/weckd/key.pem
[ "$1" = probe ] && exit 0
for update; do
    swupdate -i "$update" -k "$CERTIFICATE" -H weckd:generic-x86 && echo "took $update" || echo "refused $update"
done
ls /var/lib/weckd/incoming | wc -l
. /etc/weckd/update.conf
weckd-update status $WECKD_UPDATE_OPTIONS
"""


def test_swupdate_itself_installs_the_update(tool: Tool, make: Callable[..., Path], tmp_path: Path) -> None:
    for program in ("swupdate", "openssl", "unshare"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    key, certificate, scratch = tmp_path / "k.pem", tmp_path / "c.pem", tmp_path / "scratch"
    scratch.mkdir()
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=updates", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", *map(str, request)], check=True, capture_output=True)
    signer = Signer(key=key, certificate=certificate)
    for name, bundle in (("good", make(2)), ("wrong", make(3, wrong=True))):
        export_bundle(bundle, tmp_path / f"{name}.swu", format_name="swupdate", signer=signer)
    env = {
        **os.environ,
        "SCRATCH": str(scratch),
        "PROGRAM": str(tool.program),
        "KEY": str(tool.key),
        "CERTIFICATE": str(certificate),
    }
    shell = ["unshare", "--map-root-user", "--mount", "sh", "-c", IN_A_ROOT_OF_ITS_OWN, "sh"]
    if subprocess.run([*shell, "probe"], env=env, capture_output=True, check=False).returncode:
        pytest.skip("no file systems of its own may be mounted here")
    updates = [str(tmp_path / f"{name}.swu") for name in ("good", "wrong")]
    done = subprocess.run([*shell, *updates], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert f"took {updates[0]}" in lines
    assert f"refused {updates[1]}" in lines
    assert lines[lines.index("0") + 1].startswith(f"current {digest_of(make(2))} version 2")  # and no tar is left
