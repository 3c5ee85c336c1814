"""Contract of an ssh library for a bench: a session that runs commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.remote.hosts import Host

MAX_LINE_BYTES = 1 << 20
"""Largest line from a device, and largest output of a command that fetches nothing, bytes."""

MAX_FETCHED_BYTES = 256 << 20
"""Largest size of the files of a bench that are fetched, bytes: some millions of times."""


class RefusedError(DeviceError):
    """The host has an unknown key or another than the known one, or refuses the login; trying again would not help."""


class LostError(DeviceError):
    """The connection broke, the host cannot be reached, or a command did not reply in time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """Access to hosts, the same for all of them.

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
    """Result of a command that has ended.

    Attributes:
        stdout: Output of the command; empty where that went to a file.
        stderr: Last part of its error output.
        code: Exit code; None where a signal ended the command.
    """

    stdout: bytes
    stderr: str
    code: int | None


class Process(Protocol):
    """A command that runs on a host."""

    async def send(self, data: bytes) -> None:
        """Write to the command's stdin, which stays open; nothing happens where the command has ended.

        Raises:
            LostError: The connection broke.
        """

    async def line(self) -> bytes:
        """Return the next line of the command's stdout; empty at its end.

        Raises:
            DeviceError: The line is longer than ``MAX_LINE_BYTES``.
            LostError: The connection broke.
        """

    def last_error_line(self) -> str:
        """Return the last line of the command's stderr so far; empty where there is none."""

    async def finish(self, sink: BinaryIO | None = None) -> Finished:
        """Close the command's stdin and wait for its end.

        Args:
            sink: File that takes its stdout; None returns it.

        Raises:
            DeviceError: The command writes more than ``MAX_LINE_BYTES``, or more than ``MAX_FETCHED_BYTES`` to the sink.
            LostError: The connection broke.
        """


class Session(Protocol):
    """One login on a host."""

    @property
    def host_key(self) -> str:
        """SHA-256 of the key that the host has shown."""

    async def start(self, command: str) -> Process:
        """Start a command.

        Raises:
            LostError: The connection broke, or the host starts no command.
        """

    async def close(self) -> None:
        """Close the session; a running command sees the end of its stdin."""


class Connect(Protocol):
    """Function that logs in on a host."""

    async def __call__(self, host: Host, access: Access) -> Session:
        """Log in and return a session.

        Raises:
            RefusedError: The host key is unknown or another than the known one, or the login is refused.
            LostError: The host cannot be reached.
        """
