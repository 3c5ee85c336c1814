"""``weckd-edge finalize``: the last step of a Jetson bundle, on the Jetson."""

from __future__ import annotations

from pathlib import Path

import click

from weckd_edge.cli.output import HELP, json_option, make_progress, print_json, print_table, quiet_option, say


@click.command("finalize", context_settings=HELP)
@click.argument("bundle", type=click.Path(path_type=Path))
@json_option
@quiet_option
def command(bundle: Path, as_json: bool, quiet: bool) -> None:
    """On the Jetson: build the TensorRT engine of a BUNDLE, self-test it on the golden frames, put it in use.

    An engine that exists already for this module, TensorRT, L4T and power mode is tested and used again. An engine that
    fails its self-test is thrown away, and the one before it stays in use.
    """
    from weckd_edge.bundle import open_bundle
    from weckd_edge.devices.finalize import finalize

    with make_progress(quiet) as progress:
        done = finalize(open_bundle(bundle), progress=progress)
    record = done.record
    if as_json:
        print_json({"bundle": str(bundle), "reused": done.reused, "warnings": done.warnings, "engine": record})
        return
    identity = record.identity
    print_table(
        ("what", "is"),
        [
            ("engine", f"{bundle}/device/{record.engine.path}" + (" (used again)" if done.reused else "")),
            ("module", identity.module),
            ("TensorRT", identity.tensorrt_version),
            ("L4T", identity.l4t),
            ("power mode", identity.power_mode),
            ("self-test", f"{record.frames} frames, largest difference {record.max_abs:.6f}, {record.flips} flips"),
        ],
    )
    for warning in done.warnings:
        say(f"warning: {warning}")
