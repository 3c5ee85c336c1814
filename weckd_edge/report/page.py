"""The report: one HTML file that needs no network and no other file, and is complete without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Manifest, Verification
from weckd_edge.bundle.verdict import SYNTHETIC
from weckd_edge.core.store import write_atomic
from weckd_edge.report import charts, pictures
from weckd_edge.report.chapters import abstention, audit, explorer, operating_points, parity, verdicts
from weckd_edge.report.chapters.confusion_csv import confusion_csv, csv_url
from weckd_edge.report.chapters.exams import exams_text, outcome_text
from weckd_edge.report.chapters.gallery import by_severity, gallery
from weckd_edge.report.chapters.metrics import flip_sentences, metrics_text, recall_table
from weckd_edge.report.chapters.models import model_rows
from weckd_edge.report.chapters.summary import summarize_bundle
from weckd_edge.report.charts.chain import all_evaluated, chain_chart
from weckd_edge.report.diff.rows import ChangeText
from weckd_edge.report.evidence import BundleContents
from weckd_edge.report.html_shell import document
from weckd_edge.report.pictures import Picture
from weckd_edge.report.rendering import render, safe

CONTENTS = (
    ("top", "Summary"),
    ("change", "What changed"),
    ("gates", "Gates"),
    ("metrics", "Classes and slices"),
    ("operating", "Confidence threshold"),
    ("confusion", "Confusion matrix, images"),
    ("prediction_flips", "Prediction flips"),
    ("calibration", "Calibration"),
    ("abstention", "Unable to analyze"),
    ("exams", "Examinations"),
    ("audit", "Data audit"),
    ("chain", "Chain and baseline"),
    ("precision", "Precision, agreement"),
    ("speed", "Latency, memory"),
    ("data", "Data"),
    ("documents", "Build and digests"),
    ("limits", "Limitations"),
)
"""Identifier and short name of each section, in order; ``report/IDENTIFIER.html.j2`` is its template."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One test frame with its prediction.

    Attributes:
        image: uint8 ``[H, W, 3]``, RGB.
        truth: True label.
        predicted: Decision of the deployed model.
        probability: Probability of that decision, 0..1.
    """

    image: NDArray[np.uint8]
    truth: str
    predicted: str
    probability: float


def write_report(
    contents: BundleContents,
    out: Path,
    samples: Sequence[Sample] = (),
    frames: Mapping[str, Picture] | None = None,
    change: ChangeText | None = None,
) -> None:
    """Write the report of a bundle, sealed or not.

    Args:
        contents: Contents of the bundle; the list of files in its manifest may still be empty.
        out: HTML file to write; it must not lie in a sealed bundle.
        samples: Test frames to show; they become part of the file.
        frames: Pictures by the path of their image, for frames with flips and frames on which two implementations differ
            most. They become part of the file; the page says where one is missing.
        change: Differences from another bundle, shown as a section; None: no such section.

    Raises:
        MissingDependency: The extra ``report`` is not installed.
        StoreError: The file cannot be written.
    """
    sections = tuple(section for section in CONTENTS if section[0] != "change" or change is not None)
    context = {
        **_context(contents, samples, frames or {}),
        "change": change,
        "sections": [name for name, _ in sections],
    }
    title = f"{contents.manifest.name}: build report"
    data = context["explorer"]
    scripts = () if data is None else ("report.js",)
    body = render("report/report.html.j2", context)
    write_atomic(out, document(title, body, contents=sections, scripts=scripts, data=data))


def _context(contents: BundleContents, samples: Sequence[Sample], frames: Mapping[str, Picture]) -> dict[str, Any]:
    manifest = contents.manifest
    verification, measurement, record = contents.verification, contents.measurement, contents.metrics
    limit_ms = next((gate.limit for gate in manifest.gates if gate.name == "max_latency_p90_ms"), None)
    data = verdicts.data_facts(contents.dataset)
    urls = pictures.encode(_images(contents, samples, frames))
    found = contents.abstention
    return {
        "summary": summarize_bundle(contents),
        "manifest": manifest,
        "contents": contents,
        "verification": verification,
        "selection": contents.selection,
        "model_rows": model_rows(manifest, contents.selection, verification),
        "link_selection": contents.link_selection,
        "evaluated": [verdicts.evaluation_row(link) for link in contents.link_selection.links],
        "all_evaluated": all_evaluated(contents),
        "measurement": measurement,
        "deployed": contents.deployed,
        "gates": verdicts.gate_rows(manifest.gates),
        "loaded_bytes": verdicts.loaded_bytes(manifest),
        "chain_sentence": verdicts.chain_sentence(contents.chain),
        "outside_sentence": verdicts.outside_sentence(contents.chain.outside),
        "taught_by": {link.name: verdicts.taught_by(link, contents.chain) for link in contents.chain.trained},
        "metrics": metrics_text(record, manifest.labels),
        "flip_sentences": flip_sentences(record) if record else (),
        "recall_table": recall_table(verification, manifest.labels),
        "data": data,
        "abstention": found,
        "abstaining": abstention.abstention_sentences(found) if found else [],
        "ood_rows": abstention.kind_rows(found) if found else [],
        "risk_chart": safe(charts.risk_coverage_chart(found.curve, found.aurc)) if found and found.curve else None,
        "frame": verdicts.frame_text(manifest.input),
        "disclaimer": verdicts.DISCLAIMER,
        "synthetic": SYNTHETIC,
        "chain_chart": safe(chain_chart(contents)),
        "recall_chart": safe(
            charts.recall_by_class(manifest.labels, verification.recall_fp32, verification.recall_compiled)
        ),
        "latency_chart": safe(charts.latency_histogram(measurement.end_to_end, limit_ms)) if measurement else None,
        "share_chart": safe(charts.fraction_bar(data.splits)),
        **_exams(contents),
        **_explorer(verification, manifest),
        **_parity(verification, manifest, frames, urls),
        "gallery": gallery(record, verification, manifest.labels, frames, urls) if record else None,
        "audit_about": audit.about_data(contents.audit) if contents.audit else "",
        "audit_sections": audit.audit_sections(contents.audit) if contents.audit else (),
        "samples": [{"url": urls.get(f"sample:{n}"), "sample": s} for n, s in enumerate(samples)],
    }


def _images(
    contents: BundleContents, samples: Sequence[Sample], frames: Mapping[str, Picture]
) -> dict[str, NDArray[np.uint8]]:
    """Return every image of the page by the name of its place, those of changed decisions first."""
    paths = [frame.path for frame in by_severity(contents.metrics)] if contents.metrics else []
    paths += [path for path in frames if path not in set(paths)]
    images = {}
    for path in paths:
        picture = frames.get(path)
        if picture is not None and picture.frame is not None:
            images[f"frame:{path}"] = picture.frame
            if picture.overlay is not None:
                images[f"overlay:{path}"] = picture.overlay
    return {**images, **{f"sample:{n}": sample.image for n, sample in enumerate(samples)}}


def _exams(contents: BundleContents) -> dict[str, Any]:
    """Return what the report shows of examinations."""
    found, labels = contents.exams, contents.manifest.labels
    text = exams_text(found, labels)
    strips = [(outcome_text(one, labels), one.uses) for one in text.shown] if text else []
    curve = found if found is not None and found.frame_accuracy is not None and len(found.curve) > 1 else None
    return {
        "exams": text,
        "exam_strips": safe(charts.exam_strips(strips)) if strips else None,
        "exam_curve": safe(charts.frames_curve(curve.curve, curve.frame_accuracy.value))
        if curve is not None and curve.frame_accuracy is not None
        else None,
    }


def _explorer(verification: Verification, manifest: Manifest) -> dict[str, Any]:
    """Return what the report shows of single predictions, and of the threshold on them."""
    predictions, labels, point = verification.predictions, manifest.labels, manifest.operating_point
    counts, abstained = verdicts.confusion(
        predictions, len(labels), point.confidence_threshold, point.non_gradeable_labels, labels
    )
    refused = {labels.index(label) for label in point.non_gradeable_labels}
    confidence, wrong = operating_points.confidence_and_errors(predictions, refused)
    data = explorer.explorer_data(predictions, manifest)
    rows = [
        {
            "path": p.path,
            "truth": labels[p.label],
            "decided": labels[explorer.likeliest(p.compiled)],
            "right": explorer.likeliest(p.compiled) == p.label,
            "probability": f"{max(p.compiled):.3f}",
            "fp32": labels[explorer.likeliest(p.fp32)],
            "teacher": labels[explorer.likeliest(p.teacher)] if p.teacher else "",
        }
        for p in explorer.first_rows(predictions)
    ]
    return {
        "explorer": data,
        "confusion": counts,
        "abstained": abstained,
        "confusion_csv": csv_url(confusion_csv(verification, manifest)),
        "abstains": point.abstains,
        "has_teacher": bool(predictions) and all(p.teacher is not None for p in predictions),
        "first_images": rows,
        "point_sentence": operating_points.point_sentence(point),
        "thresholds": operating_points.threshold_rows(predictions, point.confidence_threshold, refused)
        if predictions
        else [],
        "curves": safe(charts.threshold_curves(confidence, wrong, point.confidence_threshold)) if data else None,
    }


def _parity(
    verification: Verification, manifest: Manifest, frames: Mapping[str, Picture], urls: Mapping[str, str]
) -> dict[str, Any]:
    """Return what the report shows of parity, calibration and precisions."""
    check = verification.calibration
    differing = [
        {
            "pair": pair,
            "frames": [
                {
                    "url": urls.get(f"frame:{frame.path}"),
                    "note": frames[frame.path].note if frame.path in frames else "this page was written without the images",
                    "path": frame.path,
                    "truth": manifest.labels[frame.label],
                    "gap": max(abs(p - q) for p, q in zip(frame.a, frame.b, strict=True)),
                    "bars": safe(charts.two_predictions(manifest.labels, frame.a, frame.b, frame.label)),
                }
                for frame in pair.worst
            ],
        }
        for pair in verification.parity
        if pair.worst
    ]
    return {
        "differing": differing,
        "flips": [sentence for pair in verification.parity if pair.worst and (sentence := parity.pair_flips_sentence(pair))],
        "layer_divergences": [
            {"divergence": found, "sentence": parity.divergence_sentence(found), "chart": safe(charts.layers(found))}
            for found in verification.layer_divergences
            if found.layers
        ],
        "calibration": check,
        "calibration_sentence": parity.calibration_sentence(check) if check else "",
        "chance_sentence": parity.chance_sentence(check) if check else "",
        "calibration_rows": parity.calibration_rows(check) if check else [],
        "reliability_chart": safe(charts.reliability(check.before, check.after)) if check else None,
        "reliability_rows": list(zip(check.before.bins, check.after.bins, strict=True)) if check else [],
        "precisions": parity.precision_table(verification.executed),
    }
