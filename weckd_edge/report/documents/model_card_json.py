"""The model card inside a CycloneDX SBOM: parameters, metrics with intervals, considerations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from weckd_edge.artifacts import ClassMetrics, Estimate, Metric, Metrics, MetricsRecord, Rate
from weckd_edge.bundle.verdict import SYNTHETIC
from weckd_edge.config import ModelCardConfig
from weckd_edge.core.words import with_plain_spaces
from weckd_edge.report.chapters.metrics import flip_sentences, selective_text, worst_slice
from weckd_edge.report.chapters.verdicts import DISCLAIMER, data_warnings, frame_text
from weckd_edge.report.evidence import BundleContents

DATASET_REF = "dataset"

_OVERALL = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc")
_BY_CLASS = ("sensitivity", "specificity", "ppv", "npv", "f1", "auc", "ppv_at_prevalence", "npv_at_prevalence")

CardMetric = dict[str, Any]


def model_card_json(contents: BundleContents, card: ModelCardConfig) -> dict[str, Any]:
    """Return the ``modelCard`` of CycloneDX 1.6.

    Args:
        contents: Contents of the bundle.
        card: Statements of the builder; missing ones are left out.
    """
    deployed = contents.deployed
    unlabelled = deployed.images_used > deployed.labels_used
    return {
        "modelParameters": {
            "task": "image classification",
            "approach": {"type": "semi-supervised" if unlabelled else "supervised"},
            "architectureFamily": deployed.model.rpartition("/")[2].partition("_")[0],
            "modelArchitecture": deployed.network_text,
            "datasets": [{"ref": DATASET_REF}],
            "inputs": [{"format": with_plain_spaces(frame_text(contents.manifest.input))}],
            "outputs": [{"format": f"float32 probabilities of {', '.join(contents.manifest.labels)}"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": list(_metrics(contents))},
        "considerations": _considerations(contents, card),
    }


def _considerations(contents: BundleContents, card: ModelCardConfig) -> dict[str, Any]:
    record, audit = contents.metrics, contents.audit
    limits = [DISCLAIMER, *([SYNTHETIC] if contents.manifest.synthetic else []), *card.caveats]
    limits += [f"Out of scope: {what}" for what in card.out_of_scope]
    limits += [
        *contents.chain.import_warnings,
        *data_warnings(contents.dataset),
        *(gate.reason for gate in contents.manifest.gates if gate.verdict == "FAIL"),
    ]
    limits += list(record.notes) if record else []
    limits += list(audit.notes) if audit else []
    found: dict[str, Any] = {"technicalLimitations": [with_plain_spaces(line) for line in limits]}
    tradeoffs = [
        contents.selection.reason,
        *(flip_sentences(record) if record else ()),
    ]
    found["performanceTradeoffs"] = [with_plain_spaces(line) for line in tradeoffs]
    if card.intended_users:
        found["users"] = [card.intended_users]
    if card.intended_use:
        found["useCases"] = [card.intended_use]
    if card.ethical:
        found["ethicalConsiderations"] = [{"name": card.ethical}]
    if record is not None and record.worst_slice is not None:
        worst = record.slices[record.worst_slice]
        found["fairnessAssessments"] = [{"groupAtRisk": worst.name, "harms": with_plain_spaces(worst_slice(record))}]
    return found


def _metrics(contents: BundleContents) -> Iterator[CardMetric]:
    verification, record = contents.verification, contents.metrics
    if record is None:
        yield from _without_metrics(contents, contents.manifest.labels)
    else:
        yield from _metric_entries(record.compiled, "test split, as deployed", contents.manifest.labels)
        yield from _overall(record.fp32, "test split, fp32")
        yield from _differences(record)
        for one in record.slices:
            if one.compiled is not None:
                yield from _metric_entries(
                    one.compiled, f"test split, as deployed, {one.name}", contents.manifest.labels, short=True
                )
        if record.selective is not None:
            where = f"test split, as deployed, {selective_text(record.selective)}"
            yield _metric_entry("fraction with a decision", record.selective.coverage, where)
    if contents.abstention is not None:
        yield _rate(
            "fraction with a decision",
            contents.abstention.coverage,
            "test split, by input guard, threshold and non-gradeable labels",
        )
        if contents.abstention.selective_error is not None:
            yield _rate(
                "fraction of wrong decisions", contents.abstention.selective_error, "test split, images with a decision"
            )
    if verification.calibration is not None:
        yield _estimate(
            "expected calibration error", verification.calibration.before.ece, "test split, before a temperature"
        )
        yield _estimate("expected calibration error", verification.calibration.after.ece, "test split, as deployed")
    measured = contents.measurement
    if measured is not None:
        where = f"on {measured.host}, threads: {measured.threads}"
        yield _metric("end-to-end latency, p90, ms", f"{measured.end_to_end.p90_ns / 1e6:.3f}", where)


def _without_metrics(contents: BundleContents, labels: Sequence[str]) -> Iterator[CardMetric]:
    verification = contents.verification
    yield _rate("accuracy", verification.accuracy_compiled, "test split, as deployed")
    yield _rate("accuracy", verification.accuracy_fp32, "test split, fp32")
    for label, rate in zip(labels, verification.recall_compiled, strict=True):
        if rate is not None:
            yield _rate("sensitivity", rate, f"test split, as deployed, class {label}")


def _overall(metrics: Metrics, where: str) -> Iterator[CardMetric]:
    for kind in _OVERALL:
        metric: Metric | None = getattr(metrics, kind)
        if metric is not None:
            yield _metric_entry(kind.replace("_", " "), metric, where)


def _metric_entries(metrics: Metrics, where: str, labels: Sequence[str], *, short: bool = False) -> Iterator[CardMetric]:
    """Yield metrics as CycloneDX writes them; ``short`` yields only the sensitivity of each class."""
    yield from _overall(metrics, where)
    for one in metrics.classes:
        yield from _of_class(one, f"{where}, class {labels[one.label]}", _BY_CLASS[:1] if short else _BY_CLASS)


def _of_class(one: ClassMetrics, where: str, kinds: Sequence[str]) -> Iterator[CardMetric]:
    for kind in kinds:
        metric: Metric | None = getattr(one, kind)
        if metric is not None:
            yield _metric_entry(kind.replace("_", " "), metric, where)


def _differences(record: MetricsRecord) -> Iterator[CardMetric]:
    for kind in _OVERALL:
        difference: Estimate | None = getattr(record.difference, kind)
        if difference is not None:
            yield _estimate(f"{kind.replace('_', ' ')}, as deployed less fp32", difference, "test split")


def _metric_entry(kind: str, metric: Metric, where: str) -> CardMetric:
    ends = None if metric.low is None or metric.high is None else (metric.low, metric.high)
    return _metric(kind, f"{metric.value:.4f}", f"{where}; {metric.images} images in {metric.groups} groups", ends)


def _rate(kind: str, rate: Rate, where: str) -> CardMetric:
    return _metric(
        kind, f"{rate.value:.4f}", f"{where}; {rate.images} images in {rate.groups} groups", (rate.low, rate.high)
    )


def _estimate(kind: str, found: Estimate, where: str) -> CardMetric:
    return _metric(kind, f"{found.value:.4f}", where, (found.low, found.high))


def _metric(kind: str, value: str, where: str, ends: tuple[float, float] | None = None) -> CardMetric:
    found: CardMetric = {"type": kind, "value": value, "slice": where}
    if ends is not None:
        found["confidenceInterval"] = {"lowerBound": f"{ends[0]:.4f}", "upperBound": f"{ends[1]:.4f}"}
    return found
