"""The compiled library: which one is taken, and that NumPy takes its place without another byte."""

import ctypes
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from support.compiled import compile_library
from weckd_edge.artifacts import FrameSpec
from weckd_edge.devices.images.area_resize import resize_area
from weckd_edge.devices.native import library, sources
from weckd_edge.devices.native.guard import CompiledGuard
from weckd_edge.devices.native.library import MissingLibrary, describe_library, open_library, pixels_library
from weckd_edge.devices.runtime.input_guard import measure_frame


def test_a_library_of_these_sources_is_taken(compiled: ctypes.CDLL) -> None:
    assert compiled.weckd_pixels_digest().decode() == sources.digest_of_sources()
    assert compiled.weckd_pixels_instructions().decode() in ("plain", "sse2", "avx2", "neon")


def test_every_source_that_is_compiled_is_here_and_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [path for path in sources.source_files() if not path.is_file()] == []
    copied = tmp_path / "devices"
    shutil.copytree(sources.HERE, copied / "native", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    shutil.copytree(sources.FIRMWARE, copied / "firmware")
    before = sources.digest_of_sources()
    monkeypatch.setattr(sources, "HERE", copied / "native")
    monkeypatch.setattr(sources, "FIRMWARE", copied / "firmware")
    monkeypatch.setattr(sources, "BINDING", copied / "native/pixels.c")
    digests = [sources.digest_of_sources()]
    assert digests == [before]
    for path in (*sources.source_files(), copied / "firmware/include/weckd_edge.h"):
        path.write_text(path.read_text() + "\n")
        digests.append(sources.digest_of_sources())
    sources.source_files()[1].unlink()
    digests.append(sources.digest_of_sources())
    assert len(set(digests)) == len(digests) > len(sources.COMPILED)


def test_a_library_that_is_missing_broken_or_of_other_sources_is_not_taken(compiled: ctypes.CDLL, tmp_path: Path) -> None:
    with pytest.raises(MissingLibrary, match="not built"):
        open_library(tmp_path / "none.so")
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(MissingLibrary, match="does not load"):
        open_library(tmp_path / "text.so")
    compile_library(tmp_path / "other.so", digest="0" * 64)
    with pytest.raises(MissingLibrary, match="other C sources"):
        open_library(tmp_path / "other.so")


def test_without_it_numpy_does_its_work_and_the_description_tells_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "LIBRARY", tmp_path / "none.so")
    pixels_library.cache_clear()
    try:
        assert pixels_library() is None
        assert describe_library().startswith("NumPy, without the compiled library: it was not built")
        assert resize_area(np.full((4, 4, 3), 7, np.uint8), 2, 2).tolist() == [[[7] * 3] * 2] * 2
    finally:
        pixels_library.cache_clear()


@pytest.mark.parametrize("shape", [(119, 160, 3), (120, 139, 3), (120, 160, 1)])
def test_a_frame_that_does_not_hold_the_crop_is_not_read(compiled: ctypes.CDLL, shape: tuple[int, int, int]) -> None:
    guard = CompiledGuard(compiled, (0, 20, 120, 120))
    assert guard.measure(np.zeros((120, 140, 3), np.uint8)).judged[3] == 1.0
    with pytest.raises(ValueError, match=r"at least \[120, 140, 3\]"):
        guard.measure(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="float64"):
        guard.measure(np.zeros((120, 160, 3)))  # type: ignore[arg-type]  # that is the test


@pytest.mark.usefixtures("frames_by_compiled")
def test_pixels_of_another_type_are_left_to_numpy() -> None:
    pixels = np.arange(4 * 6 * 3).reshape(4, 6, 3)
    assert np.array_equal(resize_area(pixels, 2, 3), resize_area(pixels.astype(np.uint8), 2, 3))  # type: ignore[arg-type]


def test_threads_that_measure_at_once_do_not_disturb_each_other(compiled: ctypes.CDLL) -> None:
    spec = FrameSpec(height=120, width=160, crop="center")
    guard = CompiledGuard(compiled, (0, 20, 120, 120))
    frames = [np.random.default_rng(k).integers(0, 256, (120, 160, 3), np.uint8) for k in range(4)]
    expected = [measure_frame(frame, spec).features for frame in frames]
    with ThreadPoolExecutor(4) as pool:
        for number, (_, features) in enumerate(pool.map(guard.measure_all, frames * 100)):
            assert (features == expected[number % 4]).all()
