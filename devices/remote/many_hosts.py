"""Bench on several hosts at once, each by itself: none waits for another, and none stops another."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.progress import Progress, ProgressTask, SilentProgress
from weckd_edge.devices.bench.folder import BenchFolder
from weckd_edge.devices.remote.base import Access
from weckd_edge.devices.remote.bench_request import BenchRequest
from weckd_edge.devices.remote.device import Device
from weckd_edge.devices.remote.host_session import HostPlan, bench_host, run_limit_s
from weckd_edge.devices.remote.hosts import Host
from weckd_edge.devices.remote.payload import make_payload
from weckd_edge.devices.remote.records import HostResult
from weckd_edge.devices.runtime.backends.table import find_backend


@dataclass(frozen=True, kw_only=True, slots=True)
class HostLimits:
    """Limits of the number of hosts at once, and of the time of each.

    Attributes:
        jobs: Most hosts at once; the others wait. It bounds the work here, as each device times itself.
        timeout_s: Longest silence of a device, seconds; it speaks once a second.
        run_s: Longest duration of a device's whole run, seconds; None: what its rules can take on a slow device.
    """

    jobs: int = 16
    timeout_s: float = 30.0
    run_s: float | None = None

    def __post_init__(self) -> None:
        if self.jobs < 1 or self.timeout_s <= 0:
            raise ConfigError(
                f"expected jobs >= 1 and timeout > 0; got {self.jobs} and {self.timeout_s}", code="E_CONFIG_RANGE"
            )


DEFAULT_LIMITS = HostLimits()
"""Limits unless others are given."""


def bench_hosts(
    bundle: Bundle | None,
    hosts: Sequence[Host],
    request: BenchRequest,
    *,
    access: Access,
    limits: HostLimits = DEFAULT_LIMITS,
    out: Path | None = None,
    progress: Progress | None = None,
) -> tuple[HostResult, ...]:
    """Bench on every host.

    Args:
        bundle: Bundle that is sent; None where the request names a folder on the devices.
        hosts: The hosts, at least one.
        request: The bench that each device is asked for.
        access: Access to the hosts.
        limits: Limits of the number of hosts at once, and of the time of each.
        out: Folder with a folder for each host; None keeps nothing but what is returned.
        progress: Shows how many hosts are done; None shows nothing.

    Returns:
        One result a host, in their order; what went wrong on one is in its record.

    Raises:
        ConfigError: There is no host, or a setting of the request is wrong.
        StoreError: A folder holds a bench already.
    """
    if not hosts:
        raise ConfigError("expected at least one host, got none", code="E_CONFIG_RANGE")
    if (bundle is None) == (request.bundle is None):
        raise ConfigError(
            "expected either a bundle to send or a folder on the devices, got both or neither", code="E_CONFIG_CONFLICT"
        )
    if request.backend is not None:
        find_backend(request.backend)
    limit_s = run_limit_s(request) if limits.run_s is None else limits.run_s
    plan = HostPlan(request=request, payload=make_payload(bundle, request), timeout_s=limits.timeout_s, limit_s=limit_s)
    with tempfile.TemporaryDirectory(prefix="weckd-remote-") if out is None else nullcontext(str(out)) as top:
        folders = [Path(top) / host.folder for host in hosts]
        for folder in folders:
            BenchFolder(folder)
        devices = [Device(host, access, token=secrets.token_hex(8)) for host in hosts]
        with (progress or SilentProgress()).task(f"bench on {len(hosts)} hosts", total=len(hosts)) as task:
            found = asyncio.run(_all(devices, folders, plan, limits.jobs, task))
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
