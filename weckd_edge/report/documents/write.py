"""Writing of the model card, the SBOM and the confusion matrix into ``evidence/``."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.bundle.verdict import SYNTHETIC, sum_up_gates
from weckd_edge.core.store import write_atomic
from weckd_edge.report.chapters import abstention, audit, parity, verdicts
from weckd_edge.report.chapters.confusion_csv import confusion_csv
from weckd_edge.report.chapters.exams import exams_text
from weckd_edge.report.chapters.metrics import metrics_text
from weckd_edge.report.documents.limits import limits
from weckd_edge.report.documents.model_card_inputs import NOT_STATED, stated
from weckd_edge.report.documents.sbom import write_sbom
from weckd_edge.report.evidence import CONFUSION_FILE, EVIDENCE_FOLDER, MODEL_CARD_FILE, SBOM_FILE, BundleContents
from weckd_edge.report.rendering import render


def write_documents(folder: Path, contents: BundleContents) -> None:
    """Write model card, SBOM and confusion matrix into ``evidence/`` of a bundle that is not sealed yet.

    Args:
        folder: Folder of the bundle, with its ``evidence/``.
        contents: Contents of the bundle; the list of files in its manifest may still be empty.

    Raises:
        BundleError: The settings in the evidence are not those of a build.
        MissingDependency: The extra ``report`` is not installed.
        StoreError: A file cannot be written.
    """
    write_atomic(folder / EVIDENCE_FOLDER / MODEL_CARD_FILE, model_card(contents))
    write_atomic(folder / EVIDENCE_FOLDER / SBOM_FILE, write_sbom(contents))
    write_atomic(folder / EVIDENCE_FOLDER / CONFUSION_FILE, confusion_csv(contents.verification, contents.manifest))


def model_card(contents: BundleContents) -> str:
    """Return the model card as Markdown, with the sections of Mitchell et al. 2019 (FAT* '19, arXiv 1810.03993)."""
    manifest = contents.manifest
    check, measured = contents.verification.calibration, contents.metrics
    return render(
        "model_card.md.j2",
        {
            "manifest": manifest,
            "contents": contents,
            "verification": contents.verification,
            "measurement": contents.measurement,
            "deployed": contents.deployed,
            "verdict": sum_up_gates(manifest),
            "gates": verdicts.gate_rows(manifest.gates),
            "chain_sentence": verdicts.chain_sentence(contents.chain),
            "outside_sentence": verdicts.outside_sentence(contents.chain.outside),
            "taught_by": {link.name: verdicts.taught_by(link, contents.chain) for link in contents.chain.trained},
            "data": verdicts.data_facts(contents.dataset),
            "columns": sorted({a.column for image in contents.dataset.images for a in image.attributes}),
            "frame": verdicts.frame_text(manifest.input),
            "loaded_bytes": verdicts.loaded_bytes(manifest),
            "disclaimer": verdicts.DISCLAIMER,
            "synthetic": SYNTHETIC,
            "stated": stated(contents.build),
            "not_stated": NOT_STATED,
            "metrics": metrics_text(measured, manifest.labels),
            "calibration": check,
            "calibration_sentence": parity.calibration_sentence(check) if check else "",
            "calibration_rows": parity.calibration_rows(check) if check else [],
            "abstaining": abstention.abstention_sentences(contents.abstention) if contents.abstention else [],
            "ood_rows": abstention.kind_rows(contents.abstention) if contents.abstention else [],
            "exams": exams_text(contents.exams, manifest.labels),
            "audit_about": audit.about_data(contents.audit) if contents.audit else "",
            "audit_sections": audit.audit_sections(contents.audit) if contents.audit else (),
            "limits": limits(contents),
            "environment": contents.environment,
        },
    )
