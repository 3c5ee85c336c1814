"""weckd-update: a power cut at any change to the disk, or a disk that fails from then on, leaves a bundle that runs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CUT = 86

Step = tuple[object, ...]
Scenario = tuple[list[Step], Step, set[int]]
Make = Callable[..., Path]

NAMES = (
    "the first install",
    "an update",
    "an update of three",
    "an update over an unconfirmed one",
    "a folder",
    "confirming",
    "confirming the third",
    "rolling back",
    "rolling back what was confirmed",
    "an unconfirmed start",
    "a start that gives up",
    "a start without a state",
)


def scenario(tool: Any, make: Make, folder: Path, name: str) -> Scenario:
    """Return what was done before, the command that is cut, and the versions of which one must run afterwards."""
    tars = {version: tool.tar(make(version), folder / f"{version}.tar") for version in (1, 2, 3)}
    one: list[Step] = [("install", tars[1]), ("boot",), ("confirm",)]
    unconfirmed: list[Step] = [*one, ("install", tars[2])]
    two: list[Step] = [*unconfirmed, ("boot",), ("confirm",)]
    all_of_them: dict[str, Scenario] = {
        "the first install": ([], ("install", tars[1]), {1}),
        "an update": (one, ("install", tars[2]), {1, 2}),
        "an update of three": (two, ("install", tars[3]), {2, 3}),
        "an update over an unconfirmed one": ([*unconfirmed, ("boot",)], ("install", tars[3]), {2, 3}),
        "a folder": (one, ("install", make(2)), {1, 2}),
        "confirming": ([*unconfirmed, ("boot",)], ("confirm",), {2}),
        "confirming the third": ([*two, ("install", tars[3]), ("boot",)], ("confirm",), {3}),
        "rolling back": (unconfirmed, ("rollback",), {1, 2}),
        "rolling back what was confirmed": (two, ("rollback",), {1, 2}),
        "an unconfirmed start": (unconfirmed, ("boot",), {2}),
        "a start that gives up": ([*unconfirmed, ("boot",), ("boot",), ("boot",)], ("boot",), {1}),
        "a start without a state": ([*two, ("lose", "state")], ("boot",), {2}),
    }
    assert set(all_of_them) == set(NAMES)
    return all_of_them[name]


def prepared(tool: Any, steps: list[Step], command: Step, store: Path) -> Any:
    """Return a tool whose store has gone through the steps; before a start, the folder in memory is empty."""
    template = tool.elsewhere(store)
    for step in steps:
        if step[0] == "lose":
            (template.store / str(step[1])).unlink()
        else:
            template.done(*step)
    if command == ("boot",):
        template.power_off()
    return template


def emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def cuts(template: Any, command: Step, scratch: Path, *, lose: bool) -> Iterator[tuple[int, Any]]:
    """Yield a store after each possible cut: before change 1, 2, ... of the command, and right behind its end."""
    whole = template.copy_to(scratch / "whole")
    env = {"LD_PRELOAD": template.shim, "WECKD_CUT_COUNT": str(scratch / "count")}
    whole.done(*command, env=env)
    total = int((scratch / "count").read_text())
    assert total > 3
    for at in range(1, total + 2):
        after = template.copy_to(scratch / "cut")
        env = {"LD_PRELOAD": template.shim, "WECKD_CUT_AT": str(at)}
        if lose:
            env["WECKD_CUT_LOSE"] = str(emptied(scratch / "saved"))
        result = after.call(*command, env=env)
        assert result.returncode == CUT, (at, result.stdout, result.stderr)
        after.power_off()
        yield at, after


@pytest.mark.slow
@pytest.mark.parametrize("lose", [False, True], ids=["all is kept", "what is not synced is lost"])
@pytest.mark.parametrize("name", NAMES)
def test_a_power_cut_at_any_change_leaves_a_bundle_that_runs(
    tool: Any, make: Make, tmp_path: Path, name: str, lose: bool
) -> None:
    before, command, versions = scenario(tool, make, tmp_path, name)
    template = prepared(tool, before, command, tmp_path / "template")
    seen: set[int] = set()
    ended = b""
    for at, after in cuts(template, command, tmp_path, lose=lose):
        started = after.call("boot")
        if started.returncode != 0 and name == "the first install":
            assert re.search("install (one|a bundle)", started.stderr), (at, started.stderr)
            seen.add(0)
        else:
            assert started.returncode == 0, (at, started.stdout, started.stderr)
            assert after.version() in versions, at
            seen.add(after.version())
        ended = (after.store / "state").read_bytes() if started.returncode == 0 else b""
        if command[0] == "install":  # and the same update goes through now
            after.done(*command, "--retry-rejected")
            assert after.wanted() == tool.digest(make(max(versions)))
            assert not (after.store / "staging").exists()
    assert seen - {0} == versions
    whole = tool.elsewhere(tmp_path / "whole")
    whole.done("boot")
    assert ended == (whole.store / "state").read_bytes()  # the last cut was behind the end: all of it is on the disk


@pytest.mark.slow
@pytest.mark.parametrize("lose", [False, True], ids=["all is kept", "what is not synced is lost"])
def test_power_cuts_one_after_the_other_leave_a_bundle_that_runs(tool: Any, make: Make, tmp_path: Path, lose: bool) -> None:
    before, command, versions = scenario(tool, make, tmp_path, "an update")
    template = prepared(tool, before, command, tmp_path / "template")
    twice = 0
    for at, after in cuts(template, command, tmp_path, lose=lose):
        for again in range(1, 40):  # each start gets one change further than the one before
            env = {"LD_PRELOAD": tool.shim, "WECKD_CUT_AT": str(again)}
            if lose:
                env["WECKD_CUT_LOSE"] = str(emptied(tmp_path / "saved"))
            code = after.call("boot", env=env).returncode
            after.power_off()
            if code == 0:
                break
            assert code == CUT, (at, again)
            twice += 1
        else:
            pytest.fail(f"cut {at}: no start came to its end")
        after.done("boot")
        assert after.version() in versions
    assert twice > 10


# ---- the disk is read-only, full or broken


FAULTS = ("read-only", "full", "broken")


@pytest.mark.parametrize("kind", FAULTS)
def test_a_confirmed_bundle_starts_from_a_disk_that_takes_no_change(tool: Any, make: Make, kind: str) -> None:
    for version in (1, 2):
        tool.take(make(version))
    before = (tool.store / "state").read_bytes()
    tool.power_off()
    out = tool.done("boot", env=tool.failing(kind))
    assert out == f"runs {tool.digest(make(2))}\n"
    assert tool.version() == 2
    assert f"current {tool.digest(make(2))}" in tool.done("status", env=tool.failing(kind))
    for command in (("install", make(3)), ("rollback",)):
        refused = tool.refused(*command, env=tool.failing(kind))
        assert refused.count("error: ") == 1
    assert (tool.store / "state").read_bytes() == before
    tool.damage(make(2))  # and the one before it comes, though that cannot be written down
    done = tool.call("boot", env=tool.failing(kind))
    assert (done.returncode, tool.version()) == (0, 1)
    assert "the last good one" in done.stdout
    assert (tool.store / "state").read_bytes() == before


@pytest.mark.parametrize("kind", FAULTS)
def test_an_unconfirmed_bundle_whose_starts_cannot_be_counted_gives_way_to_the_good_one(
    tool: Any, make: Make, kind: str
) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    before = (tool.store / "state").read_bytes()
    for _ in range(5):
        done = tool.call("boot", env=tool.failing(kind))
        assert (done.returncode, tool.version()) == (0, 1)
        assert "its start cannot be counted" in done.stderr
    assert "only what `boot` has started" in tool.refused("confirm")  # the good one runs, not the unconfirmed one
    assert (tool.store / "state").read_bytes() == before
    assert "not confirmed yet" in tool.done("boot")  # with a disk that is whole again it is tried, as often as any other
    assert (tool.version(), tool.status()["attempts"]) == (2, "1 of 3")


def test_the_first_bundle_starts_uncounted_where_there_is_no_other(tool: Any, make: Make) -> None:
    tool.done("install", make(1))
    done = tool.call("boot", env=tool.failing("read-only"))
    assert (done.returncode, tool.version()) == (0, 1)
    assert "its start cannot be counted" in done.stderr


@pytest.mark.parametrize("kind", FAULTS)
def test_a_lost_state_on_a_disk_that_takes_no_change_still_starts_a_bundle(tool: Any, make: Make, kind: str) -> None:
    for version in (1, 2):
        tool.take(make(version))
    (tool.store / "state").unlink()
    done = tool.call("boot", env=tool.failing(kind))
    assert (done.returncode, tool.version()) == (0, 1), done.stderr  # which of the two was good cannot be known
    assert not (tool.store / "state").exists()


def test_a_full_disk_is_cleared_of_what_was_left_half_done(tool: Any, make: Make) -> None:
    tool.take(make(1))
    (tool.store / "staging/model").mkdir(parents=True)
    (tool.store / "staging/model/half").write_bytes(bytes(1 << 16))
    shutil.copytree(make(3), tool.kept(make(3)))  # moved there, and named by no state
    tool.done("boot")
    assert not (tool.store / "staging").exists()
    assert [path.name for path in (tool.store / "bundles").iterdir()] == [tool.digest(make(1))]


@pytest.mark.parametrize("name", ["state", "model.onnx", "manifest.json"])
def test_a_file_that_the_disk_does_not_give_back_costs_no_start(tool: Any, make: Make, name: str) -> None:
    for version in (1, 2):
        tool.take(make(version))
    env = {"LD_PRELOAD": tool.shim, "WECKD_FAULT_READ": name}
    if name == "state":
        assert "Input/output error" in tool.call("boot", env=env).stderr
        assert tool.version() == 2
        assert "not confirmed yet" in tool.done("boot")  # it was made again
    else:
        before = (tool.store / "state").read_bytes()
        tool.refused("boot", env=env)  # every bundle has such a file
        assert (tool.store / "state").read_bytes() == before
        assert "runs" in tool.done("boot")


SWEPT = (
    "an update",
    "confirming the third",
    "rolling back",
    "an unconfirmed start",
    "a start that gives up",
    "a start without a state",
)


def attempts(tool: Any) -> int:
    state = tool.store / "state"
    found = re.search(r"^attempts (\d+)$", state.read_text(), re.M) if state.exists() else None
    return int(found[1]) if found else -1


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("name", SWEPT)
def test_a_disk_that_fails_from_any_change_on_leaves_a_bundle_that_runs(
    tool: Any, make: Make, tmp_path: Path, name: str, kind: str
) -> None:
    before, command, versions = scenario(tool, make, tmp_path, name)
    template = prepared(tool, before, command, tmp_path / "template")
    older = {1, 2} if name == "confirming the third" else {1}
    total = template.copy_to(tmp_path / "whole").changes(*command, count=tmp_path / "count")
    assert total > 3
    failed = 0
    for first in range(1, total + 1):
        after = template.copy_to(tmp_path / "after")
        counted = attempts(after)
        done = after.call(*command, env=after.failing(kind, first=first))
        assert done.returncode in (0, 1), (first, done.stderr)
        failed += done.returncode
        if command == ("boot",):
            assert done.returncode == 0, (first, done.stderr)
            assert after.version() in versions | older, first
            if after.version() == 2:
                assert attempts(after) > counted, first  # no start of an unconfirmed bundle that was not counted
        after.power_off()
        after.done("boot", env=after.failing(kind))
        assert after.version() in versions | older, first
        after.power_off()
        after.done("boot")
        assert after.version() in versions | older, first
    assert command == ("boot",) or failed > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("name", ["an unconfirmed start", "a start that gives up", "a start without a state"])
def test_power_cuts_on_a_failing_disk_leave_a_bundle_that_runs(
    tool: Any, make: Make, tmp_path: Path, name: str, kind: str
) -> None:
    before, command, _ = scenario(tool, make, tmp_path, name)
    template = prepared(tool, before, command, tmp_path / "template")
    whole = template.copy_to(tmp_path / "whole")
    total = whole.changes(*command, env=whole.failing(kind), count=tmp_path / "count")
    assert total > 3
    for at in range(1, total + 2):
        after = template.copy_to(tmp_path / "after")
        cut = after.call(*command, env={**after.failing(kind), "WECKD_CUT_AT": str(at)})
        assert cut.returncode == CUT, (at, cut.stderr)
        after.power_off()
        after.done("boot", env=after.failing(kind))
        assert after.version() == 1, at
        after.power_off()
        after.done("boot")


def test_the_cut_misses_no_call_that_changes_the_disk(library: Any) -> None:
    """What weckd-update imports of the C library, other than what the shim stands in for, changes no file."""
    if shutil.which("nm") is None:
        pytest.skip("nm is not installed")
    program = Path(library.folder) / "update/weckd-update"
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
