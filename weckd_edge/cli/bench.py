"""``weckd-edge bench``: a bundle's latency, memory and energy, here or over ssh, and two benches against each other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weckd_edge.cli.console.outcome import EXIT_GATE_FAILED, print_gates
from weckd_edge.cli.console.output import break_line, print_json, print_message, print_table
from weckd_edge.cli.parsing.bench_options import BenchLimits, BenchOutput, BenchRun, Comparison, RemoteHosts
from weckd_edge.cli.parsing.option_groups import AcceptedBundle, Output
from weckd_edge.cli.parsing.options import Command, given_options, takes
from weckd_edge.cli.parsing.parameter_types import PATH

if TYPE_CHECKING:
    from weckd_edge.artifacts import Gate, Latency, Measurement

_SLOWER = 3


@click.command("bench", cls=Command)
@click.argument("bundle", type=PATH, required=False)
@takes(run=BenchRun, limits=BenchLimits, trust=AcceptedBundle, remote=RemoteHosts, comparison=Comparison, output=BenchOutput)
def command(
    bundle: Path | None,
    run: BenchRun,
    limits: BenchLimits,
    trust: AcceptedBundle,
    remote: RemoteHosts,
    comparison: Comparison,
    output: BenchOutput,
) -> int:
    """Measure a BUNDLE on this machine: one frame after another; every latency is recorded.

    On the device that the bundle was built for, the bundle's limits of latency, memory and energy are judged; it exits
    with 3 where one is missed. With --ssh it measures on other machines, in parallel, and exits with 1 where one of them did
    not finish. With --compare A B it compares two records, and exits with 3 where B is significantly slower than A.
    """
    _refuse_idle(bundle, trust, remote, comparison, output)
    if comparison.folders is not None:
        return _compare(comparison.folders, comparison, output)
    if bundle is None:
        raise click.UsageError("Missing argument 'BUNDLE'.")
    if output.out is not None:
        from weckd_edge.pipeline.output_paths import check_place

        check_place(output.out)
    if remote.ssh:
        from weckd_edge.cli.bench_ssh import bench_over_ssh

        return bench_over_ssh(bundle, run=run, trust=trust, remote=remote, output=output)
    return _bench_here(bundle, run, limits, trust, output)


def _refuse_idle(
    bundle: Path | None, trust: AcceptedBundle, remote: RemoteHosts, comparison: Comparison, output: BenchOutput
) -> None:
    """Refuse what the command line gives and nothing would read."""
    if comparison.folders is not None:
        idle = ["BUNDLE"] if bundle is not None else []
        idle += [
            *given_options(BenchRun, BenchLimits, AcceptedBundle, RemoteHosts),
            *(["--out"] if output.out is not None else []),
        ]
        if idle:
            raise click.UsageError(f"--compare reads two folders and runs nothing: leave {', '.join(idle)} out")
        return
    if idle := list(given_options(Comparison)):
        raise click.UsageError(f"without --compare nothing reads {', '.join(idle)}")
    if not remote.ssh and (idle := list(given_options(RemoteHosts))):
        raise click.UsageError(f"without --ssh nothing reads {', '.join(idle)}")
    if remote.ssh and (idle := list(given_options(BenchLimits))):
        raise click.UsageError(
            f"with --ssh nothing reads {', '.join(idle)}: a machine tells only profiles of this package apart"
        )
    if remote.remote_bundle and (trust.key is not None or trust.min_version):
        raise click.UsageError("--key and --min-version are for a BUNDLE here: leave --remote-bundle out")


def _bench_here(bundle: Path, run: BenchRun, limits: BenchLimits, trust: AcceptedBundle, output: BenchOutput) -> int:
    from weckd_edge.api.bundle import load
    from weckd_edge.devices.bench.verdict import verdict_of
    from weckd_edge.report.bench_page import PAGE
    from weckd_edge.report.json_summaries import bench_summary

    loaded = load(bundle, key=trust.key, min_version=trust.min_version)
    with output.progress() as progress:
        found = loaded.bench(
            run.settings(),
            backend=run.backend,
            precision=run.precision,
            power=run.power,
            out=output.out,
            progress=progress,
        )
    gates = loaded.judge(found, device=limits.device)
    verdict, reason = verdict_of(found)
    if output.as_json:
        print_json(bench_summary(found, verdict, reason, gates))
    else:
        _print_bench(found, verdict, reason, gates)
        if output.out is not None:
            click.echo(f"Page: {output.out / PAGE}")
    return EXIT_GATE_FAILED if any(gate.verdict == "FAIL" for gate in gates) else 0


def _print_bench(found: Measurement, verdict: str, reason: str, gates: Sequence[Gate]) -> None:
    rows = [("end-to-end latency", *_row(found.end_to_end)), ("network alone", *_row(found.network))]
    parts = found.parts
    rows += [(name, *_percentiles(latency), None) for name, latency in (parts.named if parts is not None else ())]
    print_table(("", "p50 ms", "p90 ms", "p99 ms", "frames"), rows, title=f"{found.device} ({found.host})")
    rss = "unknown" if found.peak_rss_bytes is None else f"{found.peak_rss_bytes / 2**20:.0f} MiB"
    threads_used = f"{found.threads} thread{'' if found.threads == 1 else 's'}"
    if parts is not None and parts.end_to_end_over_network is not None:
        print_message(f"end to end takes {parts.end_to_end_over_network:.2f} times as long as the network alone")
    chosen = ", chosen on this device" if found.by_device else ""
    print_message(f"{found.backend} {found.backend_version}, {found.precision}{chosen}, {threads_used}, {found.generator}")
    if found.int8 is not None:
        print_message(found.int8.sentence)
    if found.pixels is not None:
        print_message(f"frames: {found.pixels}")
    print_message(found.rules)
    for stop in found.early_stopping:
        if stop.estimate_ns is not None:
            print_message(
                f"p{stop.percent} is at most {stop.estimate_ns / 1e6:.3f} ms, with {stop.confidence:.0%} confidence"
            )
    print_message(f"open to first prediction {found.cold_start_ns / 1e6:.1f} ms, peak memory {rss}, {_energy(found)}")
    for warning in found.warnings:
        print_message(f"warning: {warning}")
    print_message(f"{verdict}: {reason}")
    print_gates(gates)


def _compare(folders: tuple[Path, Path], comparison: Comparison, output: Output) -> int:
    from weckd_edge.devices.bench.compare import compare_benches
    from weckd_edge.devices.bench.folder import read_bench

    first, second = (read_bench(folder) for folder in folders)
    found = compare_benches(
        first, second, allow_different_devices=comparison.allow_different_devices, margin=comparison.margin
    )
    if output.as_json:
        print_json(found)
    else:
        rows = [
            ("median of differences", *_span(found.difference_ns, found.low_ns, found.high_ns)),
            ("difference of p90", *_span(found.p90_difference_ns, found.p90_low_ns, found.p90_high_ns)),
        ]
        print_table(("B minus A", "ms", "95 % from", "to"), rows, title=f"{folders[0]} and {folders[1]}")
        for text in found.unlike:
            print_message(f"warning: unlike devices, {text}")
        click.echo(break_line(f"{found.verdict}: {found.reason}", sys.stdout))
    return _SLOWER if found.verdict == "slower" else 0


def _span(*times_ns: float) -> tuple[str, ...]:
    return tuple(f"{ns / 1e6:+.4f}" for ns in times_ns)


def _energy(found: Measurement) -> str:
    if found.energy_mj is not None:
        return f"{found.energy_mj:.3g} mJ a frame above idle"
    return f"energy not measured: {found.power.reason}" if found.power and found.power.reason else "energy not measured here"


def _row(latency: Latency | None) -> tuple[object, ...]:
    if latency is None:
        return None, None, None, None
    return (*_percentiles(latency), len(latency.samples_ns))


def _percentiles(latency: Latency) -> tuple[str, ...]:
    return tuple(f"{ns / 1e6:.3f}" for ns in (latency.p50_ns, latency.p90_ns, latency.p99_ns))
