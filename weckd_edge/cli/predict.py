"""``weckd-edge predict``: classify images with a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weckd_edge.cli.console.output import print_message
from weckd_edge.cli.console.prediction_results import ImageResult, PredictionResults
from weckd_edge.cli.parsing.image_patterns import expand_patterns
from weckd_edge.cli.parsing.option_groups import AcceptedBundle, ProgressOutput, Runtime
from weckd_edge.cli.parsing.options import Command, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH

if TYPE_CHECKING:
    from weckd_edge.api.bundle import Bundle
    from weckd_edge.api.model import Model
    from weckd_edge.devices.attribution.explain_images import Explanation
    from weckd_edge.devices.runtime.decision import Prediction


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictRun(Runtime):
    """The runtime, and which frames it classifies."""

    ignore_guard: bool = option("--ignore-guard", is_flag=True, help="Also classify frames that the input guard rejects.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictOutput(ProgressOutput):
    """Output of a prediction: what is printed and written, and which pictures are drawn."""

    out: Path | None = option(
        "--out",
        type=PATH,
        metavar="FILE",
        help="File for the predictions, one row an image: .csv or .jsonl. Only a summary is printed then.",
    )
    save: Path | None = option(
        "--save", type=PATH, metavar="DIR", help="Folder for a copy of each image with its prediction drawn below it."
    )
    attributions: Path | None = option(
        "--explain",
        type=PATH,
        metavar="DIR",
        help="Folder for an attribution map of each image; --json says how reliable it is.",
    )

    def check_places(self, images: Sequence[Path]) -> None:
        """Refuse outputs that would lie among the images or in a bundle.

        Raises:
            ConfigError: One does, or the name of the file does not say how it is written.
        """
        from weckd_edge.devices.runtime.prediction_file import check_suffix
        from weckd_edge.pipeline.output_paths import ReadPath, check_place

        sources = [ReadPath("the folder of images", image) for image in images if image.is_dir()]
        for name, folder in (("--explain", self.attributions), ("--save", self.save)):
            if folder is not None:
                check_place(folder, sources, option=name)
        if self.out is not None:
            check_suffix(self.out)
            check_place(self.out, sources, makes="file")


@click.command("predict", cls=Command)
@click.argument("bundle", type=PATH)
@click.argument("images", nargs=-1, required=True, type=PATH)
@takes(run=PredictRun, trust=AcceptedBundle, output=PredictOutput)
def command(bundle: Path, images: tuple[Path, ...], run: PredictRun, trust: AcceptedBundle, output: PredictOutput) -> None:
    """Classify IMAGES with a BUNDLE: files, folders, and patterns such as 'images/**/*.png' (in quotes).

    An image that cannot be read is listed as "unable to analyze"; the command fails only where none can be read. Other
    files of a folder are listed as skipped, with the kind of file that each is.
    """
    from weckd_edge.api.bundle import load
    from weckd_edge.devices.runtime.predict import find_image_files

    named = expand_patterns(images)
    output.check_places(named)
    found = find_image_files(named)
    loaded = load(bundle, key=trust.key, min_version=trust.min_version)
    results = PredictionResults(skipped=found.skipped, file=output.out)
    with (
        loaded.open(run.backend, run.precision, threads=run.threads) as model,
        output.progress() as progress,
        progress.task("predict", len(found.images)) as task,
    ):
        results.model = model.running
        for result in _predictions(loaded, model, found.images, run, output):
            results.add(result)
            task.advance()
    results.print(as_json=output.as_json)
    for folder, number in ((output.attributions, results.explained), (output.save, results.saved)):
        if folder is not None:
            print_message(f"pictures: {number} of {len(found.images)} in {folder}")
    results.check()


def _predictions(
    bundle: Bundle, model: Model, images: Sequence[Path], run: PredictRun, output: PredictOutput
) -> Iterator[ImageResult]:
    """Classify images one after another; each is written and drawn before the next one is classified."""
    from weckd_edge.devices.images.picture_paths import make_picture_paths
    from weckd_edge.devices.runtime.prediction_file import write_predictions
    from weckd_edge.devices.runtime.prediction_picture import save_prediction

    pictures = None if output.save is None else make_picture_paths(images, output.save, bundle=bundle.path)
    with ExitStack() as stack:
        found: Iterator[tuple[Prediction, Explanation | None]]
        if output.attributions is None:
            found = ((one, None) for one in model.predict_many(images, ignore_guard=run.ignore_guard))
        else:
            explanations = model.explain(images, output.attributions, ignore_guard=run.ignore_guard)
            found = ((one.prediction, one) for one in explanations)
        file = None if output.out is None else stack.enter_context(write_predictions(output.out, bundle.labels))
        for number, (prediction, explanation) in enumerate(found):
            if file is not None:
                file.write(prediction)
            is_saved = pictures is not None and save_prediction(images[number], prediction, pictures[number])
            yield ImageResult(prediction, explanation, is_saved)
