"""Bench on one host: look, send, run and listen, fetch, remove. Errors that a user can act on end in its record."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from pathlib import Path

from weckd_edge.artifacts import Measurement
from weckd_edge.core.errors import DeviceError, WeckdError
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import write_atomic
from weckd_edge.devices.bench.folder import RECORD, STARTED, close_cut_off, read_bench
from weckd_edge.devices.remote.base import LostError, Process
from weckd_edge.devices.remote.bench_request import BenchRequest
from weckd_edge.devices.remote.device import SLOWEST_BYTES_PER_S, Device, DeviceState, parse_line
from weckd_edge.devices.remote.records import HOST_FILE, HostRecord, HostResult
from weckd_edge.devices.runtime.backends.table import BACKENDS

logger = logging.getLogger(__name__)

_SLOWEST_QUERY_S = 2.0
_OPENING_S = 300.0
"""Longest time for opening a model twice and its first prediction on a slow device, seconds."""

_FINALIZE_S = 3600.0
"""Longest time for choosing what a slow device runs of a bundle, seconds."""

_COME_BACK_S = 30.0
_CLEAN_S = 15.0
_SPACE = 3
"""Disk space that a payload and the files of its bench need on the device, as a multiple of the payload's size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostPlan:
    """Plan of a bench, the same for every host.

    Attributes:
        request: The bench that a device is asked for.
        payload: Packed code, bundle and request.
        timeout_s: Longest silence of a device, seconds; it speaks once a second.
        limit_s: Longest duration of its whole run, seconds.
    """

    request: BenchRequest
    payload: bytes
    timeout_s: float
    limit_s: float


def run_limit_s(request: BenchRequest) -> float:
    """Return the longest duration of a bench by its rules on a very slow device, seconds."""
    end_to_end, network = request.settings.end_to_end_rules(), request.settings.network_rules()
    total_s = _OPENING_S + end_to_end.idle_seconds + (_FINALIZE_S if request.finalize else 0.0)
    for rules in (end_to_end, network):
        longest_s = max(rules.min_seconds, rules.min_queries * _SLOWEST_QUERY_S)
        total_s += rules.warmup * _SLOWEST_QUERY_S + (longest_s if rules.max_seconds is None else 2 * rules.max_seconds)
    return total_s


async def bench_host(device: Device, plan: HostPlan, folder: Path) -> HostResult:
    """Bench on one host.

    Args:
        device: The host, not logged in yet.
        plan: The plan of the bench.
        folder: Folder that keeps the bench; it is made where it is missing.

    Returns:
        Result of the host; an error that a user can act on is in its record.
    """
    state: DeviceState | None = None
    trouble: str | None = None
    try:
        await device.log_in()
        state = await device.look(("numpy", *(row.library for row in BACKENDS.values())))
        _check_device(device, state, plan)
        try:
            trouble = await _measure(device, plan, folder)
        finally:
            await asyncio.shield(_clean(device))
    except WeckdError as err:
        trouble = str(err).removeprefix(f"{device.host.text}: ")
    finally:
        await device.leave()
    record = HostRecord(
        host=device.host.text,
        state="finished",
        reason=None,
        host_key=device.host_key or None,
        python=state.python if state else None,
        executable=state.executable if state else None,
        clock_offset_ns=state.clock_offset_ns if state else None,
        clock_uncertainty_ns=state.clock_uncertainty_ns if state else None,
    )
    return _keep(record, folder, trouble)


def _check_device(device: Device, state: DeviceState, plan: HostPlan) -> None:
    where = f"{device.host.text}: {state.executable}"
    if "numpy" not in state.modules:
        raise DeviceError(
            f"{where} (Python {state.python}) has no numpy; install it there, or name another interpreter with "
            "--remote-python PATH",
            code="E_DEVICE_REMOTE_PYTHON",
        )
    name = plan.request.backend
    wanted = [BACKENDS[name].library] if name is not None else [row.library for row in BACKENDS.values()]
    if not set(wanted) & set(state.modules):
        raise DeviceError(
            f"{where} (Python {state.python}): expected {' or '.join(wanted)}, found none; install one there, or name "
            "another interpreter with --remote-python PATH",
            code="E_DEVICE_REMOTE_PYTHON",
        )
    if state.free_bytes < _SPACE * len(plan.payload):
        raise DeviceError(
            f"{device.host.text}: expected {_SPACE * len(plan.payload) >> 10} KiB free in {state.temporary}, found "
            f"{state.free_bytes >> 10}; make room there and run it again",
            code="E_DEVICE_DISK",
        )


async def _measure(device: Device, plan: HostPlan, folder: Path) -> str | None:
    """Run the bench on the device and fetch its files; return why it was not finished, None where it was."""
    trouble: str | None
    try:
        trouble = await listen(await device.run(plan.payload), plan)
        lost = False
    except LostError as err:
        trouble, lost = str(err), True
    try:
        if lost:
            await device.log_in_again(_COME_BACK_S)
        await device.fetch(folder)
    except LostError:
        try:
            await device.log_in_again(_COME_BACK_S)
            await device.fetch(folder)
        except LostError as err:
            return f"{trouble or 'the bench ended'}; what it had could not be fetched ({err})"
    return trouble


async def listen(process: Process, plan: HostPlan) -> str | None:
    """Follow the bench to its end; return why it was not finished, None where it was.

    Raises:
        LostError: The connection broke.
    """
    loop = asyncio.get_running_loop()
    end_s = loop.time() + plan.limit_s
    allowed_s = plan.timeout_s + len(plan.payload) / SLOWEST_BYTES_PER_S  # for what is still on its way
    while True:
        left_s = end_s - loop.time()
        try:
            line = await asyncio.wait_for(process.line(), max(min(allowed_s, left_s), 0))
        except asyncio.TimeoutError:
            if left_s < allowed_s:
                return f"the bench was not done after {plan.limit_s:.0f} s, more than its rules can take; it was stopped"
            return f"the device was silent for {allowed_s:.0f} s, as if it hung; the bench was stopped"
        fields = parse_line(line) if line else {"ended": None}
        if fields is None:  # some library there wrote to stdout
            continue
        allowed_s = plan.timeout_s
        if fields.get("done"):
            return None
        if "error" in fields:
            return str(fields["error"])
        if "ended" in fields:
            code, last = fields["ended"], process.last_error_line()
            how = "" if code is None else f" with {code}"
            return f"the bench on the device ended{how}, without a word of its own{f' ({last})' if last else ''}"


async def _clean(device: Device) -> None:
    """Remove everything of the run from the device, trying twice."""
    try:
        await asyncio.wait_for(device.remove(), _CLEAN_S)
    except (WeckdError, asyncio.TimeoutError):
        try:
            await asyncio.wait_for(device.log_in(), _CLEAN_S)
            await asyncio.wait_for(device.remove(), _CLEAN_S)
        except (WeckdError, asyncio.TimeoutError) as err:
            logger.warning(
                "%s: nothing could be removed there (%s); it does so by itself in a minute", device.host.text, err
            )


def _keep(record: HostRecord, folder: Path, trouble: str | None) -> HostResult:
    """Read the fetched bench, decide how the run ended, and write the record beside it."""
    measurement: Measurement | None = None
    try:
        if (folder / RECORD).exists():  # whole, whatever happened after
            measurement = read_bench(folder)
        elif (folder / STARTED).exists():
            measurement = close_cut_off(folder, trouble or "the device said that it was done, and was not")
            record = replace(record, state="cut off", reason=measurement.cut_off)
        else:
            record = replace(record, state="failed", reason=trouble or "the device has sent nothing that it measured")
    except WeckdError as err:
        record = replace(record, state="failed", reason=f"{trouble}; {err}" if trouble else str(err))
    write_atomic(folder / HOST_FILE, to_json(record))
    return HostResult(record=record, measurement=measurement, folder=folder)
