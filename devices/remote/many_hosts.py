"""Several hosts at once, each by itself: none waits for another, and none stops another."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import Progress, ProgressTask, SilentProgress
from weckd_edge.devices.bench.folder import BenchFolder
from weckd_edge.devices.remote.base import Access, Connect
from weckd_edge.devices.remote.bench_request import BenchRequest
from weckd_edge.devices.remote.device import Device
from weckd_edge.devices.remote.host_session import HostPlan, bench_host, run_limit_s
from weckd_edge.devices.remote.hosts import Host
from weckd_edge.devices.remote.payload import make_payload
from weckd_edge.devices.remote.records import HostResult
from weckd_edge.devices.runtime.backends.table import find_backend

PATIENCE_S = 30.0
AT_ONCE = 16


def bench_hosts(
    bundle: Bundle | None,
    hosts: Sequence[Host],
    *,
    request: BenchRequest,
    access: Access,
    connect: Connect,
    out: Path | None = None,
    python: str = "python3",
    jobs: int = AT_ONCE,
    timeout_s: float = PATIENCE_S,
    limit_s: float | None = None,
    progress: Progress | None = None,
) -> tuple[HostResult, ...]:
    """Bench on every host.

    Args:
        bundle: What is sent; None where the job names a folder on the devices.
        hosts: Where.
        request: What is measured.
        access: How to log in.
        connect: Logs in; ``asyncssh_backend.connect``.
        out: Folder with a folder for each host; None: nothing is kept but what is returned.
        python: Interpreter on the devices.
        jobs: How many hosts are visited at once; the others wait. It bounds the work here: each device times itself.
        timeout_s: How long a device may be silent.
        limit_s: How long its run may take; None: what its rules can take on a slow device.
        progress: Where to show it.

    Returns:
        One result a host, in their order; what went wrong on one is in its record.

    Raises:
        ConfigError: There is no host, or a setting of the job is wrong.
        StoreError: A folder holds a bench already.
    """
    if not hosts or jobs < 1 or timeout_s <= 0:
        raise ConfigError(
            f"expected a host, jobs >= 1 and patience > 0; got {len(hosts)}, {jobs} and {timeout_s}",
            code="E_CONFIG_RANGE",
        )
    if (bundle is None) == (request.bundle is None):
        raise ConfigError(
            "expected either a bundle to send or a folder on the devices, got both or neither", code="E_CONFIG_CONFLICT"
        )
    if request.backend is not None:
        find_backend(request.backend)
    limit_s = run_limit_s(request) if limit_s is None else limit_s
    plan = HostPlan(request=request, payload=make_payload(bundle, request), timeout_s=timeout_s, limit_s=limit_s)
    with tempfile.TemporaryDirectory(prefix="weckd-remote-") if out is None else nullcontext(str(out)) as top:
        folders = [Path(top) / host.folder for host in hosts]
        for folder in folders:
            BenchFolder(folder)
        devices = [Device(host, access, connect, python=python, token=secrets.token_hex(8)) for host in hosts]
        with (progress or SilentProgress()).task(f"bench on {len(hosts)} hosts", total=len(hosts)) as task:
            found = asyncio.run(_all(devices, folders, plan, jobs, task))
    return tuple(replace(result, folder=None) for result in found) if out is None else found


async def _all(
    devices: Sequence[Device], folders: Sequence[Path], plan: HostPlan, jobs: int, task: ProgressTask
) -> tuple[HostResult, ...]:
    free = asyncio.Semaphore(jobs)

    async def one(device: Device, folder: Path) -> HostResult:
        async with free:
            found = await bench_host(device, plan, folder)
        task.advance()
        return found

    found = await asyncio.gather(*map(one, devices, folders), return_exceptions=True)
    for result in found:
        if isinstance(result, BaseException):  # a defect of ours: the others have had their time all the same
            raise result
    return tuple(result for result in found if not isinstance(result, BaseException))
