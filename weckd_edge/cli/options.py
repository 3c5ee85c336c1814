"""Options that several commands have, so that each is written, and explained, once."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from weckd_edge.bounds import MOST_SEED, MOST_THREADS, MOST_VERSION
from weckd_edge.cli.output import Option


class AnyPath(click.Path):
    """A path that need not be there; an empty text is none, where Python would take it for the current folder."""

    def __init__(self, *, exists: bool = False, dir_okay: bool = True, file_okay: bool = True) -> None:
        super().__init__(path_type=Path, exists=exists, dir_okay=dir_okay, file_okay=file_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if str(value) == "" or value == b"":
            self.fail("expected a path, got an empty text ('.' is the current folder)", param, ctx)
        return super().convert(value, param, ctx)


class FiniteRange(click.FloatRange):
    """A number within bounds; "nan" is none, where comparing it with a bound finds nothing wrong."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"expected a finite number, got {value}", param, ctx)
        return found


PATH = AnyPath()
THREADS = click.IntRange(1, MOST_THREADS)


def seed_option(words: str, default: int | None = None) -> Option:
    """Return ``--seed`` in the range that every library that draws takes."""
    made: Callable[..., Any] = click.option(
        "--seed", type=click.IntRange(0, MOST_SEED), default=default, show_default=default is not None, help=words
    )
    return made


data_option: Option = click.option("--data", type=PATH, required=True, help="Folder of <label>/<image>, or a CSV.")
target_option: Option = click.option("--target", required=True, help="Where the bundle will run: cpu or jetson.")
device_option: Option = click.option(
    "--device", help="Device profile: a name from 'devices list', or a TOML file of your own."
)
bundle_out_option: Option = click.option(
    "--out", type=PATH, required=True, help="Folder for the bundle: new, empty, or a bundle."
)
chain_option: Option = click.option(
    "--links", help="The chain, largest first: model[@pixels][=weights file], separated by commas."
)
bundle_version_option: Option = click.option(
    "--bundle-version",
    type=click.IntRange(0, MOST_VERSION),
    default=0,
    help="Whole number that firmware never goes back from; raise it with each release.",
)
skip_bad_option: Option = click.option(
    "--skip-bad", is_flag=True, help="Go on without files that cannot be used; a bundle records them."
)
key_option: Option = click.option(
    "--sign", "key", type=PATH, help="PEM private key (elliptic curve) to sign the bundle with."
)
