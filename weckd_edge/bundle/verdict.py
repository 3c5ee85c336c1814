"""The outcome of a bundle's gates, in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from weckd_edge.artifacts import Manifest
from weckd_edge.core.words import plural

GATE_NAMES = {
    "max_latency_p90_ms": ("End-to-end latency, 90th percentile", "at most", "ms"),
    "max_memory_mib": ("Peak memory", "at most", "MiB"),
    "max_size_mib": ("Size of the files that the device loads", "at most", "MiB"),
    "min_accuracy": ("Accuracy of the deployed model", "at least", "%"),
    "parity": ("Difference between implementations", "at most", ""),
    "max_accuracy_drop": ("Accuracy lost by compiling", "at most", "points"),
    "max_energy_mj": ("Energy of one frame above idle", "at most", "mJ"),
    "min_per_class_recall": ("Minimum per-class sensitivity", "at least", "%"),
    "min_slice_accuracy": ("Minimum accuracy in a slice", "at least", "%"),
    "min_exam_accuracy": ("Accuracy of examinations", "at least", "%"),
    "min_exam_recall": ("Minimum per-class sensitivity of examinations", "at least", "%"),
    "max_group_error": ("Wrong decisions at the confidence threshold", "at most", "%"),
    "max_exam_group_error": ("Wrong decisions about examinations", "at most", "%"),
    "better_than_chance": ("Balanced accuracy by groups, compared with guessing", "over", "%"),
    "min_slice_recall": ("Minimum per-class sensitivity in a slice", "at least", "%"),
}
"""Title, direction and unit of each gate."""

SYNTHETIC = (
    "Trained and tested on synthetic images. The results show that the tool chain works; they say nothing about real images."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleVerdict:
    """The outcome of all gates together.

    Attributes:
        kind: ``pass``, ``fail`` or ``open`` (nothing failed, but something could not be decided).
        title: Outcome in a few words.
        detail: Outcome in a sentence.
    """

    kind: str
    title: str
    detail: str


def sum_up_gates(manifest: Manifest) -> BundleVerdict:
    """Return the outcome of a bundle's gates."""
    tally = Counter(gate.verdict for gate in manifest.gates)
    failed = [GATE_NAMES.get(g.name, (g.name,))[0].lower() for g in manifest.gates if g.verdict == "FAIL"]
    if failed or not manifest.passed:
        detail = f"Missed: {', '.join(failed)}." if failed else "The build marked this bundle as not passed."
        return BundleVerdict(kind="fail", title="Not passed", detail=detail)
    if not manifest.gates:
        return BundleVerdict(kind="open", title="No limits set", detail="This build set no limits, so nothing was checked.")
    passed = f"{tally['PASS']} of {plural(len(manifest.gates), 'limit')} met"
    if tally["INCONCLUSIVE"]:
        detail = f"{passed}; {plural(tally['INCONCLUSIVE'], 'limit')} could not be decided; the reasons are below."
        return BundleVerdict(kind="open", title="Inconclusive: not every limit could be decided", detail=detail)
    return BundleVerdict(kind="pass", title="Passed", detail=f"{passed}.")
