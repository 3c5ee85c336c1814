"""The SBOM (bill of materials): CycloneDX 1.6 JSON with the model, its files, its data and the software that made it.

Only the owner can state the model's licence and who governs the data; what the owner did not state is left out, and the SBOM
says so. The licences of libraries are those in ``evidence/environment.json``.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from typing import Any

from weckd_edge.artifacts import SPLITS, BackboneLicence, DatasetIndex, Distribution, Environment, Manifest
from weckd_edge.config import ModelCardConfig
from weckd_edge.core.optional_imports import require
from weckd_edge.core.store import digest_of
from weckd_edge.core.words import plural, with_plain_spaces
from weckd_edge.report.documents.model_card_inputs import NOT_STATED, stated
from weckd_edge.report.documents.model_card_json import DATASET_REF, model_card_json
from weckd_edge.report.evidence import BundleContents

_MODEL_REF = "model"
_PURPOSE = "write a bill of materials"
_UNKNOWN = "unknown"


def write_sbom(contents: BundleContents) -> str:
    """Return the SBOM as JSON text; equal inputs give equal bytes.

    Args:
        contents: Contents of the bundle; the list of files in its manifest does not matter.

    Raises:
        MissingDependency: The extra ``report`` is not installed.
    """
    model = require("cyclonedx.model", _PURPOSE)
    bom = require("cyclonedx.model.bom", _PURPOSE)
    component = require("cyclonedx.model.component", _PURPOSE)
    output = require("cyclonedx.output", _PURPOSE)
    schema = require("cyclonedx.schema", _PURPOSE)
    manifest = contents.manifest
    kind, card = component.ComponentType, stated(contents.build)

    refs = {ref.path: ref for built in manifest.models for ref in built.files} | {manifest.onnx.path: manifest.onnx}
    refs |= {manifest.guard.path: manifest.guard} if manifest.guard else {}
    subject = component.Component(
        name=manifest.name,
        version=manifest.onnx.sha256[:12],
        type=kind.MACHINE_LEARNING_MODEL,
        bom_ref=_MODEL_REF,
        description=f"{contents.deployed.network_text}, {contents.verification.precision}, for {manifest.device}",
        hashes=[_sha256(manifest.onnx.sha256)],
        licenses=_licences(card.licence),
        supplier=_organisation(card),
        components=[
            component.Component(name=path, type=kind.FILE, bom_ref=f"file:{path}", hashes=[_sha256(ref.sha256)])
            for path, ref in sorted(refs.items())
        ],
        properties=[
            model.Property(name="weckd-edge:bundle-version", value=str(manifest.version)),
            model.Property(name="weckd-edge:weights-sha256", value=contents.deployed.weights.sha256),
            model.Property(name="weckd-edge:model-licence", value=card.licence or NOT_STATED),
        ],
    )
    parts = [_dataset(contents.dataset, card)]
    if contents.environment is not None:
        parts += [_backbone(backbone) for backbone in contents.environment.backbones]
    parts += _software(manifest, contents.environment)
    document = bom.Bom(metadata=bom.BomMetaData(component=subject), components=parts)
    document.register_dependency(subject, document.components)
    text = output.make_outputter(document, output.OutputFormat.JSON, schema.SchemaVersion.V1_6).output_as_string()
    return _finish(json.loads(text), replace(contents, manifest=replace(manifest, files=(), manifest_sha256="")), card)


def _finish(data: dict[str, Any], contents: BundleContents, card: ModelCardConfig) -> str:
    """Add what the library has no classes for, and a serial number made from the content instead of time and chance."""
    del data["metadata"]["timestamp"], data["serialNumber"]
    data["metadata"]["component"]["modelCard"] = model_card_json(contents, card)
    for part in data["components"]:
        if part["bom-ref"] == DATASET_REF:
            part["data"] = [_data(contents.dataset, card)]
    digest = digest_of([data, contents.manifest])
    data["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}"
    return json.dumps(data, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _sha256(value: str) -> Any:
    model = require("cyclonedx.model", _PURPOSE)
    return model.HashType(alg=model.HashAlgorithm.SHA_256, content=value)


def _organisation(card: ModelCardConfig) -> Any:
    if card.owner is None:
        return None
    contact = require("cyclonedx.model.contact", _PURPOSE)
    who = [contact.OrganizationalContact(name=card.contact)] if card.contact else []
    return contact.OrganizationalEntity(name=card.owner, contacts=who)


def _dataset(index: DatasetIndex, card: ModelCardConfig) -> Any:
    component = require("cyclonedx.model.component", _PURPOSE)
    return component.Component(
        name=index.name,
        type=component.ComponentType.DATA,
        bom_ref=DATASET_REF,
        version=digest_of(index)[:12],
        description=with_plain_spaces(f"{plural(len(index.images), 'image')}, by digest in evidence/dataset_index.json"),
        hashes=[_sha256(digest_of(index))],
        licenses=_licences(card.data_licence),
    )


def _data(index: DatasetIndex, card: ModelCardConfig) -> dict[str, Any]:
    uses = {split: len(index.split(split)) for split in SPLITS}
    properties = {
        "images": str(len(index.images)),
        **{f"images-{split}": str(number) for split, number in uses.items()},
        "images-unlabelled": str(len(index.unlabelled)),
        "groups": str(len({image.group for image in index.images})),
        "labels": ", ".join(index.labels),
        "synthetic": "true" if index.synthetic else "false",
        "origin": card.data_origin or NOT_STATED,
        "governance": "as stated by the builder" if card.data_owner else NOT_STATED,
    }
    data: dict[str, Any] = {
        "type": "dataset",
        "name": index.name,
        "contents": {"properties": [{"name": f"weckd-edge:{k}", "value": v} for k, v in properties.items()]},
    }
    if card.data_owner:
        data["governance"] = {"owners": [{"organization": {"name": card.data_owner}}]}
    return data


def _backbone(backbone: BackboneLicence) -> Any:
    component = require("cyclonedx.model.component", _PURPOSE)
    return component.Component(
        name=backbone.weights,
        type=component.ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"backbone:{backbone.link}",
        description=f"pretrained weights that {backbone.link} ({backbone.model}) started from",
        hashes=[_sha256(backbone.sha256)] if backbone.sha256 else [],
        licenses=_licences(backbone.licence),
    )


def _software(manifest: Manifest, environment: Environment | None) -> list[Any]:
    component = require("cyclonedx.model.component", _PURPOSE)
    kind = component.ComponentType
    if environment is None:
        found = [Distribution(name=n, version=v, licence=_UNKNOWN) for n, v in manifest.versions.items() if n != "python"]
        python, system = manifest.versions.get("python", ""), []
    else:
        found, python = list(environment.distributions), environment.python.rpartition(" ")[2]
        system = [
            component.Component(
                name=environment.system, version=environment.kernel, type=kind.OPERATING_SYSTEM, bom_ref="operating-system"
            )
        ]
    platforms = [component.Component(name="python", version=python, type=kind.PLATFORM, bom_ref=f"python@{python}")]
    return [*(_library(one) for one in sorted(found, key=lambda d: d.name.lower())), *(platforms if python else []), *system]


def _library(about: Distribution) -> Any:
    component = require("cyclonedx.model.component", _PURPOSE)
    purl = require("packageurl", _PURPOSE).PackageURL
    return component.Component(
        name=about.name,
        version=about.version,
        type=component.ComponentType.LIBRARY,
        bom_ref=f"{about.name}@{about.version}",
        purl=purl(type="pypi", name=about.name.lower().replace("_", "-"), version=about.version.partition("+")[0]),
        licenses=_licences(None if about.licence == _UNKNOWN else about.licence),
    )


def _licences(text: str | None) -> list[Any]:
    """Return a licence as an SPDX identifier or expression where it is one, else by its name; an empty list without one."""
    if not text:
        return []
    spdx = require("cyclonedx.spdx", _PURPOSE)
    licences = require("cyclonedx.model.license", _PURPOSE)
    identifier = spdx.fixup_id(text)
    if identifier:
        return [licences.DisjunctiveLicense(id=identifier)]
    if spdx.is_expression(text):
        return [licences.LicenseExpression(text)]
    return [licences.DisjunctiveLicense(name=text)]
