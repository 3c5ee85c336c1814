"""Several command lines at a time, each in a process forked from one that has imported the libraries.

A lane takes another's piece after seconds, and can be held after its first epoch: in the middle of a piece of work. What
torchrun starts can be such a process too: ``lane_of_torchrun.py``.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from support.programs import command_line

TIMEOUT_S = 120
BEAT_S, GRACE_S = 1, 3
HOLD = "WECKD_EDGE_TEST_HOLD"
"""Variable that names a file: a process of torchrun's that ends an epoch, and does not find it, writes its number there, and
waits until it is gone.
"""


@dataclass(frozen=True)
class Lane:
    """A command line that runs.

    Attributes:
        lanes: What started it.
        pid: Its process.
        folder: Folder of what it prints.
        held: File that is there while it is held.
    """

    lanes: Lanes
    pid: int
    folder: Path
    held: Path

    def wait_until_held(self) -> None:
        """Wait until it has ended its first epoch."""
        end = time.monotonic() + TIMEOUT_S
        while not self.held.exists():
            assert time.monotonic() < end, self.printed()
            time.sleep(0.02)

    def printed(self) -> tuple[str, str]:
        """Return what it has printed until now: stdout and stderr."""
        return (self.folder / "stdout").read_text(), (self.folder / "stderr").read_text()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end."""
        code = self.lanes.ask({"wait": self.pid})
        return subprocess.CompletedProcess([], code, *self.printed())


class Lanes:
    """Starts lanes, forked from one process that has imported the libraries."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.socket = Path(self._folder.name) / "socket"
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "support.programs.lanes", str(self.socket)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )

    def __enter__(self) -> Lanes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._parent.communicate(timeout=30)  # it ends where nothing more is asked of it
        self._folder.cleanup()

    def start(self, *args: str | Path, hold: bool = False) -> Lane:
        """Start a command line; with ``hold``, its first link ends only once the file ``Lane.held`` is removed."""
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        files = {name: str(folder / name) for name in ("stdout", "stderr", "held")}
        request = {"args": [str(one) for one in args], "cwd": str(Path.cwd()), "hold": hold, **files}
        return Lane(self, self.ask(request), folder, folder / "held")

    def ask(self, request: dict[str, Any]) -> int:
        """Send a request to the process that forks; return its answer."""
        assert self._parent.stdin is not None
        assert self._parent.stdout is not None
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        answer: int = json.loads(self._parent.stdout.readline())
        return answer


def _serve(listening: socket.socket) -> dict[str, Any] | None:
    """Answer requests; return a request in each process that is forked for one, and None in the first one at the end."""
    while True:
        ready, _, _ = select.select([sys.stdin, listening], [], [])
        if listening in ready:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                return _request_of_torchrun(connection)
            connection.close()
        if sys.stdin not in ready:
            continue
        line = sys.stdin.readline()
        if not line:
            return None
        request: dict[str, Any] = json.loads(line)
        if "wait" in request:
            answer = command_line.exit_code(request["wait"])
        else:
            answer = os.fork()
            if answer == 0:
                return request
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _request_of_torchrun(connection: socket.socket) -> dict[str, Any]:
    """Take the place of a process that torchrun has started: its network, its environment, its output and its end."""
    _, outputs, _, _ = socket.recv_fds(connection, 7, 2)
    request: dict[str, Any] = json.loads(connection.makefile().readline())
    network = Path(f"/proc/{request['pid']}/ns/net")
    if network.readlink() != Path("/proc/self/ns/net").readlink():
        with network.open("rb") as opened:
            assert ctypes.CDLL(None, use_errno=True).setns(opened.fileno(), 0) == 0, os.strerror(ctypes.get_errno())
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, output in enumerate(outputs, start=1):
        os.dup2(output, number)
    request |= {"held": os.environ.get(HOLD, ""), "connection": connection}

    def end_with_it() -> None:
        with contextlib.suppress(OSError):
            connection.recv(1)
        os._exit(137)

    threading.Thread(target=end_with_it, daemon=True).start()
    return request


def _set_up(request: dict[str, Any]) -> None:
    """Let a lane's silence be noticed sooner, and hold the lane where that is asked for."""
    from weckd_edge.train.distill.loop import engine
    from weckd_edge.train.tuning import shared_storage

    shared_storage.HEARTBEAT_S, shared_storage.GRACE_S = BEAT_S, GRACE_S
    real, held = engine._save, Path(request["held"])

    def save(*args: Any) -> None:
        real(*args)
        engine._save = real
        held.write_text(str(os.getpid()))
        while held.exists():
            time.sleep(0.02)

    if request.get("hold") or (request["held"] and "connection" in request and not held.exists()):
        engine._save = save


def _run(request: dict[str, Any]) -> None:
    """Run the command line of a request; tell what torchrun has started, if that asked for it, how it ended."""
    if "connection" not in request:
        command_line.run(request)
        return
    code: Any = 1
    try:
        command_line.run_here(request)
    except SystemExit as ended:
        code = ended.code or 0
    sys.stdout.flush()
    request["connection"].sendall(f"{code}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(sys.argv[1])
    listening.listen()  # who asks before the libraries are imported waits
    command_line.import_libraries(("torch", "torchvision", "timm", "lightning_fabric", "scipy.optimize", "PIL.Image"))
    import optuna  # noqa: F401

    with contextlib.suppress(ImportError):
        import psycopg  # noqa: F401
        import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

    import weckd_edge.cli.study
    import weckd_edge.cli.tune
    import weckd_edge.pipeline.build
    import weckd_edge.report.study_page
    import weckd_edge.train.tuning.study
    import weckd_edge.train.tuning.study_verdicts
    import weckd_edge.train.tuning.tune  # noqa: F401
    from weckd_edge.core.fingerprint import key_of
    from weckd_edge.train.tuning.shared_storage import open_study

    with open_study("sqlite://", "imports what Optuna imports late", 0):
        pass
    for module in ("tuning.study", "tuning.tune", "distill.trainer", "data.index"):
        key_of({}, f"weckd_edge.train.{module}")  # reads the code of what it imports, once
    request = _serve(listening)
    if request is not None:
        _set_up(request)
        _run(request)
