"""A Mender artifact (version 3) for the update module ``weckd-bundle``, which hands the tar to ``weckd-update``.

The module is a script: ``devices/firmware/update/mender/weckd-bundle``, to be put into ``/usr/share/mender/modules/v3``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from weckd_edge.bundle.packaging import tar_format
from weckd_edge.bundle.packaging.base import PAYLOAD_NAME, Signer
from weckd_edge.bundle.packaging.tools import run_tool
from weckd_edge.bundle.reader import Bundle

MODULE = "weckd-bundle"
"""Name of the update module, which is the payload's type."""

_HINT = "expected a key that begins with 'BEGIN EC PRIVATE KEY' or 'BEGIN RSA PRIVATE KEY' (openssl ec -in KEY -out NEW)"


def artifact_name_of(bundle: Bundle) -> str:
    """Return a unique name of the artifact: the bundle's name, its version and the start of its digest."""
    manifest = bundle.manifest
    return f"{manifest.name}-{manifest.version}-{manifest.manifest_sha256[:12]}"


def write(bundle: Bundle, out: Path, signer: Signer | None) -> None:
    """Write the artifact.

    Raises:
        ConfigError: ``mender-artifact`` refuses the key.
        MissingDependency: ``mender-artifact`` is not installed.
    """
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        payload = Path(scratch) / PAYLOAD_NAME
        tar_format.write(bundle, payload)
        arguments: list[str | Path] = ["write", "module-image", "--type", MODULE]
        arguments += ["--artifact-name", artifact_name_of(bundle), "--device-type", bundle.manifest.device]
        arguments += ["--software-filesystem", "data-partition", "--software-name", "weckd"]
        arguments += ["--software-version", str(bundle.manifest.version), "--compression", "none"]
        arguments += ["--file", payload, "--output-path", out]
        arguments += [] if signer is None else ["--key", signer.key]
        run_tool("mender-artifact", arguments, package="mender-artifact", hint=_HINT)
