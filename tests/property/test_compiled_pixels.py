"""The compiled library and NumPy make the same bytes and numbers of any pixels, however they lie in memory."""

from __future__ import annotations

import ctypes

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameSpec, crop_box
from weckd_edge.devices.images import area_resize
from weckd_edge.devices.native.guard import CompiledGuard
from weckd_edge.devices.native.library import resize
from weckd_edge.devices.runtime import input_guard

LAYOUTS = ("plain", "padded", "part", "mirrored", "upside down", "blue first", "columns first", "every second")


def pixels_of(height: int, width: int, layout: str) -> NDArray[np.uint8]:
    """Return pixels ``[height, width, 3]`` of which many are black or white, in one of the ways that they may lie."""
    random = np.random.default_rng(height * 10_000 + width)
    levels = random.integers(-200, 456, (2 * height + 2, 2 * width + 2, 3)).clip(0, 255).astype(np.uint8)
    part = levels[:height, :width]
    found = {
        "plain": np.ascontiguousarray(part),
        "padded": np.pad(part, ((0, 0), (0, 5), (0, 0)))[:, :width],
        "part": levels[1 : height + 1, 1 : width + 1],
        "mirrored": part[:, ::-1],
        "upside down": part[::-1],
        "blue first": part[..., ::-1],
        "columns first": np.asfortranarray(part),
        "every second": levels[: 2 * height : 2, : 2 * width : 2],
    }[layout]
    assert found.shape == (height, width, 3)
    return found


@settings(max_examples=150)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 60), st.integers(1, 60), st.sampled_from(LAYOUTS))
@example(480, 480, 96, 96, "part")
@example(700, 3, 1, 3, "plain")
@example(1, 1, 60, 50, "plain")
def test_both_resize_to_the_same_bytes(
    compiled: ctypes.CDLL, height: int, width: int, new_height: int, new_width: int, layout: str
) -> None:
    pixels = pixels_of(height, width, layout)
    expected = area_resize._resize_by_numpy(pixels, new_height, new_width)
    found = resize(compiled, pixels, new_height, new_width)
    assert found.flags.c_contiguous
    assert np.array_equal(found, expected)


@settings(max_examples=100)
@given(st.integers(3, 150), st.integers(3, 150), st.sampled_from(["center", "stretch"]), st.sampled_from(LAYOUTS))
@example(480, 640, "center", "plain")
def test_both_measure_the_same_numbers_to_the_bit(
    compiled: ctypes.CDLL, height: int, width: int, crop: str, layout: str
) -> None:
    spec = FrameSpec(height=height, width=width, crop=crop)  # type: ignore[arg-type]
    frame = pixels_of(height, width, layout)
    random = np.random.default_rng(height + width)
    mean = random.random(input_guard.FEATURES) * 90
    whitening = np.tril(random.standard_normal((input_guard.FEATURES, input_guard.FEATURES)) / 7)
    expected = input_guard._measure_by_numpy(frame, spec)
    score = float(input_guard.distances(expected.features[None], mean, whitening)[0])
    guard = CompiledGuard(compiled, crop_box(spec), mean=mean, whitening=whitening)
    numbers, features = guard.measure_all(frame)
    assert input_guard._quality(numbers) == expected.quality
    assert (features == expected.features).all()
    assert numbers[0] == score
    assert guard.measure(frame) == numbers
