"""Summary of a report, for the first screen and the terminal: verdict, three key numbers, warnings."""

from __future__ import annotations

from dataclasses import dataclass

from weckd_edge.artifacts import Manifest, Measurement, MetricsRecord, Verification
from weckd_edge.bundle.verdict import BundleVerdict, sum_up_gates
from weckd_edge.core.words import NBSP, plural, with_plain_spaces
from weckd_edge.report.chapters import abstention, verdicts
from weckd_edge.report.chapters.audit_warnings import audit_warnings
from weckd_edge.report.chapters.exams import brief_exam_sentence
from weckd_edge.report.chapters.metrics import flip_sentences, unjudged_classes, worst_slice
from weckd_edge.report.evidence import BundleContents
from weckd_edge.report.numbers import EN_DASH, interval, milliseconds, percent, significant


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyNumber:
    """One of the three key numbers.

    Attributes:
        name: Name of the number.
        value: Value as text, such as ``93.1 %``; words where there is none.
        about: Interval of the value, and the images and groups behind it.
    """

    name: str
    value: str
    about: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The first screen of a report.

    Attributes:
        verdict: Outcome of all gates together.
        failed_gates: Gates that are missed or inconclusive, a line each; empty where all passed.
        numbers: Accuracy, lowest per-class sensitivity, end-to-end latency.
        lines: Sentences on the worst slice, the flips and abstention.
        warnings: Warnings on an imported model's description, the data set, leaks and shortcuts; empty where there are none.
    """

    verdict: BundleVerdict
    failed_gates: tuple[str, ...]
    numbers: tuple[KeyNumber, KeyNumber, KeyNumber]
    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def summarize_bundle(contents: BundleContents) -> Summary:
    """Return the summary of a bundle, from its manifest and its evidence alone."""
    manifest, record = contents.manifest, contents.metrics
    lines = []
    if record is not None:
        lines += [worst_slice(record) or "Worst slice: not known, because the data set names no sites, devices or ages."]
        lines += flip_sentences(record)
    if contents.abstention is not None:
        lines.append(abstention.brief_sentence(contents.abstention))
    if contents.exams is not None and (brief := brief_exam_sentence(contents.exams)) is not None:
        lines.append(brief)
    return Summary(
        verdict=sum_up_gates(manifest),
        failed_gates=tuple(
            f"{row.title}: {row.value}, limit {row.limit}, {row.margin if row.verdict == 'FAIL' else 'inconclusive'}"
            for row in verdicts.gate_rows(manifest.gates)
            if row.verdict != "PASS"
        ),
        numbers=(
            _accuracy(contents.verification),
            _worst_class(record, contents.verification, manifest.labels),
            _time(contents.measurement, manifest),
        ),
        lines=tuple(lines),
        warnings=(
            *contents.chain.import_warnings,
            *verdicts.data_warnings(contents.dataset),
            *audit_warnings(contents.audit),
        ),
    )


def terminal_lines(summary: Summary) -> tuple[str, ...]:
    """Return a summary as lines for a terminal, with plain spaces."""
    text = [f"{summary.verdict.title}. {summary.verdict.detail}", *(f"  {limit}" for limit in summary.failed_gates)]
    text += [f"{number.name}: {number.value} ({number.about})" for number in summary.numbers]
    return tuple(with_plain_spaces(line) for line in (*text, *summary.lines))


def _accuracy(verification: Verification) -> KeyNumber:
    rate = verification.accuracy_compiled
    return KeyNumber(
        name="Test accuracy (held-out groups)",
        value=percent(rate.value),
        about=f"95{NBSP}% interval {interval(rate)}; {plural(rate.images, 'test image')} in {plural(rate.groups, 'group')}",
    )


def _worst_class(record: MetricsRecord | None, verification: Verification, labels: tuple[str, ...]) -> KeyNumber:
    if record is not None:
        unjudged = unjudged_classes(record, labels)
        also = f"; {unjudged}" if unjudged else ""
        metric = None if record.worst_class is None else record.compiled.classes[record.worst_class].sensitivity
        if record.worst_class is None or metric is None or metric.low is None or metric.high is None:
            about = f"no class has enough test images for a 95{NBSP}% interval{also}"
            return KeyNumber(name="Lowest per-class sensitivity", value="not known", about=about)
        low, high, value, images, groups = metric.low, metric.high, metric.value, metric.images, metric.groups
        label = labels[record.worst_class]
    else:
        also = ""
        known = [(rate.value, at, rate) for at, rate in enumerate(verification.recall_compiled) if rate is not None]
        if not known:
            return KeyNumber(name="Lowest per-class sensitivity", value="not known", about="the test split is empty")
        _, at, rate = min(known, key=lambda entry: entry[:2])
        low, high, value, images, groups, label = rate.low, rate.high, rate.value, rate.images, rate.groups, labels[at]
    return KeyNumber(
        name=f"Lowest per-class sensitivity: {label}",
        value=percent(value),
        about=f"95{NBSP}% interval {low * 100:.1f}{EN_DASH}{high * 100:.1f}{NBSP}%; {plural(images, 'image')} of it in "
        f"{plural(groups, 'group')}{also}",
    )


def _time(measurement: Measurement | None, manifest: Manifest) -> KeyNumber:
    name = "End-to-end latency, 90th percentile"
    gate = next((gate for gate in manifest.gates if gate.name == "max_latency_p90_ms"), None)
    word = {"PASS": " met", "FAIL": " exceeded", "INCONCLUSIVE": ": inconclusive"}
    limit = f"limit {significant(gate.limit)}{NBSP}ms{word[gate.verdict]}" if gate else "no limit set"
    if measurement is None:
        return KeyNumber(
            name=name, value="not measured", about=f"{limit}; the evidence has no benchmark of the deployed model"
        )
    queries = plural(len(measurement.end_to_end.samples_ns), "query", "queries")
    other = "" if measurement.device == manifest.device else f", not on {manifest.device}, which the bundle is built for"
    return KeyNumber(
        name=name,
        value=milliseconds(measurement.end_to_end.p90_ns),
        about=f"{limit}; {queries} on {measurement.host}{other}",
    )
