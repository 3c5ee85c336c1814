"""weckd-update and what it starts: nothing waits for ever, and nothing is left behind, however it ends."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Make = Callable[..., Path]

HANGING = r"""
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static void leave(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("LEAVE"), name);
    FILE *file = fopen(path, "w");
    fprintf(file, "%d\n", (int)getpid());
    fclose(file);
}
int weckd_selftest(void *bundle, void *report) {
    (void)bundle; (void)report;
    signal(SIGTERM, SIG_IGN);
    if (fork() == 0) { leave("grandchild"); sleep(600); _exit(0); }
    leave("child");
    sleep(600);
    return 0;
}
"""


NO_PROCESS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
pid_t fork(void) {
    static unsigned count;
    const char *refused = getenv("REFUSED");
    if (count < strlen(refused) && refused[count++] == 'x') { errno = EAGAIN; return -1; }
    return ((pid_t(*)(void))dlsym(RTLD_NEXT, "fork"))();
}
int pipe2(int ends[2], int flags) {
    static unsigned count;
    const char *refused = getenv("REFUSED");
    if (count < strlen(refused) && refused[count++] == '|') { errno = EMFILE; return -1; }
    return ((int (*)(int *, int))dlsym(RTLD_NEXT, "pipe2"))(ends, flags);
}
"""


@pytest.fixture(scope="session")
def no_process(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, str]]:
    """Return the environment in which the system refuses a process ("x") or a pipe ("|") for one check after the other."""
    folder = tmp_path_factory.mktemp("none")
    (folder / "none.c").write_text(NO_PROCESS)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "none.so", folder / "none.c", "-ldl"], check=True)
    return lambda refused: {"LD_PRELOAD": str(folder / "none.so"), "REFUSED": refused}


Refusing = Callable[[str], dict[str, str]]


@pytest.mark.parametrize("refused", ["x", "|"])
def test_a_start_for_which_the_system_has_no_process_gives_no_bundle_up(
    tool: Any, make: Make, no_process: Refusing, refused: str
) -> None:
    for version in (1, 2):
        tool.take(make(version))
    for confirmed in (True, False):
        if not confirmed:
            tool.done("install", make(3))
        before = (tool.store / "state").read_bytes()
        for _ in range(4):
            done = tool.call("boot", env=no_process(refused))
            assert (done.returncode, tool.version()) == (0, 1 if confirmed else 2)
            assert ", the last good one: the system has no p" in done.stdout
            assert (tool.store / "state").read_bytes() == before  # no start was counted either: there was none
        tool.refused("boot", env=no_process(refused * 8))
        assert (tool.store / "state").read_bytes() == before
    assert "not confirmed yet" in tool.done("boot")
    assert (tool.version(), tool.rejected_ids()) == (3, [])


def test_what_could_not_be_tested_outlives_the_bundle_that_is_given_up(tool: Any, make: Make, no_process: Refusing) -> None:
    for version in (1, 2):
        tool.take(make(version))
    tool.done("install", make(3))
    tool.damage(make(3))
    done = tool.call("boot", env=no_process(".x"))
    assert (done.returncode, tool.version()) == (0, 1)
    assert tool.rejected_ids() == [tool.digest(make(3))]
    assert tool.done("boot") == f"runs {tool.digest(make(2))}\n"


def test_a_state_is_not_rebuilt_without_a_bundle_that_could_not_be_looked_at(
    tool: Any, make: Make, no_process: Refusing
) -> None:
    for version in (1, 2):
        tool.take(make(version))
    (tool.store / "state").unlink()
    for refused in ("x", ".x", "xx", "xxxxxxxx"):
        tool.call("boot", env=no_process(refused))
        assert not (tool.store / "state").exists()
        assert "just now; try again later" in tool.refused("install", make(3), env=no_process(refused))
        assert tool.kept(make(1)).exists()
        assert tool.kept(make(2)).exists()
    tool.done("boot")
    assert tool.version() == 2
    assert "current " + tool.digest(make(2)) + " NOT CHECKED" in tool.done("status", env=no_process("x"))


def test_an_install_leaves_what_it_could_not_test(tool: Any, make: Make, no_process: Refusing) -> None:
    tool.take(make(1))
    (tool.kept(make(1)) / "device").mkdir()
    (tool.kept(make(1)) / "device/engine").write_text("built here")
    assert "no process" in tool.refused("install", make(1), env=no_process("..x"))
    assert (tool.kept(make(1)) / "device/engine").exists()
    assert "no process" in tool.refused("install", make(1), "--prepare", "/bin/true", env=no_process(".x"))


@pytest.fixture(scope="session")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-test that heeds no signal, starts another process, and never ends."""
    folder = tmp_path_factory.mktemp("hanging")
    (folder / "hanging.c").write_text(HANGING)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "hanging.so", folder / "hanging.c"], check=True)
    return folder / "hanging.so"


def eventually(true: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not true() and time.monotonic() < end:
        time.sleep(0.01)
    return true()


def process_in(path: Path) -> int:
    """Wait for a process to leave its number there."""
    assert eventually(lambda: path.exists() and path.read_text().endswith("\n")), path
    return int(path.read_text())


def is_gone(process: int) -> bool:
    """Whether a process has ended; one that nobody has waited for yet has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@contextmanager
def held(tool: Any) -> Iterator[None]:
    """Be another weckd-update that is at work."""
    with (tool.store / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_an_updater_that_is_ended_holds_up_no_start(
    tool: Any, make: Make, hanging: Path, tmp_path: Path, how: signal.Signals
) -> None:
    tool.take(make(1))
    started = tool.start("install", make(2), env={"LD_PRELOAD": str(hanging), "LEAVE": str(tmp_path)})
    child, grandchild = process_in(tmp_path / "child"), process_in(tmp_path / "grandchild")
    started.send_signal(how)
    started.wait(timeout=60)
    done = tool.call("boot", "--lock-timeout", 1)
    assert (done.stdout, done.stderr) == (f"runs {tool.digest(make(1))}\n", "")  # nobody was waited for in vain
    assert eventually(lambda: is_gone(child))
    if how == signal.SIGKILL:  # then nobody is left who could end it; it holds nothing
        os.kill(grandchild, signal.SIGKILL)
    assert eventually(lambda: is_gone(grandchild))


def test_a_start_that_is_ended_leaves_a_store_that_starts(tool: Any, make: Make, hanging: Path, tmp_path: Path) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    for count in range(1, 4):
        started = tool.start("boot", env={"LD_PRELOAD": str(hanging), "LEAVE": str(tmp_path)})
        child, grandchild = process_in(tmp_path / "child"), process_in(tmp_path / "grandchild")
        started.terminate()
        started.wait(timeout=60)
        assert started.returncode == 128 + signal.SIGTERM
        assert eventually(lambda: is_gone(child) and is_gone(grandchild))  # noqa: B023
        assert tool.status()["attempts"] == f"{count} of 3"
        (tmp_path / "child").unlink()
        (tmp_path / "grandchild").unlink()
    assert "rolled back" in tool.done("boot")


def test_a_self_test_that_heeds_no_signal_ends_with_all_it_started(
    tool: Any, make: Make, hanging: Path, tmp_path: Path
) -> None:
    env = {"LD_PRELOAD": str(hanging), "LEAVE": str(tmp_path)}
    assert "within 1 s" in tool.refused("install", make(1), "--timeout", 1, env=env)
    assert is_gone(process_in(tmp_path / "child"))
    assert eventually(lambda: is_gone(process_in(tmp_path / "grandchild")))


def test_a_preparing_program_has_a_time_limit(tool: Any, make: Make, tmp_path: Path) -> None:
    script = tmp_path / "prepare"
    script.write_text(f"#!/bin/sh\ntrap '' TERM\nsleep 600 &\necho $! > {tmp_path}/left\nsleep 600\n")
    script.chmod(0o755)
    assert "within 1 s" in tool.refused("install", make(1), "--prepare", script, "--prepare-timeout", 1)
    assert eventually(lambda: is_gone(process_in(tmp_path / "left")))
    assert not (tool.store / "staging").exists()
    script.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {tmp_path}/other\n")
    tool.done("install", make(1), "--prepare", script)
    assert eventually(lambda: is_gone(process_in(tmp_path / "other")))


def test_a_preparing_program_is_waited_for_where_children_are_ignored(tool: Any, make: Make, tmp_path: Path) -> None:
    script = tmp_path / "prepare"
    install = [*map(str, [tool.program, *tool.options(), "install", make(1), "--prepare", script])]
    ignoring = "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    for code, words in ((1, "but it failed"), (0, "installed ")):
        script.write_text(f"#!/bin/sh\nexit {code}\n")
        script.chmod(0o755)
        done = subprocess.run([sys.executable, "-c", ignoring, *install], capture_output=True, text=True, check=False)
        assert (done.returncode, words in done.stdout + done.stderr) == (code, True), done.stderr


def test_a_start_waits_no_longer_than_it_was_reported(tool: Any, make: Make) -> None:
    tool.take(make(1))
    with held(tool):
        done = tool.call("boot", "--lock-timeout", 1)
        assert (done.returncode, tool.version()) == (0, 1)
        assert "another weckd-update is at work" in done.stderr
        assert "another weckd-update is at work" in tool.refused("confirm", "--lock-timeout", 1)
        assert "confirmed yes" in tool.done("status", "--lock-timeout", 1)
    tool.done("install", make(2))
    before = (tool.store / "state").read_bytes()
    with held(tool):
        done = tool.call("boot", "--lock-timeout", 1)
    assert (done.returncode, tool.version()) == (0, 1)  # a start of the second could not be counted
    assert "its start cannot be counted" in done.stderr
    assert (tool.store / "state").read_bytes() == before


WAITING = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int weckd_check(const char *folder, const void *options, void *contract) {
    char path[4096];
    snprintf(path, sizeof path, "%s/verifies", getenv("LEAVE"));
    fclose(fopen(path, "w"));
    snprintf(path, sizeof path, "%s/go", getenv("LEAVE"));
    while (access(path, F_OK) != 0) { usleep(10000); }
    return ((int (*)(const char *, const void *, void *))dlsym(RTLD_NEXT, "weckd_check"))(folder, options, contract);
}
"""


def test_a_bundle_that_an_update_removes_meanwhile_is_not_shown_as_damaged(tool: Any, make: Make, tmp_path: Path) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    (tmp_path / "waiting.c").write_text(WAITING)
    build = ["cc", "-shared", "-fPIC", "-o", tmp_path / "waiting.so", tmp_path / "waiting.c", "-ldl"]
    subprocess.run([str(word) for word in build], check=True)
    env = {**os.environ, "LD_PRELOAD": str(tmp_path / "waiting.so"), "LEAVE": str(tmp_path)}
    command = list(map(str, [tool.program, *tool.options(), "status"]))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as status:
        assert eventually((tmp_path / "verifies").exists)
        tool.take(make(3))
        assert not tool.kept(make(2)).exists()
        (tmp_path / "go").touch()
        assert status.stdout is not None
        said = status.stdout.read()
    assert said.startswith(f"current {tool.digest(make(3))} version 3 ")
    assert "DAMAGED" not in said


def test_a_status_that_takes_long_keeps_no_start_waiting(tool: Any, make: Make, tmp_path: Path) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    (tmp_path / "slow.c").write_text(
        "#include <stdio.h>\n#include <stdlib.h>\n#include <unistd.h>\n"
        "int weckd_check(const char *folder, const void *options, void *contract) {\n"
        '    (void)folder; (void)options; (void)contract; fclose(fopen(getenv("LEAVE"), "w")); sleep(600); return 0;\n}\n'
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "slow.so", tmp_path / "slow.c"], check=True)
    started = tool.start("status", env={"LD_PRELOAD": str(tmp_path / "slow.so"), "LEAVE": str(tmp_path / "verifies")})
    assert eventually((tmp_path / "verifies").exists)
    done = tool.call("boot", "--lock-timeout", 1)
    started.terminate()
    started.wait(timeout=60)
    assert (done.returncode, done.stderr, tool.version()) == (0, "", 2)
    assert tool.status()["attempts"] == "1 of 3"


@pytest.mark.parametrize("what", ["a folder", "a pipe", "a link", "of nobody"])
def test_a_lock_of_another_kind_holds_up_no_start(tool: Any, make: Make, what: str) -> None:
    tool.take(make(1))
    lock = tool.store / "lock"
    lock.unlink()
    if what == "a folder":
        lock.mkdir()
    elif what == "a pipe":
        os.mkfifo(lock)
    elif what == "a link":
        lock.symlink_to("/nowhere")
    else:
        lock.touch(mode=0)
    assert "runs" in tool.done("boot")
    assert tool.version() == 1


@pytest.mark.parametrize("descriptors", [(1,), (0, 1), (0, 1, 2)], ids=str)
def test_closed_standard_files_are_not_mixed_up_with_the_store(
    tool: Any, make: Make, descriptors: tuple[int, ...], tmp_path: Path
) -> None:
    tool.take(make(1))
    tool.done("install", make(2))
    tool.damage(make(2))
    closed = " ".join(f"{one}>&-" for one in descriptors)
    for command in ("boot", "status"):
        words = " ".join(map(str, [tool.program, *tool.options(), command]))
        assert subprocess.run(["sh", "-c", f"{words} {closed}"], capture_output=True, check=False).returncode == 0
    assert tool.version() == 1
    assert tool.status()["confirmed"] == "yes"  # the state is whole
    assert (tool.store / "lock").read_bytes() == b""  # and nothing was said into another file


def test_a_status_that_cannot_be_written_is_no_success_and_a_start_is(tool: Any, make: Make) -> None:
    tool.take(make(1))
    for command, code in (("status", 1), ("boot", 0)):
        words = list(map(str, [tool.program, *tool.options(), command]))
        with Path("/dev/full").open("w") as full:
            assert subprocess.run(words, stdout=full, stderr=full, check=False).returncode == code


def test_a_key_that_is_a_pipe_is_not_waited_for(tool: Any, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = tool.call("boot", key=tmp_path / "pipe")
    assert done.returncode == 2
    assert "expected a PEM file" in done.stderr
