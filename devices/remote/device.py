"""A device over ssh: the agent's verbs as calls over one session, which is opened again where it is lost."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import tarfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, TypeVar

from weckd_edge.core.errors import DeviceError
from weckd_edge.core.store import explain_os_errors
from weckd_edge.devices.bench.folder import FRAME, NETWORK, POWER, RECORD, SAMPLES, STARTED
from weckd_edge.devices.remote.agent import MARK
from weckd_edge.devices.remote.base import Access, Finished, LostError, Process, Session
from weckd_edge.devices.remote.hosts import Host

T = TypeVar("T")

OLDEST_PYTHON = (3, 10)
WANTED = frozenset({RECORD, STARTED, SAMPLES, POWER, f"{FRAME}.ns.partial", f"{NETWORK}.ns.partial"})
"""Names of the files that are taken from a device; the page is written anew here, as it is opened here."""

LINGER_S = 60.0
"""Time that a device keeps the files of a bench for a host that has gone, seconds."""

_REPLY_S = 60.0
_FETCH_S = 600.0
SLOWEST_BYTES_PER_S = 50_000
"""Speed of the slowest connection over which a bundle is still sent, bytes a second."""

_AGAIN_S = 2.0
_LARGEST_GREETING = 1 << 16

_NEEDED = f"{OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]}"
_OLD = f"expected Python {_NEEDED} or newer, got"
_LOADER = (
    f'import sys; sys.version_info < {OLDEST_PYTHON} and sys.exit("{_OLD} %d.%d" % sys.version_info[:2]); '
    "n = int(sys.stdin.buffer.readline()); "
    'exec(compile(sys.stdin.buffer.read(n).decode(), "weckd-agent", "exec"), {"__name__": "__main__"})'
)
"""Program that loads the agent; every Python 3 can read it, so that one that is too old can say so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceState:
    """Interpreter, modules, free space and clock of a device.

    Attributes:
        python: Version of the interpreter.
        executable: Path of the interpreter.
        modules: Modules that can be found, of those asked for.
        temporary: Folder of temporary files.
        free_bytes: Free space in that folder, bytes.
        clock_offset_ns: Lead of the device's clock over the one here, nanoseconds.
        clock_uncertainty_ns: Uncertainty of that lead, nanoseconds: half the time of the question.
    """

    python: str
    executable: str
    modules: tuple[str, ...]
    temporary: str
    free_bytes: int
    clock_offset_ns: int
    clock_uncertainty_ns: int


class Device:
    """A device over ssh.

    Args:
        host: The host.
        access: Access to the host.
        token: Name of this run on the host.
    """

    def __init__(self, host: Host, access: Access, *, token: str) -> None:
        self.host, self.host_key = host, ""
        self._access, self._python, self._token = access, access.python, token
        self._session: Session | None = None
        self._source = (files("weckd_edge.devices.remote") / "agent.py").read_bytes()

    async def log_in(self) -> None:
        """Open a session in place of the last one.

        Raises:
            RefusedError: The host key is not trusted, or the login is refused.
            LostError: The host cannot be reached.
        """
        await self.leave()
        self._session = await self._access.connect(self.host, self._access)
        self.host_key = self._session.host_key

    async def leave(self) -> None:
        """Close the session, if there is one."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def look(self, modules: tuple[str, ...]) -> DeviceState:
        """Ask the device for its interpreter, modules, free space and clock.

        Args:
            modules: Names of modules to look for.

        Raises:
            DeviceError: The device has no Python, or one that is too old.
            LostError: The device does not reply.
        """
        process = await self._start("look", *modules)
        ready = await self._reply_to(process, b"")
        wall_ns, start_ns = time.time_ns(), time.monotonic_ns()
        found = await self._reply_to(process, b"\n") if ready else None
        took_ns = time.monotonic_ns() - start_ns
        self._checked(await _in_time(process.finish(), _REPLY_S, "reply"))
        if found is None:
            raise DeviceError(
                f"{self.host.text}: '{self._python}' said nothing there; is it a Python?", code="E_DEVICE_REMOTE_PYTHON"
            )
        try:
            return DeviceState(
                python=str(found["python"]),
                executable=str(found["executable"]),
                modules=tuple(map(str, found["modules"])),
                temporary=str(found["temporary"]),
                free_bytes=int(found["free_bytes"]),
                clock_offset_ns=int(found["wall_ns"]) - (wall_ns + took_ns // 2),
                clock_uncertainty_ns=took_ns // 2,
            )
        except (KeyError, TypeError, ValueError, OverflowError) as err:
            raise DeviceError(
                f"{self.host.text}: it does not reply as a device does ({type(err).__name__}: {err})",
                code="E_DEVICE_REMOTE",
            ) from err

    async def run(self, payload: bytes) -> Process:
        """Send a payload and start its bench.

        Raises:
            LostError: The device takes too long, or the connection broke.
        """
        limit_s = _REPLY_S + len(payload) / SLOWEST_BYTES_PER_S
        process = await self._start("run", self._token, str(LINGER_S))
        await _in_time(process.send(b"%d\n" % len(payload) + payload), limit_s, f"take {len(payload)} bytes")
        return process

    async def fetch(self, folder: Path) -> None:
        """Stop the bench, and fetch its files into a folder.

        Raises:
            LostError: The connection broke, or the files did not come whole.
            StoreError: The files cannot be written here.
        """
        with TemporaryFile() as packed:
            self._checked(await self._ask("fetch", self._token, sink=packed, limit_s=_FETCH_S))
            unpack_bench(packed, folder)

    async def remove(self) -> None:
        """Remove everything of the run from the device.

        Raises:
            DeviceError: Something could not be removed.
            LostError: The connection broke.
        """
        fields = self._checked(await self._ask("remove", self._token)).stdout.splitlines()
        left = [path for line in fields for path in (parse_line(line) or {}).get("left", ())]
        if left:
            raise DeviceError(
                f"{self.host.text}: could not be removed: {', '.join(map(str, left))}; remove it there",
                code="E_DEVICE_REMOTE",
            )

    async def log_in_again(self, within_s: float) -> None:
        """Log in again, trying for some seconds.

        Raises:
            LostError: The host cannot be reached.
            RefusedError: The host key is not trusted, or the login is refused.
        """
        end = time.monotonic() + within_s
        while True:
            try:
                return await self.log_in()
            except LostError:
                if time.monotonic() + _AGAIN_S > end:
                    raise
                await asyncio.sleep(_AGAIN_S)

    async def _start(self, verb: str, *arguments: str) -> Process:
        if self._session is None:
            raise LostError("the connection was lost", code="E_DEVICE_REMOTE_LOST")
        words = (self._python, "-c", _LOADER, verb, *arguments)
        process = await _in_time(self._session.start(" ".join(map(shlex.quote, words))), _REPLY_S, "start a command")
        await _in_time(process.send(b"%d\n" % len(self._source) + self._source), _REPLY_S, "read")
        return process

    @staticmethod
    async def _reply_to(process: Process, question: bytes) -> dict[str, Any] | None:
        """Return the agent's next reply, after whatever a login shell writes first; None where the agent has ended."""
        if question:
            await process.send(question)
        while line := await _in_time(process.line(), _REPLY_S, "reply"):
            found = parse_line(line)
            if found is not None:
                return found
        return None

    async def _ask(self, verb: str, *arguments: str, sink: BinaryIO | None = None, limit_s: float = _REPLY_S) -> Finished:
        process = await self._start(verb, *arguments)
        return await _in_time(process.finish(sink), limit_s, f"reply to '{verb}'")

    def _checked(self, done: Finished) -> Finished:
        if done.code == 0:
            return done
        last = (done.stderr.splitlines() or [f"exit code {done.code}"])[-1]
        if done.code in (126, 127):
            what = f"expected Python as '{self._python}', found none ({last})"
        elif _OLD in last:
            what = f"'{self._python}': {last}"
        else:
            raise DeviceError(f"{self.host.text}: '{self._python}' failed there ({last})", code="E_DEVICE_REMOTE_PYTHON")
        raise DeviceError(
            f"{self.host.text}: {what}; install Python {_NEEDED} or newer there, or name one with --remote-python PATH",
            code="E_DEVICE_REMOTE_PYTHON",
        )


async def _in_time(work: Coroutine[Any, Any, T], limit_s: float, what: str) -> T:
    try:
        return await asyncio.wait_for(work, limit_s)
    except asyncio.TimeoutError as err:
        raise LostError(f"it did not {what} within {limit_s:.0f} s", code="E_DEVICE_REMOTE_LOST") from err


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Return the fields of a line of the agent or the bench; None where the line is from something else."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def unpack_bench(packed: BinaryIO, folder: Path) -> None:
    """Unpack the files that a bench may have, and nothing else, from the tar of a device.

    Raises:
        LostError: The tar is not whole.
        StoreError: A file cannot be written here.
    """
    packed.seek(0)
    start = packed.read(_LARGEST_GREETING).find(MARK)
    if start < 0:
        raise LostError("what the device has measured did not come", code="E_DEVICE_REMOTE_LOST")
    packed.seek(start + len(MARK))
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with tarfile.open(fileobj=packed, mode="r|") as archive:
                for member in archive:
                    if member.issparse():  # a few bytes that stand for any number of zeros
                        raise LostError(
                            f"what the device has measured did not come whole ('{member.name}' has holes)",
                            code="E_DEVICE_REMOTE_LOST",
                        )
                    data = archive.extractfile(member) if member.isfile() and member.name in WANTED else None
                    if data is not None:
                        with (folder / member.name).open("wb") as file:
                            shutil.copyfileobj(data, file)
        except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as err:
            raise LostError(f"what the device has measured did not come whole ({err})", code="E_DEVICE_REMOTE_LOST") from err
