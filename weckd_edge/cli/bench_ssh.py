"""``weckd-edge bench --ssh``: the same bench on other machines, one row a host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weckd_edge.cli.console.outcome import EXIT_GATE_FAILED
from weckd_edge.cli.console.output import print_json, print_message, print_table

if TYPE_CHECKING:
    from weckd_edge.artifacts import Gate
    from weckd_edge.bundle.reader import Bundle
    from weckd_edge.cli.parsing.bench_options import BenchOutput, BenchRun, RemoteHosts
    from weckd_edge.cli.parsing.option_groups import AcceptedBundle
    from weckd_edge.devices.remote.records import HostResult

_FAILED = 1
_LARGE_OFFSET_NS = 2_000_000_000


def bench_over_ssh(bundle: Path, *, run: BenchRun, trust: AcceptedBundle, remote: RemoteHosts, output: BenchOutput) -> int:
    """Bench on every host, print the results, and return the exit code.

    It is 1 where a host did not finish, else 3 where a limit of the bundle is missed.

    Args:
        bundle: A bundle here, or its folder on the devices.
        run: What is measured.
        trust: What a bundle here must be signed with.
        remote: The hosts, and how they are reached.
        output: What is printed and kept.
    """
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.devices.remote.asyncssh_backend import connect, load_asyncssh
    from weckd_edge.devices.remote.base import Access
    from weckd_edge.devices.remote.bench_request import BenchRequest
    from weckd_edge.devices.remote.hosts import parse_hosts
    from weckd_edge.devices.remote.many_hosts import HostLimits, bench_hosts
    from weckd_edge.report.bench_page import write_bench_page

    request = BenchRequest(
        bundle=str(bundle) if remote.remote_bundle else None,
        settings=run.settings(),
        backend=run.backend,
        precision=run.precision,
        power=run.power,
        finalize=remote.finalize,
    )
    access = Access(
        connect=connect,
        known_hosts=(remote.known_hosts or Path.home() / ".ssh/known_hosts",),
        identity=remote.identity,
        python=remote.python,
    )
    load_asyncssh()
    opened = None if remote.remote_bundle else open_bundle(bundle, key=trust.key, min_version=trust.min_version)
    with output.progress() as progress:
        found = bench_hosts(
            opened,
            parse_hosts(remote.ssh),
            request,
            access=access,
            limits=HostLimits(jobs=remote.jobs, timeout_s=remote.timeout_s),
            out=output.out,
            progress=progress,
        )
    for result in found:
        if result.measurement is not None and result.folder is not None:
            write_bench_page(result.folder, result.measurement)
    gates = [_judge(opened, result) for result in found]
    if output.as_json:
        print_json([_summary(result, judged) for result, judged in zip(found, gates, strict=True)])
    else:
        _show(found, gates)
    if any(result.record.state != "finished" for result in found):
        return _FAILED
    return EXIT_GATE_FAILED if any(gate.verdict == "FAIL" for judged in gates for gate in judged or ()) else 0


def _judge(opened: Bundle | None, result: HostResult) -> tuple[Gate, ...] | None:
    """Return the bundle's limits, judged; None where the bundle is not here, or nothing was measured."""
    from weckd_edge.devices.gates.bundle_limits import judge_bench

    if opened is None or result.measurement is None:
        return None
    return judge_bench(opened.manifest, result.measurement)


def _show(found: Sequence[HostResult], gates: Sequence[tuple[Gate, ...] | None]) -> None:
    from weckd_edge.devices.bench.verdict import verdict_of
    from weckd_edge.report.bench_page import PAGE

    rows: list[tuple[object, ...]] = []
    for result in found:
        record, measured = result.record, result.measurement
        if measured is None:
            rows.append((record.host, *[None] * 6, record.state))
            continue
        latency = measured.end_to_end
        times = [f"{ns / 1e6:.3f}" for ns in (latency.p50_ns, latency.p90_ns, latency.p99_ns)]
        runs = f"{measured.backend} {measured.precision}{', its choice' if measured.by_device else ''}"
        verdict = verdict_of(measured)[0] + ("" if record.state == "finished" else f", {record.state}")
        rows.append((record.host, measured.device, runs, *times, len(latency.samples_ns), verdict))
    print_table(("host", "device", "runs", "p50 ms", "p90 ms", "p99 ms", "frames", ""), rows, title="end-to-end latency")
    for result, judged in zip(found, gates, strict=True):
        record, measured = result.record, result.measurement
        if measured is not None:
            for warning in measured.warnings:
                print_message(f"{record.host}: warning: {warning}")
            print_message(f"{record.host}: {': '.join(verdict_of(measured))}")
            for gate in judged or ():
                print_message(f"{record.host}: {gate.name} {gate.limit:g}: {gate.verdict}: {gate.reason}")
        elif record.reason is not None:
            print_message(f"{record.host}: error: {record.reason}")
        if record.clock_offset_ns is not None and abs(record.clock_offset_ns) > _LARGE_OFFSET_NS:
            print_message(
                f"{record.host}: its clock is {record.clock_offset_ns / 1e9:+.0f} s off; no time here depends on it"
            )
        if measured is not None and result.folder is not None:
            click.echo(f"Page: {result.folder / PAGE}")


def _summary(result: HostResult, gates: tuple[Gate, ...] | None) -> dict[str, Any]:
    from weckd_edge.devices.bench.verdict import verdict_of
    from weckd_edge.report.json_summaries import bench_summary

    measured = result.measurement
    return {
        "remote": result.record,
        "folder": None if result.folder is None else str(result.folder),
        "bench": None if measured is None else bench_summary(measured, *verdict_of(measured), gates),
    }
