"""A bundle on disk: sealing it, and opening it without trusting a byte of it.

The layout is described in docs/bundle.md. Every file but ``manifest.json``, ``signature`` and what ``finalize``
builds below ``device/`` is named in the manifest with its size and SHA-256.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from weckd_edge.artifacts import SCHEMA_VERSION, FileRef, Manifest
from weckd_edge.errors import BundleError, StoreError
from weckd_edge.schema import from_data, from_json, to_json
from weckd_edge.signing import MANIFEST_FILE, SIGNATURE_FILE, check_signature
from weckd_edge.store import check_ref, file_ref, refs_in, sha256_bytes, write_atomic

DEVICE_FOLDER = "device"
"""What is built on the device itself; not part of what was sealed."""

_ZEROS = "0" * 64
_SELF_DIGEST = re.compile(rb'"manifest_sha256": "([0-9a-f]{64})"')
_MAX_MANIFEST_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """A bundle whose every byte was checked when it was opened.

    Attributes:
        folder: Where it lies.
        manifest: What it holds.
        signature: ``valid`` (by the key that was given), ``unsigned``, or ``unchecked``: signed, and no key was given.
    """

    folder: Path
    manifest: Manifest
    signature: Literal["valid", "unsigned", "unchecked"]


def is_bundle(folder: Path) -> bool:
    """Tell whether a folder looks like a bundle of any version, whole or damaged; nothing is verified."""
    try:
        data = json.loads((folder / MANIFEST_FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, dict) and {"schema_version", "labels", "selftest", "files"} <= data.keys()


def seal(folder: Path, draft: Manifest) -> Manifest:
    """List every file with its digest, and write ``manifest.json``: the last step before a signature.

    Args:
        folder: Holds everything that ships. An earlier manifest or signature there is replaced.
        draft: The manifest; its ``files`` and ``manifest_sha256`` are filled in.

    Returns:
        The manifest as written.

    Raises:
        BundleError: There is a link or a special file, or the draft names a file that is not there or is another.
    """
    paths = [path for path in _walk(folder) if path not in (MANIFEST_FILE, SIGNATURE_FILE) and not _is_device(path)]
    files = tuple(file_ref(folder, folder / path) for path in sorted(paths))
    blank = replace(draft, files=files, manifest_sha256=_ZEROS)
    _check_listing(blank)
    text = to_json(blank)
    sealed = replace(blank, manifest_sha256=sha256_bytes(text.encode()))
    (folder / SIGNATURE_FILE).unlink(missing_ok=True)
    write_atomic(folder / MANIFEST_FILE, to_json(sealed))
    return sealed


def open_bundle(folder: Path, *, key: Path | None = None, at_least: int = 0) -> Bundle:
    """Open a bundle, checking the signature first, then every file.

    Args:
        folder: The bundle.
        key: PEM public key. With it, a bundle that its owner did not sign is refused.
        at_least: Lowest version that is taken; only a signed version keeps an attacker from going back.

    Raises:
        BundleError: It is no bundle, of a newer format, of a lower version, changed, incomplete, or holds a link or a file
            of no entry; the message names the file. A ``SignatureError`` where the signature is at fault.
        ConfigError: The key cannot be used.
        MissingDependency: A key was given and the extra ``sign`` is not installed.
    """
    if not folder.is_dir():
        raise BundleError(f"{folder}: expected a bundle, found no such folder")
    signed = os.path.lexists(folder / SIGNATURE_FILE)
    if key is not None:
        check_signature(folder, key)
    manifest = _read_manifest(folder)
    if manifest.version < at_least:
        raise BundleError(
            f"{folder}: expected version {at_least} or newer, found {manifest.version}; build it with a higher "
            "--bundle-version"
        )
    _check_listing(manifest)
    _check_files(folder, manifest.files)
    return Bundle(folder=folder, manifest=manifest, signature="valid" if key else "unchecked" if signed else "unsigned")


def read_any_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle of this or an older format as plain data, once its bytes and its files' are checked.

    Unlike ``open_bundle`` it takes keys that this version does not know, or lacks; nothing that runs may rest on it.

    Raises:
        BundleError: It is no bundle, of a newer format, changed or incomplete.
    """
    path, raw = _read_raw(folder)
    data = json.loads(raw)
    if not isinstance(data, dict):
        raise BundleError(f"{path}: expected a manifest, found something else")
    _check_own_digest(path, raw, str(data.get("manifest_sha256")))
    kind = tuple[FileRef, ...]
    _check_files(folder, from_data(kind, data.get("files"), where=f"{MANIFEST_FILE}: files", error=BundleError))
    return data


def _read_raw(folder: Path) -> tuple[Path, bytes]:
    path = folder / MANIFEST_FILE
    if path.is_symlink() or not path.is_file():
        raise BundleError(f"{folder}: expected a bundle, found no {MANIFEST_FILE}")
    if path.stat().st_size > _MAX_MANIFEST_BYTES:
        raise BundleError(f"{path}: expected at most {_MAX_MANIFEST_BYTES >> 20} MiB, found {path.stat().st_size} bytes")
    raw = path.read_bytes()
    _refuse_newer(path, raw)
    return path, raw


def _read_manifest(folder: Path) -> Manifest:
    path, raw = _read_raw(folder)
    manifest = from_json(Manifest, raw, where=MANIFEST_FILE, error=BundleError)
    if manifest.schema_version < 1 or manifest.version < 0:
        raise BundleError(
            f"{path}: expected a format of at least 1 and a version of at least 0, found {manifest.schema_version} and "
            f"{manifest.version}"
        )
    if not manifest.labels:
        raise BundleError(f"{path}: expected at least one label, found none")
    for label in manifest.operating_point.refuse_labels:
        if label not in manifest.labels:
            raise BundleError(f"{path}: refuses the label '{label}', which is none of its labels")
    _check_own_digest(path, raw, manifest.manifest_sha256)
    return manifest


def _check_own_digest(path: Path, raw: bytes, named: str) -> None:
    places = [match.span(1) for match in _SELF_DIGEST.finditer(raw)]
    if len(places) != 1:
        raise BundleError(f"{path}: expected its own SHA-256 once, found it {len(places)} times; it was never sealed")
    start, end = places[0]
    if sha256_bytes(raw[:start] + _ZEROS.encode() + raw[end:]) != named:
        raise BundleError(f"{path}: its bytes do not match the SHA-256 it names; it was changed")


def _refuse_newer(path: Path, raw: bytes) -> None:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as err:
        raise BundleError(f"{path}: expected JSON, found something else ({err}); it was changed") from err
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise BundleError(
            f"{path}: format {version} is newer than the format {SCHEMA_VERSION} that this weckd-edge reads; update it"
        )


def _check_listing(manifest: Manifest) -> None:
    """Refuse a manifest whose list of files is not sound, or that names a file its list lacks."""
    listed: dict[str, FileRef] = {}
    for ref in manifest.files:
        if not _is_plain(ref.path) or _is_device(ref.path) or ref.path in (MANIFEST_FILE, SIGNATURE_FILE):
            raise BundleError(f"{MANIFEST_FILE}: '{ref.path}' is not a path that a bundle may list")
        if ref.path in listed:
            raise BundleError(f"{MANIFEST_FILE}: lists '{ref.path}' twice")
        listed[ref.path] = ref
    for ref in refs_in(replace(manifest, files=())):
        if listed.get(ref.path) != ref:
            raise BundleError(f"{MANIFEST_FILE}: uses '{ref.path}', which is not the file of that name in its list")


def _check_files(folder: Path, refs: tuple[FileRef, ...]) -> None:
    listed = {ref.path for ref in refs}
    found = {p for p in _walk(folder) if p not in (MANIFEST_FILE, SIGNATURE_FILE) and not _is_device(p)}
    for path in sorted(listed - found):
        raise BundleError(f"{folder}: {path} is missing")
    for path in sorted(found - listed):
        raise BundleError(f"{folder}: {path} is not listed in {MANIFEST_FILE}; it was added")
    for ref in refs:
        try:
            check_ref(folder, ref)
        except StoreError as err:
            raise BundleError(f"{folder}: {err}") from err
        except OSError as err:
            raise BundleError(f"{folder}: {ref.path} cannot be read ({err.strerror})") from err


def _walk(folder: Path, below: str = "") -> Iterator[str]:
    """Yield the relative path of every file, refusing links and special files wherever they lie."""
    with os.scandir(folder / below) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            path = f"{below}/{entry.name}" if below else entry.name
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                yield from _walk(folder, path)
            elif stat.S_ISREG(mode):
                yield path
            else:
                kind = "a link" if stat.S_ISLNK(mode) else "a special file"
                raise BundleError(f"{folder}: {path} is {kind}; a bundle holds plain files only")


def _is_plain(path: str) -> bool:
    """Tell whether a path is relative, stays below its folder, and is written the one usual way."""
    parts = PurePosixPath(path).parts
    return (
        bool(parts)
        and "/".join(parts) == path
        and not path.startswith("/")
        and ".." not in parts
        and "\\" not in path
        and path.isprintable()
    )


def _is_device(path: str) -> bool:
    return path.partition("/")[0] == DEVICE_FOLDER
