"""Verification in sentences and tables: flips, layer divergence, calibration, executed precisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from weckd_edge.artifacts import CalibrationCheck, Estimate, ExecutedLayer, LayerDivergence, Parity
from weckd_edge.core.words import NBSP, plural
from weckd_edge.report.numbers import significant

SURE = 0.05
"""McNemar's p value below which two models are called different."""


def pair_flips_sentence(pair: Parity) -> str:
    """Return a sentence on whether one of two implementations predicts better, by McNemar's test."""
    if pair.only_a_right is None or pair.only_b_right is None or pair.mcnemar_p is None:
        return ""
    if pair.only_a_right + pair.only_b_right == 0:
        return f"{pair.a} and {pair.b} are right on the same frames."
    text = (
        f"{plural(pair.only_a_right, 'frame')} only {pair.a} answers rightly, {pair.only_b_right} only {pair.b}: "
        f"McNemar's exact test gives p{NBSP}={NBSP}{p_value(pair.mcnemar_p)}"
    )
    return f"{text}, a difference." if pair.mcnemar_p < SURE else f"{text}, not significant."


def p_value(p: float) -> str:
    """Write a p value; tiny ones are bounded."""
    return f"under{NBSP}0.001" if p < 0.001 else significant(p, 2)


def divergence_sentence(divergence: LayerDivergence) -> str:
    """Return a sentence on the layer at which two implementations diverge."""
    limit = f"{significant(divergence.threshold_db)}{NBSP}dB"
    fall = ""
    if divergence.steepest is not None:
        layer = divergence.layers[divergence.steepest]
        fall = f" They fall apart most at {layer.name} ({layer.kind}), to {decibel(layer.sqnr_db)}."
    if divergence.first is None:
        return f"No layer's SQNR is under {limit}.{fall}"
    layer = divergence.layers[divergence.first]
    text = f"The first layer under {limit} is {layer.name} ({layer.kind}), with {decibel(layer.sqnr_db)}."
    disturbed = (
        f" Reading it made {divergence.b} fuse otherwise, "
        f"which alone moves a probability by {significant(layer.disturbed, 2)}."
        if layer.disturbed
        else ""
    )
    return text + disturbed + fall


def decibel(value: float | None) -> str:
    """Write an SQNR."""
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
        ("brier", "Brier score", "0 to 2"),
        ("nll", "Negative log likelihood", "nat"),
    )
    return [
        CalibrationRow(name=name, about=about, before=getattr(check.before, key), after=getattr(check.after, key))
        for key, name, about in rows
    ]


def calibration_sentence(check: CalibrationCheck) -> str:
    """Return a sentence on the temperature of the deployed model, and its effect on validation images."""
    found = check.recalibration
    if found.temperature == 1:
        return f"No temperature was put into the graph: {found.note}."
    how = "less sure" if found.temperature > 1 else "surer"
    return (
        f"Logits are divided by {significant(found.temperature)} inside the graph, which makes answers {how} and changes no "
        f"decision; {found.note}. {found.predicted_by} answered them; on them the negative log likelihood went from "
        f"{significant(found.val_nll_before)} to {significant(found.val_nll_after)}."
    )


def chance_sentence(check: CalibrationCheck) -> str:
    """Return a sentence on the calibration error that chance alone would give; empty where it is not recorded."""
    chance = check.after.ece_by_chance
    if chance is None:
        return ""
    found = check.after.ece.value
    more = "more than that" if found > chance.high else "no more than that"
    return (
        f"As many images whose probabilities are true to the word would show an expected calibration error of "
        f"{chance.value:.3f} by chance alone (95{NBSP}% of the time {chance.low:.3f} to {chance.high:.3f}); "
        f"as deployed it is {found:.3f}, {more}."
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
