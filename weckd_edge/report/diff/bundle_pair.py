"""One of the two bundles, read as far as it can be: what cannot be read is None, and a line says why."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from weckd_edge.artifacts import ComparedBundle, DatasetIndex, Verification
from weckd_edge.bundle.reader import AnyBundle, open_any_bundle, open_bundle
from weckd_edge.core.errors import BundleError
from weckd_edge.core.serialization import from_json, parse_json
from weckd_edge.report.evidence import (
    ABSTENTION_FILE,
    BUILD_FILE,
    CHAIN_FILE,
    DATASET_FILE,
    ENVIRONMENT_FILE,
    EVIDENCE_FOLDER,
    SELECTION_FILE,
    VERIFICATION_FILE,
)

T = TypeVar("T")
Data = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleSide:
    """What is known of one bundle; None: not there, or not readable.

    Attributes:
        manifest: As plain data, of whatever format.
        dataset: Which images there were.
        verification: the predictions to the test images.
        chain: As plain data.
        selection: As plain data.
        verification_data: The verification as plain data.
        config: Of the build, as plain data.
        guard: Of ``guard/guard.json``, as plain data.
        abstention: As plain data.
        environment: As plain data.
        unknown: What cannot be read, and why.
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
    environment: Data | None = None
    unknown: tuple[str, ...] = field(default=())

    @property
    def identity(self) -> ComparedBundle:
        """What names the bundle."""
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
    """Read a bundle; one of an older format too, if every byte is as it was sealed.

    Args:
        folder: The bundle.
        called: How it is called in messages: ``old`` or ``new``.
        key: PEM public key; with it, a bundle that its owner did not sign is refused.

    Raises:
        BundleError: It is no bundle, was changed, is incomplete, or is newer than what this version reads.
    """
    unknown: list[str] = []
    bundle = open_any_bundle(folder, key=key)
    try:
        open_bundle(folder)
    except BundleError as err:
        unknown.append(
            f"the manifest of the {called} bundle is of another format ({err}); what it shares with this one is used"
        )

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
