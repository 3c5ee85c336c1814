"""``weckd-edge compile``: an imported model, compiled into a verified bundle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import click

from weckd_edge.cli.console.libraries import set_up_libraries
from weckd_edge.cli.console.outcome import report_outcome
from weckd_edge.cli.parsing.option_groups import DataSet, NewBundle, ProgressOutput, Settings, TargetDevice
from weckd_edge.cli.parsing.options import Command, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH, OneOf
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.words import split_names

if TYPE_CHECKING:
    from weckd_edge.artifacts import Colour
    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.config import LinkConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDescription(OptionGroup):
    """A description of the imported model, where its file leaves something open: architecture, classes, input."""

    title: ClassVar[str] = "Model"
    model: str | None = option("--model", help="timm name of the model, where MODEL is a checkpoint without one.")
    model_options: str | None = option(
        "--model-options", help='Its options as JSON, such as {"channels": [16, 32, 64, 128]}.'
    )
    weights_key: str | None = option("--weights-key", help="Key of the weights inside a checkpoint, such as state_dict.")
    labels: str | None = option(
        "--labels",
        help="Classes in the order of the outputs, separated by commas (quoted where they hold one); else sorted by name.",
    )
    input_size: str | None = option(
        "--input-size",
        metavar="S|HxW",
        help="Side of the model's input, pixels, or height and width, such as 192x256, where the file leaves it open.",
    )
    layout: Literal["nchw", "nhwc"] | None = option(
        "--layout", type=OneOf(("nchw", "nhwc")), help="Layout of the input, where an ONNX file leaves it open."
    )
    channels: str | None = option(
        "--channels", type=OneOf(("1", "3")), help="Number of colour channels, where the file leaves it open."
    )
    channel_order: Literal["rgb", "bgr"] = option(
        "--channel-order", type=OneOf(("rgb", "bgr")), default="rgb", help="Channel order of the training images."
    )
    mean: str | None = option("--mean", help="Mean of the training pixels, 0..1: one number or r,g,b.")
    std: str | None = option("--std", help="Standard deviation of the training pixels, same form; 1/255 leaves 0 to 255.")
    output_name: str | None = option(
        "--output", metavar="NAME", help="Output that holds the classes, where an ONNX file has several."
    )
    to_inference: bool = option(
        "--to-inference", is_flag=True, help="Set Dropout and BatchNorm that were exported in training mode to inference."
    )

    def hints(self) -> InputHints:
        """Return the description of the input.

        Raises:
            ConfigError: A size is not one number or two, or a mean or a standard deviation is not one number or three.
        """
        from weckd_edge.compile.importing.hints import InputHints

        return InputHints(
            input_size=None if self.input_size is None else _read_size(self.input_size),
            layout=self.layout,
            mean=_colour("--mean", self.mean),
            std=_colour("--std", self.std),
            channels=int(self.channels) if self.channels else None,
            channel_order=self.channel_order,
            output=self.output_name,
            to_inference=self.to_inference,
        )

    def network(self) -> LinkConfig | None:
        """Return the architecture; None where it was not named.

        Raises:
            ConfigError: The options are not JSON, or the name also says where weights come from.
        """
        from weckd_edge.config import LinkConfig
        from weckd_edge.core.serialization import from_data

        if self.model is None:
            if self.model_options is not None:
                raise ConfigError(
                    "--model-options is for a checkpoint; give its --model too", code="E_CONFIG_OPTION_MISSING"
                )
            return None
        if ":" in self.model:
            raise ConfigError(
                f"--model {self.model}: expected a timm name; weights come from the file alone, nothing is fetched",
                code="E_CONFIG_VALUE",
            )
        try:
            found = json.loads(self.model_options) if self.model_options else {}
        except (ValueError, RecursionError) as err:
            raise ConfigError(
                f'--model-options: expected JSON such as {{"width": 8}}, found something else ({err})',
                code="E_CONFIG_VALUE",
            ) from err
        return from_data(LinkConfig, {"model": self.model, "options": found}, where="--model-options")

    def class_names(self) -> tuple[str, ...] | None:
        """Return the classes in the order of the outputs; None where they were not named.

        Raises:
            ConfigError: There are fewer than two, or one is empty.
        """
        if self.labels is None:
            return None
        names = split_names(self.labels)
        if len(names) < 2 or "" in names:
            raise ConfigError(
                f"--labels '{self.labels}': expected at least two class names, separated by commas; one that holds a comma "
                "stands in double quotes",
                code="E_CONFIG_VALUE",
            )
        return names


@dataclass(frozen=True, kw_only=True, slots=True)
class CompileData(DataSet):
    """The images that a model is calibrated and verified on."""

    path: Path = option(
        "--data",
        type=PATH,
        required=True,
        help="Folder of images by class, or a CSV: calibration on its training images, verification on its test images.",
    )
    calibrate_on: Path | None = option(
        "--calibrate-on", type=PATH, help="Other labelled images for int8 range estimation; none may be held out."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CompileSettings(Settings):
    """The settings of a build that has no chain to train."""

    crop_pct: str | None = option(
        "--crop-pct",
        metavar="X",
        help="Part of the resized image that the centre crop kept in training, such as 0.875 or 224/256; the same as "
        "input.crop_pct.",
    )
    interpolation: str | None = option(
        "--interpolation",
        type=OneOf(("bilinear", "bicubic", "area", "aliased-bilinear")),
        help="How training images were resized: bilinear and bicubic with antialiasing, as Pillow, torchvision and timm do; "
        "aliased-bilinear as OpenCV and Keras do. It sets input.resize.",
    )

    def settings(self) -> dict[str, Any]:
        from weckd_edge.artifacts import INTERPOLATIONS

        found: dict[str, Any] = {} if self.config_file else {"link": []}
        found |= Settings.settings(self)
        if self.crop_pct is not None:
            found["input.crop_pct"] = _read_part(self.crop_pct)
        if self.interpolation is not None:
            found["input.resize"] = INTERPOLATIONS[self.interpolation]
        return found


@click.command("compile", cls=Command)
@click.argument("source", metavar="MODEL", type=PATH)
@takes(
    model=ModelDescription,
    data=CompileData,
    device=TargetDevice,
    settings=CompileSettings,
    bundle=NewBundle,
    output=ProgressOutput,
)
def command(
    source: Path,
    model: ModelDescription,
    data: CompileData,
    device: TargetDevice,
    settings: CompileSettings,
    bundle: NewBundle,
    output: ProgressOutput,
) -> int:
    """Compile a model that you have, check it against the device profile, and write a verified bundle.

    MODEL is an .onnx classifier, a checkpoint of a timm model (safetensors, or what a PyTorch trainer wrote; with
    --model), or the folder of an earlier build's link or bundle. It exits with 3 where the bundle misses a limit, as build
    does.
    """
    set_up_libraries()
    from weckd_edge.api.build import compile_model

    with output.progress() as progress:
        made = compile_model(
            source,
            data.path,
            out=bundle.out,
            target=device.target,
            device=device.device,
            hints=model.hints(),
            model=model.network(),
            weights_key=model.weights_key,
            labels=model.class_names(),
            calibrate_on=data.calibrate_on,
            config=settings.load(data),
            key=bundle.key,
            bundle_version=bundle.bundle_version,
            skip_bad=data.skip_bad,
            progress=progress,
        )
    return report_outcome(made.contents, bundle.out, output)


def _read_size(text: str) -> int | tuple[int, int]:
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and len(side) < 10 for side in sides):
        raise ConfigError(
            f"--input-size {text}: expected a side in pixels, such as 224, or height and width, such as 192x256",
            code="E_CONFIG_VALUE",
        )
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def _read_part(text: str) -> float:
    try:
        return float(Fraction(text.strip()))
    except (ValueError, ZeroDivisionError, OverflowError) as err:
        raise ConfigError(
            f"--crop-pct {text}: expected a part over 0 and at most 1, such as 0.875 or 224/256", code="E_CONFIG_VALUE"
        ) from err


def _colour(name: str, text: str | None) -> Colour | None:
    from weckd_edge.artifacts import as_colour

    if text is None:
        return None
    try:
        values = [float(Fraction(part.strip())) for part in text.split(",")]
    except (ValueError, ZeroDivisionError, OverflowError) as err:
        raise ConfigError(
            f"{name} {text}: expected one number or three, such as 0.485,0.456,0.406", code="E_CONFIG_VALUE"
        ) from err
    try:
        return as_colour(values)
    except ValueError as err:
        raise ConfigError(f"{name} {text}: {err}", code="E_CONFIG_VALUE") from err
