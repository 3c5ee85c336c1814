"""Keys of a bundle's owner."""

from __future__ import annotations

from pathlib import Path


def write_pair(folder: Path, name: str = "key", curve: str = "SECP256R1") -> tuple[Path, Path]:
    """Write a new key pair as ``<name>.pem`` and ``<name>.pub``; return the paths of the private and the public one.

    Args:
        folder: Folder that exists.
        name: Name of both files.
        curve: Name of the curve, as ``cryptography`` has it.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(getattr(ec, curve)())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public
