"""Verify that a compiled model predicts as the trained network: parity, accuracy and flips on the test images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import (
    CalibrationCheck,
    DisagreementFrame,
    ExecutedLayer,
    ImageRecord,
    LayerDivergence,
    ModelAccuracy,
    Parity,
    Prediction,
    Rate,
    Recalibration,
    Verification,
)
from weckd_edge.compile.backends import openvino_backend
from weckd_edge.compile.verify.implementations import Implementation, Predict
from weckd_edge.compile.verify.layer_divergence import FLOAT_THRESHOLD_DB, INT8_THRESHOLD_DB, OPENERS, find_divergence
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.front_end import FrontEnd
from weckd_edge.metrics.calibration import apply_temperature, calibration_metrics, mcnemar
from weckd_edge.metrics.intervals import rate_by_group

FLOAT_TOLERANCE = 1e-3
"""Largest 95th percentile, over frames, of a probability's difference between two float32 implementations of a graph."""

INT8_TOLERANCE = 0.1
"""Largest 95th percentile, over frames, of a probability's difference between two implementations of one int8 graph.

A value between two steps may be rounded either way, and the network carries that on: changing twenty pixels of a frame by
one grey level moves some int8 predictions as much. It holds for FP16 too.
"""


WORST_FRAMES = 6
"""Number of frames kept with both predictions for a pair that a report shows: those that differ most."""

DIVERGENCE_FRAMES = 6
"""Number of frames that layers are compared on: those whose predictions differ most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedPredictions:
    """Predictions of the trained network on the test images, which its implementations are compared with.

    Attributes:
        probabilities: Predictions of the trained network in FP32, ``[N, classes]``.
        name: Name of the trained network in a report.
        teacher: Predictions of the chain's first link in FP32, ``[N, classes]``, kept beside; None without a teacher.
    """

    probabilities: Probabilities
    name: str = "torch fp32"
    teacher: Probabilities | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Implementations:
    """Implementations of one network, from its exported graph to the deployed model.

    Attributes:
        exported: Implementations of the exported FP32 graph.
        quantized: The quantized graph as it is written.
        deployed: Implementation that is deployed; ``quantized`` itself, where the device builds its own.
        others: More implementations of the quantized graph, compared with it as the deployed one is.
        listed: Every model of the bundle that runs here, the deployed one first; reported with its accuracy.
        recalibration: The temperature inside ``quantized`` and ``deployed``; given together with ``uncalibrated``.
        uncalibrated: Implementation that would be deployed without the temperature.
    """

    exported: Sequence[Implementation]
    quantized: Implementation
    deployed: Implementation
    others: Sequence[Implementation] = ()
    listed: Sequence[Implementation] = ()
    recalibration: Recalibration | None = None
    uncalibrated: Implementation | None = None

    @property
    def all(self) -> tuple[Implementation, ...]:
        """Each implementation once."""
        before = () if self.uncalibrated is None else (self.uncalibrated,)
        return tuple(dict.fromkeys((*self.exported, self.quantized, self.deployed, *self.others, *self.listed, *before)))


def verify(
    trained: TrainedPredictions,
    implementations: Implementations,
    images: SplitFrames,
    labels: Sequence[str],
    predict: Predict,
    *,
    layers: Literal["on-failure", "always"] = "on-failure",
) -> Verification:
    """Compare the predictions of every implementation on the test images.

    The deployed model is compared with the trained network at the deployed temperature, and with the model without a
    temperature: scaled by it, that must give the same predictions, which proves that the int8 part was not touched.

    Args:
        trained: Predictions of the trained network on them.
        implementations: Implementations of that network.
        images: The test images.
        labels: Class names.
        predict: Returns what an implementation predicts of them.
        layers: Condition for comparing the quantized graph and the others layer by layer: that predictions differ too much,
            or none.

    Raises:
        DataError: There is no test image.
        ModelError: A backend refuses its model.
    """
    records, deployed = images.required("to verify on").records, implementations.deployed
    found = {candidate: predict(candidate, images) for candidate in implementations.all}
    pairs = _compare_pairs(trained, implementations, found, records)
    verification = summarize_verification(
        records, labels, trained.probabilities, found[deployed], pairs, deployed, trained.teacher
    )
    return replace(
        verification,
        calibration=_calibration(records, found, implementations),
        layer_divergences=_divergences(implementations, pairs, found, images, layers),
        models=_accuracies(records, trained, found, implementations.listed, len(labels)),
        executed=_executed(deployed),
    )


def _executed(deployed: Implementation) -> tuple[ExecutedLayer, ...]:
    """Return the layers that run of the deployed model; none for a backend that does not tell."""
    if deployed.backend != openvino_backend.NAME:
        return ()
    return openvino_backend.executed_layers(deployed.model, reference=deployed.as_written, half=deployed.half)


def _compare_pairs(
    trained: TrainedPredictions,
    implementations: Implementations,
    found: Mapping[Implementation, Probabilities],
    records: Sequence[ImageRecord],
) -> tuple[Parity, ...]:
    quantized, deployed, uncalibrated = implementations.quantized, implementations.deployed, implementations.uncalibrated
    fp32: tuple[str, NDArray[Any]] = (trained.name, trained.probabilities)

    def named(candidate: Implementation) -> tuple[str, NDArray[Any]]:
        return candidate.name, found[candidate]

    def against(a: tuple[str, NDArray[Any]], b: tuple[str, NDArray[Any]], tolerance: float | None, worst: int = 0) -> Parity:
        return compare_outputs(a[0], b[0], {a[0]: a[1], b[0]: b[1]}, tolerance, records=records, worst=worst)

    pairs = [against(fp32, named(c), _tolerance(c)) for c in implementations.exported]
    if deployed != quantized:
        pairs.append(against(named(quantized), named(deployed), _tolerance(deployed), WORST_FRAMES))
    pairs += [against(named(quantized), named(c), _tolerance(c), WORST_FRAMES) for c in implementations.others]
    recalibration = implementations.recalibration
    temperature = recalibration.temperature if recalibration is not None else 1.0
    if uncalibrated is not None and temperature != 1:
        scaled = (f"{uncalibrated.name} without temperature, scaled", apply_temperature(found[uncalibrated], temperature))
        pairs.append(against(scaled, named(deployed), FLOAT_TOLERANCE))
        fp32 = (f"{trained.name} at that temperature", apply_temperature(trained.probabilities, temperature))
    pairs.append(against(fp32, named(deployed), None, WORST_FRAMES))
    compared = (deployed, *implementations.others)
    pairs += [against(fp32, named(c), None) for c in implementations.listed if c not in compared]
    return tuple(pairs)


def _tolerance(candidate: Implementation) -> float:
    """Return how far an implementation may be from another one of the same graph."""
    return FLOAT_TOLERANCE if candidate.precision == "fp32" else INT8_TOLERANCE


def _accuracies(
    records: Sequence[ImageRecord],
    trained: TrainedPredictions,
    found: Mapping[Implementation, Probabilities],
    listed: Sequence[Implementation],
    classes: int,
) -> tuple[ModelAccuracy, ...]:
    truth, groups = np.array([record.label for record in records]), [record.group for record in records]
    before = trained.probabilities.argmax(axis=1)
    decided = {candidate: found[candidate].argmax(axis=1) for candidate in listed}
    return tuple(
        ModelAccuracy(
            backend=candidate.backend,
            precision=candidate.precision,
            accuracy=rate_by_group(decisions == truth, groups),
            flips=int((decisions != before).sum()),
            recall=_recalls(decisions, truth, groups, classes),
        )
        for candidate, decisions in decided.items()
    )


def _calibration(
    records: Sequence[ImageRecord], found: Mapping[Implementation, Probabilities], implementations: Implementations
) -> CalibrationCheck | None:
    uncalibrated, recalibration = implementations.uncalibrated, implementations.recalibration
    if uncalibrated is None or recalibration is None:
        return None
    labels, groups = np.array([record.label for record in records]), [record.group for record in records]
    return CalibrationCheck(
        recalibration=recalibration,
        before=calibration_metrics(found[uncalibrated], labels, groups),
        after=calibration_metrics(found[implementations.deployed], labels, groups),
    )


def _divergences(
    implementations: Implementations,
    pairs: Sequence[Parity],
    found: Mapping[Implementation, Probabilities],
    images: SplitFrames,
    layers: Literal["on-failure", "always"],
) -> tuple[LayerDivergence, ...]:
    """Compare each graph layer by layer with backends' models of it, where a pair failed or the settings ask for it."""
    exported, quantized = implementations.exported, implementations.quantized
    failed = {pair.b for pair in pairs if not pair.passed}
    compiled = (implementations.deployed, *implementations.others)
    threshold_db = FLOAT_THRESHOLD_DB if quantized.precision == "fp32" else INT8_THRESHOLD_DB
    wanted = [(quantized, c, threshold_db) for c in compiled if c.name in failed or layers == "always"]
    if any(c.name in failed for c in exported):
        wanted += [(exported[0], c, FLOAT_THRESHOLD_DB) for c in exported if c != exported[0]]
    layer_divergences = []
    for written, other, threshold_db in wanted:
        if other == written or other.backend not in OPENERS or written.model.suffix != ".onnx":
            continue
        deviation = np.abs(found[written].astype(np.float64) - found[other]).max(axis=1)
        worst = np.argsort(-deviation, kind="stable")[:DIVERGENCE_FRAMES]
        inputs = [FrontEnd(written.input).pixels(frame) for frame in images.take([int(row) for row in worst])]
        layer_divergences.append(find_divergence(written, other, inputs, threshold_db=threshold_db))
    return tuple(layer_divergences)


def compare_outputs(
    a: str,
    b: str,
    outputs: Mapping[str, NDArray[Any]],
    tolerance: float | None,
    *,
    records: Sequence[ImageRecord] = (),
    worst: int = 0,
) -> Parity:
    """Compare two implementations' predictions ``[N, classes]`` on the same frames.

    Args:
        a: The reference, a key of ``outputs``.
        b: The other implementation, a key of ``outputs``.
        outputs: Predictions by implementation.
        tolerance: Largest 95th percentile allowed; None: reported only.
        records: The frames' images; without them nobody knows which prediction is right.
        worst: Number of frames to keep, of those that differ most.
    """
    one, other = outputs[a].astype(np.float64), outputs[b].astype(np.float64)
    noise = float(((one - other) ** 2).sum())
    per_frame = np.abs(one - other).max(axis=1)
    p95_abs = float(np.quantile(per_frame, 0.95))
    truth = np.array([record.label for record in records])
    split = mcnemar(one.argmax(axis=1) == truth, other.argmax(axis=1) == truth) if records else (None, None, None)
    furthest = [int(row) for row in np.argsort(-per_frame, kind="stable")[:worst] if records and per_frame[row] > 0]
    return Parity(
        a=a,
        b=b,
        frames=len(one),
        max_abs=float(per_frame.max()),
        p95_abs=p95_abs,
        sqnr_db=10 * math.log10(float((one**2).sum()) / noise) if noise else None,
        flips=int((one.argmax(axis=1) != other.argmax(axis=1)).sum()),
        tolerance=tolerance,
        passed=tolerance is None or p95_abs <= tolerance,
        only_a_right=split[0],
        only_b_right=split[1],
        mcnemar_p=split[2],
        worst=tuple(
            DisagreementFrame(
                path=records[row].path,
                label=records[row].label,
                a=tuple(float(p) for p in one[row]),
                b=tuple(float(p) for p in other[row]),
            )
            for row in furthest
        ),
    )


def summarize_verification(
    records: Sequence[ImageRecord],
    labels: Sequence[str],
    fp32: Probabilities,
    compiled: Probabilities,
    parity: tuple[Parity, ...],
    deployed: Implementation,
    teacher: Probabilities | None = None,
) -> Verification:
    """Summarize predictions of the test images: accuracies, recalls and flips of the deployed model against FP32.

    Args:
        records: The test images.
        labels: Class names.
        fp32: Predictions of the trained network, ``[N, classes]``.
        compiled: Predictions of the deployed model, ``[N, classes]``.
        parity: Pairs that were compared.
        deployed: Implementation that is deployed.
        teacher: Predictions of the chain's first link, ``[N, classes]``; None without one.
    """
    truth = np.array([record.label for record in records])
    groups = [record.group for record in records]
    before, after = fp32.argmax(axis=1), compiled.argmax(axis=1)
    return Verification(
        parity=parity,
        accuracy_fp32=rate_by_group(before == truth, groups),
        accuracy_compiled=rate_by_group(after == truth, groups),
        recall_fp32=_recalls(before, truth, groups, len(labels)),
        recall_compiled=_recalls(after, truth, groups, len(labels)),
        flips=int((before != after).sum()),
        predictions=tuple(
            Prediction(
                path=record.path,
                group=record.group,
                label=record.label,
                fp32=tuple(float(p) for p in fp32[row]),
                compiled=tuple(float(p) for p in compiled[row]),
                teacher=None if teacher is None else tuple(float(p) for p in teacher[row]),
            )
            for row, record in enumerate(records)
        ),
        precision=deployed.precision,
        backend=deployed.backend,
    )


def _recalls(
    decided: NDArray[np.intp], truth: NDArray[np.intp], groups: Sequence[str], classes: int
) -> tuple[Rate | None, ...]:
    found: list[Rate | None] = []
    for label in range(classes):
        rows = np.flatnonzero(truth == label)
        found.append(rate_by_group(decided[rows] == label, [groups[int(row)] for row in rows]) if len(rows) else None)
    return tuple(found)
