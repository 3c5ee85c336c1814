"""Whether a chain helped, in words."""

from __future__ import annotations

from weckd_edge.train.tuning.study_results import REFERENCE, SAME_LABELS, Study


def chain_verdicts(study: Study, chain: str) -> tuple[str, ...]:
    """Say whether a chain helped, against one labelled subset and against as many labels, each where it was run."""
    ran = [reference for reference in (REFERENCE, SAME_LABELS) if reference in study.strategies()]
    return tuple(chain_verdict(study, chain, reference) for reference in ran or [REFERENCE])


def chain_verdict(study: Study, chain: str, reference: str = REFERENCE) -> str:
    """Say in words whether a chain helped, against the same network alone."""
    if not {chain, reference} <= set(study.strategies()):
        return f"Whether {chain} helped is not known: {reference} was not run."
    gain = study.difference(chain, reference)
    text = f"the accuracy of {chain} differs from {reference}'s by {100 * gain.mean:+.1f} points"
    if gain.low is None or gain.high is None:
        return f"{text}, with {study.runs_in_words}: no interval, so this may be chance."
    text += f" (95 % interval {100 * gain.low:+.1f} to {100 * gain.high:+.1f}, {study.runs_in_words})"
    if gain.low > 0:
        return f"The chain helped: {text}."
    if gain.high < 0:
        return f"The chain hurt: {text}."
    return f"Not shown that the chain helped: {text}."
