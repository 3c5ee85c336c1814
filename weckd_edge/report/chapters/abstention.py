"""Abstention ("unable to analyze") in sentences and rows."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts import Abstention
from weckd_edge.core.words import plural

WORDS = {
    "too_dark": "too dark",
    "too_bright": "too bright",
    "flat": "too little contrast",
    "blurred": "blurred",
    "out_of_distribution": "not like the frames it was trained on",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class KindRow:
    """Results on one kind of out-of-distribution frames, in words.

    Attributes:
        name: Name of the kind.
        refused: Fraction of the frames that the guard rejects.
        guard: AUROC of the whole guard.
        score: AUROC of the OOD score alone.
        network: AUROC of the network's largest probability alone.
    """

    name: str
    refused: str
    guard: str
    score: str
    network: str


def kind_rows(found: Abstention) -> list[KindRow]:
    """Return a row for every kind of out-of-distribution frames."""
    return [
        KindRow(
            name=kind.name,
            refused=f"{kind.reject_rate:.0%}",
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
        sentences.append(f"No answer are: {', '.join(found.operating_point.non_gradeable_labels)}.")
    sentences += _threshold(found)
    decided = f"Of the test images {found.coverage.value:.1%} are answered"
    if found.selective_error is None:
        return [*sentences, f"{decided}."]
    wrong = found.selective_error
    return [
        *sentences,
        f"{decided}, {wrong.value:.1%} of those wrongly (95 % interval {wrong.low:.1%} to {wrong.high:.1%}).",
    ]


def _guard(found: Abstention) -> str:
    if found.rejected_test is None:
        return f"Every frame is given to the network ({found.guard.note})."
    rate = found.rejected_test
    reasons = ", ".join(f"{count} {WORDS.get(code, code)}" for code, count in sorted(found.rejected_by_reason.items()))
    because = f": {reasons}" if reasons else ""
    return (
        f"The frame guard rests on {plural(found.guard.groups, 'group')} and refuses {rate.value:.1%} of the test images "
        f"(95 % interval {rate.low:.1%} to {rate.high:.1%}){because}; {found.guard.note}."
    )


def _threshold(found: Abstention) -> list[str]:
    sought = found.threshold
    if sought is None:
        below = found.operating_point.confidence_threshold
        return [f"No decision is made under a probability of {below:g}."] if below else []
    requested = f"at most {sought.max_group_error:.1%} of the answered groups wrong, with {sought.confidence:.0%} confidence"
    if sought.confidence_threshold is not None:
        got = f"; of the test groups {found.group_error:.1%} are" if found.group_error is not None else ""
        return [f"No decision is made under a probability of {sought.confidence_threshold:g}: {requested}{got}."]
    more = f"it would take about {plural(sought.more_groups, 'further validation group')}" if sought.more_groups else ""
    return [f"No threshold keeps what was asked ({requested}){'; ' + more if more else ''}."]


def brief_sentence(found: Abstention) -> str:
    """Return one line for a terminal."""
    refused = f"guard refuses {found.rejected_test.value:.1%} of the test images" if found.rejected_test else "no guard"
    wrong = f", {found.selective_error.value:.1%} of those wrongly" if found.selective_error is not None else ""
    return f"Unable to analyze: {refused}; {found.coverage.value:.1%} are answered{wrong}."
