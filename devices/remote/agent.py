"""Agent that runs on the device first: standard library alone, sent as text, so that nothing need be installed there.

It has four verbs, each a process of its own. ``look`` tells what the device has. ``run`` unpacks the payload, starts the
bench and guards it: once the host has gone, it stops the bench, and removes the folder if the host does not come back for
it. ``fetch`` sends the files of the bench, ``remove`` leaves nothing of a run. Replies are JSON lines on stdout, but for
``fetch``, which sends a tar.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Any

PREFIX = "weckd-bench-"
CODE, OUT = "code", "out"
MARK = b'{"tar": true}\n'
"""Mark before a tar, as a login shell may have written something first."""

_CHILD = "import sys; sys.path.insert(0, sys.argv[1]); from weckd_edge.devices.remote.on_device import main; main()"
_POLL_S = 0.2


def main(arguments: list[str]) -> None:
    """Run the verb that the first argument names."""
    verb, *rest = arguments
    if verb == "look":
        _write_line(look(rest))
    elif verb == "run":
        run(rest[0], float(rest[1]))
    elif verb == "fetch":
        fetch(rest[0])
    else:
        remove(rest[0])


def _write_line(fields: dict[str, Any]) -> None:
    """Write one JSON line; its reader may have gone."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(fields) + "\n")
        sys.stdout.flush()


def look(modules: list[str]) -> dict[str, Any]:
    """Return the device's Python, those of some modules that it has, its free space and the time of its clock."""
    temporary = tempfile.gettempdir()
    _write_line({"ready": True})  # an interpreter takes long to start: the clock is asked once it has
    sys.stdin.buffer.readline()
    wall_ns = time.time_ns()
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "modules": [name for name in modules if importlib.util.find_spec(name) is not None],
        "temporary": temporary,
        "free_bytes": shutil.disk_usage(temporary).free,
        "wall_ns": wall_ns,
    }


def run(token: str, linger_s: float) -> None:
    """Unpack the payload from stdin, run its bench, and guard both.

    Args:
        token: Name of this run, which is part of the folder's name.
        linger_s: Time that the folder is kept for the host to fetch it once stdin has ended, seconds.
    """
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, _leave)
    size = int(sys.stdin.buffer.readline() or 0)
    folder = tempfile.mkdtemp(prefix=f"{PREFIX}{token}-")
    child = None
    try:
        try:
            _unpack(_Part(sys.stdin.buffer, size), folder)
        except (OSError, EOFError, tarfile.TarError) as err:
            _write_line({"error": f"{folder}: what was sent cannot be unpacked ({err}); make room there and run it again"})
            return
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD, os.path.join(folder, CODE), folder],  # noqa: PTH118 - a text for a command line
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=folder,
        )
        _write_line({"folder": folder})
        gone = threading.Event()
        threading.Thread(target=_wait_for_the_end_of_stdin, args=(child.pid, gone), daemon=True).start()
        _write_line({"ended": child.wait()})
        left_s = linger_s
        while os.path.isdir(folder) and left_s > 0:  # noqa: PTH112 - no pathlib needed for one question
            time.sleep(_POLL_S)
            left_s -= _POLL_S if gone.is_set() else 0
    finally:
        if child is not None:
            _kill_group(child.pid)
        shutil.rmtree(folder, ignore_errors=True)


def _leave(number: int, frame: object) -> None:
    raise InterruptedError(f"signal {number}")


def _wait_for_the_end_of_stdin(pid: int, gone: threading.Event) -> None:
    while os.read(0, 1):  # not by sys.stdin, whose lock would be in the way of leaving
        pass
    gone.set()
    _kill_group(pid)


class _Part:
    """Reader of the next bytes of a stream, and not one more."""

    def __init__(self, stream: io.BufferedIOBase | Any, size: int) -> None:
        self._stream, self._left = stream, size

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data

    def finish(self) -> None:
        """Read to the end of the part.

        Raises:
            EOFError: The stream ended before the part did.
        """
        while self._left:
            if not self.read(1 << 16):
                raise EOFError("the connection ended before the whole of it had come")


def _unpack(part: _Part, folder: str) -> None:
    with tarfile.open(fileobj=part, mode="r|gz") as archive:  # type: ignore[call-overload]  # all it needs is read()
        for member in archive:
            archive.extract(member, folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    part.finish()


def _folders(token: str) -> Iterator[str]:
    temporary = tempfile.gettempdir()
    for name in os.listdir(temporary):  # noqa: PTH208 - names are all that is wanted
        if name.startswith(f"{PREFIX}{token}-"):
            yield os.path.join(temporary, name)  # noqa: PTH118 - plain paths, without pathlib


def _kill_group(pid: int) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)


def stop(word: str) -> None:
    """Kill every process of this user with a word on its command line, but for this one and its shell."""
    spared = (str(os.getpid()), str(os.getppid()))
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is wanted
        if not name.isdigit() or name in spared:
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/cmdline", "rb") as file:  # noqa: PTH123 - plain paths, without pathlib
                ours = word.encode() in file.read()
            if ours:
                os.kill(int(name), signal.SIGKILL)


def fetch(token: str) -> None:
    """Stop the bench and send its files as a tar; its guard goes on."""
    stop(f"{PREFIX}{token}-")
    sys.stdout.buffer.write(MARK)
    with tarfile.open(fileobj=sys.stdout.buffer, mode="w|") as archive:
        for folder in _folders(token):
            out = os.path.join(folder, OUT)  # noqa: PTH118 - plain paths, without pathlib
            for name in sorted(os.listdir(out)) if os.path.isdir(out) else ():  # noqa: PTH112, PTH208 - plain paths, without pathlib
                archive.add(os.path.join(out, name), arcname=name, recursive=False)  # noqa: PTH118 - plain paths, without pathlib
    sys.stdout.flush()


def remove(token: str) -> None:
    """Remove every process and every file of a run."""
    stop(token)
    for folder in _folders(token):
        shutil.rmtree(folder, ignore_errors=True)
    _write_line({"left": list(_folders(token))})


if __name__ == "__main__":
    main(sys.argv[1:])
