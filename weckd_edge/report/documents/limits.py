"""Which limits a build found in itself: every line rests on a figure, or on something that was not looked at."""

from __future__ import annotations

from collections.abc import Iterator

from weckd_edge.artifacts import Manifest
from weckd_edge.bundle.verdict import GATE_NAMES
from weckd_edge.core.words import plural
from weckd_edge.report.chapters.metrics import worst_class_sentence, worst_slice
from weckd_edge.report.chapters.verdicts import data_facts, data_warnings
from weckd_edge.report.evidence import Evidence

WIDE = 0.1
"""An interval of the accuracy that is wider than this (share of images) is named."""


def limits(evidence: Evidence, manifest: Manifest) -> tuple[str, ...]:
    """Return the limits that were found, a sentence each."""
    return (*_of_metrics(evidence, manifest), *_of_data(evidence), *_of_checks(evidence, manifest))


def _of_metrics(evidence: Evidence, manifest: Manifest) -> Iterator[str]:
    rate, performance = evidence.verification.accuracy_compiled, evidence.performance
    yield from evidence.chain.doubts
    if rate.high - rate.low > WIDE:
        yield (
            f"{plural(rate.images, 'test image')} in {plural(rate.groups, 'group')} leave the accuracy uncertain by "
            f"{(rate.high - rate.low) * 100:.1f}\u00a0points from end to end of its 95\u00a0% interval."
        )
    if performance is None:
        yield "Figures by class and slice were not kept."
        return
    for line in (worst_class_sentence(performance, manifest.labels), worst_slice(performance)):
        if line:
            yield line
    for note in performance.notes:
        yield f"{note[:1].upper()}{note[1:]}."


def _of_data(evidence: Evidence) -> Iterator[str]:
    yield "One data set, one seed, one split: what another camera or clinic gives was not measured."
    yield from data_warnings(evidence.dataset)
    data = data_facts(evidence.dataset)
    if data.cut_groups:
        yield f"A leak: {plural(data.cut_groups, 'group')} of images in more than one split."
    if data.published_leaks is not None and any(data.published_leaks):
        copies, grouped = data.published_leaks
        yield (
            f"The split that the data set came with leaks: of its {plural(data.published_test, 'test image')} {copies} hold "
            f"the pixels of a training image, and {grouped} share a group with one."
        )
    probes = evidence.probes
    if probes is None:
        yield "Leaks by resemblance, shortcuts and doubtful labels were not looked for."
        return
    if probes.folds is not None and probes.folds.flattery.low > 0:
        yield (
            f"Images of a group are alike: splits that cut groups would flatter by "
            f"{probes.folds.flattery.value * 100:.1f}\u00a0points."
        )
    telling = [one.name for one in probes.fingerprints if one.accuracy.low > probes.majority]
    if telling:
        yield (
            f"Labels can be told, better than by the commonest class, from {', '.join(telling)} alone; the network may use "
            "that too."
        )
    if probes.suspects is not None and probes.suspects.found:
        yield f"{plural(probes.suspects.found, 'label')} of {probes.suspects.images:,} looked at are doubtful."
    if probes.sources is None:
        yield "The data set names no sites or devices that could be left out in turn."


def _of_checks(evidence: Evidence, manifest: Manifest) -> Iterator[str]:
    for gate in manifest.gates:
        if gate.verdict != "PASS":
            name = GATE_NAMES.get(gate.name, (gate.name,))[0]
            yield f"{name}: {'missed' if gate.verdict == 'FAIL' else 'not judged'} ({gate.reason})."
    if evidence.abstention is None:
        yield "What happens with frames that show something else was not measured."
    elif not evidence.abstention.kinds:
        yield "No frames that show something else were given, so how many of them are refused was not measured."
    if evidence.verification.calibration is None:
        yield "Whether probabilities can be taken at their word was not measured."
    if evidence.measurement is None:
        yield "The time from frame to answer was not measured."
    elif evidence.measurement.device != manifest.device:
        yield f"The time was measured on {evidence.measurement.host}, not on {manifest.device}."
