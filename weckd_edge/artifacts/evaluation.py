"""Evaluation of a bundle on labelled images that its build has not seen."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts.metrics import Metric, Metrics
from weckd_edge.artifacts.verification import CalibrationMetrics
from weckd_edge.core.store import SCHEMA_VERSION


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluatedSlice:
    """Evaluated images that share one value of one column.

    Attributes:
        column: Name of the column, such as ``site``.
        value: Value of the column, or a band of numbers such as ``2 to 6``.
        accuracy: Fraction of its images that the network predicts correctly, whatever the input guard says.
    """

    column: str
    value: str
    accuracy: Metric


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """The file ``evaluation.json``: predictions of a bundle, held against the labels of images that its build has not seen.

    Attributes:
        bundle: Name of the bundle.
        manifest_sha256: SHA-256 that the bundle's manifest holds of itself, hexadecimal.
        data: Name of the folder of images.
        labels: Class names, in the order of the network's outputs.
        backend: Backend that ran the model.
        backend_version: Version of its library.
        precision: Precision of the model.
        images: Number of images that were evaluated.
        groups: Number of independent groups among them.
        known: Number of images left out because the build trained on them, or chose by them.
        copies: Number of images left out because an image with the same pixels was evaluated.
        bad_files: Number of files left out because they cannot be used.
        metrics: Metrics of the network on every image, whatever the input guard says.
        confusion: Number of images by true label and most probable label, ``[classes][classes]``.
        calibration: How well the probabilities match how often they are correct.
        decided: Fraction of the images that get a decision, as a device would give it.
        decided_metrics: Metrics of the images that get a decision; None where none does.
        undecided: Number of images without a decision by the code of the reason.
        slices: Accuracy by the further columns of the data set.
        build_accuracy: Accuracy of the deployed model on the test images of the build; None in a bundle without metrics.
        notes: Limits of the figures, in words.
        schema_version: Schema version of this record.
    """

    bundle: str
    manifest_sha256: str
    data: str
    labels: tuple[str, ...]
    backend: str
    backend_version: str
    precision: str
    images: int
    groups: int
    known: int
    copies: int
    bad_files: int
    metrics: Metrics
    confusion: tuple[tuple[int, ...], ...]
    calibration: CalibrationMetrics
    decided: Metric
    decided_metrics: Metrics | None
    undecided: dict[str, int]
    slices: tuple[EvaluatedSlice, ...]
    build_accuracy: Metric | None
    notes: tuple[str, ...]
    schema_version: int = SCHEMA_VERSION
