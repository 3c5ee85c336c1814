"""One of two compared bundles, read as far as possible: what cannot be read is None, with the reason."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from weckd_edge.artifacts import ComparedBundle, DatasetIndex, Verification
from weckd_edge.bundle.manifest_rules import read_manifest
from weckd_edge.bundle.reader import AnyBundle, open_any_bundle
from weckd_edge.bundle.signing import MANIFEST_FILE
from weckd_edge.core.errors import BundleError
from weckd_edge.core.serialization import from_json, parse_json
from weckd_edge.report.evidence import (
    ABSTENTION_FILE,
    BUILD_FILE,
    CHAIN_FILE,
    DATASET_FILE,
    ENVIRONMENT_FILE,
    EVIDENCE_FOLDER,
    EXAMS_FILE,
    SELECTION_FILE,
    VERIFICATION_FILE,
)

T = TypeVar("T")
Data = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleSide:
    """Contents of one of two bundles; None: not there, or not readable.

    Attributes:
        manifest: Manifest as plain data, of any format.
        dataset: Index of the images.
        verification: Verification with the predictions of the test images.
        chain: Chain record as plain data.
        selection: Precision selection as plain data.
        verification_data: The verification as plain data.
        config: Build settings as plain data.
        guard: Input guard (``guard/guard.json``) as plain data.
        abstention: Abstention record as plain data.
        exams: Record of examinations as plain data.
        environment: Environment record as plain data.
        unknown: What cannot be read, with the reason.
    """

    manifest: Data
    dataset: DatasetIndex | None = None
    verification: Verification | None = None
    chain: Data | None = None
    selection: Data | None = None
    verification_data: Data | None = None
    config: Data | None = None
    guard: Data | None = None
    abstention: Data | None = None
    exams: Data | None = None
    environment: Data | None = None
    unknown: tuple[str, ...] = field(default=())

    @property
    def identity(self) -> ComparedBundle:
        """Name, versions and digest of the bundle."""
        versions = self.manifest.get("versions")
        software = versions.get("weckd-edge") if isinstance(versions, dict) else None
        version = self.manifest.get("version", 0)
        return ComparedBundle(
            name=str(self.manifest.get("name", "unknown")),
            version=version if isinstance(version, int) else 0,
            software=str(software or "unknown"),
            manifest_sha256=str(self.manifest.get("manifest_sha256", "")),
            synthetic=bool(self.manifest.get("synthetic", False)),
        )


def read_bundle_side(folder: Path, called: str, key: Path | None = None) -> BundleSide:
    """Read a bundle of this or an older format, after verifying every byte.

    Args:
        folder: Folder of the bundle.
        called: Name of the bundle in messages: ``old`` or ``new``.
        key: PEM public key; with it, a bundle that its owner did not sign is refused.

    Raises:
        BundleError: The folder is not a bundle, was changed, is incomplete, or is of a newer format than this version reads.
    """
    unknown: list[str] = []
    bundle = open_any_bundle(folder, key=key)
    try:
        read_manifest(bundle.manifest_bytes, str(folder / MANIFEST_FILE))
    except BundleError as err:
        unknown.append(f"the manifest of the {called} bundle is of another format ({err}); only its known parts were used")

    def typed(name: str, kind: type[T]) -> T | None:
        data = bundle.read_path(f"{EVIDENCE_FOLDER}/{name}")
        if data is None:
            unknown.append(f"the {called} bundle has no {name}")
            return None
        try:
            return from_json(kind, data, where=name, error=BundleError)
        except BundleError as err:
            unknown.append(f"{name} of the {called} bundle is of another format ({err})")
        return None

    def plain(name: str) -> Data | None:
        return _plain(bundle, f"{EVIDENCE_FOLDER}/{name}")

    return BundleSide(
        manifest=bundle.data,
        dataset=typed(DATASET_FILE, DatasetIndex),
        verification=typed(VERIFICATION_FILE, Verification),
        chain=plain(CHAIN_FILE),
        selection=plain(SELECTION_FILE),
        verification_data=plain(VERIFICATION_FILE),
        config=_config(plain(BUILD_FILE)),
        guard=_plain(bundle, "guard/guard.json"),
        abstention=plain(ABSTENTION_FILE),
        exams=plain(EXAMS_FILE),
        environment=plain(ENVIRONMENT_FILE),
        unknown=tuple(unknown),
    )


def _plain(bundle: AnyBundle, path: str) -> Data | None:
    try:
        found = parse_json(bundle.read_path(path) or b"", where=path, error=BundleError)
    except BundleError:
        return None
    return found if isinstance(found, dict) else None


def _config(build: Data | None) -> Data | None:
    try:
        found = json.loads(str((build or {})["config"]))
    except (KeyError, ValueError):
        return None
    return found if isinstance(found, dict) else None
