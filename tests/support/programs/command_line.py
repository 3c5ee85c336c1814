"""Run the command line many times, each in a process of its own that finds the libraries imported.

Importing torch, timm and OpenVINO takes longer than most of what the tests run. ``ImportedOnce`` starts one process that
imports them and then forks one process for each command: it has the files, signals and exit code of a process of its own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "lightning_fabric",
    "onnx",
    "onnxruntime",
    "openvino",
    "scipy.optimize",
    "PIL.Image",
)
TIMEOUT_S = 300


class ImportedOnce:
    """The command line, in processes forked from one that has imported the libraries."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._parent: subprocess.Popen[str] | None = None

    def __enter__(self) -> ImportedOnce:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._parent is not None:
            self._parent.communicate(timeout=30)  # it ends where nothing more is asked of it
        self._folder.cleanup()

    def __call__(self, *args: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the command line with arguments; return its exit code and what it printed.

        Raises:
            subprocess.TimeoutExpired: It took longer than ``TIMEOUT_S``.
        """
        if self._parent is None:
            environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
            self._parent = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
        given = [str(one) for one in args]
        stdout, stderr = (Path(self._folder.name) / name for name in ("stdout", "stderr"))
        request = {"args": given, "stdout": str(stdout), "stderr": str(stderr), "cwd": str(Path.cwd())}
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        code = json.loads(self._parent.stdout.readline())
        printed = [path.read_text(encoding="utf-8") for path in (stdout, stderr)]
        if code is None:
            raise subprocess.TimeoutExpired(given, TIMEOUT_S, *printed)
        return subprocess.CompletedProcess(given, code, *printed)


def _serve() -> dict[str, object] | None:
    """Fork a process for each request; return the request in that process, and None in the first one at the end."""
    for line in sys.stdin:
        request: dict[str, object] = json.loads(line)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # OpenBLAS has started threads, which can be forked
            child = os.fork()
        if child == 0:
            return request
        sys.stdout.write(json.dumps(exit_code(child)) + "\n")
        sys.stdout.flush()
    return None


def exit_code(child: int) -> int | None:
    """Wait for a process; return its exit code, the negative signal that ended it, or None where it took too long."""
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def run(request: dict[str, object]) -> None:
    """Run the command line of a request in this process, with its output in files."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, name in enumerate((os.devnull, str(request["stdout"]), str(request["stderr"]))):
        opened = os.open(name, flags if number else os.O_RDONLY, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    run_here(request)


def run_here(request: dict[str, object]) -> None:
    """Run the command line of a request in this process."""
    os.chdir(str(request["cwd"]))
    arguments = request["args"]
    assert isinstance(arguments, list)
    sys.argv = ["weckd-edge", *arguments]
    sys.path[0] = str(Path.cwd())
    runpy.run_module("weckd_edge", run_name="__main__", alter_sys=True)


def import_libraries(names: Sequence[str] = LIBRARIES) -> None:
    """Import libraries that the commands use, those that are installed."""
    from weckd_edge.cli.console.libraries import set_up_libraries
    from weckd_edge.core import telemetry

    set_up_libraries()
    telemetry.switch_off_telemetry()
    for name in names:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


if __name__ == "__main__":
    import_libraries()
    request = _serve()
    if request is not None:
        run(request)
