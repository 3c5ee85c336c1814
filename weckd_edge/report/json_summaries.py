"""What ``--json`` prints of a bundle and of a bench: plain data, the figures that a script reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import (
    ExamEvidence,
    Gate,
    Latency,
    LatencyParts,
    LinkEvaluation,
    Measurement,
    Metric,
    MetricsRecord,
    OutsideTeaching,
)
from weckd_edge.core.words import with_plain_spaces
from weckd_edge.report.chapters.models import model_rows
from weckd_edge.report.chapters.summary import summarize_bundle
from weckd_edge.report.evidence import BundleContents


def bundle_summary(contents: BundleContents, folder: Path) -> dict[str, Any]:
    """Return the summary of a bundle that was written to a folder."""
    manifest, verification, chain = contents.manifest, contents.verification, contents.chain
    compiled, baseline = verification.accuracy_compiled, chain.baseline
    return {
        "bundle": str(folder),
        "passed": manifest.passed,
        "warnings": [with_plain_spaces(warning) for warning in summarize_bundle(contents).warnings],
        "links": [
            {
                "name": link.name,
                "model": link.model,
                "width": link.width,
                "input_height": link.input.network.height,
                "input_width": link.input.network.width,
                "parameters": link.parameters,
                "macs": link.macs,
                "labels_used": link.labels_used,
                "epochs": link.epochs,
                "accuracy": link.test_accuracy.value,
                "baseline_accuracy": baseline.test_accuracy.value if baseline and link is chain.links[-1] else None,
            }
            for link in chain.links
        ],
        "deployed": {
            "link": contents.link_selection.chosen,
            "precision": verification.precision,
            "backend": verification.backend,
            "reason": contents.link_selection.reason,
        },
        "models": [
            {
                "name": row.name,
                "accuracy": row.accuracy.value if row.accuracy is not None else None,
                "median_ns": row.median_ns,
                "int8_layers": row.int8_layers,
                "layers": row.layers,
                "tolerance": row.tolerance,
                "bytes": row.bytes,
            }
            for row in model_rows(manifest, contents.selection, verification)
        ],
        "backends": list(contents.selection.backends),
        "candidates": [_candidate(link) for link in contents.link_selection.links],
        "accuracy": {
            "fp32": verification.accuracy_fp32.value,
            "compiled": compiled.value,
            "low": compiled.low,
            "high": compiled.high,
            "test_images": compiled.images,
            "test_groups": compiled.groups,
        },
        "metrics": metrics_summary(contents.metrics, manifest.labels) if contents.metrics else None,
        "exams": exams_summary(contents.exams) if contents.exams else None,
        "gates": [
            {"name": g.name, "limit": g.limit, "value": g.value, "verdict": g.verdict, "reason": g.reason}
            for g in manifest.gates
        ],
        "steps": [{"name": s.name, "seconds": s.seconds, "reused": s.reused} for s in contents.build.steps],
        "imported": list(chain.import_notes),
        "chain_notes": list(chain.notes),
        "outside": _outside(chain.outside) if chain.outside else None,
    }


def _outside(outside: OutsideTeaching) -> dict[str, Any]:
    difference = outside.difference
    return {
        "teachers": [{"name": one.name, "head": one.head} for one in outside.teachers],
        "val_accuracy": outside.accuracy.value,
        "alone_val_accuracy": None if outside.alone_accuracy is None else outside.alone_accuracy.value,
        "difference": difference and {"value": difference.value, "low": difference.low, "high": difference.high},
        "used": outside.used,
        "reason": outside.reason,
    }


def _candidate(link: LinkEvaluation) -> dict[str, Any]:
    latency = link.latency
    return {
        "name": link.name,
        "precision": link.precision,
        "bytes": link.bytes,
        "val_accuracy": link.val_accuracy.value,
        "latency": {
            "label": latency.label,
            "p90_ns": latency.p90_ns,
            "low_ns": latency.low_ns,
            "high_ns": latency.high_ns,
            "reason": latency.reason,
        },
        "build_machine_p90_ns": link.build_machine_p90_ns,
        "passes": link.passes,
        "gates": [{"name": g.name, "limit": g.limit, "value": g.value, "verdict": g.verdict} for g in link.gates],
    }


def metrics_summary(metrics: MetricsRecord, labels: Sequence[str]) -> dict[str, Any]:
    """Return the clinical figures of the compiled model; every figure is in ``evidence/metrics.json``.

    Args:
        metrics: Metrics on the test split.
        labels: Names of the classes, in the order of the model's outputs.
    """
    compiled = metrics.compiled
    slices = [
        {
            "column": one.column,
            "value": one.value,
            "images": one.images,
            "groups": one.groups,
            "right": one.right,
            "accuracy": _figure(one.compiled.accuracy) if one.compiled else None,
            "note": one.note,
        }
        for one in metrics.slices
    ]
    return {
        "balanced_accuracy": _figure(compiled.balanced_accuracy),
        "macro_f1": _figure(compiled.macro_f1),
        "macro_auc": _figure(compiled.macro_auc),
        "classes": [
            {"label": labels[c.label], "sensitivity": _figure(c.sensitivity), "specificity": _figure(c.specificity)}
            for c in compiled.classes
        ],
        "worst_class": None if metrics.worst_class is None else labels[metrics.worst_class],
        "unjudged_classes": [
            labels[c.label] for c in compiled.classes if c.sensitivity is None or c.sensitivity.low is None
        ],
        "worst_slice": None if metrics.worst_slice is None else slices[metrics.worst_slice],
        "slices": slices,
        "flips": [
            {
                "before": f.before,
                "after": f.after,
                "better": f.total.better,
                "worse": f.total.worse,
                "other": f.total.other,
                "mcnemar_p": f.mcnemar_p,
            }
            for f in metrics.flips
        ],
        "notes": list(metrics.notes),
    }


def exams_summary(exams: ExamEvidence) -> dict[str, Any]:
    """Return the figures of examinations; every figure is in ``evidence/exams.json``."""
    gain = exams.gain
    return {
        "rule": exams.choice.name,
        "confidence_threshold": exams.choice.rule.confidence_threshold,
        "exams": exams.exams,
        "accuracy": _figure(exams.accuracy),
        "frame_accuracy": _figure(exams.frame_accuracy),
        "gain": None if gain is None else {"value": gain.value, "low": gain.low, "high": gain.high},
        "recall": [_figure(one) for one in exams.recall],
        "decided": _figure(exams.decided),
        "wrong": _figure(exams.wrong),
        "frames": exams.frames_by_use,
        "notes": [*exams.notes, *exams.choice.notes],
    }


def _figure(found: Metric | None) -> dict[str, Any] | None:
    return None if found is None else {"value": found.value, "low": found.low, "high": found.high}


def bench_summary(found: Measurement, verdict: str, reason: str, gates: Sequence[Gate] | None = None) -> dict[str, Any]:
    """Return the summary of a bench.

    Args:
        found: The measurement.
        verdict: Whether its latencies can be relied on, in a word.
        reason: Why, in a sentence.
        gates: The bundle's limits of latency, memory and energy, judged; None: the bundle is not here.
    """
    return {
        "device": found.device,
        "host": found.host,
        "backend": found.backend,
        "backend_version": found.backend_version,
        "precision": found.precision,
        "by_device": found.by_device,
        "pixels": found.pixels,
        "int8": found.int8,
        "threads": found.threads,
        "rules": found.rules,
        "rule_set": found.rule_set,
        "rules_met": found.rules_met,
        "generator": found.generator,
        "verdict": verdict,
        "reason": reason,
        "gates": gates,
        "end_to_end": _latency_summary(found.end_to_end),
        "network": _latency_summary(found.network),
        "parts": None if found.parts is None else _parts_summary(found.parts),
        "early_stopping": found.early_stopping,
        "loadgen": found.loadgen,
        "duration_ns": found.duration_ns,
        "cold_start_ns": found.cold_start_ns,
        "peak_rss_bytes": found.peak_rss_bytes,
        "energy_mj": found.energy_mj,
        "power": found.power,
        "machine": found.machine,
        "cut_off": found.cut_off,
        "warnings": found.warnings,
    }


def _parts_summary(parts: LatencyParts) -> dict[str, Any]:
    named = {"guard": parts.guard, "front_end": parts.front_end, "graph": parts.graph, "decision": parts.decision}
    latencies = {
        name: None if one is None else {"p50_ns": one.p50_ns, "p90_ns": one.p90_ns, "p99_ns": one.p99_ns}
        for name, one in named.items()
    }
    return {**latencies, "end_to_end_over_network": parts.end_to_end_over_network}


def _latency_summary(latency: Latency | None) -> dict[str, Any] | None:
    if latency is None:
        return None
    return {
        "p50_ns": latency.p50_ns,
        "p90_ns": latency.p90_ns,
        "p99_ns": latency.p99_ns,
        "samples": len(latency.samples_ns),
        "iqr_over_median": latency.iqr_over_median,
    }
