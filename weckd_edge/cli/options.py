"""Options that several commands have, so that each is written, and explained, once."""

from __future__ import annotations

from pathlib import Path

import click

from weckd_edge.cli.output import Option

data_option: Option = click.option(
    "--data", type=click.Path(path_type=Path), required=True, help="Folder of <label>/<image>, or a CSV."
)
target_option: Option = click.option("--target", required=True, help="Where the bundle will run: cpu or jetson.")
device_option: Option = click.option(
    "--device", help="Device profile: a name from 'devices list', or a TOML file of your own."
)
bundle_out_option: Option = click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Folder for the bundle: new, empty, or a bundle."
)
chain_option: Option = click.option(
    "--links", help="The chain, largest first: model[@pixels][=weights file], separated by commas."
)
bundle_version_option: Option = click.option(
    "--bundle-version",
    type=click.IntRange(min=0),
    default=0,
    help="Whole number that firmware never goes back from; raise it with each release.",
)
skip_bad_option: Option = click.option(
    "--skip-bad", is_flag=True, help="Go on without files that cannot be used; a bundle records them."
)
key_option: Option = click.option(
    "--sign", "key", type=click.Path(path_type=Path), help="PEM private key (elliptic curve) to sign the bundle with."
)
