"""Limits of a build, found in its own evidence, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator

from weckd_edge.bundle.verdict import GATE_NAMES
from weckd_edge.core.words import plural
from weckd_edge.report.chapters.metrics import worst_class_sentence, worst_slice
from weckd_edge.report.chapters.verdicts import data_facts, data_warnings
from weckd_edge.report.evidence import BundleContents

WIDE = 0.1
"""Width of the accuracy's 95 % interval, as a fraction of images, above which it is named as a limit."""


def limits(contents: BundleContents) -> tuple[str, ...]:
    """Return the limits of a build, a sentence each."""
    return (*_of_metrics(contents), *_of_data(contents), *_of_checks(contents))


def _of_metrics(contents: BundleContents) -> Iterator[str]:
    rate, record = contents.verification.accuracy_compiled, contents.metrics
    yield from contents.chain.import_warnings
    if rate.high - rate.low > WIDE:
        yield (
            f"The 95\u00a0% interval of the accuracy is {(rate.high - rate.low) * 100:.1f}\u00a0points wide, because there "
            f"are only {plural(rate.images, 'test image')} in {plural(rate.groups, 'group')}."
        )
    if record is None:
        yield "The evidence has no metrics by class and slice."
        return
    for line in (worst_class_sentence(record, contents.manifest.labels), worst_slice(record)):
        if line:
            yield line
    for note in record.notes:
        yield f"{note[:1].upper()}{note[1:]}."


def _of_data(contents: BundleContents) -> Iterator[str]:
    yield "One data set, one seed and one split were used; results on other cameras or clinics were not measured."
    yield from data_warnings(contents.dataset)
    data = data_facts(contents.dataset)
    if data.cut_groups:
        yield f"A leak: {plural(data.cut_groups, 'group')} of images in more than one split."
    leaks = contents.dataset.published_leaks
    if leaks is not None and leaks.found:
        validation = f", {leaks.val_copies} copy a validation image and {leaks.val_grouped} share a group with one"
        yield (
            f"The split that the data set came with leaks: of its {plural(leaks.test_images, 'test image')}, {leaks.copies} "
            f"copy a training image and {leaks.grouped} share a group with one"
            f"{validation if leaks.val_copies or leaks.val_grouped else ''}."
        )
    audit = contents.audit
    if audit is None:
        yield "The data audit was skipped: leaks by resemblance, shortcuts and label errors were not looked for."
        return
    if audit.folds is not None and audit.folds.optimism.low > 0:
        yield (
            f"Images of a group are alike: splits that separate them would overestimate the accuracy by "
            f"{audit.folds.optimism.value * 100:.1f}\u00a0points."
        )
    telling = [one.name for one in audit.fingerprints if one.accuracy.low > audit.majority]
    if telling:
        yield (
            f"Properties that should not matter predict the label better than the most common class: {', '.join(telling)}. "
            "The network may use them too."
        )
    if audit.label_issues is not None and audit.label_issues.found:
        yield f"{plural(audit.label_issues.found, 'label')} of {audit.label_issues.images:,} may be wrong."
    if audit.sources is None:
        yield "The data set names no sites or devices, so results on an unseen site were not measured."


def _of_checks(contents: BundleContents) -> Iterator[str]:
    for gate in contents.manifest.gates:
        if gate.verdict != "PASS":
            name = GATE_NAMES.get(gate.name, (gate.name,))[0]
            yield f"{name}: {'missed' if gate.verdict == 'FAIL' else 'inconclusive'} ({gate.reason})."
    if contents.abstention is None:
        yield "Abstention was not measured: it is not known what happens with out-of-distribution frames."
    elif not contents.abstention.ood_sets:
        yield "No out-of-distribution frames were given, so it was not measured how many of them the input guard rejects."
    if contents.verification.calibration is None:
        yield "Calibration was not measured: probabilities may not match how often a decision is correct."
    if contents.measurement is None:
        yield "The end-to-end latency was not measured."
    elif contents.measurement.device != contents.manifest.device:
        yield f"The latency was measured on {contents.measurement.host}, not on {contents.manifest.device}."
