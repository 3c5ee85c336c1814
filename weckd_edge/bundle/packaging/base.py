"""Records that every package format uses, and the checks before a bundle is packed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from weckd_edge.bundle.reader import Bundle, open_bundle
from weckd_edge.core.bounds import PLAIN_NAME
from weckd_edge.core.errors import BundleError

PAYLOAD_NAME = "weckd-bundle.tar"
"""Name of the tar inside the other formats."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signer:
    """Signing key of an update system; it is not the bundle's own key.

    Attributes:
        key: PEM file of the private key.
        certificate: PEM file of its certificate; None for a system that takes bare keys.
    """

    key: Path
    certificate: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagedFile:
    """A written update file.

    Attributes:
        bundle: Folder of the bundle inside.
        format: Name of the format.
        file: Path of the update file.
        bytes: Size of the update file, bytes.
        sha256: SHA-256 of the update file, hexadecimal.
        compatible: Device that the update is for: id of the device profile that the bundle was built for.
        version: Version of the bundle's content, as the update system sees it.
        signed: Whether the update itself is signed; the bundle inside may have its own signature.
        warnings: Reasons not to send the update yet, one sentence each.
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
"""Function that writes one format, from a verified bundle to a path, signed or not."""


def open_for_export(folder: Path, key: Path | None) -> tuple[Bundle, tuple[str, ...]]:
    """Verify a bundle, and return it with warnings against sending it.

    Args:
        folder: Folder of the bundle.
        key: PEM public key of the bundle's owner; with it, a bundle that its owner did not sign is refused.

    Returns:
        The bundle and its warnings, most serious first.

    Raises:
        BundleError: The bundle is not whole, is not signed by the key, or its name or device cannot stand in an update's
            metadata.
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
