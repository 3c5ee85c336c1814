"""The probes' findings that put figures in doubt, a sentence each: for the first screen and the terminal."""

from __future__ import annotations

from weckd_edge.artifacts import DataAudit
from weckd_edge.core.words import plural
from weckd_edge.report.chapters.audit import folds_sentence, masking_sentence
from weckd_edge.report.numbers import percent

UNRELATED = ("size", "compression", "source")
"""What cannot follow from a finding: where it tells the label, classes come from different cameras."""


def audit_warnings(probes: DataAudit | None) -> tuple[str, ...]:
    """Return what must be known before the figures are believed; empty where nothing was found or nobody looked."""
    if probes is None:
        return ()
    found = []
    for name, leaks in (("This build's split", probes.this_split), ("The published split", probes.published)):
        if leaks is not None and (leaks.copies or leaks.grouped):
            found.append(
                f"{name} leaks: of {plural(leaks.held_out, 'held-out image')} {leaks.copies} are copies of an image of "
                f"another split, {leaks.grouped} share a group with one."
            )
    if probes.folds is not None and probes.folds.optimism.low > 0:
        found.append(folds_sentence(probes.folds))
    if probes.masking is not None:
        prediction = masking_sentence(probes.masking)
        if prediction.startswith(("The label is told by the surroundings", "The surroundings alone keep")):
            found.append(f"{prediction.split('. ')[0]}.")
    telling = [f for f in probes.fingerprints if f.name in UNRELATED and f.accuracy.low > probes.majority]
    if telling:
        text = ", ".join(f"{f.name} {percent(f.accuracy.value)}" for f in telling)
        found.append(
            f"The label can be told from what should not matter ({text}; commonest class {percent(probes.majority)})."
        )
    if probes.label_issues is not None and probes.label_issues.found:
        found.append(f"{plural(probes.label_issues.found, 'label')} of {probes.label_issues.images:,} may be wrong.")
    return tuple(found)
