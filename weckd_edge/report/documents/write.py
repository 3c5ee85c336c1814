"""The model card and the bill of materials that travel in ``evidence/``."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.artifacts import Manifest
from weckd_edge.bundle.verdict import SYNTHETIC, sum_up_gates
from weckd_edge.core.store import write_atomic
from weckd_edge.report.chapters import abstention, audit, parity, verdicts
from weckd_edge.report.chapters.metrics import metrics_text
from weckd_edge.report.documents.limits import limits
from weckd_edge.report.documents.model_card_inputs import NOT_STATED, stated
from weckd_edge.report.documents.sbom import write_sbom
from weckd_edge.report.evidence import EVIDENCE_FOLDER, MODEL_CARD_FILE, SBOM_FILE, Evidence, read_evidence
from weckd_edge.report.rendering import render


def write_documents(folder: Path, manifest: Manifest) -> None:
    """Write ``evidence/model_card.md`` and ``evidence/sbom.cdx.json`` of a bundle that is not sealed yet.

    Args:
        folder: The bundle; only ``evidence/`` is read.
        manifest: The draft of its manifest; ``files`` may still be empty.

    Raises:
        BundleError: The evidence is incomplete or does not fit the manifest.
        MissingDependency: The extra ``report`` is not installed.
        StoreError: A file cannot be written.
    """
    evidence = read_evidence(folder, manifest)
    write_atomic(folder / EVIDENCE_FOLDER / MODEL_CARD_FILE, model_card(evidence, manifest))
    write_atomic(folder / EVIDENCE_FOLDER / SBOM_FILE, write_sbom(evidence, manifest))


def model_card(evidence: Evidence, manifest: Manifest) -> str:
    """Return the model card as Markdown, with the sections of Mitchell et al. 2019 (FAT* '19, arXiv 1810.03993)."""
    check, measured = evidence.verification.calibration, evidence.performance
    return render(
        "model_card.md.j2",
        {
            "manifest": manifest,
            "evidence": evidence,
            "verification": evidence.verification,
            "measurement": evidence.measurement,
            "shipped": evidence.shipped,
            "verdict": sum_up_gates(manifest),
            "gates": verdicts.gate_rows(manifest.gates),
            "chain_sentence": verdicts.chain_sentence(evidence.chain),
            "teachers": {link.name: verdicts.teacher_of(link, evidence.chain.links) for link in evidence.chain.links},
            "data": verdicts.data_facts(evidence.dataset),
            "columns": sorted({a.column for image in evidence.dataset.images for a in image.attributes}),
            "frame": verdicts.frame_text(manifest.input),
            "loaded_bytes": verdicts.loaded_bytes(manifest),
            "disclaimer": verdicts.DISCLAIMER,
            "synthetic": SYNTHETIC,
            "stated": stated(evidence.build),
            "not_stated": NOT_STATED,
            "performance": metrics_text(measured, manifest.labels),
            "calibration": check,
            "calibration_sentence": parity.calibration_sentence(check) if check else "",
            "calibration_rows": parity.calibration_rows(check) if check else [],
            "abstaining": abstention.abstention_sentences(evidence.abstention) if evidence.abstention else [],
            "far_kinds": abstention.kind_rows(evidence.abstention) if evidence.abstention else [],
            "probes_about": audit.about_data(evidence.probes) if evidence.probes else "",
            "probe_sections": audit.audit_sections(evidence.probes) if evidence.probes else (),
            "limits": limits(evidence, manifest),
            "environment": evidence.environment,
        },
    )
