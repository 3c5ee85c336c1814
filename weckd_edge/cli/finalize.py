"""``weckd-edge finalize``: the last step of a bundle, on the device that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.option_groups import AcceptedBundle, ProgressOutput
from weckd_edge.cli.parsing.options import Command, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH, THREADS

if TYPE_CHECKING:
    from weckd_edge.devices.runtime.device_choice import Finalized


@dataclass(frozen=True, kw_only=True, slots=True)
class Finalizing(OptionGroup):
    """The choice that is made or activated."""

    title: ClassVar[str] = "Choice"
    threads: int | None = option(
        "--threads",
        type=THREADS,
        default=None,
        metavar="N",
        help="Processor: threads of a query while models are timed; default 1.",
    )
    again: bool = option("--again", is_flag=True, help="Test again what was measured or refused before.")
    dla: bool = option("--dla", is_flag=True, help="Jetson: also build for the DLA; use it where it is faster than the GPU.")
    gpu_fallback: bool = option(
        "--gpu-fallback", is_flag=True, help="With --dla: run layers that the DLA does not support on the GPU."
    )
    rollback: bool = option(
        "--rollback", is_flag=True, help="Activate the previous choice again; builds and measures nothing."
    )


@click.command("finalize", cls=Command)
@click.argument("bundle", type=PATH)
@takes(choice=Finalizing, trust=AcceptedBundle, output=ProgressOutput)
def command(bundle: Path, choice: Finalizing, trust: AcceptedBundle, output: ProgressOutput) -> None:
    """Let this device choose what it runs of a BUNDLE, tested on the golden frames; predict, bench and verify follow.

    On a processor, every model of the bundle is tested in a process of its own, and the fastest of those that pass is
    activated. On a Jetson, the TensorRT engine is built. A choice that was made before on the same device, with the same
    libraries and in the same power mode, is tested and reused. What fails leaves the present choice active.
    """
    from weckd_edge.bundle.reader import open_bundle
    from weckd_edge.devices.finalize.finalize import FinalizeOptions, finalize, roll_back
    from weckd_edge.devices.runtime.device_choice import Finalized

    if choice.rollback and (choice.dla or choice.gpu_fallback or choice.again or choice.threads is not None):
        raise click.UsageError("--rollback builds and measures nothing; leave out the other options of the choice")
    if choice.gpu_fallback and not choice.dla:
        raise click.UsageError("--gpu-fallback is for --dla")
    opened = open_bundle(bundle, key=trust.key, min_version=trust.min_version)
    with output.progress() as progress:
        if choice.rollback:
            done = Finalized(choice=roll_back(opened), reused=True)
        else:
            options = FinalizeOptions(
                dla=choice.dla, gpu_fallback=choice.gpu_fallback, threads=choice.threads, again=choice.again
            )
            done = finalize(opened, progress=progress, options=options)
    _show(bundle, done, as_json=output.as_json)


def _show(bundle: Path, done: Finalized, *, as_json: bool) -> None:
    found = done.choice
    if as_json:
        print_json({"bundle": str(bundle), "reused": done.reused, "warnings": done.warnings, "choice": found})
        return
    print_table(
        ("what", "is"),
        [
            ("model", found.name + (" (used again)" if done.reused else "")),
            ("file", f"{bundle}/{found.files[0].path}"),
            *found.identity.facts(),
            ("self-test", f"{found.frames} frames, largest difference {found.max_abs:.6f}, {found.flips} flips"),
        ],
    )
    if found.latency_ns:
        print_table(
            ("timed in turn", "ms a golden frame"),
            [(name, f"{ns / 1e6:.3f}") for name, ns in sorted(found.latency_ns.items(), key=lambda item: item[1])],
        )
    for warning in done.warnings:
        print_message(f"warning: {warning}")
