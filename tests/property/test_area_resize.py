"""NumPy and torch resize by area to the same bytes, whatever the sizes, and as it is defined."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput, crop_box
from weckd_edge.devices.images.area_resize import TOTAL, area_weights, resize_area

SIDES = st.integers(1, 8192)
SIZES = st.integers(1, 2048)
CROPS = ["center", "stretch"]
SMALL = st.integers(2, 90)


def spec_of(height: int, width: int, size: int, crop: Any = "center") -> InputSpec:
    """An input in grey levels: nothing is taken off and nothing scaled."""
    return InputSpec(
        frame=FrameSpec(height=height, width=width, crop=crop, resize="area"),
        network=NetworkInput(height=size, width=size, mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255)),
    )


def noise(height: int, width: int) -> NDArray[np.uint8]:
    """Pixels of which many are black or white, so that sums reach their ends."""
    random = np.random.default_rng(height * 10_000 + width)
    levels = random.integers(-200, 456, (height, width, 3)).clip(0, 255)
    return levels.astype(np.uint8)


def weights_by_hand(source: int, target: int) -> list[dict[int, int]]:
    """Weights of each old pixel in each new one, from the words of the definition and in fractions."""
    weights = []
    for i in range(target):
        low, high = Fraction(i * source, target), Fraction((i + 1) * source, target)
        before, row = 0, {}
        for j in range(int(low), source):
            covered = min(Fraction(j + 1), high) - low
            together = int(covered / (high - low) * TOTAL + Fraction(source // 2, source))
            row[j], before = together - before, together
            if j + 1 >= high:
                break
        weights.append(row)
    return weights


def resized_by_hand(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    down, across = weights_by_hand(pixels.shape[0], height), weights_by_hand(pixels.shape[1], width)
    wide = pixels.astype(np.int64)
    rows = np.stack([sum(w * wide[j] for j, w in row.items()) for row in down])
    columns = [(sum(w * rows[:, j] for j, w in row.items()) + 8192) >> 14 for row in across]
    return np.stack(columns, axis=1).astype(np.uint8)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(source=SIDES, target=SIZES)
@example(source=8192, target=4)
@example(source=8192, target=2048)
@example(source=1, target=2048)
@example(source=8191, target=32)
@example(source=8192, target=1)
def test_the_weights_of_each_new_pixel_sum_to_the_total_and_every_old_pixel_counts(source: int, target: int) -> None:
    axis = area_weights(source, target)
    assert (axis.weights.sum(axis=1) == TOTAL).all()
    assert axis.weights.min() >= 0
    counts = np.zeros(source, np.int64)
    np.add.at(counts, axis.places(source), axis.weights)
    if source <= TOTAL * target:
        assert counts.min() > 0
    else:  # there are not as many weights as old pixels: each weighs 1 or nothing, evenly
        assert counts.max() == 1
        assert np.diff(np.flatnonzero(counts)).max() <= -(-source // (TOTAL * target))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(source=st.integers(1, 300), target=st.integers(1, 120))
def test_the_weights_are_those_of_the_definition_and_close_to_the_covered_share(source: int, target: int) -> None:
    matrix = area_weights(source, target).matrix(source)
    for i, row in enumerate(weights_by_hand(source, target)):
        assert {j: int(w) for j, w in enumerate(matrix[i]) if w} == {j: w for j, w in row.items() if w}
        for j, weight in row.items():
            low, high = max(i * source, j * target), min((i + 1) * source, (j + 1) * target)
            assert abs(weight - TOTAL * (high - low) / source) <= 1


@pytest.mark.parametrize(("source", "target"), [(0, 4), (4, 0)])
def test_a_side_that_is_empty_is_refused(source: int, target: int) -> None:
    with pytest.raises(ValueError, match=f"{source} to {target} pixels: expected"):
        area_weights(source, target)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(height=SMALL, width=SMALL, new=st.tuples(st.integers(1, 48), st.integers(1, 48)), level=st.integers(0, 255))
@example(height=300, width=2, new=(1, 1), level=255)
@example(height=2, width=400, new=(3, 2), level=1)
@example(height=40, width=30, new=(40, 60), level=0)
@example(height=7, width=9, new=(48, 48), level=128)
def test_numpy_keeps_to_the_definition_on_any_strides_and_a_constant_picture_stays_constant(
    height: int, width: int, new: tuple[int, int], level: int
) -> None:
    around = noise(2 * height, width + 7)[::2, 3 : 3 + width]
    before = around.copy()
    assert np.array_equal(resize_area(around, *new), resized_by_hand(before, *new))
    assert np.array_equal(around, before)
    assert (resize_area(np.full((height, width, 3), level, np.uint8), *new) == level).all()


def test_numpy_resizes_pictures_of_any_number_of_channels() -> None:
    pixels = noise(31, 44)
    resized = resize_area(pixels, 9, 20)
    assert np.array_equal(resize_area(pixels[:, :, 1:2], 9, 20), resized[:, :, 1:2])


@settings(max_examples=40, deadline=None, derandomize=True)
@given(size=st.integers(2, 40), times=st.integers(1, 8))
def test_a_whole_ratio_gives_each_new_pixel_the_mean_of_its_square(size: int, times: int) -> None:
    pixels = noise(size * times, size * times)
    means = pixels.reshape(size, times, size, times, 3).mean(axis=(1, 3))
    off_by_rounded_weights = 0 if TOTAL % times == 0 else 255 * times / TOTAL
    assert np.abs(resize_area(pixels, size, size) - means).max() <= 0.5 + off_by_rounded_weights


@settings(max_examples=25, deadline=None, derandomize=True)
@given(height=SMALL, width=SMALL, size=st.integers(4, 48), crop=st.sampled_from(CROPS))
@example(height=480, width=640, size=96, crop="center")
@example(height=480, width=640, size=224, crop="center")
@example(height=479, width=640, size=97, crop="stretch")
@example(height=60, width=2048, size=12, crop="stretch")
@example(height=12, width=16, size=12, crop="center")
@example(height=12, width=12, size=12, crop="center")
@example(height=3, width=5, size=48, crop="stretch")
def test_training_gives_the_same_bytes_as_numpy(height: int, width: int, size: int, crop: str) -> None:
    torch = pytest.importorskip("torch")
    from weckd_edge.train.networks.preprocess import crop_and_resize

    spec = spec_of(height, width, size, crop)
    frames = noise(2 * height, width).reshape(2, height, width, 3)
    top, left, used_height, used_width = crop_box(spec.frame)
    used = frames[:, top : top + used_height, left : left + used_width]
    expected = np.stack([resize_area(frame, size, size) for frame in used]).transpose(0, 3, 1, 2)

    assert np.array_equal(crop_and_resize(torch.from_numpy(frames), spec.frame, (size, size)).numpy(), expected)
