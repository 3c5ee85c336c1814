"""The groups of options that several commands take, so that each option is written, and explained, once."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from weckd_edge.cli.console.output import make_progress
from weckd_edge.cli.options import OptionGroup, option
from weckd_edge.cli.parameter_types import PATH, SEED, THREADS, VERSION, OneOf

if TYPE_CHECKING:
    from weckd_edge.artifacts import Target
    from weckd_edge.config import BuildConfig
    from weckd_edge.core.progress import Progress

BACKENDS = ("openvino", "onnxruntime", "tensorrt")
TARGETS = ("cpu", "jetson")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataColumns(OptionGroup):
    """How the data set's table is read; each option stands over the same setting of the config file."""

    title: ClassVar[str] = "Data"
    path_column: str | None = option(
        "--path-column", metavar="NAME", help="Column of the CSV that names the images. Default: it is found."
    )
    label_column: str | None = option("--label-column", metavar="NAME", help="Column of the CSV that names the class.")
    group_column: str | None = option(
        "--group-column", metavar="NAME", help="Column that no split may separate: a patient, an examination."
    )
    split_column: str | None = option("--split-column", metavar="NAME", help="Column that names the published split.")
    use_published_split: bool | None = option(
        "--published-split/--no-published-split",
        default=None,
        help="Keep the published split, or make a new one. Default: keep it where it is complete.",
    )

    def over(self, config: BuildConfig) -> BuildConfig:
        """Return a configuration with these options put over its ``[data]`` table."""
        names = DataColumns.__dataclass_fields__
        options = {name: value for name, value in asdict(self).items() if name in names and value is not None}
        return replace(config, data=replace(config.data, **options)) if options else config


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet(DataColumns):
    """The labelled images that a build or a study reads."""

    path: Path = option(
        "--data", type=PATH, required=True, help="Folder <label>/<image> or <split>/<label>/<image>, or a CSV."
    )
    skip_bad: bool = option("--skip-bad", is_flag=True, help="Skip files that cannot be used; the results list them.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(OptionGroup):
    """The settings of a build, from a file and from the command line."""

    title: ClassVar[str] = "Settings"
    config_file: Path | None = option("--config", type=PATH, help="TOML file with the other settings.")
    seed: int | None = option("--seed", type=SEED, help="Seed of splits, weights and batches, in place of the file's.")

    def load(self, columns: DataColumns, *, default: BuildConfig | None = None) -> BuildConfig:
        """Return the settings in force.

        Args:
            columns: The options that say how the data set is read.
            default: Settings where there is no file; None: the defaults of a build.

        Raises:
            ConfigError: The file is missing, or a setting is unknown, wrong or contradictory.
        """
        from weckd_edge.config import BuildConfig, load_config

        config = load_config(self.config_file) if self.config_file else default or BuildConfig()
        config = columns.over(config)
        return config if self.seed is None else replace(config, seed=self.seed)


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainSettings(Settings):
    """The settings of commands that train a chain."""

    links: str | None = option(
        "--links", help="The chain, largest first: model[@pixels][=weights file], separated by commas."
    )

    def load(self, columns: DataColumns, *, default: BuildConfig | None = None) -> BuildConfig:
        from weckd_edge.cli.links import parse_links

        config = Settings.load(self, columns, default=default)  # super() does not work below slots=True
        return config if self.links is None else replace(config, link=parse_links(self.links))


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetDevice(OptionGroup):
    """The device that a bundle is built for."""

    title: ClassVar[str] = "Device"
    target: Target = option("--target", type=OneOf(TARGETS), required=True, help="Kind of device that the bundle is for.")
    device: str | None = option(
        "--device", help="Device profile: a name from 'devices list', or a TOML file of your own. Default: the target's."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class NewBundle(OptionGroup):
    """The bundle that is written."""

    title: ClassVar[str] = "Bundle"
    out: Path = option("--out", type=PATH, required=True, help="Folder for the bundle: new, empty, or a bundle to replace.")
    key: Path | None = option("--sign", type=PATH, help="PEM private key (elliptic curve) to sign the bundle with.")
    bundle_version: int = option(
        "--bundle-version",
        type=VERSION,
        default=0,
        help="Version of the content, an integer; firmware refuses a lower one.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnerKey(OptionGroup):
    """The signature that a bundle must have."""

    title: ClassVar[str] = "Signature"
    key: Path | None = option("--key", type=PATH, help="PEM public key of the bundle's owner; refuse other signatures.")


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedBundle(OwnerKey):
    """The signature and the version that a bundle must have."""

    min_version: int = option("--min-version", type=VERSION, default=0, help="Lowest accepted version of a bundle.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Runtime(OptionGroup):
    """The runtime that runs the model of a bundle."""

    title: ClassVar[str] = "Run"
    backend: str | None = option("--backend", type=OneOf(BACKENDS), help="Backend. Default: the best that is here.")
    threads: int = option("--threads", type=THREADS, default=1, show_default=True, help="Processor threads.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Output(OptionGroup):
    """Output of a command."""

    title: ClassVar[str] = "Output"
    as_json: bool = option("--json", is_flag=True, help="Print JSON on stdout, nothing else.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressOutput(Output):
    """Output of a command that takes a while."""

    quiet: bool = option("-q", "--quiet", is_flag=True, help="Show no progress.")

    def progress(self) -> AbstractContextManager[Progress]:
        """Return the progress display: none when quiet, a live display on a terminal, plain lines elsewhere."""
        return make_progress(self.quiet)
