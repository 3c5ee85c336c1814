"""``weckd-edge doctor``: what works on this machine, what is missing, and how to install it."""

from __future__ import annotations

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.option_groups import Output
from weckd_edge.cli.parsing.options import Command, takes


@click.command("doctor", cls=Command)
@takes(output=Output)
def command(output: Output) -> None:
    """Show what works on this machine, what is missing, and how to install it.

    Every library is imported, so this takes a few seconds.
    """
    from weckd_edge.devices.doctor.doctor import diagnose
    from weckd_edge.devices.profiles.text import int8_in_words

    found = diagnose()
    if output.as_json:
        print_json(found)
        return
    print_table(
        ("what", "target", "works here", "to get it"),
        [(a.name, a.target, "yes" if a.works else "no", a.hint or "") for a in found.abilities],
        title=f"weckd-edge {found.weckd_edge}, Python {found.python}, {found.device.host}",
    )
    if found.targets:
        print_table(
            ("target", "build for it", "run it", "how"),
            [(t.target, "yes" if t.builds else "no", "yes" if t.runs else "no", t.note or "") for t in found.targets],
        )
    print_table(("setting", "", "now", "what to do"), [(a.topic, a.state, a.found, a.hint or "") for a in found.advice])
    print_table(
        ("library", "state", "version", "detail"),
        [(x.module, x.state, x.version, x.detail or "") for x in found.libraries],
    )
    print_message(f"device: {found.device.profile} ({'; '.join(found.device.reasons)})")
    print_message(
        f"layers that run in int8 here: {int8_in_words(found.int8)} (weckd-edge devices show {found.device.profile})"
    )
    print_message(f"clock governor: {found.governor}")
    print_message(f"frames: {found.pixels}")
