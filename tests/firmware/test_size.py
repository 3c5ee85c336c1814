"""What the C library takes of a device stays what docs/results/firmware.md says, and long runs take no more."""

import platform
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.firmware import footprint


def test_size_stack_and_heap_are_as_the_table_says(library: Any, toy: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("model_signing")
    which = {"x86_64": "x86-64", "aarch64": "arm64"}.get(platform.machine())
    if which is None or library.openvino is None:
        pytest.skip("the table tells builds for x86-64 and arm64 with OpenVINO's backend")
    measured = footprint.measure(library.folder, footprint.write_signed_toy(toy, tmp_path))
    told = footprint.read_table()[which]
    assert not footprint.what_is_apart(measured, told), "python benchmarks/firmware_size.py writes the table anew"


def test_the_readme_says_the_size_that_the_table_says() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"C library of about (\d+) kB \(x86-64\), (\d+) kB \(arm64\)", readme)
    table = footprint.read_table()
    for kilobytes, which in zip(said, ("x86-64", "arm64"), strict=True):
        assert int(kilobytes) * 1000 == pytest.approx(table[which]["stripped"], rel=0.1)


def test_a_table_that_is_off_is_reported() -> None:
    told = footprint.read_table()["x86-64"]
    assert not footprint.what_is_apart(told, told)
    (words,) = footprint.what_is_apart({**told, "open_stack": told["open_stack"] * 2}, told)
    assert words.startswith("stack: `weckd_open`: measured")
    assert any("at most 200,000" in words for words in footprint.what_is_apart({**told, "stripped": 200_001}, told))
    assert any("of the heap" in words for words in footprint.what_is_apart({**told, "classify_heap": 8}, told))


def test_many_predictions_and_openings_take_no_more(library: Any, bundle: Path) -> None:
    """The million is run by hand: docs/results/firmware.md. Pages of code may be touched late; a leaking heap would grow."""
    lines = library.run("soak", bundle, "echo", "-", 20_000, 100).splitlines()
    assert [line.split()[:2] for line in lines] == [["frames", "20000"], ["openings", "100"]]
    for line in lines:
        found = re.search(r"heap (\d+) to (\d+), resident (\d+) to (\d+), descriptors (\d+) to (\d+)$", line)
        assert found is not None, line
        heap, heap_after, resident, resident_after, descriptors, descriptors_after = map(int, found.groups())
        assert (heap_after, descriptors_after) == (heap, descriptors), line
        assert resident_after - resident <= 512 * 1024, line
