"""A RAUC bundle: a signed manifest and one image for a slot, in the format ``verity`` (RAUC 1.5 or newer).

The image is the tar, which RAUC unpacks into a slot whose file system it makes anew (``type=ext4``). Which of the two slots
runs is decided by RAUC and the boot loader, so that ``weckd-update`` is not needed there.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from weckd_edge.bundle.packaging import tar_format
from weckd_edge.bundle.packaging.base import PAYLOAD_NAME, Signer
from weckd_edge.bundle.packaging.tools import run_tool
from weckd_edge.bundle.reader import Bundle
from weckd_edge.core.errors import ConfigError

SLOT_CLASS = "weckd"
"""Class of the slot in the device's ``system.conf``: ``[slot.weckd.0]``, ``[slot.weckd.1]``."""


def manifest_of(bundle: Bundle) -> str:
    """Return ``manifest.raucm``; ``rauc bundle`` adds size and digest of the image."""
    return (
        f"[update]\ncompatible={bundle.manifest.device}\nversion={bundle.manifest.version}\n"
        f"description={bundle.manifest.name}\n\n"
        f"[bundle]\nformat=verity\n\n[image.{SLOT_CLASS}]\nfilename={PAYLOAD_NAME}\n"
    )


def write(bundle: Bundle, out: Path, signer: Signer | None) -> None:
    """Write the RAUC bundle.

    Raises:
        ConfigError: There is no key to sign with, or ``rauc`` refuses its input.
        MissingDependency: ``rauc`` or ``mksquashfs`` is not installed.
    """
    if signer is None or signer.certificate is None:
        raise ConfigError("rauc: expected a key and a certificate; a RAUC bundle is always signed", code="E_CONFIG_KEY")
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        content = Path(scratch) / "content"
        content.mkdir()
        tar_format.write(bundle, content / PAYLOAD_NAME)
        (content / "manifest.raucm").write_text(manifest_of(bundle), encoding="utf-8")
        run_tool(
            "mksquashfs", ["-version"], package="squashfs-tools", hint="install it anew"
        )  # rauc's own message for a missing one says little
        keys = [f"--cert={signer.certificate}", f"--key={signer.key}"]
        run_tool("rauc", ["bundle", *keys, content, out], package="rauc", hint="check that key and certificate are a pair")
