"""One build of the C library for all tests of this folder, and a bundle of a real network."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def library(firmware: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Build with warnings as errors."""
    return firmware.build(tmp_path_factory.mktemp("firmware") / "build", "-DWECKD_UPDATE=ON")


@pytest.fixture(scope="session")
def sanitized(firmware: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same with AddressSanitizer and UndefinedBehaviorSanitizer; no OpenVINO, which they would not see into."""
    folder = tmp_path_factory.mktemp("firmware") / "sanitized"
    return firmware.build(folder, "-DWECKD_SANITIZE=ON", "-DWECKD_OPENVINO=OFF")


@pytest.fixture
def bundle(toy: ModuleType, tmp_path: Path) -> Path:
    """A toy bundle: its ONNX graph runs in OpenVINO, and in the stand-in for a model."""
    folder: Path = toy.write_bundle(tmp_path / "bundle").folder
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Key pairs by curve: ``<curve>`` is the private one, ``<curve>.pub`` the public one."""
    pytest.importorskip("model_signing")
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    found = {}
    for name, curve in (
        ("p256", ec.SECP256R1()),
        ("p384", ec.SECP384R1()),
        ("p521", ec.SECP521R1()),
        ("other", ec.SECP256R1()),
    ):
        key = ec.generate_private_key(curve)
        found[name], found[f"{name}.pub"] = tmp_path / f"{name}.pem", tmp_path / f"{name}.pub"
        found[name].write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        found[f"{name}.pub"].write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
    return found
