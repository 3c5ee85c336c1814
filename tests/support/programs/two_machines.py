"""Two network namespaces with a cable between them stand for two machines, on each of which ``torchrun`` can be started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

ADDRESSES = {"a": ("10.213.77.4",), "b": ("10.213.77.6", "10.213.77.2")}
"""Addresses of the machines. torchrun numbers them in the order of the addresses: the second one of b comes before a's."""
PORT = 29533
SHIM = Path(__file__).with_name("lane_of_torchrun.py")


def missing() -> str | None:
    """Return why there can be no such machines here; None where there can be."""
    if shutil.which("ip") is None:
        return "iproute2 is not installed (apt-get install iproute2)"
    if os.getuid() != 0:
        return "only root makes network namespaces"
    name = f"weckd{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    return f"no network namespace can be made here: {made.stderr.strip()}" if made.returncode else None


@dataclass(frozen=True)
class Started:
    """torchrun on one machine.

    Attributes:
        machine: Name of the machine.
        process: The launcher.
        log: File of what it and its processes print.
    """

    machine: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait(self) -> None:
        """Wait for its end, which is to be a good one."""
        assert self.process.wait(timeout=240) == 0, self.log.read_text()[-4000:]


class TwoMachines:
    """The two machines, ``a`` and ``b``, as long as the block lasts."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Started] = []

    def __enter__(self) -> TwoMachines:
        for name in ADDRESSES:
            self._ip("netns", "add", self._space(name))
        ends = [("name", f"cable-{name}", "netns", self._space(name)) for name in ADDRESSES]
        self._ip("link", "add", *ends[0], "type", "veth", "peer", *ends[1])
        for name, addresses in ADDRESSES.items():
            for address in addresses:
                self._ip("-n", self._space(name), "address", "add", f"{address}/24", "dev", f"cable-{name}")
            for device in ("lo", f"cable-{name}"):
                self._ip("-n", self._space(name), "link", "set", device, "up")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for name in ADDRESSES:
            self.kill(name)
            self._ip("netns", "delete", self._space(name))

    def torchrun(self, name: str, lanes: Path, *args: str | Path, first: bool = False, **environment: str) -> Started:
        """Start torchrun on a machine; machine a holds the rendezvous.

        Args:
            name: Name of the machine.
            lanes: Socket through which its processes are had.
            args: Arguments of the command line.
            first: Whether it gives the address by which it is the first machine.
            environment: Further variables.
        """
        host = f"is_host={int(name == 'a')},keep_alive_interval=1,join_timeout=120"
        launcher = [
            *(
                sys.executable,
                "-m",
                "torch.distributed.run",
                "--nnodes",
                "2",
                "--nproc-per-node",
                "1",
                "--max-restarts",
                "2",
            ),
            *("--rdzv-backend", "c10d", "--rdzv-id", "test", "--rdzv-endpoint", f"{ADDRESSES['a'][0]}:{PORT}"),
            *("--rdzv-conf", host, "--local-addr", ADDRESSES[name][-1 if first else 0]),
            *("--no-python", sys.executable, "-S", "-E", str(SHIM), str(lanes)),
        ]
        log = self.folder / f"{name}{len(self._started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self._space(name), *launcher, *map(str, args)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={
                    **os.environ,
                    "GLOO_SOCKET_IFNAME": f"cable-{name}",
                    "OMP_NUM_THREADS": "1",
                    "PWD": str(self.folder),
                    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
                    **environment,
                },
            )
        self._started.append(Started(name, process, log))
        return self._started[-1]

    def kill(self, name: str) -> None:
        """End all that runs on a machine at once, as where it loses its power."""
        for pid in self._ip("netns", "pids", self._space(name)).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for started in self._started:
            if started.machine == name:
                started.process.wait(timeout=30)

    def _space(self, name: str) -> str:
        return f"weckd{os.getpid()}{name}"

    def _ip(self, *args: str) -> str:
        done = subprocess.run(["ip", *args], check=False, capture_output=True, text=True)
        assert done.returncode == 0, f"ip {' '.join(args)}: {done.stderr}"
        return done.stdout
