"""Sessions over ssh by asyncssh; the one file that imports it."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from weckd_edge.core.errors import ConfigError, DeviceError
from weckd_edge.core.optional_imports import require
from weckd_edge.devices.remote.base import (
    MAX_FETCHED_BYTES,
    MAX_LINE_BYTES,
    Access,
    Finished,
    LostError,
    Process,
    RefusedError,
    Session,
)
from weckd_edge.devices.remote.hosts import SSH_PORT, Host

if TYPE_CHECKING:
    import asyncssh

_CHUNK = 1 << 16
_STDERR_KEPT = 8000
_CLOSE_S = 3.0


def load_asyncssh() -> Any:
    """Import asyncssh.

    Raises:
        MissingDependency: The library is absent or broken.
    """
    return require("asyncssh", "bench over ssh")


async def connect(host: Host, access: Access) -> Session:
    """Log in on a host, as ``base.Connect`` asks."""
    library = load_asyncssh()
    known = _known_hosts(library, access)
    shown: list[tuple[str, str, int, Any]] = []

    class Client(library.SSHClient):  # type: ignore[misc, name-defined]  # the library is imported late
        def validate_host_public_key(self, name: str, address: str, port: int, key: Any) -> bool:
            shown.append((name, address, port, key))
            return False

    options: dict[str, Any] = {}
    matched = known.match(host.name, "", host.port if host.port != SSH_PORT else None)
    if matched[0] and not matched[1]:
        # Kinds that are known first, but not alone: a device with a key of another kind is to be named, not hung up on.
        kinds = [alg for key in matched[0] for alg in key.sig_algorithms] + library.public_key.get_default_public_key_algs()
        options["server_host_key_algs"] = [alg.decode() for alg in dict.fromkeys(kinds)]
    if host.user is not None:
        options["username"] = host.user
    if host.port is not None:
        options["port"] = host.port
    if access.identity is not None:
        options |= {"client_keys": [str(access.identity)], "agent_path": None}
    try:
        connection = await library.connect(
            host.name,
            client_factory=Client,
            known_hosts=known,
            connect_timeout=access.connect_s,
            login_timeout=access.connect_s,
            keepalive_interval=access.keepalive_s,
            keepalive_count_max=3,
            preferred_auth="publickey",
            x11_forwarding=False,
            agent_forwarding=False,
            **options,
        )
    except library.HostKeyNotVerifiable as err:
        raise RefusedError(_untrusted(host, access, known, shown, str(err)), code="E_DEVICE_REMOTE_REFUSED") from err
    except library.PermissionDenied as err:
        tried = f"the key {access.identity}" if access.identity else "no key of the agent or of ~/.ssh"
        raise RefusedError(
            f"{host.text}: the login was refused: {tried} {'is not' if access.identity else 'is'} accepted there; put its "
            "public half into ~/.ssh/authorized_keys on the device, or name another with --identity FILE",
            code="E_DEVICE_REMOTE_REFUSED",
        ) from err
    except (library.KeyImportError, library.KeyEncryptionError) as err:
        raise ConfigError(
            f"{access.identity}: expected a private key without a passphrase ({err}); use ssh-agent for one",
            code="E_CONFIG_SSH",
        ) from err
    except (OSError, asyncio.TimeoutError, library.Error) as err:
        raise LostError(
            f"{host.text}: cannot be reached ({_words(err)}); is it on, and does ssh listen there?",
            code="E_DEVICE_REMOTE_LOST",
        ) from err
    return _Session(connection, host)


def _known_hosts(library: Any, access: Access) -> Any:
    found = library.import_known_hosts("")
    for path in access.known_hosts:
        try:
            found.load(path.read_text(encoding="utf-8", errors="surrogateescape"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as err:
            raise ConfigError(f"{path}: expected a file of known hosts ({err})", code="E_CONFIG_SSH") from err
    return found


def _entry(name: str, port: int) -> str:
    return name if port == SSH_PORT else f"[{name}]:{port}"


def _untrusted(host: Host, access: Access, known: Any, shown: list[tuple[str, str, int, Any]], why: str) -> str:
    if not shown:
        return f"{host.text}: its host key is not trusted ({why})"
    name, address, port, key = shown[-1]
    file, entry, fingerprint = shlex.quote(str(access.known_hosts[0])), _entry(name, port), key.get_fingerprint()
    line = f"{entry} {key.export_public_key().decode().strip()}"
    check = "compare it on the device: for f in /etc/ssh/ssh_host_*.pub; do ssh-keygen -lf $f; done"
    matched = known.match(name, address, port if port != SSH_PORT else None)
    if any(matched[:2]):
        return (
            f"{host.text}: the host key is NOT the one that is known: expected that of {file}, got {fingerprint}. Another "
            f"machine may be replying; {check}. If the device was set up anew: ssh-keygen -f {file} -R '{entry}'"
        )
    return f"{host.text}: the host key {fingerprint} is not known; {check}; then: echo '{line}' >> {file}"


def _words(err: BaseException) -> str:
    return str(err) or type(err).__name__


@contextmanager
def _as_lost(host: Host) -> Iterator[None]:
    """Turn asyncssh's errors of a broken connection into a ``LostError``."""
    library = load_asyncssh()
    try:
        yield
    except (library.Error, OSError) as err:
        raise LostError(f"the connection was lost ({_words(err)})", code="E_DEVICE_REMOTE_LOST") from err


class _Session:
    def __init__(self, connection: asyncssh.SSHClientConnection, host: Host) -> None:
        self._connection, self._host = connection, host
        key = connection.get_server_host_key()
        self.host_key = key.get_fingerprint() if key is not None else ""

    async def start(self, command: str) -> Process:
        with _as_lost(self._host):
            process = await self._connection.create_process(command, encoding=None, term_type=None)
        return _Process(process, self._connection, self._host)

    async def close(self) -> None:
        self._connection.close()
        try:
            await asyncio.wait_for(self._connection.wait_closed(), _CLOSE_S)
        except (asyncio.TimeoutError, OSError):
            self._connection.abort()


class _Process:
    def __init__(self, process: Any, connection: asyncssh.SSHClientConnection, host: Host) -> None:
        self._process, self._connection, self._host = process, connection, host
        self._stderr = self._unread = b""
        self._listener = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        """Read stderr all the time, so that a command with much to say there is never held up."""
        library = load_asyncssh()
        try:
            while data := await self._process.stderr.read(_CHUNK):
                self._stderr = (self._stderr + data)[-_STDERR_KEPT:]
        except (library.Error, OSError):
            return

    async def send(self, data: bytes) -> None:
        with _as_lost(self._host):
            try:
                for start in range(0, len(data), _CHUNK):
                    self._process.stdin.write(data[start : start + _CHUNK])
                    await self._process.stdin.drain()
            except BrokenPipeError:  # the command has ended; how, its reader will learn
                self._refuse_lost()

    async def line(self) -> bytes:
        with _as_lost(self._host):
            while b"\n" not in self._unread:
                if len(self._unread) > MAX_LINE_BYTES:
                    raise DeviceError(
                        f"{self._host.text}: it said a line of more than {MAX_LINE_BYTES >> 10} KiB",
                        code="E_DEVICE_REMOTE",
                    )
                data: bytes = await self._process.stdout.read(_CHUNK)
                if not data:
                    break
                self._unread += data
        line, end, self._unread = self._unread.partition(b"\n")
        if not line + end:
            self._refuse_lost()
        return line + end

    def last_error_line(self) -> str:
        return (self._stderr.decode(errors="replace").strip().splitlines() or [""])[-1]

    async def finish(self, sink: BinaryIO | None = None) -> Finished:
        maximum = MAX_LINE_BYTES if sink is None else MAX_FETCHED_BYTES
        stdout, self._unread = self._unread, b""
        came = len(stdout)
        if sink is not None:
            sink.write(stdout)
            stdout = b""
        with _as_lost(self._host):
            if not self._process.stdin.is_closing():
                with suppress(BrokenPipeError):
                    self._process.stdin.write_eof()
            while data := await self._process.stdout.read(_CHUNK):
                came += len(data)
                if came > maximum:
                    raise DeviceError(
                        f"{self._host.text}: expected at most {maximum >> 20} MiB from it, more came",
                        code="E_DEVICE_REMOTE",
                    )
                if sink is not None:
                    sink.write(data)
                else:
                    stdout += data
            await self._process.wait_closed()
        await self._listener
        code: int | None = self._process.exit_status
        if code is None and self._process.exit_signal is None:
            raise LostError("the connection was lost", code="E_DEVICE_REMOTE_LOST")
        return Finished(stdout=stdout, stderr=self._stderr.decode(errors="replace").strip(), code=code)

    def _refuse_lost(self) -> None:
        if self._connection.is_closed():
            raise LostError("the connection was lost", code="E_DEVICE_REMOTE_LOST")
