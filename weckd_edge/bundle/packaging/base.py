"""What every format is given, and what is found out about a bundle before it is packed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.core.bounds import PLAIN_NAME
from weckd_edge.core.errors import BundleError

PAYLOAD_NAME = "weckd-bundle.tar"
"""How the tar is called inside the other formats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """The key of an update system, which is not the bundle's own.

    Attributes:
        key: PEM file of the private key.
        certificate: PEM file of its certificate; None for a system that takes bare keys.
    """

    key: Path
    certificate: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagedFile:
    """One update file.

    Attributes:
        bundle: Folder of the bundle that it holds.
        format: Name in the table of formats.
        file: The update.
        bytes: Its size.
        sha256: Of its bytes.
        compatible: What the device must call itself: id of the device profile the bundle was built for.
        version: Of the bundle's content, as the update system sees it.
        signed: Whether the update itself is signed; the bundle inside has a signature of its own or none.
        warnings: What should be known before it is sent to anyone.
    """

    bundle: str
    format: str
    file: str
    bytes: int
    sha256: str
    compatible: str
    version: str
    signed: bool
    warnings: tuple[str, ...] = ()


Write = Callable[[Bundle, Path, "Signer | None"], None]
"""Writes one format: a proved bundle, where to, and who signs the update."""


def open_for_export(folder: Path, key: Path | None) -> tuple[Bundle, tuple[str, ...]]:
    """Prove a bundle whole, and say what speaks against sending it.

    Args:
        folder: The bundle.
        key: PEM public key of the bundle's owner; with it, a bundle that its owner did not sign is refused.

    Returns:
        The bundle and its warnings, most serious first.

    Raises:
        BundleError: It is not whole, not signed by the key, or its name or device cannot stand in an update's metadata.
        ConfigError: The key cannot be used.
        MissingDependency: A key was given and the extra ``sign`` is not installed.
    """
    bundle = open_bundle(folder, key=key)
    manifest = bundle.manifest
    for what, text in (("name", manifest.name), ("device", manifest.device)):
        if not PLAIN_NAME.fullmatch(text):
            raise BundleError(
                f"{folder}: its {what} '{text}' cannot stand in an update's metadata; expected up to 100 letters, digits, "
                "'.', '_' and '-'; build it under another name",
                code="E_BUNDLE_PACKAGE_NAME",
            )
    warnings = []
    if manifest.synthetic:
        warnings.append("trained on synthetic images: for trying out, nothing else")
    if not manifest.passed:
        missed = ", ".join(gate.name for gate in manifest.gates if gate.verdict == "FAIL")
        warnings.append(f"the bundle does not pass its gates ({missed})")
    if bundle.signature == "unsigned":
        warnings.append("the bundle is not signed; a device with a key refuses it (build --sign)")
    elif bundle.signature == "unchecked":
        warnings.append("the bundle's signature was not checked; give --key")
    if manifest.version == 0:
        warnings.append("the bundle has no version; no device can tell that it is newer (build --bundle-version)")
    return bundle, tuple(warnings)
