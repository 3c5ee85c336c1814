"""``weckd-edge predict``: answer images with a bundle."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import click

from weckd_edge.cli.console.output import HELP, json_option, print_json, print_message, print_table
from weckd_edge.cli.options import PATH, THREADS, min_version_option, owner_key_option


@click.command("predict", context_settings=HELP)
@click.argument("bundle", type=PATH)
@click.argument("images", nargs=-1, required=True, type=PATH)
@click.option(
    "--backend", help="Run with this one: openvino, onnxruntime or tensorrt; the default is the best that is here."
)
@click.option("--threads", default=1, show_default=True, type=THREADS, help="Processor threads.")
@owner_key_option
@min_version_option
@click.option("--ignore-guard", is_flag=True, help="Also classify frames that the input guard rejects.")
@click.option(
    "--explain",
    "pictures",
    type=PATH,
    metavar="DIR",
    help="Folder for an attribution map of each image; --json says how reliable it is.",
)
@json_option
def command(
    bundle: Path,
    images: tuple[Path, ...],
    backend: str | None,
    threads: int,
    key: Path | None,
    min_version: int,
    ignore_guard: bool,
    pictures: Path | None,
    as_json: bool,
) -> None:
    """Answer IMAGES (files and folders) with a BUNDLE.

    An image that cannot be read is listed as "unable to analyze"; only where none can be read does the command fail. What
    else lies in a folder is listed as skipped, with what it is.
    """
    from weckd_edge.core.errors import DataError
    from weckd_edge.devices.runtime.predict import find_image_files, predict_images
    from weckd_edge.pipeline.output_paths import ReadPath, check_place

    if pictures is not None:
        check_place(
            pictures, [ReadPath("the folder of images", image) for image in images if image.is_dir()], option="--explain"
        )
    opening: dict[str, Any] = {"backend": backend, "threads": threads, "key": key, "min_version": min_version}
    skipped = find_image_files(images).skipped
    if pictures is None:
        predictions = predict_images(bundle, images, ignore_guard=ignore_guard, **opening)
        found: list[object] = list(predictions)
    else:
        from weckd_edge.core.serialization import to_data
        from weckd_edge.devices.attribution.explain_images import explain_images
        from weckd_edge.devices.runtime.predict import open_bundle_model

        with closing(open_bundle_model(bundle, **opening)) as model:
            explained = explain_images(model, images, pictures, ignore_guard=ignore_guard)
        predictions = tuple(one.prediction for one in explained)
        found = [
            {**to_data(one.prediction), "overlay": one.overlay, "method": one.method, "deletion": to_data(one.deletion)}
            for one in explained
        ]
    if as_json:
        print_json({"images": found, "skipped": list(skipped)})
    else:
        rows = [
            (a.file, a.decision, f"{max(a.probabilities.values()):.3f}" if a.probabilities else None, a.reason or "")
            for a in predictions
        ]
        print_table(("image", "decision", "probability", "why not"), rows)
        noted = [(a.file, note.text) for a in predictions for note in a.notes]
        if noted:
            print_table(("image", "noticed"), noted)
        if skipped:
            print_table(("skipped", "as it is"), [(one.file, one.reason) for one in skipped])
    if pictures is not None:
        print_message(f"pictures: {sum(one.overlay is not None for one in explained)} of {len(predictions)} in {pictures}")
    if all(prediction.code in ("unreadable", "not_a_number") for prediction in predictions):
        raise DataError(
            f"none of {len(predictions)} images could be answered; the first: {predictions[0].reason}",
            code="E_DATA_NO_PREDICTION",
        )
