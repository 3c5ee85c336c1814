"""The model card and the bill of materials that travel in ``evidence/``."""

from __future__ import annotations

from pathlib import Path

from weckd_edge.artifacts import Manifest
from weckd_edge.report import abstaining, findings, parity, probes
from weckd_edge.report.evidence import EVIDENCE_FOLDER, MODEL_CARD_FILE, SBOM_FILE, Evidence, read_evidence
from weckd_edge.report.limits import limits
from weckd_edge.report.performance_rows import performance_text
from weckd_edge.report.rendering import render
from weckd_edge.report.sbom import write_sbom
from weckd_edge.report.stated import NOT_STATED, stated
from weckd_edge.store import write_atomic


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
            "verdict": findings.verdict(manifest),
            "gates": findings.gate_rows(manifest.gates),
            "chain_sentence": findings.chain_sentence(evidence.chain),
            "teachers": {link.name: findings.teacher_of(link, evidence.chain.links) for link in evidence.chain.links},
            "data": findings.data_facts(evidence.dataset),
            "columns": sorted({a.column for image in evidence.dataset.images for a in image.attributes}),
            "frame": findings.frame_text(manifest.input),
            "loaded_bytes": findings.loaded_bytes(manifest),
            "disclaimer": findings.DISCLAIMER,
            "synthetic": findings.SYNTHETIC,
            "stated": stated(evidence.build),
            "not_stated": NOT_STATED,
            "performance": performance_text(measured, manifest.labels),
            "calibration": check,
            "calibration_sentence": parity.calibration_sentence(check) if check else "",
            "calibration_rows": parity.calibration_rows(check) if check else [],
            "abstaining": abstaining.sentences(evidence.abstention) if evidence.abstention else [],
            "far_kinds": abstaining.kind_rows(evidence.abstention) if evidence.abstention else [],
            "probes_about": probes.about(evidence.probes) if evidence.probes else "",
            "probe_sections": probes.sections(evidence.probes) if evidence.probes else (),
            "limits": limits(evidence, manifest),
            "environment": evidence.environment,
        },
    )
