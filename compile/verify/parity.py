"""Whether what was compiled still answers as the trained network did: parity, accuracy and flips on held-out frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import (
    CalibrationCheck,
    DisagreementFrame,
    ImageRecord,
    LayerDivergence,
    Parity,
    Prediction,
    Rate,
    Recalibration,
    Verification,
)
from weckd_edge.compile.backends import openvino_backend
from weckd_edge.compile.verify.implementations import Candidate, Predict
from weckd_edge.compile.verify.layer_divergence import FLOAT_THRESHOLD_DB, INT8_THRESHOLD_DB, OPENERS, find_divergence
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.metrics.calibration import apply_temperature, calibration_metrics, mcnemar
from weckd_edge.metrics.intervals import rate_by_group

FLOAT_TOLERANCE = 1e-3
"""Largest 95th percentile, over frames, of a probability's difference between two float32 implementations of a graph."""

INT8_TOLERANCE = 0.1
"""The same for two implementations of one int8 graph. A value between two steps may be rounded either way, and the network
carries that on: changing twenty pixels of a frame by one grey level moves some int8 answers as much."""


WORST_FRAMES = 6
"""So many of the frames that differ most are kept with both answers, for a pair that a report shows."""

DIVERGENCE_FRAMES = 6
"""Layers are compared on so many of the frames whose answers differ most."""


def verify(
    trained: Probabilities,
    exported: Sequence[Candidate],
    quantized: Candidate,
    deployed: Candidate,
    images: SplitFrames,
    labels: Sequence[str],
    predict: Predict,
    *,
    trained_name: str = "torch fp32",
    uncalibrated: Candidate | None = None,
    recalibration: Recalibration | None = None,
    others: Sequence[Candidate] = (),
    layers: Literal["on-failure", "always"] = "on-failure",
    teacher: Probabilities | None = None,
) -> Verification:
    """Compare what every implementation predicts of the test images.

    What is deployed is compared with the trained network at the deployed temperature, and with what was compiled without a
    temperature: scaled by it, that must give the same predictions, which proves that the int8 part was not touched.

    Args:
        trained: What the trained network predicts of them in FP32, ``[N, classes]``.
        exported: Implementations of the exported FP32 graph.
        quantized: The quantized graph as it is written.
        deployed: What is deployed; may be ``quantized`` itself, where the device builds its own.
        images: The test images.
        labels: Class names.
        predict: Gives what an implementation predicts of them.
        trained_name: What the trained network is called in a report.
        uncalibrated: What would ship without the temperature.
        recalibration: The temperature inside ``quantized`` and ``deployed``; given together with ``uncalibrated``.
        others: More implementations of the quantized graph, compared with it and reported only.
        layers: When the quantized graph and the others are compared layer by layer: where their predictions differ too much,
            or always.
        teacher: What the first link of the chain predicts in FP32, like ``trained``; it is kept beside.

    Raises:
        DataError: There is no test image.
        ModelError: A backend refuses its model.
    """
    records, fp32 = images.required("to verify on").records, trained
    before = () if uncalibrated is None else (uncalibrated,)
    found = {
        candidate: predict(candidate, images)
        for candidate in dict.fromkeys((*exported, quantized, deployed, *others, *before))
    }

    def against(
        a: tuple[str, NDArray[Any]], b: tuple[str, Probabilities], tolerance: float | None, worst: int = 0
    ) -> Parity:
        return compare_outputs(a[0], b[0], {a[0]: a[1], b[0]: b[1]}, tolerance, records=records, worst=worst)

    def named(candidate: Candidate) -> tuple[str, Probabilities]:
        return candidate.name, found[candidate]

    pairs = [
        against((trained_name, fp32), named(c), INT8_TOLERANCE if c.precision == "int8" else FLOAT_TOLERANCE)
        for c in exported
    ]
    if deployed != quantized:
        pairs.append(against(named(quantized), named(deployed), INT8_TOLERANCE, WORST_FRAMES))
    pairs += [against(named(quantized), named(c), None, WORST_FRAMES) for c in others]
    temperature = recalibration.temperature if recalibration is not None else 1.0
    if uncalibrated is not None and temperature != 1:
        scaled = (f"{uncalibrated.name} without temperature, scaled", apply_temperature(found[uncalibrated], temperature))
        pairs.append(against(scaled, named(deployed), FLOAT_TOLERANCE))
        pairs.append(
            against(
                (f"{trained_name} at that temperature", apply_temperature(fp32, temperature)),
                named(deployed),
                None,
                WORST_FRAMES,
            )
        )
    else:
        pairs.append(against((trained_name, fp32), named(deployed), None, WORST_FRAMES))
    verification = summarize_verification(records, labels, fp32, found[deployed], tuple(pairs), deployed, teacher)
    return replace(
        verification,
        calibration=_calibration(records, found, deployed, uncalibrated, recalibration),
        layer_divergences=_divergences(exported, quantized, (deployed, *others), pairs, found, images, layers),
        executed=openvino_backend.executed_layers(deployed.model) if deployed.backend == openvino_backend.NAME else (),
    )


def _calibration(
    records: Sequence[ImageRecord],
    found: dict[Candidate, Probabilities],
    deployed: Candidate,
    uncalibrated: Candidate | None,
    recalibration: Recalibration | None,
) -> CalibrationCheck | None:
    if uncalibrated is None or recalibration is None:
        return None
    labels, groups = np.array([record.label for record in records]), [record.group for record in records]
    return CalibrationCheck(
        recalibration=recalibration,
        before=calibration_metrics(found[uncalibrated], labels, groups),
        after=calibration_metrics(found[deployed], labels, groups),
    )


def _divergences(
    exported: Sequence[Candidate],
    quantized: Candidate,
    compiled: Sequence[Candidate],
    pairs: Sequence[Parity],
    found: dict[Candidate, Probabilities],
    images: SplitFrames,
    layers: Literal["on-failure", "always"],
) -> tuple[LayerDivergence, ...]:
    """Compare layer by layer each graph with what backends make of it, where a pair failed or where it is always asked."""
    failed = {pair.b for pair in pairs if not pair.passed} | {
        pair.b for pair in pairs if pair.a == quantized.name and pair.p95_abs > INT8_TOLERANCE
    }
    wanted = [(quantized, c, INT8_THRESHOLD_DB) for c in compiled if c.name in failed or layers == "always"]
    if any(c.name in failed for c in exported):
        wanted += [(exported[0], c, FLOAT_THRESHOLD_DB) for c in exported if c != exported[0]]
    layer_divergences = []
    for written, other, threshold_db in wanted:
        if other == written or other.backend not in OPENERS or written.model.suffix != ".onnx":
            continue
        deviation = np.abs(found[written].astype(np.float64) - found[other]).max(axis=1)
        worst = np.argsort(-deviation, kind="stable")[:DIVERGENCE_FRAMES]
        frames = list(images.take([int(row) for row in worst]))
        names = (written.name, other.name)
        layer_divergences.append(
            find_divergence(written.model, other.model, other.backend, frames, names=names, threshold_db=threshold_db)
        )
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
        b: The other.
        outputs: By implementation.
        tolerance: Largest 95th percentile allowed; None: reported only.
        records: The frames' images; without them nobody knows which answer is right.
        worst: How many of the frames that differ most are kept.
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
    deployed: Candidate,
    teacher: Probabilities | None = None,
) -> Verification:
    """Return accuracies, recalls and flips of what is deployed, from answers ``[N, classes]`` of FP32, itself, a teacher."""
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
