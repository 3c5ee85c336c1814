"""``weckd-edge estimate``: a network's latency on a device that is not attached, or the calibration that makes it better."""

from __future__ import annotations

from pathlib import Path

import click

from weckd_edge.cli.console.output import (
    HELP,
    json_option,
    make_progress,
    print_json,
    print_message,
    print_table,
    quiet_option,
)
from weckd_edge.cli.options import PATH, THREADS, owner_key_option


@click.command("estimate", context_settings=HELP)
@click.argument("model", required=False, type=PATH)
@click.option("--device", "devices", multiple=True, help="Device profile, or a TOML file; may be repeated.")
@click.option("--measurements", type=PATH, help="File that --calibrate wrote on the device, or on a similar one.")
@click.option(
    "--calibrate",
    "target",
    type=PATH,
    help="Time a series of small networks on this machine; append the latencies to this file (JSON lines).",
)
@click.option("--backend", help="With --calibrate: backend that runs the networks. Else: use only its measurements.")
@click.option("--threads", type=THREADS, help="Processor threads, as with --backend.")
@click.option("--power-mode", help="Power mode of a Jetson. Default: the one with the highest peak.")
@click.option("--network-only", is_flag=True, help="Exclude the preprocessing.")
@owner_key_option
@json_option
@quiet_option
def command(
    model: Path | None,
    devices: tuple[str, ...],
    measurements: Path | None,
    target: Path | None,
    backend: str | None,
    threads: int | None,
    power_mode: str | None,
    network_only: bool,
    key: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Estimate the latency of MODEL (ONNX, OpenVINO IR, counts or a bundle) on a device, with an interval.

    Every latency is labelled measured, estimated or unknown, with its source. An estimate passes no gate.
    """
    if target is not None:
        if model is not None:
            raise click.UsageError("--calibrate times networks of its own; give no MODEL with it")
        if len(devices) > 1:
            raise click.UsageError("--calibrate measures one machine; give one --device at most")
        _calibrate(target, devices[0] if devices else None, backend, threads, as_json, quiet)
        return
    if model is None or not devices:
        raise click.UsageError(
            "expected a MODEL and a --device, or --calibrate FILE; 'weckd-edge devices list' shows devices"
        )
    _estimate(model, devices, measurements, backend, threads, power_mode, network_only, key, as_json)


def _calibrate(
    target: Path, device: str | None, backend: str | None, threads: int | None, as_json: bool, quiet: bool
) -> None:
    from weckd_edge.devices.latency_model.measurements import NOISY, append_measurements
    from weckd_edge.devices.profiles.profile import load_profile
    from weckd_edge.pipeline.latency_calibration import BACKEND, time_calibration_networks
    from weckd_edge.pipeline.output_paths import check_place

    check_place(target, option="--calibrate", makes="file")
    profile = None if device is None else load_profile(device).id
    with make_progress(quiet) as progress:
        timed = time_calibration_networks(progress, device=profile, backend=backend or BACKEND, threads=threads or 1)
    append_measurements(target, timed)
    noisy = sum(one.noise > NOISY for one in timed)
    if as_json:
        print_json({"file": str(target), "device": timed[0].device, "networks": len(timed), "noisy": noisy})
        return
    print_table(
        ("network", "precision", "ms", "noise"),
        [(one.network, one.precision, f"{one.latency_ns / 1e6:.3f}", f"{one.noise:.1%}") for one in timed],
    )
    print_message(f"{len(timed)} networks timed as {timed[0].device} ({timed[0].host}), added to {target}")
    if noisy:
        print_message(
            f"warning: {noisy} of them spread by more than {NOISY:.0%}; a quieter machine would give narrower intervals"
        )


def _estimate(
    model: Path,
    devices: tuple[str, ...],
    measurements: Path | None,
    backend: str | None,
    threads: int | None,
    power_mode: str | None,
    network_only: bool,
    key: Path | None,
    as_json: bool,
) -> None:
    from weckd_edge.devices.latency_model.estimate import estimate_latency
    from weckd_edge.devices.latency_model.measurements import read_measurements
    from weckd_edge.devices.profiles.profile import load_profile
    from weckd_edge.pipeline.latency_calibration import count_file
    from weckd_edge.report.numbers import significant

    counts = count_file(model, network_only=network_only, key=key)
    known = () if measurements is None else read_measurements(measurements)
    found = [
        (profile, estimate_latency(counts, profile, known, backend=backend, threads=threads, power_mode=power_mode))
        for profile in map(load_profile, devices)
    ]
    if as_json:
        print_json(
            {
                "model": str(model),
                "counts_sha256": counts.sha256,
                "macs": counts.macs,
                "precision": counts.precision,
                "devices": [{"device": profile.id, "estimate": prediction} for profile, prediction in found],
            }
        )
        return
    rows = [
        (profile.id, guess.label, *(_ms(ns) for ns in (guess.latency_ns, guess.low_ns, guess.high_ns)))
        for profile, guess in found
    ]
    print_table(
        ("device", "label", "ms", "low", "high"),
        rows,
        title=f"{model}: {significant(counts.macs / 1e6)} M MACs, {counts.precision}",
    )
    for profile, guess in found:
        print_message(f"{profile.id}: {guess.reason}")


def _ms(ns: int | None) -> str | None:
    return None if ns is None else f"{ns / 1e6:.3f}"
