"""One build of the C library for all tests of this folder, and bundles: of a real network, and for updates."""

import importlib.util
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from support.bundles.signing_keys import write_pair
from weckd_edge.bundle.signing import sign
from weckd_edge.bundle.writer import seal
from weckd_edge.core.store import file_ref

SANITIZED = ("-DWECKD_UPDATE=ON", "-DWECKD_SANITIZE=ON", "-DWECKD_OPENVINO=OFF")


@pytest.fixture(scope="module", autouse=True)
def numpy_alone() -> Iterator[None]:
    """What Python says here is said by NumPy: the compiled library for pixels is of the C sources that are tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("weckd_edge.devices.native.library.pixels_library", lambda: None)
        yield


@pytest.fixture(scope="session")
def library(firmware: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The library with ``weckd-update``, built with warnings as errors."""
    return firmware.build(tmp_path_factory.mktemp("firmware") / "build", "-DWECKD_UPDATE=ON")


@pytest.fixture(scope="session")
def sanitized(firmware: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same with AddressSanitizer and UndefinedBehaviorSanitizer; no OpenVINO, which they would not see into."""
    folder = tmp_path_factory.mktemp("firmware") / "sanitized"
    return firmware.build(folder, *SANITIZED)


@pytest.fixture(scope="session")
def sanitized_by_clang(firmware: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same by another compiler, whose sanitizers see other faults."""
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    folder = tmp_path_factory.mktemp("firmware") / "clang"
    return firmware.build(folder, *SANITIZED, compiler=("clang", "clang++"))


@pytest.fixture(scope="module")
def binding(firmware: ModuleType) -> ModuleType:
    """The ctypes binding, which stands alone in a bundle's ``sdk``."""
    spec = importlib.util.spec_from_file_location("weckd_edge_c", firmware.SOURCE / "python/weckd_edge_c.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["weckd_edge_c"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bundle(toy: ModuleType, tmp_path: Path) -> Path:
    """A toy bundle: its ONNX graph runs in OpenVINO, and in the stand-in for a model."""
    folder: Path = toy.write_bundle(tmp_path / "bundle", **toy.IN_C).folder
    return folder


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """Key pairs by curve: ``<curve>`` is the private one, ``<curve>.pub`` the public one."""
    pytest.importorskip("model_signing")
    found = {}
    for name, curve in (("p256", "SECP256R1"), ("p384", "SECP384R1"), ("p521", "SECP521R1"), ("other", "SECP256R1")):
        found[name], found[f"{name}.pub"] = write_pair(tmp_path, name, curve)
    return found


@pytest.fixture(scope="session")
def key_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The bundles' owner's private and public key."""
    pytest.importorskip("model_signing")
    return write_pair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="session")
def make(toy: ModuleType, key_pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make signed bundles for the stand-in for a model; ``wrong``: with other golden predictions than it has."""
    folder = tmp_path_factory.mktemp("bundles")

    def make(version: int, *, wrong: bool = False, seed: int = 0, signed: bool = True) -> Path:
        bundle: Path = folder / f"v{version}-{wrong}-{seed}-{signed}"
        if bundle.exists():
            return bundle
        draft = toy.write_bundle(bundle, backends=["echo"], tolerance=1e-6, seed=seed).manifest
        flat = np.load(bundle / "selftest/frames.npy").reshape(draft_frames(bundle), -1).astype(np.float64)
        golden = np.stack([flat[:, k::3].sum(axis=1) for k in range(3)], axis=1) / flat.sum(axis=1, keepdims=True)
        np.save(
            bundle / "selftest/expected.npy",
            golden[:, ::-1].copy().astype(np.float32) if wrong else golden.astype(np.float32),
        )
        expected = file_ref(bundle, bundle / "selftest/expected.npy")
        models = tuple(replace(model, expected=expected) for model in draft.models)
        seal(bundle, replace(draft, version=version, models=models))
        if signed:
            sign(bundle, key_pair[0])
        return bundle

    return make


def draft_frames(bundle: Path) -> int:
    return int(np.load(bundle / "selftest/frames.npy").shape[0])


@pytest.fixture
def tool(library: Any, update_support: ModuleType, key_pair: tuple[Path, Path], tmp_path: Path) -> Any:
    """``weckd-update`` with a store that is not there yet: see ``support/firmware/updates.py``."""
    return update_support.Tool(built=library, store=tmp_path.resolve() / "store", key=key_pair[1])
