"""weckd-update: what it installs, starts, confirms and refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support.bundles.signing_keys import write_pair
from weckd_edge.bundle.reader import open_bundle
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal
from weckd_edge.core.store import file_ref


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
    _, other = write_pair(tmp_path, "other")
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


def test_a_first_bundle_that_was_never_confirmed_is_what_there_is_to_go_back_to(
    tool: Any, make: Callable[..., Path]
) -> None:
    """The device left the factory with it, and ran it for as long as it has had it."""
    first, second, third = make(1), make(2), make(3)
    tool.done("install", first)
    for _ in range(5):
        tool.done("boot")
    tool.done("install", second)
    assert tool.kept(first).exists()
    assert (tool.rejected_ids(), tool.status()["previous"].split()[0]) == ([], tool.digest(first))
    for _ in range(3):
        assert "not confirmed yet" in tool.done("boot")
    assert tool.done("boot").startswith(f"rolled back to {tool.digest(first)}")
    assert (tool.runs(), tool.rejected_ids()) == (tool.digest(first), [tool.digest(second)])
    assert [tool.status()[name] for name in ("good", "previous", "confirmed")] == ["-", "-", "no"]
    assert "no earlier bundle" in tool.refused("rollback")
    tool.done("install", third)
    tool.done("boot")
    tool.done("install", second, "--retry-rejected")  # the third was started too: the first is still what is kept
    assert (tool.rejected_ids(), tool.kept(first).exists()) == ([tool.digest(third)], True)
    tool.done("rollback")
    assert (tool.wanted(), tool.status()["confirmed"]) == (tool.digest(first), "no")
    tool.take(make(4))
    assert tool.status()["previous"].split()[0] == tool.digest(first)
    tool.done("rollback")
    tool.done("boot")
    assert tool.runs() == tool.digest(first)


def test_a_first_bundle_that_is_installed_once_more_is_not_its_own_previous_one(
    tool: Any, make: Callable[..., Path]
) -> None:
    for version in (1, 2, 1):
        tool.done("install", make(version))
    assert (tool.wanted(), tool.status()["previous"]) == (tool.digest(make(1)), "-")


def test_a_confirmed_bundle_that_wears_out_gives_way_to_the_one_before(tool: Any, make: Callable[..., Path]) -> None:
    for version in (1, 2):
        tool.take(make(version))
    tool.damage(make(2))
    before = (tool.store / "state").read_bytes()
    for _ in range(2):
        assert f"runs {tool.digest(make(1))}, the last good one: " in tool.done("boot")
        assert tool.runs() == tool.digest(make(1))
    assert (tool.store / "state").read_bytes() == before  # nobody knows that it will fail for ever
    tool.done("install", make(2))  # what is damaged is replaced
    assert tool.done("boot") == f"runs {tool.digest(make(2))}\n"
    tool.damage(make(2))
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
    for _ in range(4):
        assert f"{tool.run}/current: cannot be pointed" in tool.refused("boot")
        assert tool.status()["attempts"] == "0 of 3"  # nothing was started
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
    good = toy.write_bundle(tmp_path / "good", **toy.IN_C).folder
    sign(good, key_pair[0])
    tool.done("install", tool.tar(good, tmp_path / "good.tar"), *runtime)
    assert "runs" in tool.done("boot", *runtime)
    strict = toy.write_bundle(tmp_path / "strict", seed=1, **toy.IN_C).folder
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
