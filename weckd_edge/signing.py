"""The signature over a bundle's manifest: OpenSSF model signing with an elliptic-curve key, offline.

The file ``signature`` is a Sigstore bundle: a DSSE envelope around an in-toto statement that names the SHA-256 of
``manifest.json``. As the manifest names the digest of every other file, one signature covers the whole bundle.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
from pathlib import Path

from weckd_edge.errors import BundleError, ConfigError
from weckd_edge.optional import require
from weckd_edge.store import explain_os_errors

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "signature"


class SignatureError(BundleError):
    """A signature is missing, is not a signature, or was not made by this key over this manifest."""


def sign(folder: Path, private_key: Path) -> None:
    """Sign ``manifest.json`` and write ``signature`` beside it.

    Args:
        folder: A sealed bundle.
        private_key: PEM file of an unencrypted elliptic-curve key (P-256, P-384 or P-521).

    Raises:
        BundleError: There is no manifest to sign.
        ConfigError: The key cannot be used.
        MissingDependency: The extra ``sign`` is not installed.
    """
    signing = require("model_signing.signing", "sign a bundle")
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file():
        raise BundleError(f"{folder}: expected a sealed bundle to sign, found no {MANIFEST_FILE}")
    _require_key(private_key)
    temporary = folder / f".{SIGNATURE_FILE}.{os.getpid()}.tmp"
    with explain_os_errors(folder):
        try:
            signer = signing.Config().use_elliptic_key_signer(private_key=private_key)
        except Exception as err:  # the library lets through whatever its own libraries raise
            raise _unusable(private_key, "an unencrypted elliptic-curve private key", err) from err
        try:
            signer.sign(manifest, temporary)
            temporary.replace(folder / SIGNATURE_FILE)
        finally:
            temporary.unlink(missing_ok=True)


def check_signature(folder: Path, public_key: Path) -> None:
    """Check that the owner of a key signed the bundle's manifest, byte for byte.

    Args:
        folder: A bundle.
        public_key: PEM file of the elliptic-curve public key.

    Raises:
        SignatureError: There is no signature, it is damaged, or it is not this key's over this manifest.
        ConfigError: The key cannot be used.
        MissingDependency: The extra ``sign`` is not installed.
    """
    verifying = require("model_signing.verifying", "check a bundle's signature")
    hashing = require("model_signing.hashing", "check a bundle's signature")
    _require_key(public_key)
    try:
        verifier = verifying.Config().use_elliptic_key_verifier(public_key=public_key)
    except Exception as err:  # the library lets through whatever its own libraries raise
        raise _unusable(public_key, "an elliptic-curve public key", err) from err
    # Fixed here, so that nothing inside the signature can choose what is hashed.
    verifier.set_hashing_config(hashing.Config().use_file_serialization(hashing_algorithm="sha256"))
    path = folder / SIGNATURE_FILE
    if path.is_symlink() or not path.is_file():
        raise SignatureError(f"{folder}: expected a signature by {public_key.name}, found an unsigned bundle")
    try:
        _require_canonical(path)
        with contextlib.redirect_stdout(io.StringIO()):  # the library prints warnings on stdout
            verifier.verify(folder / MANIFEST_FILE, path)
    except Exception as err:  # a signature is hostile input: JSON, base64, schema and curve errors all mean "no"
        raise SignatureError(
            f"{path}: not a valid signature of {MANIFEST_FILE} by {public_key.name} ({_reason(err)}); "
            "the bundle was changed, or another key signed it"
        ) from err


def _require_key(path: Path) -> None:
    if not path.is_file():
        raise ConfigError(f"{path}: expected a PEM key file, found none")


def _unusable(path: Path, expected: str, err: Exception) -> ConfigError:
    return ConfigError(f"{path}: expected {expected} in PEM on P-256, P-384 or P-521 ({_reason(err)})")


def _reason(err: Exception) -> str:
    lines = [line for line in str(err).splitlines() if line.strip()]
    return (lines[0] if lines else type(err).__name__)[:160]


def _require_canonical(path: Path) -> None:
    """Refuse base64 with stray bits, so that no byte of the file can change unnoticed."""
    envelope = json.loads(path.read_bytes())["dsseEnvelope"]
    for text in (envelope["payload"], *(entry["sig"] for entry in envelope["signatures"])):
        if base64.b64encode(base64.b64decode(text, validate=True)).decode() != text:
            raise ValueError("its base64 is not canonical")
