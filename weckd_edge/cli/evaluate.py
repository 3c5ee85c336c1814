"""``weckd-edge evaluate``: metrics of a bundle on labelled images that its build has not seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from weckd_edge.cli.console.output import print_json, print_message, print_table
from weckd_edge.cli.parsing.option_groups import AcceptedBundle, Cache, DataSet, ProgressOutput, Runtime, Settings
from weckd_edge.cli.parsing.options import Command, option, takes
from weckd_edge.cli.parsing.parameter_types import PATH

if TYPE_CHECKING:
    from weckd_edge.artifacts import Evaluation, Metric


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationOutput(ProgressOutput):
    """Output of an evaluation: what is printed, and the folder that keeps it."""

    out: Path | None = option(
        "--out", type=PATH, help="Folder for evaluation.json, predictions.csv and confusion_matrix.csv."
    )


@click.command("evaluate", cls=Command)
@click.argument("bundle", type=PATH)
@takes(data=DataSet, run=Runtime, settings=Settings, trust=AcceptedBundle, cache=Cache, output=EvaluationOutput)
def command(
    bundle: Path,
    data: DataSet,
    run: Runtime,
    settings: Settings,
    trust: AcceptedBundle,
    cache: Cache,
    output: EvaluationOutput,
) -> None:
    """Measure a BUNDLE on labelled images that its build has not seen, such as those of another site.

    Images that the build trained on, or chose by, are left out. Of the settings, those of [data] and [report] are read.
    """
    from weckd_edge.api.bundle import load

    if data.use_published_split is not None:
        raise click.UsageError("every image is evaluated: leave --published-split and --no-published-split out")
    with output.progress() as progress:
        found = load(bundle, key=trust.key, min_version=trust.min_version).evaluate(
            data.path,
            backend=run.backend,
            precision=run.precision,
            threads=run.threads,
            config=settings.load(data),
            skip_bad=data.skip_bad,
            cache=cache.place(data.path),
            out=output.out,
            progress=progress,
        )
    if output.as_json:
        print_json(found)
    else:
        _print(found)
        if output.out is not None:
            print_message(f"written to {output.out}")


def _print(found: Evaluation) -> None:
    counted = f"{found.images} images in {found.groups} groups"
    rows = [
        (found.labels[one.label], one.images, *map(_text, (one.sensitivity, one.specificity, one.ppv, one.auc)))
        for one in found.metrics.classes
    ]
    columns = ("class", "images", "sensitivity", "specificity", "predictive value", "AUC")
    print_table(columns, rows, title=f"{found.bundle} on {found.data}: {counted}, whatever the input guard says")
    of_all = [
        ("accuracy", _text(found.metrics.accuracy)),
        ("the same on the test images of its build", _text(found.build_accuracy)),
        ("balanced accuracy", _text(found.metrics.balanced_accuracy)),
        ("calibration error", _percent(found.calibration.ece.value)),
        ("images with a decision", _text(found.decided)),
        ("accuracy of these", None if found.decided_metrics is None else _text(found.decided_metrics.accuracy)),
    ]
    print_table(("on all classes", "95 % interval by groups"), of_all)
    if found.slices:
        print_table(
            ("slice", "images", "accuracy"),
            [(f"{one.column} {one.value}", one.accuracy.images, _text(one.accuracy)) for one in found.slices],
        )
    confusion = [(label, *row) for label, row in zip(found.labels, found.confusion, strict=True)]
    print_table(("truth, and what is predicted", *found.labels), confusion)
    for code, number in found.undecided.items():
        print_message(f"no decision for {number} of {found.images} images: {code}")
    for number, why in (
        (found.known, "the build trained on them, or chose by them"),
        (found.copies, "copies of other images"),
        (found.bad_files, "they cannot be used"),
    ):
        if number:
            print_message(f"left out: {number} images: {why}")
    for note in found.notes:
        print_message(f"note: {note}")
    print_message(f"{found.backend} {found.backend_version}, {found.precision}")


def _text(metric: Metric | None) -> str | None:
    if metric is None:
        return None
    if metric.low is None or metric.high is None:
        return f"{_percent(metric.value)} (too few for an interval)"
    return f"{_percent(metric.value)} ({100 * metric.low:.1f} to {100 * metric.high:.1f})"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
