"""Opening of a bundle, with every byte verified before it is used.

The layout is described in docs/reference/bundle.md. Every file but ``manifest.json``, ``signature`` and what ``finalize``
builds below ``device/`` is named in the manifest with its size and SHA-256.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from weckd_edge.artifacts import FileRef, Manifest
from weckd_edge.bundle.files import DEVICE_FOLDER, BundleFolder, is_device
from weckd_edge.bundle.manifest_rules import MAX_MANIFEST_BYTES, check_refs, read_manifest, read_plain
from weckd_edge.bundle.signing import MANIFEST_FILE, MAX_SIGNATURE_BYTES, SIGNATURE_FILE, SignatureError, check_signature
from weckd_edge.core.errors import BundleError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.serialization import from_data, parse_json

__all__ = ["DEVICE_FOLDER", "AnyBundle", "Bundle", "is_bundle", "open_any_bundle", "open_bundle", "sealed_files"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """A bundle whose every byte was verified when it was opened.

    Attributes:
        folder: Folder of the bundle.
        manifest: Contents of the bundle.
        signature: ``valid`` (by the given key), ``unsigned``, or ``unchecked`` (signed, but no key was given).
        manifest_bytes: Verified bytes of ``manifest.json``; empty where the bundle is not sealed yet.
        signature_bytes: Bytes of the verified signature; None where none was verified.
        kept: Verified bytes of the files that run, by path; they are read once.
    """

    folder: Path
    manifest: Manifest
    signature: Literal["valid", "unsigned", "unchecked"]
    manifest_bytes: bytes = field(default=b"", repr=False)
    signature_bytes: bytes | None = field(default=None, repr=False)
    kept: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def read(self, ref: FileRef) -> bytes:
        """Return the verified bytes of a file: the kept bytes, or the file's own, read and verified again.

        Raises:
            BundleError: The file was changed since the bundle was opened.
        """
        if ref.path in self.kept:
            return self.kept[ref.path]
        with BundleFolder(self.folder) as below:
            return below.prove(ref.path, ref.bytes, ref.sha256, keep=True)

    def read_path(self, path: str) -> bytes | None:
        """Return the verified bytes of a file that the manifest lists, by its path; None where it is not listed.

        Raises:
            BundleError: The file was changed since the bundle was opened.
        """
        ref = next((ref for ref in self.manifest.files if ref.path == path), None)
        return None if ref is None else self.read(ref)

    def read_signature(self) -> bytes | None:
        """Return the signature's bytes, verified or as they are in the folder; None where the bundle is unsigned.

        Raises:
            BundleError: The signature is not a plain file, or is too large.
        """
        if self.signature_bytes is not None or self.signature == "unsigned":
            return self.signature_bytes
        with BundleFolder(self.folder) as below:
            return below.read(SIGNATURE_FILE, MAX_SIGNATURE_BYTES)


def is_bundle(folder: Path) -> bool:
    """Return whether a folder looks like a bundle of any version, whole or damaged; nothing is verified."""
    try:
        raw = read_bounded(folder / MANIFEST_FILE, at_most=MAX_MANIFEST_BYTES, error=BundleError)
        data = parse_json(raw, where=MANIFEST_FILE, error=BundleError)
    except BundleError:
        return False
    return isinstance(data, dict) and {"schema_version", "labels", "selftest", "files"} <= data.keys()


def open_bundle(folder: Path, *, key: Path | None = None, min_version: int = 0) -> Bundle:
    """Open a bundle after verifying its signature, then every file.

    Each file is read once: the bytes of the manifest that are signed are the ones that are parsed, and the bytes of the
    models and of the guard that are proved are kept, for them to run.

    Args:
        folder: Folder of the bundle.
        key: PEM public key of the owner; a bundle that this owner did not sign is refused. None: no signature is verified.
        min_version: Lowest accepted version; only a signed version protects against a rollback.

    Raises:
        BundleError: The folder is not a bundle, is of a newer format or a lower version, was changed, is incomplete, or
            holds a link or a file that is not listed; the message names the file. ``SignatureError`` where the signature is
            wrong.
        ConfigError: The key cannot be used.
        MissingDependency: A key was given and the extra ``sign`` is not installed.
    """
    with BundleFolder(folder) as below:
        raw, signature = _read_signed(below, key)
        manifest = read_manifest(raw, str(folder / MANIFEST_FILE))
        if manifest.version < min_version:
            raise BundleError(
                f"{folder}: expected version {min_version} or newer, found {manifest.version}; build it with a higher "
                "--bundle-version",
                code="E_BUNDLE_ROLLBACK",
            )
        names = set(below.names())
        kept = _prove(below, names, manifest.files, _what_runs(manifest))
    state: Literal["valid", "unsigned", "unchecked"] = "unchecked" if SIGNATURE_FILE in names else "unsigned"
    return Bundle(
        folder=folder,
        manifest=manifest,
        signature=state if key is None else "valid",
        manifest_bytes=raw,
        signature_bytes=signature,
        kept=kept,
    )


def sealed_files(bundle: Bundle) -> Iterator[tuple[str, bytes]]:
    """Yield the path and the verified bytes of each file: the manifest, the signature, then all others, sorted.

    Raises:
        BundleError: A file was changed since the bundle was opened.
    """
    yield MANIFEST_FILE, bundle.manifest_bytes
    signature = bundle.read_signature()
    if signature is not None:
        yield SIGNATURE_FILE, signature
    for ref in sorted(bundle.manifest.files, key=lambda ref: ref.path):
        yield ref.path, bundle.read(ref)


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyBundle:
    """A bundle of this or an older format whose bytes are verified; it may be read, but not run.

    Attributes:
        folder: Folder of the bundle.
        data: Manifest as plain data.
        files: Files that the manifest lists.
        manifest_bytes: Bytes of ``manifest.json`` that were read and verified.
    """

    folder: Path
    data: dict[str, Any]
    files: tuple[FileRef, ...]
    manifest_bytes: bytes

    def read_path(self, path: str) -> bytes | None:
        """Return the verified bytes of a listed file; None where it is not listed.

        Raises:
            BundleError: The file was changed since the bundle was opened.
        """
        for ref in self.files:
            if ref.path == path:
                with BundleFolder(self.folder) as below:
                    return below.prove(ref.path, ref.bytes, ref.sha256, keep=True)
        return None


def open_any_bundle(folder: Path, *, key: Path | None = None) -> AnyBundle:
    """Open a bundle of this or an older format after verifying its bytes.

    Unlike ``open_bundle`` it takes keys that this version does not know, or lacks.

    Args:
        folder: Folder of the bundle.
        key: PEM public key of the owner; a bundle that this owner did not sign is refused. None: no signature is verified.

    Raises:
        BundleError: The folder is not a bundle, is of a newer format, was changed or is incomplete; ``SignatureError`` where
            the signature is wrong.
    """
    with BundleFolder(folder) as below:
        raw, _ = _read_signed(below, key)
        data = read_plain(raw, str(folder / MANIFEST_FILE))
        kind = tuple[FileRef, ...]
        files = from_data(kind, data.get("files"), where=f"{MANIFEST_FILE}: files", error=BundleError)
        check_refs(files)
        _prove(below, set(below.names()), files, frozenset())
    return AnyBundle(folder=folder, data=data, files=files, manifest_bytes=raw)


def _read_signed(below: BundleFolder, key: Path | None) -> tuple[bytes, bytes | None]:
    """Return the bytes of the manifest and, with a key, of the verified signature."""
    try:
        raw = below.read(MANIFEST_FILE, MAX_MANIFEST_BYTES)
    except BundleError as err:
        if err.code != "E_BUNDLE_FILE_MISSING":
            raise
        raise BundleError(
            f"{below.folder}: expected a bundle, found no {MANIFEST_FILE}", code="E_BUNDLE_NO_MANIFEST"
        ) from err
    if key is None:
        return raw, None
    try:
        signature = below.read(SIGNATURE_FILE, MAX_SIGNATURE_BYTES)
    except BundleError as err:
        if err.code == "E_BUNDLE_FILE_MISSING":
            raise SignatureError(
                f"{below.folder}: expected a signature by {key.name}, found an unsigned bundle", code="E_BUNDLE_UNSIGNED"
            ) from err
        code = "E_BUNDLE_SIGNATURE" if err.code == "E_BUNDLE_LIMIT" else err.code
        raise SignatureError(str(err), code=code) from err
    check_signature(raw, signature, key, where=str(below.folder / SIGNATURE_FILE))
    return raw, signature


def _what_runs(manifest: Manifest) -> frozenset[str]:
    models = [ref for model in manifest.models if model.kind == "model" for ref in model.files]
    guard = [manifest.guard] if manifest.guard is not None else []
    return frozenset(ref.path for ref in (*models, manifest.onnx, *guard))


def _prove(below: BundleFolder, names: set[str], refs: tuple[FileRef, ...], keep: frozenset[str]) -> dict[str, bytes]:
    """Compare the files in the folder with the listed ones, and return the bytes of those to be kept."""
    listed, found = {ref.path for ref in refs}, listable(names)
    for path in sorted(found - listed):
        raise BundleError(
            f"{below.folder}: {path} is not listed in {MANIFEST_FILE}; it was added", code="E_BUNDLE_UNLISTED_FILE"
        )
    for path in sorted(listed - found):
        raise BundleError(f"{below.folder}: {path} is missing", code="E_BUNDLE_FILE_MISSING")
    kept = {}
    for ref in refs:
        data = below.prove(ref.path, ref.bytes, ref.sha256, keep=ref.path in keep)
        if ref.path in keep:
            kept[ref.path] = data
    return kept


def listable(names: Iterable[str]) -> set[str]:
    """Return the paths that a manifest must list: all but the manifest, the signature and the files under ``device/``."""
    return {path for path in names if path not in (MANIFEST_FILE, SIGNATURE_FILE) and not is_device(path)}
