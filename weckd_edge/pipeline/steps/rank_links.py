"""Which link of a chain ships: the smallest that misses no bar, judged on images that no training has seen."""

from __future__ import annotations

from collections.abc import Sequence

from weckd_edge.artifacts import Gate, LinkEvaluation, LinkSelection
from weckd_edge.config import SelectConfig

_WORDS = {
    "latency_p90_ms": ("frame to answer", "a smaller link, a lower input_size, or a faster power mode"),
    "memory_mib": ("peak memory", "a smaller link or a lower input_size"),
    "size_mib": ("size", "a narrower link"),
    "energy_mj": ("energy of a frame", "a smaller link or a lower power mode"),
    "accuracy": ("accuracy", "more labels, longer training, or a larger last link"),
    "recall": ("sensitivity for the class it recognises worst", "more labels of that class, or train.balance = 1"),
    "slice_accuracy": ("accuracy in the slice it serves worst", "more labels of that slice, or a larger last link"),
    "slice_recall": ("sensitivity in the slice and for the class where it is lowest", "more labels of that class there"),
    "better_than_guessing": (
        "balanced accuracy",
        "more labels or longer training; for an imported network, its description",
    ),
    "accuracy_drop": ("accuracy lost by compiling", 'quantize.precision = "fp16", or quantize_aware for the link'),
}
"""Each bar in words, and what to try where it is missed."""
_HIGHER_IS_BETTER = frozenset({"accuracy", "recall", "slice_accuracy", "slice_recall", "better_than_guessing"})


def requested_link(config: SelectConfig, names: Sequence[str]) -> str | None:
    """Return the link that the configuration names, out of a chain's; None where the limits are to choose."""
    if len(names) == 1 or config.link == "last":
        return names[-1]
    return None if config.link == "smallest" else config.link


def last_link_selection(name: str, names: Sequence[str]) -> LinkSelection:
    """Return the record of a link that is deployed because it was asked for, or because there is no other."""
    return LinkSelection(chosen=name, reason=f"{name} was asked for" if len(names) > 1 else f"{name} is the only link")


def choose_link(links: Sequence[LinkEvaluation]) -> LinkSelection:
    """Return the smallest link that misses no bar; where every one misses some, the one that comes closest.

    Args:
        links: In the order of the chain, largest first; at least one.
    """
    passing = [link for link in links if link.passes]
    if passing:
        chosen = passing[-1]
        return LinkSelection(chosen=chosen.name, reason=_why(chosen, links), links=tuple(links))
    chosen = min(reversed(links), key=gate_distance)
    return LinkSelection(
        chosen=chosen.name,
        reason=f"no link clears every bar; {chosen.name} comes closest: {_failed_gates(chosen)}",
        links=tuple(links),
        advice=tuple(_advice(gate) for gate in chosen.gates if gate.verdict == "FAIL"),
    )


def gate_distance(link: LinkEvaluation) -> float:
    """Return by how much a link misses its limits: of each, the gap as a part of the limit, summed."""
    return sum(_relative_gap(gate) for gate in link.gates if gate.verdict == "FAIL")


def _relative_gap(gate: Gate) -> float:
    return abs((gate.got or 0.0) - gate.bar) / max(abs(gate.bar), 1e-3)


def _why(chosen: LinkEvaluation, links: Sequence[LinkEvaluation]) -> str:
    smaller = [link for link in links[links.index(chosen) + 1 :] if not link.passes]
    what = (
        "is the smallest link that clears every bar"
        if all(g.verdict == "PASS" for g in chosen.gates)
        else ("is the smallest link that misses no bar")
    )
    open_ = [_WORDS[g.name][0] for g in chosen.gates if g.verdict == "INCONCLUSIVE"]
    rest = f"; not judged here: {', '.join(open_)}" if open_ else ""
    found = "; ".join(f"{link.name} {_failed_gates(link)}" for link in smaller)
    return f"{chosen.name} {what}{rest}{'; ' + found if found else ''}"


def _failed_gates(link: LinkEvaluation) -> str:
    return "misses " + ", ".join(f"{_WORDS[g.name][0]} ({g.reason})" for g in link.gates if g.verdict == "FAIL")


def _advice(gate: Gate) -> str:
    name, what = _WORDS[gate.name]
    word = "raise" if gate.name not in _HIGHER_IS_BETTER else "lower"
    return f"{name}: {gate.reason}; try {what}, or {word} gates.{gate.name}"
