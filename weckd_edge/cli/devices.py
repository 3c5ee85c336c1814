"""``weckd-edge devices``: the profiles there are, and which of them this machine is."""

from __future__ import annotations

import click

from weckd_edge.cli.output import HELP, json_option, print_json, print_table, say


@click.group("devices", context_settings=HELP)
def command() -> None:
    """List, show and detect device profiles."""


@command.command("list", context_settings=HELP)
@json_option
def list_command(as_json: bool) -> None:
    """List the device profiles that come with this software."""
    from weckd_edge.devices.profile import list_profiles

    profiles = list_profiles()
    if as_json:
        print_json(
            [
                {"id": p.id, "name": p.name, "target": p.target, "architecture": p.architecture, "summary": p.summary}
                for p in profiles
            ]
        )
        return
    print_table(
        ("device", "target", "processor", "cores", "memory GiB", "what it is"),
        [(p.id, p.target, p.architecture, p.cores, p.ram_gib, p.summary) for p in profiles],
    )


@command.command("show", context_settings=HELP)
@click.argument("name")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Show one profile with the source of every value. NAME is a device, or a TOML file of your own."""
    from weckd_edge.devices.profile import describe, load_profile

    profile = load_profile(name)
    if as_json:
        print_json(profile)
        return
    print_table(("field", "value", "source", "confidence"), describe(profile), title=profile.name)
    say("confidence: V read in a primary source, S in a secondary one, U not confirmed, choice: this project's own")


@command.command("detect", context_settings=HELP)
@json_option
def detect_command(as_json: bool) -> None:
    """Say which device this machine is, and why."""
    from weckd_edge.devices.detect import detect

    found = detect()
    if as_json:
        print_json(found)
        return
    rows: list[tuple[str, object]] = [
        ("device", found.profile),
        ("recognised", "this very device" if found.recognised else "by its architecture alone"),
        ("host", found.host),
        ("cores", found.cores),
        ("instruction sets", " ".join(found.instruction_sets)),
    ]
    if found.module or found.l4t:
        rows += [("module", found.module), ("L4T", found.l4t)]
    rows += [("why", reason) for reason in found.reasons]
    print_table(("what", "found"), rows)
