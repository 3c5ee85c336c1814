"""The C library resizes by area to the very bytes of the definition in Python, with all instructions that are here."""

import math
import struct
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weckd_edge.devices.images.area_resize import resize_area

Case = tuple[int, int, int, int, int]
"""Height and width of the pixels, bytes behind each row, height and width of the result."""

SIDES, SIZES = st.integers(1, 120), st.integers(1, 90)
cases = st.tuples(SIDES, SIDES, st.integers(0, 40), SIZES, SIZES)


def pixels_of(case: Case) -> NDArray[np.uint8]:
    """Rows with the bytes behind them, of which many values are black or white."""
    height, width, behind, *_ = case
    levels = np.random.default_rng(case).integers(-200, 456, (height, 3 * width + behind))
    return levels.clip(0, 255).astype(np.uint8)


def resized_in_c(program: Path, cases: list[Case]) -> list[list[NDArray[np.uint8]]]:
    """Return what each of the instructions makes of each case."""
    given = b""
    for case in cases:
        height, width, behind, *new = case
        rows = pixels_of(case).tobytes()
        given += struct.pack("=5I", height, width, 3 * width + behind, *new) + rows[: len(rows) - behind]
    names = subprocess.run([program, "names"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert names[0] == "plain"
    made = subprocess.run([program, "resize"], input=given, capture_output=True, check=False)
    assert made.returncode == 0, made.stderr.decode()[-2000:]
    results, at = [], 0
    for *_, new_height, new_width in cases:
        shape = new_height, new_width, 3
        ends = [at + math.prod(shape) * i for i in range(len(names) + 1)]
        results.append([np.frombuffer(made.stdout[a:b], np.uint8).reshape(shape) for a, b in pairwise(ends)])
        at = ends[-1]
    assert at == len(made.stdout)
    return results


def compare(program: Path, cases: list[Case]) -> None:
    for case, found in zip(cases, resized_in_c(program, cases), strict=True):
        height, width, _, *new = case
        picture = pixels_of(case)[:, : 3 * width].reshape(height, width, 3)
        expected = resize_area(picture, *new)
        for made in found:
            assert np.array_equal(made, expected), case


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.lists(cases, min_size=1, max_size=20))
@example([(480, 480, 480, 96, 96), (480, 480, 0, 128, 128), (480, 480, 1, 224, 224)])
@example([(1080, 1080, 7, 97, 97), (33, 1920, 2, 31, 400), (1080, 1440, 0, 480, 640)])
@example([(2048, 3, 0, 1, 1), (3, 8192, 0, 1, 10), (1, 1, 0, 60, 60), (8192, 40, 0, 60, 7)])
@example([(60, 50, 0, 60, 50), (60, 50, 3, 60, 90), (60, 50, 3, 90, 50), (400, 400, 0, 399, 399)])
def test_c_makes_the_bytes_of_the_definition_of_pixels_of_any_size_and_stride(library: Any, cases: list[Case]) -> None:
    compare(library.folder / "tests/area_resize", cases)


@pytest.mark.parametrize("compiler", ["sanitized", "sanitized_by_clang"])
def test_no_byte_outside_the_pixels_is_touched(compiler: str, request: pytest.FixtureRequest) -> None:
    program = request.getfixturevalue(compiler).folder / "tests/area_resize"
    sides = [1, 2, 3, 5, 6, 7, 10, 11, 16, 21, 22, 43, 97]
    compare(program, [(height, width, behind, 7, 5) for height in (1, 5, 30) for width in sides for behind in (0, 5)])


@pytest.mark.parametrize("case", [(0, 4, 0, 4, 4), (4, 4, 0, 0, 4), (4, 4, 0, 4, 0)])
def test_a_resize_that_has_no_pixels_is_refused(library: Any, case: Case) -> None:
    height, width, behind, *new = case
    program = library.folder / "tests/area_resize"
    given = struct.pack("=5I", height, width, 3 * width + behind, *new)
    assert subprocess.run([program, "resize"], input=given, check=False).returncode == 3
