"""``weckd-edge config``: the settings of a build, with their values and origins."""

from __future__ import annotations

import click

from weckd_edge.cli.console.output import print_json
from weckd_edge.cli.parsing.option_groups import ChainSettings, Output
from weckd_edge.cli.parsing.options import CommandGroup, takes


@click.group("config", cls=CommandGroup)
def command() -> None:
    """Show every setting of a build, with its value and its origin."""


@command.command("show")
@takes(settings=ChainSettings, output=Output)
def show_command(settings: ChainSettings, output: Output) -> None:
    """Print every setting in force as TOML, with its origin.

    The origin stands in a comment: default, file or command line. Save what is printed as a file of your own, and give it
    to --config.
    """
    from weckd_edge.config import settings_in_force, settings_toml

    found = settings_in_force(settings.config_file, settings.settings())
    if output.as_json:
        print_json(
            {
                "config": None if settings.config_file is None else str(settings.config_file),
                "settings": {one.name: {"value": one.value, "origin": one.origin} for one in found},
            }
        )
    else:
        click.echo(settings_toml(found), nl=False)
