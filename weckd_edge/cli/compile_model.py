"""``weckd-edge compile``: a network that a user brings, compiled, verified and sealed."""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from weckd_edge.cli.build import EXIT_GATE_FAILED, parse_target, print_outcome, summarize_outcome
from weckd_edge.cli.console.output import HELP, json_option, make_progress, print_json, quiet_option
from weckd_edge.cli.options import (
    PATH,
    DataOptions,
    bundle_out_option,
    bundle_version_option,
    data_options,
    device_option,
    key_option,
    seed_option,
    skip_bad_option,
    target_option,
)
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.words import split_names

if TYPE_CHECKING:
    from weckd_edge.artifacts import Colour
    from weckd_edge.config import LinkConfig


@click.command("compile", context_settings=HELP)
@click.argument("source", metavar="MODEL", type=PATH)
@click.option(
    "--data",
    type=PATH,
    required=True,
    help="Folder of images by class, or a CSV: calibration on its training images, verification on its test images.",
)
@data_options
@target_option
@device_option
@bundle_out_option
@click.option("--model", help="timm name of the network, where MODEL is a checkpoint without one.")
@click.option("--model-options", help='Its options as JSON, such as {"channels": [16, 32, 64, 128]}.')
@click.option("--weights-key", help="Key of the weights inside a checkpoint, such as state_dict.")
@click.option(
    "--labels",
    help="Classes in the order of the outputs, separated by commas (quoted where they hold one); else sorted by name.",
)
@click.option(
    "--input-size", type=click.IntRange(8, 2048), help="Side of the network's input, pixels, where the file leaves it open."
)
@click.option(
    "--layout", type=click.Choice(("nchw", "nhwc")), help="Layout of the input, where an ONNX file leaves it open."
)
@click.option("--channels", type=click.Choice(("1", "3")), help="Number of colour channels, where the file leaves it open.")
@click.option(
    "--channel-order", type=click.Choice(("rgb", "bgr")), default="rgb", help="Channel order of the training images."
)
@click.option("--mean", help="Mean of the training pixels, 0..1: one number or r,g,b.")
@click.option("--std", help="Standard deviation of the training pixels, same form; 1/255 leaves 0 to 255.")
@click.option("--output", metavar="NAME", help="Output that holds the classes, where an ONNX file has several.")
@click.option(
    "--to-inference", is_flag=True, help="Set Dropout and BatchNorm that were exported in training mode to inference."
)
@click.option("--calibrate-on", type=PATH, help="Other labelled images for int8 range estimation; none may be held out.")
@click.option("--config", "config_file", type=PATH, help="TOML file of a build, for its other settings.")
@seed_option("Seed of the split and of the choice of calibration images.")
@skip_bad_option
@key_option
@bundle_version_option
@quiet_option
@json_option
def command(
    source: Path,
    data: Path,
    data_options: DataOptions,
    target: str,
    device: str | None,
    out: Path,
    model: str | None,
    model_options: str | None,
    weights_key: str | None,
    labels: str | None,
    input_size: int | None,
    layout: Any,
    channels: str | None,
    channel_order: Any,
    mean: str | None,
    std: str | None,
    output: str | None,
    to_inference: bool,
    calibrate_on: Path | None,
    config_file: Path | None,
    seed: int | None,
    skip_bad: bool,
    key: Path | None,
    bundle_version: int,
    quiet: bool,
    as_json: bool,
) -> int:
    """Compile a network you bring, verify it against the device profile, and seal a bundle.

    MODEL is an .onnx classifier, a checkpoint of a timm network (safetensors, or what a PyTorch trainer wrote; with
    --model), or the folder of a former build's link or bundle. Exits 3 when a limit was missed, as build does.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from dataclasses import replace

    from weckd_edge.compile.importing.hints import InputHints
    from weckd_edge.config import BuildConfig, load_config
    from weckd_edge.pipeline.compile_model import compile_model
    from weckd_edge.pipeline.request import CompileRequest

    config = load_config(config_file) if config_file else BuildConfig(link=())
    config = data_options.over(config)
    if seed is not None:
        config = replace(config, seed=seed)
    request = CompileRequest(
        source=source,
        data=data,
        target=parse_target(target),
        device=device,
        out=out,
        hints=InputHints(
            input_size=input_size,
            layout=layout,
            mean=_colour("--mean", mean),
            std=_colour("--std", std),
            channels=int(channels) if channels else None,
            channel_order=channel_order,
            output=output,
            to_inference=to_inference,
        ),
        config=config,
        model=_model(model, model_options),
        weights_key=weights_key,
        labels=_labels(labels),
        calibrate_on=calibrate_on,
        skip_bad=skip_bad,
        key=key,
        bundle_version=bundle_version,
    )
    with make_progress(quiet) as progress:
        contents = compile_model(request, progress)
    if as_json:
        print_json({**summarize_outcome(contents, out), "imported": list(contents.chain.import_notes)})
    else:
        print_outcome(contents, out)
    return 0 if contents.manifest.passed else EXIT_GATE_FAILED


def _colour(option: str, text: str | None) -> Colour | None:
    from weckd_edge.artifacts import as_colour

    if text is None:
        return None
    try:
        values = [float(Fraction(part.strip())) for part in text.split(",")]
    except (ValueError, ZeroDivisionError, OverflowError) as err:
        raise ConfigError(
            f"{option} {text}: expected one number or three, such as 0.485,0.456,0.406", code="E_CONFIG_VALUE"
        ) from err
    try:
        return as_colour(values)
    except ValueError as err:
        raise ConfigError(f"{option} {text}: {err}", code="E_CONFIG_VALUE") from err


def _labels(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    labels = split_names(text)
    if len(labels) < 2 or "" in labels:
        raise ConfigError(
            f"--labels '{text}': expected at least two class names, separated by commas; one that holds a comma stands in "
            "double quotes",
            code="E_CONFIG_VALUE",
        )
    return labels


def _model(name: str | None, options: str | None) -> LinkConfig | None:
    from weckd_edge.config import LinkConfig
    from weckd_edge.core.serialization import from_data

    if name is None:
        if options is not None:
            raise ConfigError("--model-options is for a checkpoint; give its --model too", code="E_CONFIG_OPTION_MISSING")
        return None
    if ":" in name:
        raise ConfigError(
            f"--model {name}: expected a timm name; weights come from the file alone, nothing is fetched",
            code="E_CONFIG_VALUE",
        )
    try:
        found = json.loads(options) if options else {}
    except (ValueError, RecursionError) as err:
        raise ConfigError(
            f'--model-options: expected JSON such as {{"width": 8}}, found something else ({err})', code="E_CONFIG_VALUE"
        ) from err
    return from_data(LinkConfig, {"model": name, "options": found}, where="--model-options")
