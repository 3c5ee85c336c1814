"""The groups of options that several commands take, so that each option is written, and explained, once."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from weckd_edge.cli.console.output import make_progress
from weckd_edge.cli.parsing.options import OptionGroup, option
from weckd_edge.cli.parsing.parameter_types import (
    DEVICE,
    OVERRIDE,
    PATH,
    SEED,
    THREADS,
    VERSION,
    AnyPath,
    OneOf,
    WholeNumber,
)

if TYPE_CHECKING:
    from weckd_edge.artifacts import Precision, Target
    from weckd_edge.config import BuildConfig
    from weckd_edge.core.progress import Progress

BACKENDS = ("openvino", "onnxruntime", "litert", "tensorrt")
PRECISIONS = ("int8", "fp16", "fp32")
TARGETS = ("cpu", "jetson")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataColumns(OptionGroup):
    """How the table of a data set is read; each option stands over the same setting of the config file."""

    title: ClassVar[str] = "Data"
    path_column: str | None = option(
        "--path-column", metavar="NAME", help="Column of the CSV that names the images. Default: it is found."
    )
    label_column: str | None = option("--label-column", metavar="NAME", help="Column of the CSV that names the class.")
    group_column: str | None = option(
        "--group-column", metavar="NAME", help="Column that no split may separate: a patient, an examination."
    )
    split_column: str | None = option("--split-column", metavar="NAME", help="Column that names the published split.")
    exam_column: str | None = option("--exam-column", metavar="NAME", help="Column that names a frame's examination.")
    time_column: str | None = option(
        "--time-column", metavar="NAME", help="Column with a frame's time in its examination, seconds."
    )
    dicom_group: str | None = option(
        "--dicom-group", metavar="KEYWORD", help="DICOM attribute that no split may separate, such as PatientID."
    )
    use_published_split: bool | None = option(
        "--published-split/--no-published-split",
        default=None,
        help="Keep the published split, or make a new one. Default: keep it where it is complete.",
    )

    def settings(self) -> dict[str, Any]:
        """Return the options that were given, by the names of their settings, such as ``data.path_column``."""
        values = {field.name: getattr(self, field.name) for field in fields(DataColumns)}
        return {f"data.{name}": value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet(DataColumns):
    """The labelled images that a build or a study reads."""

    path: Path = option(
        "--data", type=PATH, required=True, help="Folder <label>/<image> or <split>/<label>/<image>, or a CSV."
    )
    skip_bad: bool = option("--skip-bad", is_flag=True, help="Skip files that cannot be used; the results list them.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache(OptionGroup):
    """What is kept of the images that were read."""

    title: ClassVar[str] = "Cache"
    folder: Path | None = option(
        "--cache",
        type=AnyPath(file_okay=False),
        help="Folder that keeps what was read of each image: a stopped run goes on, a later one is short.",
    )

    def place(self, data: Path) -> Path | None:
        """Return the folder; None where nothing is kept.

        Raises:
            ConfigError: The folder lies in the data set.
        """
        from weckd_edge.pipeline.output_paths import ReadPath, check_place

        if self.folder is not None:
            check_place(self.folder, [ReadPath("the data set", data)], option="--cache")
        return self.folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(OptionGroup):
    """The settings of a build, from a file and from the command line."""

    title: ClassVar[str] = "Settings"
    config_file: Path | None = option("--config", type=PATH, help="TOML file with the other settings.")
    overrides: tuple[str, ...] = option(
        "--set",
        type=OVERRIDE,
        multiple=True,
        metavar="TABLE.KEY=VALUE",
        help="Set one setting, over the file; may be given several times. 'weckd-edge config show' lists all settings.",
    )
    seed: int | None = option("--seed", type=SEED, help="Seed of splits, weights and batches, in place of the file's.")

    def settings(self) -> dict[str, Any]:
        """Return the settings that the command line gives, by their names, such as ``train.epochs``.

        Raises:
            ConfigError: ``--set`` names an unknown setting, or a value of another type.
        """
        from weckd_edge.config import BuildConfig, parse_setting

        found = dict(parse_setting(BuildConfig, text) for text in self.overrides)
        return found if self.seed is None else found | {"seed": self.seed}

    def load(self, columns: DataColumns | None = None) -> BuildConfig:
        """Return the settings in force: the defaults, the file over them, the command line over both.

        Args:
            columns: Options that say how the data set is read; None: there are none.

        Raises:
            ConfigError: The file is missing, or a setting is unknown, wrong or contradictory.
        """
        from weckd_edge.config import load_config

        return load_config(self.config_file, {**self.settings(), **(columns.settings() if columns else {})})


@dataclass(frozen=True, kw_only=True, slots=True)
class ChainSettings(Settings):
    """The settings of commands that train a chain."""

    epochs: int | None = option(
        "--epochs", type=WholeNumber(1, 100_000), help="Number of epochs of each link; the same as train.epochs."
    )
    batch: int | None = option(
        "--batch", type=WholeNumber(4, 65_536), help="Labelled images in one step; the same as train.batch."
    )
    links: str | None = option(
        "--links", help="The chain, largest first: model[@pixels[:width]][=weights file], separated by commas."
    )

    def settings(self) -> dict[str, Any]:
        from weckd_edge.cli.parsing.links import parse_links
        from weckd_edge.core.serialization import to_data

        given: dict[str, Any] = {"train.epochs": self.epochs, "train.batch": self.batch}
        if self.links is not None:
            given["link"] = to_data(parse_links(self.links))
        found = Settings.settings(self)  # super() does not work below slots=True
        return found | {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetDevice(OptionGroup):
    """The device that a bundle is built for."""

    title: ClassVar[str] = "Device"
    target: Target = option("--target", type=OneOf(TARGETS), required=True, help="Kind of device that the bundle is for.")
    device: str | None = option(
        "--device",
        type=DEVICE,
        help="Device profile: a name from 'devices list', or a TOML file of your own. Default: the target's.",
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
    backend: str | None = option(
        "--backend",
        type=OneOf(BACKENDS),
        help="Backend. Default: the model that finalize chose here, else the bundle's first that runs here.",
    )
    precision: Precision | None = option(
        "--precision", type=OneOf(PRECISIONS), help="Precision of the model. Default: that of the model which is taken."
    )
    threads: int = option("--threads", type=THREADS, default=1, show_default=True, help="Processor threads.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Output(OptionGroup):
    """Output of a command."""

    title: ClassVar[str] = "Output"
    as_json: bool = option("--json", is_flag=True, help="Print JSON on stdout, nothing else.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressOutput(Output):
    """Output of a command that takes a while."""

    quiet: bool = option("-q", "--quiet", is_flag=True, help="Show no progress; warnings are shown.")

    def progress(self) -> AbstractContextManager[Progress]:
        """Return the progress display: warnings alone when quiet, a live display on a terminal, plain lines elsewhere."""
        return make_progress(self.quiet)
