"""A plain tar of a bundle: equal bundles give equal bytes, and the reader in firmware can be small.

POSIX ustar; plain files alone, sorted by path behind ``manifest.json`` and ``signature``; no owner, no time. What was built
on a device (``device/``) is left out.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from weckd_edge.bundle.packaging.base import Signer
from weckd_edge.bundle.reader import Bundle, sealed_files
from weckd_edge.core.errors import BundleError


def write(bundle: Bundle, out: Path, signer: Signer | None = None) -> None:
    """Write the tar of a bundle.

    Args:
        bundle: Verified bundle.
        out: Path of the tar.
        signer: Not used; a tar has no signature.

    Raises:
        BundleError: A file was changed since the bundle was opened, or its path is too long for a tar.
    """
    del signer
    with tarfile.open(out, "w", format=tarfile.USTAR_FORMAT, encoding="utf-8", errors="strict") as tar:
        for path, data in sealed_files(bundle):
            _check_path(bundle, path)
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o644
            try:
                tar.addfile(entry, io.BytesIO(data))
            except ValueError as err:
                raise BundleError(
                    f"{bundle.folder}: {path} cannot be named in a tar ({err}); give it a shorter path",
                    code="E_BUNDLE_PACKAGE_NAME",
                ) from err


def _check_path(bundle: Bundle, path: str) -> None:
    if path.count("/") > 16 or any(len(part.encode()) > 255 for part in path.split("/")):
        raise BundleError(
            f"{bundle.folder}: {path} lies deeper, or is longer, than a device takes; give it a shorter path",
            code="E_BUNDLE_PACKAGE_NAME",
        )
