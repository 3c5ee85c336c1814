"""Several command lines at a time, each in a process forked from one that has imported the libraries.

A lane takes another's piece after seconds, and can be held after its first epoch: in the middle of a piece of work.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from support.programs import command_line

TIMEOUT_S = 120
BEAT_S, GRACE_S = 1, 3


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
        self._parent = subprocess.Popen(
            [sys.executable, "-m", "support.programs.lanes"],
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


def _serve() -> dict[str, Any] | None:
    """Answer requests; return a request in each process that is forked for one, and None in the first one at the end."""
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        if "wait" in request:
            answer = command_line.exit_code(request["wait"])
        else:
            answer = os.fork()
            if answer == 0:
                return request
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return None


def _set_up(request: dict[str, Any]) -> None:
    """Let a lane's silence be noticed sooner, and hold the lane where that is asked for."""
    from weckd_edge.train.distill.loop import engine
    from weckd_edge.train.tuning import shared_storage

    shared_storage.HEARTBEAT_S, shared_storage.GRACE_S = BEAT_S, GRACE_S
    real, held = engine._save, Path(request["held"])

    def save(*args: Any) -> None:
        real(*args)
        engine._save = real
        held.touch()
        while held.exists():
            time.sleep(0.02)

    if request["hold"]:
        engine._save = save


if __name__ == "__main__":
    command_line.import_libraries()
    import optuna  # noqa: F401
    import psycopg  # noqa: F401

    import weckd_edge.train.tuning.study
    import weckd_edge.train.tuning.tune  # noqa: F401

    request = _serve()
    if request is not None:
        _set_up(request)
        command_line.run(request)
