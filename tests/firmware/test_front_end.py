"""The front end in C makes Python's pixels and guard's features of a frame of any size, format, stride and region."""

from __future__ import annotations

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from support.frames.formats import BGR, GREY, NV12, RGB, YUYV, CameraFrame, camera_frame
from weckd_edge.artifacts import FrameSpec
from weckd_edge.devices.images.area_resize import resize_area
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.runtime.input_guard import FEATURES, measure_frame

FORMATS = (RGB, BGR, GREY, NV12, YUYV)


@dataclass(frozen=True)
class Case:
    """A frame of half the sizes in pairs of pixels, so that every format takes it; its region; and what is made of it."""

    layout: int
    pairs: tuple[int, int]
    region: tuple[int, int, int, int] | None = None
    frame: tuple[int, int] = (48, 64)
    crop: tuple[int, int, int, int] = (0, 8, 48, 48)
    network: tuple[int, int] = (12, 12)
    matrix: int = 0
    behind: int = 0

    def camera(self) -> CameraFrame:
        height, width = (2 * side for side in self.pairs)
        return camera_frame(self.layout, height, width, matrix=self.matrix, behind=self.behind)

    def box(self) -> tuple[int, int, int, int]:
        return self.region or (0, 0, 2 * self.pairs[0], 2 * self.pairs[1])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    side, size = st.integers(1, 60), st.integers(1, 90)
    pairs = draw(side), draw(side)
    rows, columns = (draw(st.integers(1, whole)) for whole in pairs)
    top, left = draw(st.integers(0, pairs[0] - rows)), draw(st.integers(0, pairs[1] - columns))
    region = draw(st.sampled_from([None, (2 * top, 2 * left, 2 * rows, 2 * columns)]))
    same = region[2:] if region else (2 * pairs[0], 2 * pairs[1])
    frame = draw(st.sampled_from([same, (draw(size), draw(size))]))
    high, wide = (draw(st.integers(1, whole)) for whole in frame)
    crop = draw(st.integers(0, frame[0] - high)), draw(st.integers(0, frame[1] - wide)), high, wide
    network = draw(st.sampled_from([(high, wide), (draw(size), draw(size)), (min(high, 8), min(wide, 6))]))
    layout, matrix, behind = draw(st.sampled_from(FORMATS)), draw(st.integers(0, 3)), draw(st.integers(0, 20))
    return Case(layout, pairs, region, frame, crop, network, matrix, behind)


def given_to_c(case: Case) -> bytes:
    """Write a case as the test program reads it; nothing lies behind the last row's pixels."""
    camera = case.camera()
    top, left, height, width = case.region or (0, 0, 0, 0)
    data, chroma = camera.rows.tobytes(), camera.chroma.tobytes()
    data = data[: len(data) - case.behind]
    chroma = chroma[: max(0, len(chroma) - case.behind)]
    strides = camera.rows.shape[1], camera.chroma.shape[1]
    crop_top, crop_left, crop_height, crop_width = case.crop
    numbers = [
        *(camera.layout, camera.matrix, camera.width, camera.height, *strides, left, top, width, height),
        *(case.frame[1], case.frame[0], crop_left, crop_top, crop_width, crop_height, case.network[1], case.network[0]),
        *(case.box()[3], case.box()[2], len(data), len(chroma)),
    ]
    return struct.pack(f"={len(numbers)}I", *numbers) + data + chroma


def expected_of(case: Case) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float64]]:
    """Return the network's pixels, the crop and the guard's features, by Python's definitions."""
    top, left, height, width = case.box()
    region = np.ascontiguousarray(case.camera().rgb()[top : top + height, left : left + width])
    frame = fit_to_frame(region, *case.frame)
    top, left, height, width = case.crop
    crop = np.ascontiguousarray(frame[top : top + height, left : left + width])
    features = np.zeros(0)
    if min(height, width) >= 3:
        features = measure_frame(crop, FrameSpec(height=height, width=width, crop="stretch")).features
    return resize_area(crop, *case.network), crop, features


def compare(program: Path, cases: list[Case]) -> None:
    made = subprocess.run([program, "make"], input=b"".join(map(given_to_c, cases)), capture_output=True, check=False)
    assert made.returncode == 0, made.stderr.decode()[-2000:]
    at = 0
    for case in cases:
        assert struct.unpack_from("=i", made.stdout, at) == (0,)
        at += 4
        for part in expected_of(case):
            found = np.frombuffer(made.stdout[at : at + part.nbytes], part.dtype).reshape(part.shape)
            assert np.array_equal(found, part), case
            at += part.nbytes
    assert at == len(made.stdout)


FULL = [
    Case(layout, pairs, None, (480, 640), (0, 80, 480, 480), size)
    for layout in FORMATS
    for pairs in [(240, 320), (540, 960), (360, 640), (120, 160)]
    for size in [(96, 96), (224, 224)]
]


def test_features_are_as_many_as_python_has() -> None:
    assert len(expected_of(Case(RGB, (24, 32)))[2]) == FEATURES


@pytest.mark.parametrize("case", FULL, ids=str)
def test_frames_of_cameras_become_the_pixels_of_python(library: Any, case: Case) -> None:
    compare(library.folder / "tests/front_end", [case])


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(cases(), min_size=1, max_size=20))
@example([Case(RGB, (1, 1), None, (1, 1), (0, 0, 1, 1), (5, 4)), Case(NV12, (1, 150), None, (2, 4), (1, 1, 1, 3), (1, 2))])
@example([Case(layout, (150, 3), None, (3, 6), (0, 1, 3, 4), (1, 1)) for layout in FORMATS])
@example([Case(layout, (20, 20), (2, 4, 30, 20), (30, 20), (3, 1, 21, 17), (7, 5), 2, 3) for layout in FORMATS])
def test_frames_of_any_size_stride_and_region_become_the_pixels_of_python(library: Any, cases: list[Case]) -> None:
    compare(library.folder / "tests/front_end", cases)


@pytest.mark.parametrize("compiler", ["sanitized", "sanitized_by_clang"])
def test_no_byte_outside_the_frame_is_touched(compiler: str, request: pytest.FixtureRequest) -> None:
    program = request.getfixturevalue(compiler).folder / "tests/front_end"
    sides = [1, 2, 3, 7, 8, 9, 17, 40]
    compare(
        program,
        [
            Case(layout, (high, wide), None, frame, crop, (5, 6), 1, behind)
            for layout in FORMATS
            for high in (1, 3, 20)
            for wide in sides
            for frame, crop in [((2 * high, 2 * wide), (0, 1, 2 * high - 1, 2 * wide - 1)), ((9, 12), (1, 2, 8, 9))]
            for behind in (0, 5)
        ],
    )
