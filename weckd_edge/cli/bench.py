"""``weckd-edge bench``: a bundle's latency, memory and energy, here or over ssh, and two benches against each other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weckd_edge.cli.console.output import (
    HELP,
    break_line,
    json_option,
    make_progress,
    print_json,
    print_message,
    print_table,
    quiet_option,
)
from weckd_edge.cli.options import PATH, THREADS, AnyPath, FiniteRange, min_version_option, owner_key_option

if TYPE_CHECKING:
    from weckd_edge.artifacts import Latency, Measurement

_MISSED = 3


@click.command("bench", context_settings=HELP)
@click.argument("bundle", type=PATH, required=False)
@click.option(
    "--rules",
    default="quick",
    show_default=True,
    help="Length of the run: mlperf (10 minutes), mobile (1 minute) or quick (seconds).",
)
@click.option("--queries", type=click.IntRange(1, 1_000_000_000), help="Number of timed frames; overrides the rules.")
@click.option(
    "--warmup", type=click.IntRange(0, 1_000_000_000), help="Number of untimed frames before them. Default: the rules' 50."
)
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Processor threads.")
@click.option(
    "--backend", help="Run with this one: openvino, onnxruntime or tensorrt; the default is the best that is here."
)
@click.option(
    "--generator",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "builtin", "loadgen"]),
    help="Load generator: builtin, or MLPerf's LoadGen.",
)
@click.option(
    "--power",
    default="auto",
    show_default=True,
    metavar="SOURCE",
    help="Power source: ina3221, ina238, rapl, replay:FILE, none, or auto.",
)
@owner_key_option
@min_version_option
@click.option("--out", type=PATH, help="Folder for the record, every latency and a page.")
@click.option("--compare", nargs=2, type=PATH, metavar="A B", help="Compare two such folders; runs nothing.")
@click.option(
    "--margin",
    default=0.05,
    show_default=True,
    type=FiniteRange(0, 1, max_open=True),
    help="With --compare: smallest relative difference that counts.",
)
@click.option(
    "--ssh",
    multiple=True,
    metavar="USER@HOST[:PORT]",
    help="Measure on these hosts instead (comma-separated). They need Python, numpy and a backend.",
)
@click.option("--remote-bundle", is_flag=True, help="With --ssh: BUNDLE is a folder on the devices; nothing is sent.")
@click.option("--identity", type=AnyPath(exists=True, dir_okay=False), help="With --ssh: private key file.")
@click.option(
    "--known-hosts",
    type=AnyPath(exists=True, dir_okay=False),
    help="With --ssh: file of trusted host keys. Default: ~/.ssh/known_hosts.",
)
@click.option(
    "--remote-python",
    default="python3",
    show_default=True,
    metavar="PATH",
    help="With --ssh: Python interpreter on the devices.",
)
@click.option(
    "--jobs",
    default=16,
    show_default=True,
    type=click.IntRange(1, 1024),
    help="With --ssh: maximum number of parallel hosts.",
)
@click.option(
    "--timeout",
    default=30.0,
    show_default=True,
    type=FiniteRange(3, 86_400),
    help="With --ssh: inactivity timeout, seconds.",
)
@click.option("--allow-different-devices", is_flag=True, help="With --compare: accept two different devices.")
@json_option
@quiet_option
def command(
    bundle: Path | None,
    rules: str,
    queries: int | None,
    warmup: int | None,
    threads: int,
    backend: str | None,
    generator: str,
    power: str,
    key: Path | None,
    min_version: int,
    out: Path | None,
    compare: tuple[Path, Path] | None,
    margin: float,
    allow_different_devices: bool,
    ssh: tuple[str, ...],
    remote_bundle: bool,
    identity: Path | None,
    known_hosts: Path | None,
    remote_python: str,
    jobs: int,
    timeout: float,
    as_json: bool,
    quiet: bool,
) -> int:
    """Measure a BUNDLE on this machine: one frame after another; every latency is recorded.

    With --ssh: on other machines, in parallel; exits with 1 where one of them did not finish. With --compare A B: compares
    two records, and exits with 3 where B is significantly slower than A.
    """
    if not ssh and (remote_bundle or identity or known_hosts):
        raise click.UsageError("--remote-bundle, --identity and --known-hosts need --ssh")
    if (key is not None or min_version) and (remote_bundle or compare is not None):
        raise click.UsageError("--key and --min-version are for a BUNDLE here: leave --remote-bundle and --compare out")
    if compare is not None:
        if ssh:
            raise click.UsageError("--compare reads two folders and runs nothing: leave --ssh out")
        if bundle is not None:
            raise click.UsageError("--compare reads two folders and runs nothing: leave BUNDLE out")
        return _compare(compare, allow_different_devices, margin, as_json)
    if bundle is None:
        raise click.UsageError("Missing argument 'BUNDLE'.")
    if out is not None:
        from weckd_edge.pipeline.output_paths import check_place

        check_place(out)
    from weckd_edge.devices.bench.settings import BenchSettings

    settings = BenchSettings(
        rules=rules,
        queries=queries,
        warmup=warmup,
        threads=threads,
        generator=generator,  # type: ignore[arg-type]  # click has held it to the choices
    )
    if ssh:
        from weckd_edge.cli.bench_ssh import bench_over_ssh
        from weckd_edge.devices.remote.bench_request import BenchRequest

        request = BenchRequest(
            bundle=str(bundle) if remote_bundle else None,
            settings=settings,
            backend=backend,
            power=power,
        )
        return bench_over_ssh(
            bundle,
            ssh,
            request=request,
            key=key,
            min_version=min_version,
            known_hosts=known_hosts,
            identity=identity,
            python=remote_python,
            jobs=jobs,
            timeout_s=timeout,
            out=out,
            as_json=as_json,
            quiet=quiet,
        )
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.devices.bench.bench import bench
    from weckd_edge.devices.bench.power.table import open_source
    from weckd_edge.devices.bench.verdict import verdict_of
    from weckd_edge.devices.bench.watched_run import BenchMachine
    from weckd_edge.report.bench_page import write_bench_page

    source = open_source(power)
    try:
        with make_progress(quiet) as progress:
            found = bench(
                open_bundle(bundle, key=key, min_version=min_version),
                settings,
                backend=backend,
                machine=BenchMachine(power=source),
                out=out,
                progress=progress,
            )
    finally:
        source.close()
    page = write_bench_page(out, found) if out is not None else None
    verdict, reason = verdict_of(found)
    if as_json:
        print_json(summarize_bench(found, verdict, reason))
        return 0
    rows = [("end-to-end latency", *_row(found.end_to_end)), ("network alone", *_row(found.network))]
    print_table(("", "p50 ms", "p90 ms", "p99 ms", "frames"), rows, title=f"{found.device} ({found.host})")
    rss = "unknown" if found.peak_rss_bytes is None else f"{found.peak_rss_bytes / 2**20:.0f} MiB"
    threads_used = f"{found.threads} thread{'' if found.threads == 1 else 's'}"
    print_message(f"{found.backend} {found.backend_version}, {found.precision}, {threads_used}, {found.generator}")
    print_message(found.rules)
    for stop in found.early_stopping:
        if stop.estimate_ns is not None:
            print_message(
                f"p{stop.percent} is at most {stop.estimate_ns / 1e6:.3f} ms, with {stop.confidence:.0%} confidence"
            )
    print_message(f"open to first answer {found.cold_start_ns / 1e6:.1f} ms, peak memory {rss}, {_energy(found)}")
    for warning in found.warnings:
        print_message(f"warning: {warning}")
    print_message(f"{verdict}: {reason}")
    if page is not None:
        click.echo(f"Page: {page}")
    return 0


def summarize_bench(found: Measurement, verdict: str, reason: str) -> dict[str, Any]:
    """Return what ``--json`` prints of a bench."""
    return {
        "device": found.device,
        "host": found.host,
        "backend": found.backend,
        "backend_version": found.backend_version,
        "precision": found.precision,
        "threads": found.threads,
        "rules": found.rules,
        "rule_set": found.rule_set,
        "rules_met": found.rules_met,
        "generator": found.generator,
        "verdict": verdict,
        "reason": reason,
        "end_to_end": _latency_cells(found.end_to_end),
        "network": _latency_cells(found.network),
        "early_stopping": found.early_stopping,
        "loadgen": found.loadgen,
        "duration_ns": found.duration_ns,
        "cold_start_ns": found.cold_start_ns,
        "peak_rss_bytes": found.peak_rss_bytes,
        "energy_mj": found.energy_mj,
        "power": found.power,
        "machine": found.machine,
        "cut_off": found.cut_off,
        "warnings": found.warnings,
    }


def _compare(folders: tuple[Path, Path], allow_different_devices: bool, margin: float, as_json: bool) -> int:
    from weckd_edge.devices.bench.compare import compare_benches
    from weckd_edge.devices.bench.folder import read_bench

    first, second = (read_bench(folder) for folder in folders)
    found = compare_benches(first, second, allow_different_devices=allow_different_devices, margin=margin)
    if as_json:
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
    return _MISSED if found.verdict == "slower" else 0


def _span(*times_ns: float) -> tuple[str, ...]:
    return tuple(f"{ns / 1e6:+.4f}" for ns in times_ns)


def _energy(found: Measurement) -> str:
    if found.energy_mj is not None:
        return f"{found.energy_mj:.3g} mJ a frame above idle"
    return f"energy not measured: {found.power.reason}" if found.power and found.power.reason else "energy not measured here"


def _latency_cells(latency: Latency | None) -> dict[str, Any] | None:
    if latency is None:
        return None
    return {
        "p50_ns": latency.p50_ns,
        "p90_ns": latency.p90_ns,
        "p99_ns": latency.p99_ns,
        "samples": len(latency.samples_ns),
        "iqr_over_median": latency.iqr_over_median,
    }


def _row(latency: Latency | None) -> tuple[object, ...]:
    if latency is None:
        return None, None, None, None
    return (*(f"{ns / 1e6:.3f}" for ns in (latency.p50_ns, latency.p90_ns, latency.p99_ns)), len(latency.samples_ns))
