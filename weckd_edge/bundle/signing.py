"""The signature over a bundle's manifest: OpenSSF model signing with an elliptic-curve key, offline.

The file ``signature`` is a Sigstore bundle: a DSSE envelope around an in-toto statement that names the SHA-256 of
``manifest.json``. As the manifest names the digest of every other file, one signature covers the whole bundle.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from weckd_edge.core.errors import BundleError, ConfigError, WeckdError
from weckd_edge.core.files import read_bounded
from weckd_edge.core.optional_imports import require
from weckd_edge.core.serialization import parse_json
from weckd_edge.core.store import explain_os_errors

MANIFEST_FILE = "manifest.json"
SIGNATURE_FILE = "signature"
MAX_SIGNATURE_BYTES = 1 << 20

_MAX_KEY_BYTES = 1 << 16
_MAX_DEPTH = 32
_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_HASHES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}
"""Digest that each curve signs; nothing inside the signature chooses it."""


class SignatureError(BundleError):
    """The signature is missing, damaged, or not made by this key over this manifest."""


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
        raise BundleError(
            f"{folder}: expected a sealed bundle to sign, found no {MANIFEST_FILE}", code="E_BUNDLE_NO_MANIFEST"
        )
    check_private_key(private_key)
    signer = signing.Config().use_elliptic_key_signer(private_key=private_key)
    temporary = folder / f".{SIGNATURE_FILE}.{os.getpid()}.tmp"
    with explain_os_errors(folder):
        try:
            signer.sign(manifest, temporary)
            temporary.replace(folder / SIGNATURE_FILE)
        finally:
            temporary.unlink(missing_ok=True)


def check_private_key(path: Path) -> None:
    """Check that a file holds a key that ``sign`` can use.

    Args:
        path: PEM file of an unencrypted elliptic-curve key (P-256, P-384 or P-521).

    Raises:
        ConfigError: The key cannot be used.
        MissingDependency: The extra ``sign`` is not installed.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: expected a PEM private key, found no such file; check the path", code="E_CONFIG_KEY")
    keys = require("cryptography.hazmat.primitives.serialization", "sign a bundle")
    curves = require("cryptography.hazmat.primitives.asymmetric.ec", "sign a bundle")
    _load_key(
        path,
        partial(keys.load_pem_private_key, password=None),
        curves.EllipticCurvePrivateKey,
        "an unencrypted elliptic-curve private key",
    )


def check_signature(manifest: bytes, signature: bytes, public_key: Path, *, where: str) -> None:
    """Check that the owner of a key signed a manifest, byte for byte: docs/reference/bundle-format.md, section 4.

    Args:
        manifest: Bytes of ``manifest.json``.
        signature: Bytes of ``signature``.
        public_key: PEM file of the elliptic-curve public key.
        where: Name of the signature in messages.

    Raises:
        SignatureError: The signature is damaged, or not made by this key over this manifest.
        ConfigError: The key cannot be used.
        MissingDependency: The extra ``sign`` is not installed.
    """
    keys = require("cryptography.hazmat.primitives.serialization", "check a bundle's signature")
    curves = require("cryptography.hazmat.primitives.asymmetric.ec", "check a bundle's signature")
    key = _load_key(public_key, keys.load_pem_public_key, curves.EllipticCurvePublicKey, "an elliptic-curve public key")
    try:
        _check(manifest, signature, key)
    except _RefusedError as err:
        raise SignatureError(
            f"{where}: not a valid signature of {MANIFEST_FILE} by {public_key.name} ({err}); "
            "the bundle was changed, or another key signed it",
            code="E_BUNDLE_SIGNATURE",
        ) from err


class _RefusedError(WeckdError):
    """The reason why a signature is not valid, in words."""

    def __init__(self, message: str, *, code: str = "E_BUNDLE_SIGNATURE") -> None:
        super().__init__(message, code=code)


def _load_key(path: Path, load: Callable[[bytes], Any], kind: type[Any], expected: str) -> Any:
    text = read_bounded(path, at_most=_MAX_KEY_BYTES, where=f"{path}: expected a PEM key file", error=ConfigError)
    try:
        key = load(text)
    except Exception as err:  # the library lets through whatever its own libraries raise
        raise _unusable(path, expected, err) from err
    if not isinstance(key, kind) or key.curve.name not in _HASHES:
        raise _unusable(path, expected, TypeError("it is another kind of key"))
    return key


def _check(manifest: bytes, signature: bytes, key: Any) -> None:
    """Verify the envelope's signature, then that the signed statement names this manifest."""
    ec = require("cryptography.hazmat.primitives.asymmetric.ec", "check a bundle's signature")
    hashes = require("cryptography.hazmat.primitives.hashes", "check a bundle's signature")
    keys = require("cryptography.hazmat.primitives.serialization", "check a bundle's signature")
    pem = key.public_bytes(keys.Encoding.PEM, keys.PublicFormat.SubjectPublicKeyInfo)
    payload, sig, hint = _take_apart(signature)
    if hint != hashlib.sha256(pem).hexdigest():
        raise _RefusedError("it was made by another key")
    signed = b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)
    try:
        key.verify(sig, signed, ec.ECDSA(getattr(hashes, _HASHES[key.curve.name])()))
    except Exception as err:  # hostile bytes: whatever is raised means "no"
        raise _RefusedError("it does not fit its content") from err
    digest = hashlib.sha256(manifest).digest()
    statement = _parse(payload)
    subject = _only_item(statement.get("subject"))
    predicate = statement.get("predicate")
    resource = _only_item(predicate.get("resources")) if isinstance(predicate, dict) else {}
    named = subject.get("digest")
    if (
        (statement.get("_type"), statement.get("predicateType")) != (_STATEMENT_TYPE, _PREDICATE_TYPE)
        or not isinstance(named, dict)
        or named.get("sha256") != hashlib.sha256(digest).hexdigest()
        or (resource.get("algorithm"), resource.get("digest")) != ("sha256", digest.hex())
    ):
        raise _RefusedError(f"{MANIFEST_FILE} is not what was signed")


def _take_apart(signature: bytes) -> tuple[bytes, bytes, str]:
    """Return the payload, the signature over it, and the hint that names the key."""
    root = _object(_parse(signature), {"mediaType", "verificationMaterial", "dsseEnvelope"})
    material = _object(root["verificationMaterial"], {"publicKey"}, {"tlogEntries": []})
    hint = _object(material["publicKey"], {"hint"})["hint"]
    envelope = _object(root["dsseEnvelope"], {"payload", "payloadType", "signatures"})
    entry = _object(_only_item(envelope["signatures"]), {"sig"}, {"keyid": ""})
    if root["mediaType"] != _MEDIA_TYPE or envelope["payloadType"] != _PAYLOAD_TYPE:
        raise _RefusedError("it is of another type")
    return _canonical(envelope["payload"]), _canonical(entry["sig"]), str(hint)


def _parse(text: bytes) -> dict[str, Any]:
    data = parse_json(text, where=SIGNATURE_FILE, error=_RefusedError, deepest=_MAX_DEPTH)
    if not isinstance(data, dict):
        raise _RefusedError("it is no JSON object")
    return data


def _object(data: object, keys: set[str], optional: dict[str, object] | None = None) -> dict[str, Any]:
    """Return an object that has all the keys, and no others except the optional ones with these values."""
    if not isinstance(data, dict) or not keys <= data.keys():
        raise _RefusedError(f"it lacks {' or '.join(sorted(keys))}")
    for key in data.keys() - keys:
        if optional is None or key not in optional or data[key] != optional[key]:
            raise _RefusedError(f"it has a '{key[:40]}' that does not belong there")
    return data


def _only_item(data: object) -> dict[str, Any]:
    if not isinstance(data, list) or len(data) != 1 or not isinstance(data[0], dict):
        raise _RefusedError("it has not one signature of one manifest")
    found: dict[str, Any] = data[0]
    return found


def _canonical(text: object) -> bytes:
    """Decode base64; refuse stray bits, so that no byte of the file can change unnoticed."""
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError as err:
        raise _RefusedError("its base64 is damaged") from err
    if not data or base64.b64encode(data).decode() != text:
        raise _RefusedError("its base64 is not canonical")
    return data


def _unusable(path: Path, expected: str, err: Exception) -> ConfigError:
    return ConfigError(f"{path}: expected {expected} in PEM on P-256, P-384 or P-521 ({_reason(err)})", code="E_CONFIG_KEY")


def _reason(err: Exception) -> str:
    lines = [line for line in str(err).splitlines() if line.strip()]
    return (lines[0] if lines else type(err).__name__)[:160]
