"""``weckd-edge finalize``: the last step of a Jetson bundle, on the Jetson."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.option_groups import AcceptedBundle, ProgressOutput
from weckd_edge.cli.parsing.options import Command, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineBuild(OptionGroup):
    """The engine that is built or activated."""

    title: ClassVar[str] = "Engine"
    dla: bool = option("--dla", is_flag=True, help="Also build for the DLA; use it where it is faster than the GPU.")
    gpu_fallback: bool = option(
        "--gpu-fallback", is_flag=True, help="With --dla: run layers that the DLA does not support on the GPU."
    )
    rollback: bool = option("--rollback", is_flag=True, help="Activate the previous engine again; builds nothing.")


@click.command("finalize", cls=Command)
@click.argument("bundle", type=PATH)
@takes(engine=EngineBuild, trust=AcceptedBundle, output=ProgressOutput)
def command(bundle: Path, engine: EngineBuild, trust: AcceptedBundle, output: ProgressOutput) -> None:
    """Build the TensorRT engine of a BUNDLE on a Jetson, self-test it on the golden frames, activate it.

    An engine that exists for this module, TensorRT, L4T and power mode is tested and reused. An engine that fails its
    self-test is deleted, and the previous one stays active.
    """
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.devices.jetson.finalize import Finalized, finalize, roll_back

    if engine.rollback and (engine.dla or engine.gpu_fallback):
        raise click.UsageError("--rollback builds nothing; leave out --dla and --gpu-fallback")
    if engine.gpu_fallback and not engine.dla:
        raise click.UsageError("--gpu-fallback is for --dla")
    opened = open_bundle(bundle, key=trust.key, min_version=trust.min_version)
    with output.progress() as progress:
        if engine.rollback:
            done = Finalized(record=roll_back(opened), reused=True)
        else:
            done = finalize(opened, progress=progress, dla=engine.dla, gpu_fallback=engine.gpu_fallback)
    record = done.record
    if output.as_json:
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
