"""``weckd-edge devices``: the device profiles, and which of them describes this machine."""

from __future__ import annotations

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.option_groups import Output
from weckd_edge.cli.parsing.options import CommandGroup, takes
from weckd_edge.cli.parsing.parameter_types import DEVICE

_SURE = "V read in a primary source, S in a secondary one, U not confirmed, choice: this project's own"


@click.group("devices", cls=CommandGroup)
def command() -> None:
    """List, show and detect device profiles."""


@command.command("list")
@takes(output=Output)
def list_command(output: Output) -> None:
    """List the device profiles that come with this software."""
    from weckd_edge.devices.profiles.profile import list_profiles
    from weckd_edge.devices.profiles.text import summarize_profile

    profiles = list_profiles()
    if output.as_json:
        print_json(
            [
                {
                    "id": p.id,
                    "name": p.name,
                    "target": p.target,
                    "architecture": p.architecture,
                    "summary": p.summary,
                    "int8_arithmetic": p.int8_arithmetic,
                    "int8": {row.runtime: row.runs for row in p.int8},
                    "ram_gib": p.ram_gib,
                    "published": len(p.published),
                }
                for p in profiles
            ]
        )
        return
    columns = ("device", "target", "processor", "int8", "layers in int8", "GiB", "published")
    print_table(columns, [summarize_profile(p) for p in profiles])
    print_message("int8: native pays, emulated gains less, none: no path; published: latencies that others measured")
    print_message("layers in int8: how many of an int8 graph's layers a runtime runs in int8 there")
    print_message("-: not known. More of one, with every source: weckd-edge devices show DEVICE")


@command.command("show")
@click.argument("name", type=DEVICE)
@takes(output=Output)
def show_command(name: str, output: Output) -> None:
    """Show one profile with the source of every value. NAME is a device, or a TOML file of your own."""
    from weckd_edge.devices.profiles.profile import load_profile
    from weckd_edge.devices.profiles.text import describe_profile

    profile = load_profile(name)
    if output.as_json:
        print_json(profile)
        return
    for number, table in enumerate(describe_profile(profile)):
        title = f"{profile.name}. {profile.summary}".strip() if number == 0 else table.title
        print_table(table.columns, table.rows, title=title)
    print_message(f"sure: {_SURE}")
    missing = profile.unsourced()
    if missing:
        print_message(f"without a source: {', '.join(missing)}")


@command.command("detect")
@takes(output=Output)
def detect_command(output: Output) -> None:
    """Show which device profile describes this machine, and why."""
    from weckd_edge.devices.machine.detect import detect

    found = detect()
    if output.as_json:
        print_json(found)
        return
    rows: list[tuple[str, object]] = [
        ("device", found.profile),
        ("recognised", "this very device" if found.recognised else "by its architecture alone"),
        ("host", found.host),
        ("cores", (found.identity.cores_in_words if found.identity else "") or found.cores),
        ("instruction sets", " ".join(found.instruction_sets)),
    ]
    if found.module or found.l4t:
        rows += [("module", found.module), ("L4T", found.l4t)]
    rows += [("why", reason) for reason in found.reasons]
    print_table(("what", "found"), rows)
