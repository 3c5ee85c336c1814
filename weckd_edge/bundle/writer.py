"""Sealing of a bundle: one manifest that lists every file by its digest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from weckd_edge.artifacts import Manifest
from weckd_edge.bundle.files import BundleFolder
from weckd_edge.bundle.manifest_rules import ZEROS, check_manifest
from weckd_edge.bundle.reader import listable
from weckd_edge.bundle.signing import MANIFEST_FILE, SIGNATURE_FILE
from weckd_edge.core.serialization import to_json
from weckd_edge.core.store import file_ref, sha256_bytes, write_atomic


def seal(folder: Path, draft: Manifest) -> Manifest:
    """List every file with its digest, and write ``manifest.json``: the last step before signing.

    Args:
        folder: Folder with everything that is deployed. An earlier manifest or signature there is replaced.
        draft: The manifest; its ``files`` and ``manifest_sha256`` are filled in.

    Returns:
        The manifest as written.

    Raises:
        BundleError: There is a link or a special file, or the draft names a file that is missing or differs, or breaks a
            rule of the format.
    """
    with BundleFolder(folder) as below:
        paths = listable(below.names())
    files = tuple(file_ref(folder, folder / path) for path in sorted(paths))
    blank = replace(draft, files=files, manifest_sha256=ZEROS)
    check_manifest(blank)
    text = to_json(blank)
    sealed = replace(blank, manifest_sha256=sha256_bytes(text.encode()))
    (folder / SIGNATURE_FILE).unlink(missing_ok=True)
    write_atomic(folder / MANIFEST_FILE, to_json(sealed))
    return sealed
