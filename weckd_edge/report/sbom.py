"""The bill of materials: CycloneDX 1.6 JSON with the model, the files it ships as, and the software that made it.

The model's licence is its owner's to state, so none is written for it. The licence of a library is what the installed
distribution says of itself (its ``License-Expression``, else a short ``License`` field, else its classifiers), and is
left out where the version that made the bundle is not installed here.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from email.message import Message
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any

from weckd_edge.artifacts import Manifest, Rate
from weckd_edge.optional import require
from weckd_edge.report.evidence import Evidence
from weckd_edge.report.findings import DISCLAIMER, SYNTHETIC, frame_text
from weckd_edge.store import digest_of

_MODEL_REF = "model"


def write_sbom(evidence: Evidence, manifest: Manifest) -> str:
    """Return the bill of materials as JSON text; equal inputs on an equal installation give equal bytes.

    Args:
        evidence: Of the bundle.
        manifest: Of the bundle, or the draft of it; the serial number is derived from its digest.

    Raises:
        MissingDependency: The extra ``report`` is not installed.
    """
    model = require("cyclonedx.model", "write a bill of materials")
    bom = require("cyclonedx.model.bom", "write a bill of materials")
    component = require("cyclonedx.model.component", "write a bill of materials")
    output = require("cyclonedx.output", "write a bill of materials")
    schema = require("cyclonedx.schema", "write a bill of materials")

    def sha256(value: str) -> Any:
        return model.HashType(alg=model.HashAlgorithm.SHA_256, content=value)

    kind = component.ComponentType
    refs = {ref.path: ref for built in manifest.models for ref in built.files} | {manifest.onnx.path: manifest.onnx}
    subject = component.Component(
        name=manifest.name,
        version=manifest.onnx.sha256[:12],
        type=kind.MACHINE_LEARNING_MODEL,
        bom_ref=_MODEL_REF,
        description=f"{evidence.shipped.model}, {evidence.verification.precision}, for {manifest.device}",
        hashes=[sha256(manifest.onnx.sha256)],
        components=[
            component.Component(name=path, type=kind.FILE, bom_ref=f"file:{path}", hashes=[sha256(ref.sha256)])
            for path, ref in sorted(refs.items())
        ],
    )
    document = bom.Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, digest_of(replace(manifest, files=(), manifest_sha256=""))),
        metadata=bom.BomMetaData(component=subject),
        components=[_library(name, version) for name, version in sorted(manifest.versions.items())],
    )
    document.register_dependency(subject, document.components)
    text = output.make_outputter(document, output.OutputFormat.JSON, schema.SchemaVersion.V1_6).output_as_string()
    data = json.loads(text)
    # The library stamps the time and knows no model card; without the one and with the other the file is both
    # reproducible and complete.
    del data["metadata"]["timestamp"]
    data["metadata"]["component"]["modelCard"] = _model_card(evidence, manifest)
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _library(name: str, version: str) -> Any:
    component = require("cyclonedx.model.component", "write a bill of materials")
    purl = require("packageurl", "write a bill of materials").PackageURL
    if name == "python":
        return component.Component(
            name=name, version=version, type=component.ComponentType.PLATFORM, bom_ref=f"{name}@{version}"
        )
    return component.Component(
        name=name,
        version=version,
        type=component.ComponentType.LIBRARY,
        bom_ref=f"{name}@{version}",
        purl=purl(type="pypi", name=name.lower().replace("_", "-"), version=version.partition("+")[0]),
        licenses=_licenses(name, version),
    )


def _licenses(name: str, version: str) -> list[Any]:
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return []
    if about["Version"] != version:
        return []
    text = licence_text(about)  # type: ignore[arg-type]  # PackageMetadata is an email Message at run time
    if not text:
        return []
    spdx = require("cyclonedx.spdx", "write a bill of materials")
    licences = require("cyclonedx.model.license", "write a bill of materials")
    identifier = spdx.fixup_id(text)
    if identifier:
        return [licences.DisjunctiveLicense(id=identifier)]
    if spdx.is_expression(text):
        return [licences.LicenseExpression(text)]
    return [licences.DisjunctiveLicense(name=text)]


def licence_text(about: Message) -> str | None:
    """Return what a distribution says its licence is: an SPDX expression, a short name, or None.

    Args:
        about: The distribution's metadata.
    """
    expression = about.get("License-Expression")
    if expression:
        return str(expression)
    named = str(about.get("License") or "").strip()
    if named and "\n" not in named and len(named) <= 80 and named.upper() != "UNKNOWN":
        return named
    classifiers = [str(line) for line in about.get_all("Classifier") or [] if str(line).startswith("License ::")]
    names = [line.split(" :: ")[-1] for line in classifiers if line.count("::") > 1]
    return " and ".join(names) or None


def _model_card(evidence: Evidence, manifest: Manifest) -> dict[str, Any]:
    verification = evidence.verification
    metrics = [_metric("accuracy", verification.accuracy_compiled, "test split, as shipped")]
    metrics.append(_metric("accuracy", verification.accuracy_fp32, "test split, fp32"))
    for label, rate in zip(manifest.labels, verification.recall_compiled, strict=True):
        if rate is not None:
            metrics.append(_metric("recall", rate, f"test split, as shipped, {label}"))
    return {
        "modelParameters": {
            "task": "image classification",
            "approach": {"type": "supervised"},
            "modelArchitecture": evidence.shipped.model,
            "datasets": [
                {
                    "type": "dataset",
                    "name": evidence.dataset.name,
                    "description": f"{len(evidence.dataset.images)} images; index SHA-256 {digest_of(evidence.dataset)}",
                }
            ],
            "inputs": [{"format": frame_text(manifest.input)}],
            "outputs": [{"format": f"float32 probabilities of {', '.join(manifest.labels)}"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": metrics},
        "considerations": {"technicalLimitations": [DISCLAIMER, *([SYNTHETIC] if manifest.synthetic else [])]},
    }


def _metric(kind: str, rate: Rate, where: str) -> dict[str, Any]:
    return {
        "type": kind,
        "value": f"{rate.value:.4f}",
        "slice": f"{where}, {rate.images} images in {rate.groups} groups",
        "confidenceInterval": {"lowerBound": f"{rate.low:.4f}", "upperBound": f"{rate.high:.4f}"},
    }
