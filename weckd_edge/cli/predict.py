"""``weckd-edge predict``: classify images and examinations with a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import click

from weckd_edge.cli.console.output import print_message
from weckd_edge.cli.console.prediction_results import ImageResult, PredictionResults
from weckd_edge.cli.parsing.exam_sources import NamedSources, find_sources
from weckd_edge.cli.parsing.option_groups import AcceptedBundle, ProgressOutput, Runtime
from weckd_edge.cli.parsing.options import Command, OptionGroup, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH, AnyPath, FiniteRange
from weckd_edge.cli.predict_exams import predict_exams
from weckd_edge.core.errors import ConfigError

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
class Examinations(OptionGroup):
    """What is one examination: frames of one ear that end in one decision."""

    title: ClassVar[str] = "Examinations"
    together: bool = option(
        "--exam",
        is_flag=True,
        help="Take each folder, each pattern, and images that are named one by one, as the frames of one examination.",
    )
    camera: str | None = option(
        "--camera", metavar="NAME", help="Camera that gives an examination: its number, its device, or its name."
    )
    live_limit_s: float = option(
        "--seconds",
        type=FiniteRange(1, 3600),
        default=30,
        show_default=True,
        help="Longest examination of a camera or a stream; Ctrl-C ends one sooner.",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictOutput(ProgressOutput):
    """Output of a prediction: what is printed and written, and which pictures are drawn."""

    out: Path | None = option(
        "--out",
        type=PATH,
        metavar="FILE",
        help="File for the predictions, one row an image or a frame: .csv or .jsonl. Only a summary is printed then.",
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
@click.argument("images", nargs=-1, type=AnyPath(path_type=str))
@takes(run=PredictRun, exams=Examinations, trust=AcceptedBundle, output=PredictOutput)
def command(
    bundle: Path,
    images: tuple[str, ...],
    run: PredictRun,
    exams: Examinations,
    trust: AcceptedBundle,
    output: PredictOutput,
) -> None:
    """Classify IMAGES with a BUNDLE: files, folders, and patterns such as 'images/**/*.png' (in quotes).

    A video, an rtsp:// stream and --camera are examinations: their frames end in one decision for each. So are folders of
    frames with --exam.

    An image that cannot be read is listed as "unable to analyze"; the command fails only where none can be read. Other
    files of a folder are listed as skipped, with the kind of file that each is.
    """
    from weckd_edge.api.bundle import load

    if not images and exams.camera is None:
        raise click.UsageError("Missing argument 'IMAGES...', or --camera.")
    sources = find_sources(images, camera=exams.camera, together=exams.together)
    output.check_places([*sources.images, *map(Path, images)])
    if sources.exams:
        _check_options(sources, run, output)
        loaded = load(bundle, key=trust.key, min_version=trust.min_version)
        predict_exams(loaded, sources, run, output, live_limit_s=exams.live_limit_s)
    else:
        _predict_images(bundle, sources.images, run, trust, output)


def _check_options(sources: NamedSources, run: PredictRun, output: PredictOutput) -> None:
    """Refuse what is for images alone.

    Raises:
        ConfigError: Images are named beside examinations, or an option is given that examinations have no use for.
    """
    if sources.images:
        raise ConfigError(
            f"expected images or examinations, got both: {sources.exams[0].name} is an examination, {sources.images[0]} is "
            "not; name them in two runs, or add --exam where images are the frames of an examination",
            code="E_CONFIG_CONFLICT",
        )
    given = {"--save": output.save, "--explain": output.attributions, "--ignore-guard": run.ignore_guard or None}
    for name, value in given.items():
        if value is not None:
            raise ConfigError(
                f"{name}: is for images, and {sources.exams[0].name} is an examination", code="E_CONFIG_OPTION_UNUSED"
            )


def _predict_images(
    bundle: Path, images: Sequence[Path], run: PredictRun, trust: AcceptedBundle, output: PredictOutput
) -> None:
    from weckd_edge.api.bundle import load
    from weckd_edge.devices.runtime.predict import find_image_files

    found = find_image_files(images)
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
