"""Optional libraries: which distribution a module is from, and its version."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from weckd_edge.core import optional_imports
from weckd_edge.core.optional_imports import version_of


@pytest.fixture
def gpu_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module of another distribution than the one that is called like it."""
    (tmp_path / "somebodys_runtime.py").touch()
    about = tmp_path / "somebodys_runtime_gpu-1.2.3.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: somebodys-runtime-gpu\nVersion: 1.2.3\n", encoding="utf-8")
    (about / "top_level.txt").write_text("somebodys_runtime\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    optional_imports._providers.cache_clear()
    yield "somebodys_runtime"
    optional_imports._providers.cache_clear()


def test_a_module_has_the_version_of_whatever_distribution_it_is_from(gpu_wheel: str) -> None:
    assert version_of(gpu_wheel) == "1.2.3"


def test_a_module_that_no_distribution_brings_has_no_version() -> None:
    assert version_of("a_library_nobody_has") is None


def test_a_module_that_is_called_otherwise_than_its_distribution_has_a_version() -> None:
    pillow = pytest.importorskip("PIL")
    assert version_of("PIL") == pillow.__version__
