"""Abstention ("unable to analyze") in sentences and rows."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts import Abstention, ThresholdRecord
from weckd_edge.core.words import NBSP, plural
from weckd_edge.report.numbers import percent

WORDS = {
    "too_dark": "too dark",
    "too_bright": "too bright",
    "flat": "too little contrast",
    "blurred": "blurred",
    "out_of_distribution": "unlike the training frames",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class KindRow:
    """Results on one kind of out-of-distribution frames, in words.

    Attributes:
        name: Name of the kind.
        rejected: Fraction of the frames that the guard rejects.
        guard: AUROC of the whole guard.
        score: AUROC of the OOD score alone.
        network: AUROC of the network's largest probability alone.
    """

    name: str
    rejected: str
    guard: str
    score: str
    network: str


def kind_rows(found: Abstention) -> list[KindRow]:
    """Return a row for every kind of out-of-distribution frames."""
    return [
        KindRow(
            name=kind.name,
            rejected=percent(kind.reject_rate, 0),
            guard=f"{kind.guard_auroc:.3f}",
            score=f"{kind.score_auroc:.3f}",
            network=f"{kind.network_auroc:.3f}",
        )
        for kind in found.ood_sets
    ]


def abstention_sentences(found: Abstention) -> list[str]:
    """Return sentences on the guard, the threshold, and what both did on the test images."""
    sentences = [_guard(found)]
    if found.operating_point.non_gradeable_labels:
        sentences.append(f"Classes that give no decision: {', '.join(found.operating_point.non_gradeable_labels)}.")
    sentences += _threshold(found)
    decided = f"{percent(found.coverage.value)} of the test images get a decision"
    if found.selective_error is None:
        return [*sentences, f"{decided}."]
    wrong = found.selective_error
    return [
        *sentences,
        f"{decided}; {percent(wrong.value)} of these decisions are wrong (95{NBSP}% interval {percent(wrong.low)} to "
        f"{percent(wrong.high)}).",
    ]


def _guard(found: Abstention) -> str:
    if found.rejected_test is None:
        return f"There is no input guard: the network sees every frame ({found.guard.note})."
    rate = found.rejected_test
    reasons = ", ".join(f"{count} {WORDS.get(code, code)}" for code, count in sorted(found.rejected_by_reason.items()))
    because = f": {reasons}" if reasons else ""
    return (
        f"The input guard was fitted on {plural(found.guard.groups, 'group')} and rejects {percent(rate.value)} of the test "
        f"images (95{NBSP}% interval {percent(rate.low)} to {percent(rate.high)}){because}; {found.guard.note}."
    )


def _threshold(found: Abstention) -> list[str]:
    sought = found.threshold
    if sought is None:
        below = found.operating_point.confidence_threshold
        return [f"A decision needs a probability of at least {below:g}."] if below else []
    requested = (
        f"at most {percent(sought.max_group_error)} of the decided groups wrong, with {percent(sought.confidence, 0)} "
        "confidence"
    )
    if sought.confidence_threshold is not None:
        got = f" On the test groups the error is {percent(found.group_error)}." if found.group_error is not None else ""
        return [
            f"A decision needs a probability of at least {sought.confidence_threshold:g}, found for the limit of "
            f"{requested}." + got,
            *early_stopping_sentences(sought),
        ]
    more = f" About {plural(sought.more_groups, 'further validation group')} would be needed." if sought.more_groups else ""
    return [f"No threshold keeps the limit of {requested}.{more}"]


def early_stopping_sentences(sought: ThresholdRecord) -> list[str]:
    """Return a sentence where the requested confidence does not hold, because early stopping used the same images."""
    if not sought.epoch_from_validation:
        return []
    return [
        f"The confidence may be less than the requested {percent(sought.confidence, 0)}: early stopping (train.patience) "
        "chose the network's epoch on the same validation images."
    ]


def brief_sentence(found: Abstention) -> str:
    """Return one line for a terminal."""
    rejected = (
        f"the input guard rejects {percent(found.rejected_test.value)} of the test images"
        if found.rejected_test
        else "there is no input guard"
    )
    wrong = f", {percent(found.selective_error.value)} of these wrong" if found.selective_error is not None else ""
    return f"Unable to analyze: {rejected}; {percent(found.coverage.value)} get a decision{wrong}."
