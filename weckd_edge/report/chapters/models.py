"""The models of a bundle in a table: what a device may run, how well, how fast here, and how much of it in int8."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts import Manifest, PrecisionSelection, QuantizationTrial, Rate, Verification


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRow:
    """One model of the bundle.

    Attributes:
        name: Backend and precision, such as ``openvino int8``.
        kind: Whether it runs as it is or is built on the device.
        accuracy: Accuracy on the test images; None where the build machine cannot run it.
        flips: Number of test images whose decision differs from the trained network's; None likewise.
        median_ns: Median end-to-end latency on the build machine, nanoseconds; None where it was not timed.
        int8_layers: Number of convolutions that ran in int8; None where the library was not asked.
        layers: Number of convolutions; None likewise.
        tolerance: Largest difference of a probability that its self-test accepts, 0..0.5.
        bytes: Size of its files, bytes.
    """

    name: str
    kind: str
    accuracy: Rate | None
    flips: int | None
    median_ns: int | None
    int8_layers: int | None
    layers: int | None
    tolerance: float | None
    bytes: int


def model_rows(manifest: Manifest, selection: PrecisionSelection, verification: Verification) -> list[ModelRow]:
    """Return a row for each model of a bundle, in its order."""
    measured = {(found.backend, found.precision): found for found in verification.models}
    trials = _trials(selection)
    rows = []
    for model in manifest.models:
        if model.kind == "preflight":
            continue
        found = measured.get((model.backend, model.precision))
        trial = trials.get((model.backend, model.precision))
        rows.append(
            ModelRow(
                name=model.name,
                kind="runs as it is" if model.kind == "model" else "built on the device",
                accuracy=found.accuracy if found is not None else None,
                flips=found.flips if found is not None else None,
                median_ns=trial.median_ns if trial is not None else None,
                int8_layers=model.int8_layers,
                layers=model.layers,
                tolerance=model.tolerance,
                bytes=sum(ref.bytes for ref in model.files),
            )
        )
    return rows


def _trials(selection: PrecisionSelection) -> dict[tuple[str, str], QuantizationTrial]:
    """Return the trial of each listed model, by backend and precision."""
    by_name = {trial.name: trial for trial in selection.trials}
    return {
        (model.backend, model.precision): by_name[name]
        for model, name in zip(selection.models, selection.listed, strict=True)
    }
