"""Whatever a command fails by, it ends in one line that says what to do, also where nobody can hear it."""

from __future__ import annotations

import errno
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest

from weckd_edge.cli.main import COMMANDS, Entry
from weckd_edge.cli.parsing.parameter_types import THREADS, AnyPath, FiniteRange

Run = Callable[..., tuple[int, str, str]]


def try_command(monkeypatch: pytest.MonkeyPatch, does: Callable[[], object]) -> None:
    monkeypatch.setitem(sys.modules, "weckd_edge_try", SimpleNamespace(command=click.command("try")(lambda: does())))
    monkeypatch.setitem(COMMANDS, "try", Entry("weckd_edge_try", "Try."))


def nested(depth: int) -> object:
    return nested(depth + 1)


def no_memory() -> object:
    import numpy as np

    return np.zeros((1 << 40, 1 << 10))


def torch_without_memory() -> object:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried")


def os_error(number: int, name: str | None = None) -> Callable[[], object]:
    def does() -> object:
        raise OSError(number, os.strerror(number), name)

    return does


def no_module() -> object:
    return importlib.import_module("weckd_edge_that_is_not_there")


@pytest.mark.parametrize(
    ("does", "said"),
    [
        (lambda: nested(0), "nested too deeply"),
        (no_memory, "out of memory (Unable to allocate"),
        (torch_without_memory, "out of memory ("),
        (no_module, "the installation is not whole"),
        (os_error(errno.EACCES, "/x/y"), "/x/y: not allowed (Permission denied); change its permissions"),
        (os_error(errno.ENOENT, "/x/y"), "/x/y: No such file or directory"),
        (os_error(errno.ENAMETOOLONG, "/x/y"), "/x/y: the name is too long"),
        (os_error(errno.EMFILE, "/x/y"), "ulimit -n"),
        (os_error(errno.ENOSPC), "the output or a file: no space left to write"),
        (os_error(errno.EIO), "the output or a file: Input/output error"),
    ],
)
def test_what_the_system_refuses_is_one_line(
    does: Callable[[], object], said: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_command(monkeypatch, does)
    code, out, err = run("try")
    assert (code, out) == (1, "")
    assert err.startswith("error[E_SYSTEM_")
    assert said in err
    assert err.count("\n") == 1


def test_the_traceback_is_shown_to_who_asks_for_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    try_command(monkeypatch, lambda: nested(0))
    with caplog.at_level("INFO", logger="weckd_edge.cli.main"):
        run("try")
    assert "RecursionError" in caplog.text


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command.replace("weckd-edge", f"{sys.executable} -m weckd_edge")],
        capture_output=True, text=True, timeout=60, check=False, cwd=folder,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        (
            ">&-",
            "error[E_SYSTEM_OUTPUT]: stdout is closed, so that no result could be printed; send it to a file, or to "
            "/dev/null\n",
        ),
        (
            ">/dev/full",
            "error[E_SYSTEM_FILE]: the output or a file: no space left to write (No space left on device); free some "
            "space, then run again\n",
        ),
    ],
)
def test_a_stdout_that_takes_nothing_is_reported_in_one_line(redirection: str, said: str, tmp_path: Path) -> None:
    done = shell(f"weckd-edge devices show generic-x86 --json {redirection}", tmp_path)
    assert (done.returncode, done.stderr) == (1, said)


def test_a_closed_stderr_changes_neither_the_data_nor_the_exit_code(tmp_path: Path) -> None:
    """A file that is opened must not take the number of stderr, where libraries would write into it."""
    done = shell("weckd-edge data synth --images 20 --size 32x40 --out set 2>&- <&-", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "set: 20 synthetic frames of 6 drawn ears (not medical images)\n"
    done = shell("weckd-edge data check none 2>&-", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_a_name_that_the_terminal_cannot_show_is_printed_as_an_escape(tmp_path: Path) -> None:
    done = shell(
        "PYTHONIOENCODING=utf-8 weckd-edge data synth --images 20 --size 32x40 -q --out $'ohr-\\xc3\\xa4\\xff'", tmp_path
    )
    assert done.returncode == 0
    assert done.stdout.startswith("ohr-ä\\udcff: 20 synthetic frames")


OPTIONS = ("--model", "m", "--model-options")


def parameters() -> Iterator[tuple[str, click.Parameter]]:
    for name in COMMANDS:
        command = importlib.import_module(COMMANDS[name].module).command
        below = command.commands.values() if isinstance(command, click.Group) else ()
        for one in (command, *below):
            for parameter in one.params:
                yield f"{name} {one.name} {parameter.name}", parameter


def test_every_number_that_a_command_takes_has_bounds_and_no_path_may_be_empty() -> None:
    """An empty path would be the current folder; a number of 26 digits, or "nan", fails somewhere in a library."""
    seen = []
    for where, parameter in parameters():
        kind = parameter.type
        if isinstance(kind, click.Path):
            assert isinstance(kind, AnyPath), where
        elif isinstance(kind, click.IntRange | click.FloatRange):
            assert kind.max is not None, where
            assert kind.min is not None, where
            assert not isinstance(kind, click.FloatRange) or isinstance(kind, FiniteRange), where
        else:
            assert kind.name not in ("integer", "float"), where
        seen.append(kind)
    assert THREADS in seen


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("data", "check", ""), "expected a path, got an empty text"),
        (("build", "--data", "x", "--target", "cpu", "--out", ""), "expected a path, got an empty text"),
        (("build", "--data", "x", "--target", "cpu", "--out", "b", "--seed", "-1"), "-1 is not in the range"),
        (("build", "--data", "x", "--target", "cpu", "--out", "b", "--seed", "9" * 26), "is not in the range"),
        (("data", "synth", "--out", "p", "--seed", "9" * 26), "is not in the range"),
        (("data", "synth", "--out", "p", "--images", "9" * 26), "is not in the range"),
        (("data", "synth", "--out", "p", "--size", f"{'9' * 5000}x32"), "expected height and width"),
        (("build", "--data", "x", "--target", "cpu", "--out", "b", "--links", f"a@{'9' * 5000}"), "expected model["),
        (("bench", "x", "--margin", "nan"), "expected a finite number"),
        (("predict", "b", "x", "--threads", "9" * 26), "is not in the range"),
        (("compile", "x.pth", "--data", "x", "--target", "cpu", "--out", "b", *OPTIONS, "[" * 30000), "expected JSON"),
    ],
)  # fmt: skip
def test_a_number_or_a_text_that_nothing_can_be_done_with_is_a_wrong_request(
    args: tuple[str, ...], said: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
    assert list(tmp_path.iterdir()) == []


def test_json_is_not_described_as_an_object_where_a_list_is_printed(run: Run) -> None:
    _, out, _ = run("predict", "--help")
    assert "one JSON object" not in " ".join(out.split())
    assert "Print JSON on stdout, nothing else." in " ".join(out.split())
