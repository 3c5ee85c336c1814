"""Packing of a bundle into an update file: verified first, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from weckd_edge.bundle.packaging.base import PackagedFile, Signer, open_for_export
from weckd_edge.bundle.packaging.table import FormatRow, find_format, load_writer
from weckd_edge.core.errors import ConfigError
from weckd_edge.core.store import explain_os_errors, sha256_file


def package_bundle(
    folder: Path, out: Path, *, format_name: str, key: Path | None = None, signer: Signer | None = None
) -> PackagedFile:
    """Pack a bundle into an update file.

    Args:
        folder: Folder of the bundle; its signature and every digest are verified first.
        out: Update file to write; an existing file is replaced.
        format_name: ``tar``, ``rauc``, ``swupdate`` or ``mender``.
        key: PEM public key of the bundle's owner.
        signer: Key that signs the update itself; None leaves it unsigned.

    Raises:
        BundleError: The bundle is not whole, or not signed by its owner.
        ConfigError: The format or a key does not fit, or a tool refuses its input.
        MissingDependency: A tool, or the extra ``sign``, is not installed.
        StoreError: The file cannot be written.
    """
    row = find_format(format_name)
    _check_signer(format_name, row, signer)
    if out.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"{out}: expected a file outside the bundle, which must stay as it was sealed", code="E_CONFIG_OUT_PLACE"
        )
    bundle, warnings = open_for_export(folder, key)
    write = load_writer(row)
    with explain_os_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
            packaged = Path(scratch) / f"update{row.suffix}"
            write(bundle, packaged, signer)
            packaged.chmod(0o644)
            with packaged.open("rb") as file:
                os.fsync(file.fileno())
            packaged.replace(out)
    if row.signs is not None and signer is None:
        warnings = (*warnings, "the update itself is not signed; devices that demand it refuse it (--sign-key)")
    return PackagedFile(
        bundle=str(folder),
        format=format_name,
        file=str(out),
        bytes=out.stat().st_size,
        sha256=sha256_file(out),
        compatible=bundle.manifest.device,
        version=str(bundle.manifest.version),
        signed=signer is not None,
        warnings=warnings,
    )


def _check_signer(name: str, row: FormatRow, signer: Signer | None) -> None:
    if signer is None:
        if row.must_sign:
            raise ConfigError(
                f"{name}: expected a key and a certificate to sign with; give --sign-key and --sign-cert",
                code="E_CONFIG_KEY",
            )
        return
    if row.signs is None:
        raise ConfigError(
            f"{name}: has no signature of its own; sign the bundle when it is built (build --sign)", code="E_CONFIG_KEY"
        )
    if (row.signs == "certificate") != (signer.certificate is not None):
        wanted = "a key and its certificate" if row.signs == "certificate" else "a bare key, no certificate"
        raise ConfigError(f"{name}: expected {wanted} to sign with", code="E_CONFIG_KEY")
    for path in (signer.key, signer.certificate):
        if path is not None and not path.is_file():
            raise ConfigError(f"{path}: expected a PEM file, found none", code="E_CONFIG_KEY")
