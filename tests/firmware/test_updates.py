"""weckd-update: what it installs, starts, confirms and refuses, and the update systems and units around it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from weckd_edge.bundle.packaging.base import Signer
from weckd_edge.bundle.packaging.package import package_bundle
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal
from weckd_edge.core.store import file_ref

MODULE = Path(__file__).parents[2] / "devices/firmware/update/mender/weckd-bundle"
SYSTEMD = Path(__file__).parents[2] / "devices/firmware/update/systemd"


def test_a_tar_is_installed_tried_and_confirmed(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    first, second = make(1), make(2)
    assert "not confirmed yet" in tool.done("install", tool.tar(first, tmp_path / "1.tar"))
    assert tool.wanted() == tool.digest(first)
    assert "not confirmed yet" in tool.done("boot")
    assert tool.runs() == tool.digest(first)
    tool.done("confirm")
    assert (tool.status()["confirmed"], tool.status()["lowest"]) == ("yes", "version 1")
    tool.done("install", tool.tar(second, tmp_path / "2.tar"))
    assert tool.runs() == tool.digest(first)  # until the camera is started again
    tool.done("boot")
    assert tool.runs() == tool.digest(second)
    status = tool.status()
    assert status["runs"] == tool.digest(second)
    assert status["good"].split()[0] == tool.digest(first)
    assert (status["confirmed"], status["current"].split()[1:4]) == ("no", ["version", "2", "generic-x86"])
    tool.done("confirm")
    assert tool.status()["previous"].split()[0] == tool.digest(first)
    assert tool.version() == 2


def test_what_is_installed_is_byte_for_byte_what_was_exported(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    tool.done("install", tool.tar(make(1), tmp_path / "1.tar"))
    below = {p.relative_to(make(1)): p.read_bytes() for p in make(1).rglob("*") if p.is_file()}
    kept = tool.kept(make(1))
    assert {p.relative_to(kept): p.read_bytes() for p in kept.rglob("*") if p.is_file()} == below


def test_a_folder_is_installed_without_what_another_device_built(
    tool: Any, make: Callable[..., Path], tmp_path: Path
) -> None:
    folder = shutil.copytree(make(1), tmp_path / "folder")
    (folder / "device").mkdir()
    (folder / "device/engine").write_text("of another device")
    tool.done("install", folder)
    assert not (tool.kept(make(1)) / "device").exists()


def test_what_is_not_the_owners_is_refused_and_nothing_changes(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
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
        assert tool.wanted() == tool.digest(make(3))
        assert not (tool.store / "staging").exists()
    assert len(list((tool.store / "bundles").iterdir())) == 1


def test_another_owners_key_takes_nothing(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
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
    "args",
    [
        (),
        ("fly",),
        ("install",),
        ("boot", "x"),
        ("boot", "--max-attempts", "0"),
        ("boot", "--timeout", "0"),
        ("boot", "--timeout", "-1"),
        ("boot", "--timeout", "86401"),
        ("boot", "--timeout", "99999999999999999999"),
        ("boot", "--lock-timeout", "0"),
        ("install", "x", "--prepare-timeout", "1s"),
        ("boot", "--unsigned"),
    ],
)
def test_a_wrong_request_shows_the_usage(tool: Any, args: tuple[str, ...]) -> None:
    result = tool.call(*args)
    assert result.returncode == 2
    assert "usage: weckd-update" in result.stderr
    assert not tool.store.exists()


def test_a_bundle_that_fails_at_boot_gives_way_and_is_not_taken_again(tool: Any, make: Callable[..., Path]) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    tool.damage(make(2))
    out = tool.done("boot")
    assert out.startswith(f"rolled back to {tool.digest(make(1))}")
    assert tool.runs() == tool.digest(make(1))
    assert not tool.kept(make(2)).exists()
    assert (tool.status()["confirmed"], tool.status()["rejected"]) == ("yes", tool.digest(make(2)))
    assert "--retry-rejected" in tool.refused("install", make(2))
    tool.done("install", make(2), "--retry-rejected")
    assert tool.wanted() == tool.digest(make(2))


def test_a_bundle_that_is_never_confirmed_gives_way(tool: Any, make: Callable[..., Path]) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    for attempts in range(1, 4):
        assert "not confirmed yet" in tool.done("boot")
        assert tool.status()["attempts"] == f"{attempts} of 3"
    assert "started 3 times and never confirmed" in tool.done("boot")
    assert tool.runs() == tool.digest(make(1))


def test_the_first_bundle_stays_as_there_is_no_other(tool: Any, make: Callable[..., Path]) -> None:
    tool.done("install", make(1))
    for _ in range(6):
        assert "runs" in tool.done("boot")
    assert tool.status()["attempts"] == "3 of 3"  # and the disk is not written again and again


def test_a_confirmed_bundle_that_wears_out_gives_way_to_the_one_before(tool: Any, make: Callable[..., Path]) -> None:
    for version in (1, 2):
        tool.take(make(version))
    tool.damage(make(2))
    assert "rolled back" in tool.done("boot")
    assert tool.runs() == tool.digest(make(1))
    tool.damage(make(1))
    assert "was changed" in tool.refused("boot")


def test_a_missing_key_or_runtime_changes_nothing(tool: Any, make: Callable[..., Path]) -> None:
    for version in (1, 2):
        tool.take(make(version))
    before = (tool.store / "state").read_bytes()
    assert "no backend called 'none'" in tool.refused("boot", "--backend", "none")
    assert (tool.store / "state").read_bytes() == before


def test_rollback_goes_back_and_forth(tool: Any, make: Callable[..., Path]) -> None:
    tool.done("install", make(1))
    assert "no earlier bundle" in tool.refused("rollback")
    tool.done("boot")
    tool.done("confirm")
    tool.done("install", make(2))
    tool.done("rollback")  # from an unconfirmed bundle
    assert tool.wanted() == tool.digest(make(1))
    tool.take(make(3))
    tool.done("rollback")  # from a confirmed one
    assert tool.wanted() == tool.digest(make(1))
    assert "runs" in tool.done("boot")
    assert "expected version 3 or newer" in tool.refused("install", make(2))
    tool.done("rollback")
    assert tool.wanted() == tool.digest(make(3))


@pytest.mark.parametrize("how", ["empty", "cut", "flipped", "gone", "a link"])
def test_a_damaged_state_is_rebuilt_from_what_is_verified(tool: Any, make: Callable[..., Path], how: str) -> None:
    for version in (1, 2):
        tool.take(make(version))
    path = tool.store / "state"
    raw = path.read_bytes()
    flipped = raw.replace(b"attempts 0", b"attempts 1")
    path.unlink()
    if how == "a link":
        path.symlink_to("lock")
    elif how != "gone":
        path.write_bytes({"empty": b"", "cut": raw[:-20], "flipped": flipped}[how])
    assert "not confirmed yet" in tool.done("boot")  # nobody knows any more that it was confirmed
    assert tool.runs() == tool.digest(make(2))
    assert tool.status()["good"].split()[0] == tool.digest(make(1))
    path.unlink()
    tool.damage(make(2))
    tool.done("boot")
    assert tool.runs() == tool.digest(make(1))
    assert tool.status()["confirmed"] == "yes"


def test_a_store_without_a_bundle_says_so(tool: Any) -> None:
    for command in ("boot", "status", "confirm", "rollback"):
        assert tool.refused(command) == f"error: {tool.store}: there is no store; install a bundle\n"
    assert not tool.store.exists()  # it may be a disk that is not mounted yet
    tool.store.mkdir()
    assert "install one" in tool.refused("boot")
    assert "state" in tool.refused("status")


def test_a_factory_bundle_runs_where_the_store_has_none(tool: Any, make: Callable[..., Path]) -> None:
    factory = ("--factory", make(1, seed=1))
    assert "not of the store" in tool.done("boot", *factory)
    assert tool.runs() == tool.digest(make(1, seed=1))
    assert not tool.store.exists()
    tool.take(make(2))
    assert tool.done("boot", *factory) == f"runs {tool.digest(make(2))}\n"
    tool.damage(make(2))
    done = tool.call("boot", *factory)
    assert (done.returncode, tool.version()) == (0, 1)
    assert "was changed" in done.stderr
    assert tool.status()["runs"] == str(make(1, seed=1))
    assert "only what `boot` has started" in tool.refused("confirm")
    assert "was changed" in tool.refused("boot", "--factory", make(1, wrong=True))
    assert "was changed" in tool.refused("boot", "--factory", make(1, signed=False))


def test_a_folder_in_memory_that_cannot_be_written_is_no_fault_of_the_bundle(tool: Any, make: Callable[..., Path]) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    tool.power_off()
    tool.run.touch()  # no folder can be made there
    assert f"{tool.run}/current: cannot be pointed" in tool.refused("boot")
    tool.run.unlink()
    assert "not confirmed yet" in tool.done("boot")
    assert tool.rejected_ids() == []


def test_only_the_bundle_that_runs_is_confirmed(tool: Any, make: Callable[..., Path]) -> None:
    tool.done("install", make(1))
    assert "expected " in tool.refused("confirm")
    tool.done("boot")
    tool.done("confirm")
    tool.done("install", make(2))  # while the first one runs
    assert "only what `boot` has started" in tool.refused("confirm")
    assert (tool.status()["confirmed"], tool.status()["good"].split()[0]) == ("no", tool.digest(make(1)))
    tool.done("boot")
    tool.done("confirm")
    assert tool.status()["good"].split()[0] == tool.digest(make(2))


def test_every_bundle_that_was_given_up_is_remembered(tool: Any, make: Callable[..., Path]) -> None:
    tool.take(make(1))
    for version in (2, 3):  # two bad updates, in turn
        tool.done("install", make(version))
        for _ in range(4):
            tool.done("boot")
        assert tool.runs() == tool.digest(make(1))
    assert tool.rejected_ids() == [tool.digest(make(2)), tool.digest(make(3))]
    for version in (2, 3, 2):
        assert "--retry-rejected" in tool.refused("install", make(version))
    tool.done("install", make(2), "--retry-rejected")
    assert tool.rejected_ids() == [tool.digest(make(3))]


def test_bundles_that_replace_each_other_unconfirmed_do_not_alternate(tool: Any, make: Callable[..., Path]) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    tool.done("install", make(3))  # the second was never started: nothing is known of it
    tool.done("install", make(2))
    tool.done("boot")
    tool.done("install", make(3))  # it was started, and never confirmed
    assert tool.rejected_ids() == [tool.digest(make(2))]
    assert "--retry-rejected" in tool.refused("install", make(2))


def test_of_too_many_rejected_bundles_the_oldest_is_forgotten(tool: Any, make: Callable[..., Path]) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    ids = [f"{number:064x}" for number in range(16)]
    lines = (tool.store / "state").read_text().splitlines()[:-1]
    place = next(at for at, line in enumerate(lines) if line.startswith("attempts"))
    lines[place:place] = [f"rejected {one}" for one in ids]
    text = "".join(f"{line}\n" for line in lines)
    (tool.store / "state").write_text(f"{text}crc32 {zlib.crc32(text.encode()):08x}\n")
    assert tool.rejected_ids() == ids
    tool.done("rollback")
    assert tool.rejected_ids() == [*ids[1:], tool.digest(make(2))]
    more = text.replace("attempts", f"rejected {'f' * 64}\nattempts")
    (tool.store / "state").write_text(f"{more}crc32 {zlib.crc32(more.encode()):08x}\n")
    assert "damaged" in tool.refused("status")


def test_an_id_is_the_digest_that_was_verified(
    tool: Any, make: Callable[..., Path], key_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """Another text of the manifest that looks like its digest names no bundle."""
    bundle = shutil.copytree(make(1), tmp_path / "decoy")
    path = bundle / "manifest.json"
    manifest = json.loads(path.read_text())
    decoy = {"versions": {**manifest.pop("versions"), "manifest_sha256": "f" * 65}}
    text = json.dumps({**decoy, **manifest, "manifest_sha256": "0" * 64})
    own = hashlib.sha256(text.encode()).hexdigest()
    path.write_text(text.replace('"' + "0" * 64 + '"', f'"{own}"'))
    (bundle / "signature").unlink()
    sign(bundle, key_pair[0])
    tool.done("install", bundle)
    assert [path.name for path in (tool.store / "bundles").iterdir()] == [own]
    assert "runs" in tool.done("boot")


def test_what_is_reported_is_printable_ascii(
    tool: Any, make: Callable[..., Path], key_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """Names in a tar, in a folder and in a manifest give no orders to a terminal, and turn no line around."""
    hostile = "x\x1b[2J\u202egnp.\x9b\r"
    bad = tmp_path / "bad.tar"
    said = []
    for entries in (
        renamed(entries_of(tool.tar(make(1), tmp_path / "1.tar")), hostile),
        typed([], tarfile.SYMTYPE, hostile),
        renamed([], f"device/{hostile}"),
    ):
        bad.write_bytes(packed(entries))
        said.append(tool.refused("install", bad))
    folder = shutil.copytree(make(1), tmp_path / "folder")
    (folder / hostile).symlink_to("manifest.json")
    said.append(tool.refused("install", folder))
    said.append(tool.refused("install", tmp_path / hostile))
    named = shutil.copytree(make(2), tmp_path / "named")
    (named / "signature").unlink()
    seal(named, replace(open_bundle(named).manifest, name=hostile))
    sign(named, key_pair[0])
    tool.done("install", named)
    said.append(tool.done("status"))
    assert "x\\x1b[2J\\xe2\\x80\\xaegnp" in said[-1]
    for text in said:
        assert re.fullmatch(r"[ -~\n]+", text), text
        assert text.count("\n") == 1 or text is said[-1]


def test_the_preparing_program_is_run_on_the_staged_bundle(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    script = tmp_path / "prepare"
    script.write_text('#!/bin/sh\nmkdir "$1/device" && echo built > "$1/device/engine"\n')
    script.chmod(0o755)
    tool.done("install", make(1), "--prepare", script)
    assert (tool.kept(make(1)) / "device/engine").read_text() == "built\n"
    script.write_text("#!/bin/sh\nexit 1\n")
    assert "prepare the bundle" in tool.refused("install", make(2), "--prepare", script)
    assert tool.wanted() == tool.digest(make(1))


def test_only_what_is_signed_reaches_the_preparing_program(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    script = tmp_path / "prepare"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    script.chmod(0o755)
    tool.refused("install", make(1, signed=False), "--prepare", script)
    assert not (tmp_path / "ran").exists()


def test_a_self_test_that_crashes_or_hangs_has_failed(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
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
    assert tool.wanted() == tool.digest(make(1))


def test_a_real_runtime_tests_what_is_installed(
    tool: Any, toy: ModuleType, key_pair: tuple[Path, Path], tmp_path: Path
) -> None:
    if tool.built.openvino is None:
        pytest.skip("OpenVINO's wheel is not installed")
    runtime = ("--backend", "openvino", "--library", tool.built.openvino)
    good = toy.write_bundle(tmp_path / "good", backends=toy.IN_C).folder
    sign(good, key_pair[0])
    tool.done("install", tool.tar(good, tmp_path / "good.tar"), *runtime)
    assert "runs" in tool.done("boot", *runtime)
    strict = toy.write_bundle(tmp_path / "strict", seed=1, backends=toy.IN_C).folder
    draft = open_bundle(strict).manifest
    np.save(strict / "selftest/expected.npy", np.full((4, 3), 1 / 3, np.float32))
    expected = file_ref(strict, strict / "selftest/expected.npy")
    seal(strict, replace(draft, models=tuple(replace(model, expected=expected) for model in draft.models)))
    sign(strict, key_pair[0])
    assert "a probability differs by" in tool.refused("install", strict, *runtime)
    assert tool.wanted() == tool.digest(good)


def test_one_at_a_time(tool: Any, make: Callable[..., Path]) -> None:
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


def typed(entries: list[Entry], kind: bytes, name: str = "model/more") -> list[Entry]:
    more = tarfile.TarInfo(name)
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
def test_a_crafted_tar_is_refused(tool: Any, make: Callable[..., Path], tmp_path: Path, what: str) -> None:
    words, craft = BAD_TARS[what]
    bad = tmp_path / "bad.tar"
    bad.write_bytes(craft(entries_of(tool.tar(make(1), tmp_path / "good.tar"))))
    assert words in tool.refused("install", bad)
    assert {path.name for path in tool.store.iterdir()} == {"lock"}
    assert {path.name for path in tmp_path.iterdir()} == {"store", "bad.tar", "good.tar"}


def test_every_cut_of_a_tar_is_refused(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    raw = tool.tar(make(1), tmp_path / "good.tar").read_bytes()
    whole = len(raw.rstrip(b"\0"))
    cut = tmp_path / "cut.tar"
    for length in range(0, whole, 311):
        cut.write_bytes(raw[:length])
        tool.refused("install", cut)
    assert {path.name for path in tool.store.iterdir()} == {"lock"}


def test_limits_hold(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.mkdir()
    (big / "file").write_bytes(bytes(2 << 20))
    assert "1 MiB that are accepted" in tool.refused("install", big, "--max-mib", 1)
    many = tmp_path / "many"
    many.mkdir()
    for i in range(4097):
        (many / str(i)).touch()
    assert "more than the 4096 files" in tool.refused("install", many)


@pytest.mark.parametrize("compiler", ["cc", "clang"])
def test_memory_and_undefined_behaviour_are_sound(
    compiler: str,
    request: pytest.FixtureRequest,
    update_support: ModuleType,
    key_pair: tuple[Path, Path],
    make: Callable[..., Path],
    tmp_path: Path,
) -> None:
    built = request.getfixturevalue("sanitized" if compiler == "cc" else "sanitized_by_clang")
    tool = update_support.Tool(built=built, store=tmp_path.resolve() / "store", key=key_pair[1])
    tool.take(tool.tar(make(1), tmp_path / "1.tar"))
    tool.done("install", make(2))
    for command in ("boot", "status", "rollback", "boot", "confirm"):
        tool.done(command)
    (tool.store / "state").write_bytes(b"x" * 3000)
    tool.done("boot", "--lock-timeout", 1)
    tool.done("install", make(3))
    tool.damage(make(3))
    tool.done("boot")
    assert "--retry-rejected" in tool.refused("install", make(3))
    raw = (tool.store / "state").read_bytes()
    for length in range(0, len(raw), 7):
        (tool.store / "state").write_bytes(raw[:length])
        assert "damaged" in tool.refused("status")
    (tool.store / "state").write_bytes(raw)
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


def test_the_mender_module_installs_commits_and_goes_back(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    conf = tmp_path / "update.conf"
    conf.write_text(f'WECKD_UPDATE_OPTIONS="{" ".join(map(str, tool.options()))}"\n')

    def module(state: str, bundle: Path | None = None, expect: int = 0) -> str:
        tree = tmp_path / "tree"
        (tree / "files").mkdir(parents=True, exist_ok=True)
        if bundle is not None:
            tool.tar(bundle, tree / "files/weckd-bundle.tar")
        env = {**os.environ, "WECKD_UPDATE_CONF": str(conf), "WECKD_UPDATE": str(tool.program)}
        done = subprocess.run(["sh", MODULE, state, tree], capture_output=True, text=True, env=env, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout

    assert module("SupportsRollback") == "Yes\n"
    assert module("NeedsArtifactReboot") == "Automatic\n"
    module("ArtifactInstall", make(1))
    module("ArtifactCommit", expect=1)  # not before the machine has started with it
    tool.done("boot")
    module("ArtifactVerifyReboot")
    module("ArtifactCommit")
    assert tool.status()["confirmed"] == "yes"
    module("ArtifactInstall", make(2))
    module("ArtifactVerifyReboot", expect=1)
    module("ArtifactRollback")
    assert tool.wanted() == tool.digest(make(1))
    module("ArtifactRollback")  # a second time does no harm
    assert tool.wanted() == tool.digest(make(1))
    module("ArtifactInstall", make(3))
    tool.damage(make(3))
    assert "rolled back" in tool.done("boot")
    module("ArtifactVerifyReboot", expect=1)  # and what came back is not taken for the update
    module("ArtifactCommit", expect=1)
    module("ArtifactInstall", make(1))  # what runs already is no failure
    module("ArtifactVerifyReboot")
    module("ArtifactCommit")
    assert module("ArtifactInstall", make(4, wrong=True), expect=1) == ""
    assert os.access(MODULE, os.X_OK)


def test_the_units_are_understood_by_systemd(tool: Any, tmp_path: Path) -> None:
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


def test_the_unit_gives_a_start_more_time_than_it_may_take(tool: Any) -> None:
    usage = tool.call("--help").stdout
    timeout, wait = (
        int(re.search(rf"--{name} S .*\((\d+)\)$", usage, re.M)[1])  # type: ignore[index]
        for name in ("timeout", "lock-timeout")
    )
    source = SYSTEMD.parent
    grace, verifications = (
        int((source / name).read_text().split(f"#define {word} ")[1].split()[0])
        for name, word in (("base/child.h", "CHILD_GRACE_S"), ("store/recover.h", "RECOVER_MAX"))
    )
    longest = wait + (verifications + 4) * (timeout + grace)  # three of the store and the factory's are tested
    unit = (SYSTEMD / "weckd-camera.service.d-update.conf").read_text()
    minutes = int(unit.split("TimeoutStartSec=")[1].split("min")[0])
    assert longest < minutes * 60
    assert f"= {longest} s" in (source.parents[2] / "docs/how-to/updates.md").read_text()


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


def test_swupdate_itself_installs_the_update(tool: Any, make: Callable[..., Path], tmp_path: Path) -> None:
    for program in ("swupdate", "openssl", "unshare"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    key, certificate, scratch = tmp_path / "k.pem", tmp_path / "c.pem", tmp_path / "scratch"
    scratch.mkdir()
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=updates", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", *map(str, request)], check=True, capture_output=True)
    signer = Signer(key=key, certificate=certificate)
    for name, bundle in (("good", make(2)), ("wrong", make(3, wrong=True))):
        package_bundle(bundle, tmp_path / f"{name}.swu", format_name="swupdate", signer=signer)
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
    assert lines[lines.index("0") + 1].startswith(f"current {tool.digest(make(2))} version 2")  # and no tar is left
