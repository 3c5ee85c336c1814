"""What the course of a bench needs of an ssh library: a session that runs commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.remote.hosts import Host

MAX_LINE_BYTES = 1 << 20
"""Of a line that a device may say, and of all it may say beside what is fetched."""

MAX_FETCHED_BYTES = 256 << 20
"""Of what a bench has written: some millions of times."""


class RefusedError(DeviceError):
    """The host cannot be reached, is not the one that is known, or does not let us in; trying again would not help."""


class LostError(DeviceError):
    """The connection broke, or a command did not answer in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """How hosts are reached, the same for all of them.

    Attributes:
        connect: Logs in on a host; ``asyncssh_backend.connect``.
        known_hosts: Files with the host keys that are trusted; a missing file holds none. The first is named where a key is
            not known.
        identity: Private key file; None: the agent's keys, and those that ssh would try.
        python: Interpreter on the hosts: a name on their path, or a path.
        connect_s: Longest time for reaching a host, and again for logging in, seconds.
        keepalive_s: Time between two questions to a silent host whether it is there, seconds. A host that leaves three of
            them open is lost.
    """

    connect: Connect
    known_hosts: tuple[Path, ...]
    identity: Path | None = None
    python: str = "python3"
    connect_s: float = 15.0
    keepalive_s: float = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """A command that has ended.

    Attributes:
        stdout: What it wrote, unless that went to a file.
        stderr: The last of what it complained about.
        code: Exit code; None where a signal ended it.
    """

    stdout: bytes
    stderr: str
    code: int | None


class Process(Protocol):
    """A command under way on a host."""

    async def send(self, data: bytes) -> None:
        """Write to its stdin, which stays open; nothing happens where the command has ended.

        Raises:
            LostError: The connection broke.
        """

    async def line(self) -> bytes:
        """Return the next line of its stdout; empty at its end.

        Raises:
            DeviceError: It is longer than ``MAX_LINE_BYTES``.
            LostError: The connection broke.
        """

    def complaint(self) -> str:
        """Return the last line of its stderr so far."""

    async def finish(self, sink: BinaryIO | None = None) -> Finished:
        """Close its stdin and wait for its end.

        Args:
            sink: Where its stdout goes.

        Raises:
            DeviceError: It says more than ``MAX_LINE_BYTES``, or sends more than ``MAX_FETCHED_BYTES`` to the sink.
            LostError: The connection broke.
        """


class Session(Protocol):
    """One login on a host."""

    @property
    def host_key(self) -> str:
        """The key the host has shown, as its SHA-256."""

    async def start(self, command: str) -> Process:
        """Start a command.

        Raises:
            LostError: The connection broke, or the host starts no command.
        """

    async def close(self) -> None:
        """Leave; a command that is under way sees the end of its stdin."""


class Connect(Protocol):
    """Logs in."""

    async def __call__(self, host: Host, access: Access) -> Session:
        """Return a session.

        Raises:
            RefusedError: The host key is unknown or another than the known one, or the login is refused.
            LostError: The host cannot be reached.
        """
