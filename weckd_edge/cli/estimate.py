"""``weckd-edge estimate``: the latency of a model on a device that is not attached, or the calibration that improves it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.option_groups import BACKENDS, OwnerKey, ProgressOutput
from weckd_edge.cli.parsing.options import Command, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import DEVICE, PATH, THREADS, OneOf


@dataclass(frozen=True, kw_only=True, slots=True)
class EstimateTarget(OptionGroup):
    """The devices that a latency is estimated for, and what is timed there."""

    title: ClassVar[str] = "Device"
    devices: tuple[str, ...] = option(
        "--device", type=DEVICE, multiple=True, help="Device profile, or a TOML file; may be given several times."
    )
    power_mode: str | None = option("--power-mode", help="Power mode of a Jetson. Default: the one with the highest peak.")
    network_only: bool = option("--network-only", is_flag=True, help="Exclude the preprocessing.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurements(OptionGroup):
    """The measurements that an estimate uses, or that ``--calibrate`` takes."""

    title: ClassVar[str] = "Measurements"
    file: Path | None = option(
        "--measurements", type=PATH, help="File that --calibrate wrote on the device, or on a similar one."
    )
    calibrate: Path | None = option(
        "--calibrate",
        type=PATH,
        help="Time a series of small networks on this machine; append the latencies to this file (JSON lines).",
    )
    backend: str | None = option(
        "--backend",
        type=OneOf(BACKENDS),
        help="With --calibrate: backend that runs the networks. Else: use only its measurements.",
    )
    threads: int | None = option("--threads", type=THREADS, help="Processor threads, as with --backend.")


@click.command("estimate", cls=Command)
@click.argument("model", required=False, type=PATH)
@takes(target=EstimateTarget, measurements=Measurements, trust=OwnerKey, output=ProgressOutput)
def command(
    model: Path | None, target: EstimateTarget, measurements: Measurements, trust: OwnerKey, output: ProgressOutput
) -> None:
    """Estimate the latency of MODEL (ONNX, OpenVINO IR, counts or a bundle) on a device, with an interval.

    Every latency is labelled measured, estimated or unknown, with its source. An estimate passes no gate.
    """
    devices = target.devices
    if measurements.calibrate is not None:
        if model is not None:
            raise click.UsageError("--calibrate times networks of its own; give no MODEL with it")
        if len(devices) > 1:
            raise click.UsageError("--calibrate measures one machine; give one --device at most")
        _calibrate(measurements.calibrate, devices[0] if devices else None, measurements, output)
        return
    if model is None or not devices:
        raise click.UsageError(
            "expected a MODEL and a --device, or --calibrate FILE; 'weckd-edge devices list' shows devices"
        )
    _estimate(model, target, measurements, trust, output)


def _calibrate(file: Path, device: str | None, measurements: Measurements, output: ProgressOutput) -> None:
    from weckd_edge.devices.latency_model.measurements import NOISY, append_measurements
    from weckd_edge.devices.profiles.profile import load_profile
    from weckd_edge.pipeline.latency_calibration import BACKEND, time_calibration_networks
    from weckd_edge.pipeline.output_paths import check_place

    check_place(file, option="--calibrate", makes="file")
    profile = None if device is None else load_profile(device).id
    with output.progress() as progress:
        timed = time_calibration_networks(
            progress, device=profile, backend=measurements.backend or BACKEND, threads=measurements.threads or 1
        )
    append_measurements(file, timed)
    noisy = sum(one.noise > NOISY for one in timed)
    if output.as_json:
        print_json({"file": str(file), "device": timed[0].device, "networks": len(timed), "noisy": noisy})
        return
    print_table(
        ("network", "precision", "ms", "noise"),
        [(one.network, one.precision, f"{one.latency_ns / 1e6:.3f}", f"{one.noise:.1%}") for one in timed],
    )
    print_message(f"{len(timed)} networks timed as {timed[0].device} ({timed[0].host}), added to {file}")
    if noisy:
        print_message(
            f"warning: {noisy} of them spread by more than {NOISY:.0%}; a quieter machine would give narrower intervals"
        )


def _estimate(
    model: Path, target: EstimateTarget, measurements: Measurements, trust: OwnerKey, output: ProgressOutput
) -> None:
    from weckd_edge.devices.latency_model.estimate import estimate_latency
    from weckd_edge.devices.latency_model.measurements import read_measurements
    from weckd_edge.devices.profiles.profile import load_profile
    from weckd_edge.devices.profiles.text import int8_in_words
    from weckd_edge.pipeline.latency_calibration import count_file
    from weckd_edge.report.numbers import significant

    counts = count_file(model, network_only=target.network_only, key=trust.key)
    known = () if measurements.file is None else read_measurements(measurements.file)
    found = [
        (
            profile,
            estimate_latency(
                counts,
                profile,
                known,
                backend=measurements.backend,
                threads=measurements.threads,
                power_mode=target.power_mode,
            ),
        )
        for profile in map(load_profile, target.devices)
    ]
    if output.as_json:
        print_json(
            {
                "model": str(model),
                "counts_sha256": counts.sha256,
                "macs": counts.macs,
                "precision": counts.precision,
                "devices": [
                    {"device": profile.id, "estimate": estimate, "int8": profile.int8} for profile, estimate in found
                ],
            }
        )
        return
    rows = [
        (profile.id, estimate.label, *(_ms(ns) for ns in (estimate.latency_ns, estimate.low_ns, estimate.high_ns)))
        for profile, estimate in found
    ]
    print_table(
        ("device", "label", "ms", "low", "high"),
        rows,
        title=f"{model}: {significant(counts.macs / 1e6)} M MACs, {counts.precision}",
    )
    for profile, estimate in found:
        print_message(f"{profile.id}: {estimate.reason}")
        if counts.precision == "int8" and profile.int8:
            print_message(f"{profile.id}: layers that run in int8 there: {int8_in_words(profile.int8)}")


def _ms(ns: int | None) -> str | None:
    return None if ns is None else f"{ns / 1e6:.3f}"
