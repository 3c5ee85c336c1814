"""``weckd-edge finalize``: the last step of a Jetson bundle, on the Jetson."""

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
from weckd_edge.cli.options import PATH, min_version_option, owner_key_option


@click.command("finalize", context_settings=HELP)
@click.argument("bundle", type=PATH)
@click.option("--dla", is_flag=True, help="Also build for the DLA; use it where it is faster than the GPU.")
@click.option("--gpu-fallback", is_flag=True, help="With --dla: run layers that the DLA does not support on the GPU.")
@click.option("--rollback", is_flag=True, help="Activate the previous engine again; builds nothing.")
@owner_key_option
@min_version_option
@json_option
@quiet_option
def command(
    bundle: Path,
    dla: bool,
    gpu_fallback: bool,
    rollback: bool,
    key: Path | None,
    min_version: int,
    as_json: bool,
    quiet: bool,
) -> None:
    """On a Jetson: build the TensorRT engine of a BUNDLE, self-test it on the golden frames, activate it.

    An engine that exists for this module, TensorRT, L4T and power mode is tested and reused. An engine that fails its
    self-test is deleted, and the previous one stays active.
    """
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.devices.jetson.finalize import Finalized, finalize, roll_back

    if rollback and (dla or gpu_fallback):
        raise click.UsageError("--rollback builds nothing; leave out --dla and --gpu-fallback")
    if gpu_fallback and not dla:
        raise click.UsageError("--gpu-fallback is for --dla")
    opened = open_bundle(bundle, key=key, min_version=min_version)
    with make_progress(quiet) as progress:
        if rollback:
            done = Finalized(record=roll_back(opened), reused=True)
        else:
            done = finalize(opened, progress=progress, dla=dla, gpu_fallback=gpu_fallback)
    record = done.record
    if as_json:
        print_json({"bundle": str(bundle), "reused": done.reused, "warnings": done.warnings, "engine": record})
        return
    identity = record.identity
    print_table(
        ("what", "is"),
        [
            ("engine", f"{bundle}/device/{record.engine.path}" + (" (used again)" if done.reused else "")),
            ("processor", record.target),
            ("module", identity.module),
            ("TensorRT", identity.tensorrt_version),
            ("L4T", identity.l4t),
            ("power mode", identity.power_mode),
            ("self-test", f"{record.frames} frames, largest difference {record.max_abs:.6f}, {record.flips} flips"),
        ],
    )
    for warning in done.warnings:
        print_message(f"warning: {warning}")
