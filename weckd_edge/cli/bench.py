"""``weckd-edge bench``: the latency of a bundle on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weckd_edge.cli.output import HELP, json_option, make_progress, print_json, print_table, quiet_option, say

if TYPE_CHECKING:
    from weckd_edge.artifacts import Latency


@click.command("bench", context_settings=HELP)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--queries", default=1024, show_default=True, type=click.IntRange(min=1), help="Frames that are timed.")
@click.option("--warmup", default=50, show_default=True, type=click.IntRange(min=0), help="Frames before those, untimed.")
@click.option("--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Processor threads.")
@click.option(
    "--backend", help="Run with this one: openvino, onnxruntime or tensorrt; the default is the best that is here."
)
@json_option
@quiet_option
def command(bundle: Path, queries: int, warmup: int, threads: int, backend: str | None, as_json: bool, quiet: bool) -> None:
    """Measure a BUNDLE on this machine: one frame after another, every time kept."""
    from weckd_edge.bundle import open_bundle
    from weckd_edge.devices.bench import bench, verdict_of

    with make_progress(quiet) as progress:
        found = bench(
            open_bundle(bundle), queries=queries, warmup=warmup, threads=threads, backend=backend, progress=progress
        )
    verdict, reason = verdict_of(found)
    if as_json:
        print_json(
            {
                "device": found.device,
                "host": found.host,
                "backend": found.backend,
                "backend_version": found.backend_version,
                "precision": found.precision,
                "threads": found.threads,
                "rules": found.rules,
                "verdict": verdict,
                "reason": reason,
                "frame_to_answer": _figures(found.frame_to_answer),
                "network": _figures(found.network),
                "cold_start_ns": found.cold_start_ns,
                "peak_rss_bytes": found.peak_rss_bytes,
                "energy_mj": found.energy_mj,
                "warnings": found.warnings,
            }
        )
        return
    rows = [("frame to answer", *_row(found.frame_to_answer)), ("network alone", *_row(found.network))]
    print_table(("", "p50 ms", "p90 ms", "p99 ms", "frames"), rows, title=f"{found.device} ({found.host})")
    rss = "unknown" if found.peak_rss_bytes is None else f"{found.peak_rss_bytes / 2**20:.0f} MiB"
    say(f"{found.backend} {found.backend_version}, {found.precision}, {found.threads} thread(s); {found.rules}")
    say(f"open to first answer {found.cold_start_ns / 1e6:.1f} ms, peak memory {rss}, energy not measured here")
    for warning in found.warnings:
        say(f"warning: {warning}")
    say(f"{verdict}: {reason}")


def _figures(latency: Latency | None) -> dict[str, Any] | None:
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
