"""Options that several commands have, so that each is written, and explained, once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weckd_edge.cli.console.output import Option
from weckd_edge.core.bounds import MAX_SEED, MAX_THREADS, MAX_VERSION

if TYPE_CHECKING:
    from weckd_edge.config import BuildConfig


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
THREADS = click.IntRange(1, MAX_THREADS)


def seed_option(words: str, default: int | None = None) -> Option:
    """Return ``--seed`` in the range that every library that draws takes."""
    decorated: Callable[..., Any] = click.option(
        "--seed", type=click.IntRange(0, MAX_SEED), default=default, show_default=default is not None, help=words
    )
    return decorated


data_option: Option = click.option(
    "--data", type=PATH, required=True, help="Folder <label>/<image> or <split>/<label>/<image>, or a CSV."
)
target_option: Option = click.option("--target", required=True, help="Target of the bundle: cpu or jetson.")
device_option: Option = click.option(
    "--device", help="Device profile: a name from 'devices list', or a TOML file of your own."
)
bundle_out_option: Option = click.option(
    "--out", type=PATH, required=True, help="Folder for the bundle: new, empty, or a bundle to replace."
)
chain_option: Option = click.option(
    "--links", help="The chain, largest first: model[@pixels][=weights file], separated by commas."
)
bundle_version_option: Option = click.option(
    "--bundle-version",
    type=click.IntRange(0, MAX_VERSION),
    default=0,
    help="Version of the content, an integer; firmware refuses a lower one.",
)
skip_bad_option: Option = click.option(
    "--skip-bad", is_flag=True, help="Skip files that cannot be used; the bundle lists them."
)
owner_key_option: Option = click.option(
    "--key", type=PATH, help="PEM public key of the bundle's owner; refuse other signatures."
)
min_version_option: Option = click.option(
    "--min-version", type=click.IntRange(0, MAX_VERSION), default=0, help="Lowest accepted version of a bundle."
)
key_option: Option = click.option(
    "--sign", "key", type=PATH, help="PEM private key (elliptic curve) to sign the bundle with."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DataOptions:
    """What the command line says of how the data set is read, over what the config file says.

    Attributes:
        path_column: Column of a CSV that names the images.
        label_column: Column that names the class.
        group_column: Column of what no split may cut.
        split_column: Column that names the split the data set came with.
        use_published_split: Whether that split is kept.
    """

    path_column: str | None
    label_column: str | None
    group_column: str | None
    split_column: str | None
    use_published_split: bool | None

    def over(self, config: BuildConfig) -> BuildConfig:
        """Return a configuration with these options put over it."""
        options = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(config, data=replace(config.data, **options)) if options else config


def data_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say how a data set is read; it takes them together, as ``data_options``."""

    @wraps(function)
    def command(*args: Any, **values: Any) -> Any:
        options = DataOptions(**{field.name: values.pop(field.name) for field in fields(DataOptions)})
        return function(*args, data_options=options, **values)

    decorated: Callable[..., Any] = command
    for option in reversed(_DATA_OPTIONS):
        decorated = option(decorated)
    return decorated


_DATA_OPTIONS: tuple[Option, ...] = (
    click.option("--path-column", metavar="NAME", help="Column of the CSV that names the images, where it is not found."),
    click.option("--label-column", metavar="NAME", help="Column of the CSV that names the class."),
    click.option("--group-column", metavar="NAME", help="Column that no split may separate: a patient, an examination."),
    click.option("--split-column", metavar="NAME", help="Column that names the published split."),
    click.option(
        "--published-split/--no-published-split",
        "use_published_split",
        default=None,
        help="Keep the published split, or make a new one. Default: keep it where it is complete.",
    ),
)
