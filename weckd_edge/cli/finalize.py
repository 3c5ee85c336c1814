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
            done = Finalized(choice=roll_back(opened), reused=True)
        else:
            done = finalize(opened, progress=progress, dla=engine.dla, gpu_fallback=engine.gpu_fallback)
    choice = done.choice
    if output.as_json:
        print_json({"bundle": str(bundle), "reused": done.reused, "warnings": done.warnings, "choice": choice})
        return
    print_table(
        ("what", "is"),
        [
            ("model", choice.name + (" (used again)" if done.reused else "")),
            ("file", f"{bundle}/{choice.files[0].path}"),
            *choice.identity.facts(),
            ("self-test", f"{choice.frames} frames, largest difference {choice.max_abs:.6f}, {choice.flips} flips"),
        ],
    )
    for warning in done.warnings:
        print_message(f"warning: {warning}")
