"""Evaluation of a bundle on labelled images that its build has not seen, such as those of another site."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from weckd_edge.artifacts import UNNAMED, DatasetIndex, EvaluatedSlice, Evaluation, ImageRecord, Labels, Metrics
from weckd_edge.config import BuildConfig, ReportConfig
from weckd_edge.core.errors import DataError
from weckd_edge.core.progress import Progress
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import explain_os_errors, write_atomic
from weckd_edge.core.words import plural
from weckd_edge.devices.runtime.decision import ABSTAIN, Prediction
from weckd_edge.devices.runtime.predict import OpenModel, predict_file
from weckd_edge.metrics.calibration import calibration_metrics
from weckd_edge.metrics.classification import fraction_of, measure_images
from weckd_edge.metrics.counts import Floats, Predictions, draw_weights, group_numbers
from weckd_edge.metrics.record import stated_prevalence
from weckd_edge.metrics.slices import check_report, cut_slices
from weckd_edge.report import BundleContents

EVALUATION_FILE = "evaluation.json"
PREDICTIONS_FILE = "predictions.csv"
CONFUSION_FILE = "confusion_matrix.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatedImage:
    """An image with its truth and its prediction.

    Attributes:
        record: Path, label and group.
        prediction: What the network predicts, whatever the input guard says.
    """

    record: ImageRecord
    prediction: Prediction

    @property
    def reason(self) -> str | None:
        """Code of the reason for which a device gives no decision; None where it gives one."""
        return self.prediction.guard or self.prediction.code


def evaluate_bundle(
    model: OpenModel,
    contents: BundleContents,
    data: Path,
    config: BuildConfig,
    *,
    skip_bad: bool,
    progress: Progress,
    cache: Path | None = None,
) -> tuple[Evaluation, tuple[EvaluatedImage, ...]]:
    """Predict labelled images with an open model, and return the metrics and every prediction.

    Images with the pixels of one that the build trained on, or chose by, are left out; those of its test split are not.

    Args:
        model: The open model of a bundle.
        contents: What the bundle's build recorded.
        data: A folder or a CSV, in a layout of ``list_data``.
        config: Settings, of which those of data and of the report are read (columns, slices, bands and prevalences), and the
            seed of the bootstrap.
        skip_bad: Whether files that cannot be used are left out, instead of refusing the data set.
        progress: Receiver of the progress.
        cache: Folder that keeps what was read of each image; None keeps nothing.

    Raises:
        DataError: The data cannot be used, is of other classes, or holds nothing that the build has not seen.
        ModelError: The model fails on an image.
    """
    from weckd_edge.train.data.index import data_root, index_for_test

    index = index_for_test(
        data, config.data, Labels(model.bundle.manifest.labels), skip_bad=skip_bad, progress=progress, cache=cache
    )
    check_report(config.report, index)
    index, known, notes = _leave_out_known(index, contents.dataset)
    if not index.images:
        raise DataError(
            f"{data}: every image was trained on, or chosen by, in the build of this bundle; expected images that it has "
            "not seen",
            code="E_DATA_TRAINED_ON",
        )
    root, found = data_root(data), []
    with progress.task("predict", total=len(index.images)) as task:
        for record in index.images:
            found.append(_predict(model, root, record))
            task.advance()
    return _measure(model, contents, index, found, config, known, notes), tuple(found)


def _leave_out_known(index: DatasetIndex, former: DatasetIndex) -> tuple[DatasetIndex, int, list[str]]:
    """Return the images that the build has not learnt from, how many it has, and a note on shared names of groups."""
    learnt = former.split("train", "val")
    pixels = {one.pixels_sha256 for one in learnt} | {one.pixels_sha256 for one in former.unlabelled}
    images = tuple(one for one in index.images if one.pixels_sha256 not in pixels)
    notes = []
    shared = {one.group for one in images} & {one.group for one in learnt}
    groups = {name for name in shared if not name.startswith(UNNAMED)}
    if groups:
        notes.append(
            f"{plural(len(groups), 'group')} of these images are called as groups that the build trained on, such as "
            f"{min(groups)}; if they are the same patients, the metrics are too high"
        )
    return replace(index, images=images), len(index.images) - len(images), notes


def _predict(model: OpenModel, root: Path, record: ImageRecord) -> EvaluatedImage:
    prediction = predict_file(model, root / record.path, ignore_guard=True)
    if not prediction.probabilities:
        raise DataError(f"{record.path}: {prediction.reason}", code="E_DATA_NO_PREDICTION")
    return EvaluatedImage(record=record, prediction=prediction)


def _measure(
    model: OpenModel,
    contents: BundleContents,
    index: DatasetIndex,
    found: Sequence[EvaluatedImage],
    config: BuildConfig,
    known: int,
    notes: Sequence[str],
) -> Evaluation:
    labels, manifest = index.labels, model.bundle.manifest
    groups = [one.record.group for one in found]
    every = Predictions(
        np.array([one.record.label for one in found], dtype=np.intp),
        np.array([[one.prediction.probabilities[label] for label in labels] for one in found], dtype=np.float64),
        group_numbers(groups),
    )
    given = np.array([one.reason is None for one in found], dtype=bool)
    decided = fraction_of(given, np.ones(len(found), dtype=bool), every.member)
    if decided is None:
        raise ValueError("no image")
    confusion = np.zeros((len(labels), len(labels)), dtype=int)
    np.add.at(confusion, (every.truth, every.decided), 1)
    slices, cut_notes = _slices(index, every, config.report)
    prevalence = stated_prevalence(config.report, labels)
    return Evaluation(
        bundle=manifest.name,
        manifest_sha256=manifest.manifest_sha256,
        data=index.name,
        labels=tuple(labels),
        backend=model.choice.backend,
        backend_version=model.runner.version,
        precision=model.choice.precision,
        images=len(found),
        groups=every.groups,
        known=known,
        copies=index.exact_copies,
        bad_files=len(index.bad_files),
        metrics=_metrics(every, prevalence, config.seed),
        confusion=tuple(tuple(int(number) for number in row) for row in confusion),
        calibration=calibration_metrics(every.probabilities, every.truth, groups, seed=config.seed),
        decided=decided,
        decided_metrics=_metrics(every.of(given), prevalence, config.seed) if given.any() else None,
        undecided=dict(sorted(Counter(one.reason for one in found if one.reason is not None).items())),
        slices=slices,
        build_accuracy=None if contents.metrics is None else contents.metrics.compiled.accuracy,
        notes=(*_group_notes(index), *notes, *cut_notes),
    )


def _metrics(predictions: Predictions, prevalence: Floats | None, seed: int) -> Metrics:
    metrics, _ = measure_images(predictions, draw_weights(predictions.groups, seed), prevalence)
    return metrics


def _slices(
    index: DatasetIndex, every: Predictions, config: ReportConfig
) -> tuple[tuple[EvaluatedSlice, ...], tuple[str, ...]]:
    cuts, notes = cut_slices(config, index)
    right, slices = every.decided == every.truth, []
    for cut in cuts:
        accuracy = fraction_of(right, np.array([one.path in cut.paths for one in index.images], dtype=bool), every.member)
        if accuracy is not None:
            slices.append(EvaluatedSlice(column=cut.column, value=cut.value, accuracy=accuracy))
    return tuple(slices), notes


def _group_notes(index: DatasetIndex) -> list[str]:
    named = sum(not one.group.startswith(UNNAMED) for one in index.images)
    if named == len(index.images):
        return []
    return [
        f"{len(index.images) - named} of {len(index.images)} images name no group (patient, examination); each was taken as "
        "a group of its own or with near-identical images, so intervals may be too narrow"
    ]


def write_evaluation(folder: Path, evaluation: Evaluation, images: Sequence[EvaluatedImage]) -> None:
    """Write the evaluation as JSON, its predictions as CSV, a row an image, and its confusion matrix as CSV.

    Raises:
        StoreError: The folder cannot be written.
    """
    labels = evaluation.labels
    columns = ["path", "group", "truth", "label", "decision", *(f"probability_{label}" for label in labels), "code"]
    rows = [
        [
            one.record.path,
            one.record.group,
            labels[one.record.label],
            one.prediction.label or "",
            one.prediction.decision if one.prediction.guard is None else ABSTAIN,
            *(one.prediction.probabilities[label] for label in labels),
            one.reason or "",
        ]
        for one in images
    ]
    confusion = [[label, *row] for label, row in zip(labels, evaluation.confusion, strict=True)]
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / EVALUATION_FILE, to_json(evaluation))
    write_atomic(folder / PREDICTIONS_FILE, _csv([columns, *rows]))
    write_atomic(folder / CONFUSION_FILE, _csv([["truth", *labels], *confusion]))


def _csv(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
