"""Warnings from the data audit, a sentence each, for the first screen and the terminal."""

from __future__ import annotations

from weckd_edge.artifacts import DataAudit
from weckd_edge.core.words import plural
from weckd_edge.report.chapters.audit import folds_sentence, masking_finding
from weckd_edge.report.numbers import percent

UNRELATED = ("size", "compression", "source")
"""Properties that cannot follow from a clinical finding; where they predict the label, classes come from different cameras.
"""


def audit_warnings(audit: DataAudit | None) -> tuple[str, ...]:
    """Return what a reader must know before trusting the metrics; empty where nothing was found or there was no audit."""
    if audit is None:
        return ()
    found = []
    for name, leaks in (("This build's split", audit.this_split), ("The published split", audit.published)):
        if leaks is not None and (leaks.copies or leaks.grouped):
            found.append(
                f"{name} leaks: of {plural(leaks.held_out, 'held-out image')}, {leaks.copies} copy an image of another "
                f"split and {leaks.grouped} share a group with one."
            )
    if audit.folds is not None and audit.folds.optimism.low > 0:
        found.append(folds_sentence(audit.folds))
    if audit.masking is not None:
        finding = masking_finding(audit.masking)
        if finding.warns:
            found.append(finding.brief)
    telling = [f for f in audit.fingerprints if f.name in UNRELATED and f.accuracy.low > audit.majority]
    if telling:
        text = ", ".join(f"{f.name} {percent(f.accuracy.value)}" for f in telling)
        found.append(
            f"Properties that should not matter predict the label ({text}; most common class {percent(audit.majority)})."
        )
    if audit.label_issues is not None and audit.label_issues.found:
        found.append(f"{plural(audit.label_issues.found, 'label')} of {audit.label_issues.images:,} may be wrong.")
    return tuple(found)
