"""Verification in sentences and tables: flips, layer divergence, calibration, executed precisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import CalibrationCheck, Estimate, ExecutedLayer, LayerDivergence, Parity
from weckd_edge.core.words import NBSP, plural
from weckd_edge.report.numbers import significant


def pair_flips_sentence(pair: Parity) -> str:
    """Return a sentence on the frames that only one of two implementations predicts correctly, with McNemar's p value."""
    if pair.only_a_right is None or pair.only_b_right is None or pair.mcnemar_p is None:
        return ""
    if pair.only_a_right + pair.only_b_right == 0:
        return f"{pair.a} and {pair.b} are correct on the same frames."
    return (
        f"Only {pair.a} is correct on {plural(pair.only_a_right, 'frame')}, only {pair.b} on {pair.only_b_right} "
        f"({mcnemar_text(pair.mcnemar_p)})."
    )


def p_value(p: float) -> str:
    """Return a p value as text; tiny ones are bounded."""
    return f"<{NBSP}0.001" if p < 0.001 else significant(p, 2)


def mcnemar_text(p: float) -> str:
    """Return McNemar's p value as text. It counts no groups, so it is never called significant: an interval decides that."""
    relation = f"<{NBSP}0.001" if p < 0.001 else f"={NBSP}{significant(p, 2)}"
    return f"McNemar p{NBSP}{relation}, images taken as independent"


def divergence_sentence(divergence: LayerDivergence) -> str:
    """Return a sentence on the layer at which two implementations diverge."""
    limit = f"{significant(divergence.threshold_db)}{NBSP}dB"
    fall = ""
    if divergence.steepest is not None:
        layer = divergence.layers[divergence.steepest]
        fall = f" The steepest fall is at {layer.name} ({layer.kind}), to {decibel(layer.sqnr_db)}."
    if divergence.first is None:
        return f"No layer has an SQNR under {limit}.{fall}"
    layer = divergence.layers[divergence.first]
    text = f"The first layer with an SQNR under {limit} is {layer.name} ({layer.kind}): {decibel(layer.sqnr_db)}."
    disturbed = (
        f" Reading this layer changes how {divergence.b} fuses layers, which alone changes a probability by "
        f"{significant(layer.disturbed, 2)}."
        if layer.disturbed
        else ""
    )
    return text + disturbed + fall


def decibel(value: float | None) -> str:
    """Return an SQNR as text."""
    return "equal" if value is None else f"{significant(value)}{NBSP}dB"


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationRow:
    """One calibration metric before and after recalibration."""

    name: str
    about: str
    before: Estimate
    after: Estimate


def calibration_rows(check: CalibrationCheck) -> list[CalibrationRow]:
    """Return the calibration metrics before and after recalibration."""
    rows = (
        ("ece", "Expected calibration error", "15 bins of equal width"),
        ("rms_debiased", "Calibration error, debiased", "root mean square, bins of equal content"),
        ("brier", "Brier score", "0 to 2, summed over classes"),
        ("nll", "Negative log likelihood", "nats"),
    )
    return [
        CalibrationRow(name=name, about=about, before=getattr(check.before, key), after=getattr(check.after, key))
        for key, name, about in rows
    ]


def calibration_sentence(check: CalibrationCheck) -> str:
    """Return a sentence on the temperature of the deployed model, and its effect on validation images."""
    found = check.recalibration
    if found.temperature == 1:
        return f"The graph has no temperature: it was {found.note}."
    how = "lower" if found.temperature > 1 else "higher"
    return (
        f"The graph divides the logits by a temperature of {significant(found.temperature)}, which makes the largest "
        f"probability {how} and changes no decision. It was {found.note}. On the validation images, as predicted by "
        f"{found.predicted_by}, the negative log likelihood went from {significant(found.val_nll_before)} to "
        f"{significant(found.val_nll_after)}."
    )


def chance_sentence(check: CalibrationCheck) -> str:
    """Return a sentence on the calibration error that chance alone would give; empty where it is not recorded."""
    chance = check.after.ece_by_chance
    if chance is None:
        return ""
    found = check.after.ece.value
    more = "above" if found > chance.high else "within"
    return (
        f"On as many images, perfectly calibrated probabilities would give an expected calibration error of "
        f"{chance.value:.3f} by chance alone (95{NBSP}% interval {chance.low:.3f} to {chance.high:.3f}). As deployed it is "
        f"{found:.3f}, {more} that interval."
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PrecisionTable:
    """Number of executed layers by kind and precision.

    Attributes:
        precisions: Precisions, one for each column.
        rows: Kind and number of layers in each precision, most frequent kind first.
    """

    precisions: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]


def precision_table(layers: Sequence[ExecutedLayer]) -> PrecisionTable:
    """Count executed layers by kind and precision."""
    count = Counter((layer.kind, layer.precision) for layer in layers)
    precisions = tuple(sorted({precision for _, precision in count}, key=lambda p: (p[-1:] != "8", p)))
    kinds = Counter(layer.kind for layer in layers).most_common()
    return PrecisionTable(
        precisions=precisions,
        rows=tuple((kind, tuple(count[kind, precision] for precision in precisions)) for kind, _ in kinds),
    )
