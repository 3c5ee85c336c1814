"""``weckd-edge predict``: classify images with a bundle."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.option_groups import AcceptedBundle, Output, Runtime
from weckd_edge.cli.options import Command, option, takes
from weckd_edge.cli.parameter_types import PATH


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictRun(Runtime):
    """The runtime, and which frames it classifies."""

    ignore_guard: bool = option("--ignore-guard", is_flag=True, help="Also classify frames that the input guard rejects.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictOutput(Output):
    """Output of a prediction: what is printed, and which pictures are drawn."""

    attributions: Path | None = option(
        "--explain",
        type=PATH,
        metavar="DIR",
        help="Folder for an attribution map of each image; --json says how reliable it is.",
    )


@click.command("predict", cls=Command)
@click.argument("bundle", type=PATH)
@click.argument("images", nargs=-1, required=True, type=PATH)
@takes(run=PredictRun, trust=AcceptedBundle, output=PredictOutput)
def command(bundle: Path, images: tuple[Path, ...], run: PredictRun, trust: AcceptedBundle, output: PredictOutput) -> None:
    """Classify IMAGES (files and folders) with a BUNDLE.

    An image that cannot be read is listed as "unable to analyze"; the command fails only where none can be read. Other
    files of a folder are listed as skipped, with the kind of file that each is.
    """
    from weckd_edge.core.errors import DataError
    from weckd_edge.devices.runtime.predict import find_image_files, predict_images
    from weckd_edge.pipeline.output_paths import ReadPath, check_place

    pictures = output.attributions
    if pictures is not None:
        check_place(
            pictures, [ReadPath("the folder of images", image) for image in images if image.is_dir()], option="--explain"
        )
    opening: dict[str, Any] = {
        "backend": run.backend,
        "threads": run.threads,
        "key": trust.key,
        "min_version": trust.min_version,
    }
    skipped = find_image_files(images).skipped
    if pictures is None:
        predictions = predict_images(bundle, images, ignore_guard=run.ignore_guard, **opening)
        found: list[object] = list(predictions)
    else:
        from weckd_edge.core.serialization import to_data
        from weckd_edge.devices.attribution.explain_images import explain_images
        from weckd_edge.devices.runtime.predict import open_bundle_model

        with closing(open_bundle_model(bundle, **opening)) as model:
            explained = explain_images(model, images, pictures, ignore_guard=run.ignore_guard)
        predictions = tuple(one.prediction for one in explained)
        found = [
            {**to_data(one.prediction), "overlay": one.overlay, "method": one.method, "deletion": to_data(one.deletion)}
            for one in explained
        ]
    if output.as_json:
        print_json({"images": found, "skipped": list(skipped)})
    else:
        rows = [
            (a.file, a.decision, f"{max(a.probabilities.values()):.3f}" if a.probabilities else None, a.reason or "")
            for a in predictions
        ]
        print_table(("image", "decision", "probability", "reason"), rows)
        noted = [(a.file, note.text) for a in predictions for note in a.notes]
        if noted:
            print_table(("image", "noticed"), noted)
        if skipped:
            print_table(("skipped", "because"), [(one.file, one.reason) for one in skipped])
    if pictures is not None:
        print_message(f"pictures: {sum(one.overlay is not None for one in explained)} of {len(predictions)} in {pictures}")
    if all(prediction.code in ("unreadable", "not_a_number") for prediction in predictions):
        raise DataError(
            f"none of {len(predictions)} images could be classified; the first: {predictions[0].reason}",
            code="E_DATA_NO_PREDICTION",
        )
