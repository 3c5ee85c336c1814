"""A real sshd on loopback, with its own host key, for keys alone, on a free port; and what stands for a broken device."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

SBIN = "/usr/sbin"


def missing() -> str | None:
    """Return why no sshd can be started here; None where one can."""
    for program in ("sshd", "ssh-keygen"):
        if shutil.which(program, path=f"{os.environ.get('PATH', '')}:{SBIN}") is None:
            return f"{program} is not installed (apt-get install openssh-server)"
    return None


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Write a private key and, beside it, its public half."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", path], check=True, capture_output=True)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Sshd:
    """One server; it answers at every address of 127.0.0.0/8 that is named.

    Args:
        folder: An empty one.
        client_keys: Public keys that may log in.
        addresses: Where it listens.
        environment: Variables of every command that it starts.
    """

    def __init__(
        self,
        folder: Path,
        client_keys: Sequence[Path],
        *,
        addresses: Sequence[str] = ("127.0.0.1",),
        environment: dict[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.port, self.addresses = folder, free_port(), addresses
        self.user = pwd.getpwuid(os.getuid()).pw_name
        self.host_key = make_key(folder / "host_key")
        allowed = folder / "authorized_keys"
        allowed.write_text("".join(key.with_suffix(".pub").read_text() for key in client_keys))
        allowed.chmod(0o600)
        self.devices_temporary = folder / "tmp"
        self.devices_temporary.mkdir()
        variables = {"TMPDIR": str(self.devices_temporary), **(environment or {})}
        lines = [
            *(f"ListenAddress {address}:{self.port}" for address in addresses),
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {allowed}",
            f"PidFile {folder / 'pid'}",
            "StrictModes no",
            "UsePAM no",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin prohibit-password",
            "MaxStartups 200",
            "SetEnv " + " ".join(f'"{name}={value}"' for name, value in variables.items()),
        ]
        (folder / "config").write_text("\n".join(lines) + "\n")
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:{SBIN}")
        assert sshd is not None
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen([sshd, "-D", "-e", "-f", folder / "config"], stderr=log, start_new_session=True)
        self._wait()

    def _wait(self) -> None:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex((self.addresses[0], self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"sshd did not start: {(self.folder / 'log').read_text()}")

    def host(self, address: str | None = None) -> str:
        return f"{self.user}@{address or self.addresses[0]}:{self.port}"

    def known_hosts(self, key: Path | None = None) -> Path:
        """Write a file that trusts this server's key, or another, at all its addresses."""
        kind, text = (key or self.host_key).with_suffix(".pub").read_text().split()[:2]
        path = self.folder / f"known_hosts_{(key or self.host_key).name}"
        path.write_text("".join(f"[{address}]:{self.port} {kind} {text}\n" for address in self.addresses))
        return path

    def left_behind(self) -> list[str]:
        """Return the folders that are left on the device."""
        return [path.name for path in self.devices_temporary.iterdir() if path.name.startswith("weckd-bench-")]

    def processes(self, word: str = "weckd-bench-") -> list[int]:
        """Return the processes of benches in this server's temporary folder, by their command line."""
        found = []
        for path in Path("/proc").iterdir():
            if path.name.isdigit():
                try:
                    line = (path / "cmdline").read_bytes().decode(errors="replace")
                except OSError:
                    continue
                if f"{self.devices_temporary}/{word}" in line:
                    found.append(int(path.name))
        return found

    def signal_connections(self, number: signal.Signals) -> None:
        """Signal the processes that serve logged-in clients; the server itself goes on."""
        for pid in self._children():
            os.kill(pid, number)

    def _children(self) -> list[int]:
        """Return every sshd process below the server, and none of the commands that they started."""
        found, parents = [], {self.process.pid}
        while parents:
            below = set()
            for path in Path("/proc").iterdir():
                if not path.name.isdigit():
                    continue
                try:
                    status = (path / "stat").read_text()
                except OSError:
                    continue
                name, _, rest = status.partition("(")[2].rpartition(")")
                if name.startswith("sshd") and int(rest.split()[1]) in parents:
                    below.add(int(path.name))
            found += sorted(below)
            parents = below
        return found

    def close(self) -> None:
        children = self._children()
        self.process.terminate()
        self.process.wait(10)
        for pid in children:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
