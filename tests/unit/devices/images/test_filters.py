"""Antialiased filters are Pillow's: the same pixels, for every size, crop and kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from weckd_edge.artifacts import FrameSpec
from weckd_edge.devices.images.filters import FILTERS, filter_axes, filter_weights

PILLOWS = {
    "antialiased_bilinear": Image.Resampling.BILINEAR,
    "antialiased_bicubic": Image.Resampling.BICUBIC,
}
SIDES = st.integers(1, 90)
KINDS = st.sampled_from(sorted(FILTERS))


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """Pixels of which many are black or white, so that filters overshoot."""
    levels = np.random.default_rng(height * 1000 + width).integers(-200, 456, (height, width, 3)).clip(0, 255)
    return levels.astype(np.uint8)


def whole(values: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.floor(values.clip(0, 255) + 0.5)
    return found


def resized(pixels: NDArray[np.uint8], spec: FrameSpec, size: tuple[int, int]) -> NDArray[np.float64]:
    rows, columns = filter_axes(spec, size)
    return whole(np.einsum("ih,hjc->ijc", rows, whole(np.einsum("jw,hwc->hjc", columns, pixels.astype(np.float64)))))


def frame(pixels: NDArray[np.uint8], kind: str, **changes: object) -> FrameSpec:
    return FrameSpec(
        height=pixels.shape[0],
        width=pixels.shape[1],
        crop="stretch",
        resize=kind,
        **changes,  # type: ignore[arg-type]
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(height=SIDES, width=SIDES, new_height=SIDES, new_width=SIDES, kind=KINDS)
def test_a_picture_is_resized_to_pillows_very_pixels(
    height: int, width: int, new_height: int, new_width: int, kind: str
) -> None:
    pixels = picture(height, width)
    columns_first = Image.fromarray(pixels).resize((new_width, height), PILLOWS[kind])
    expected = np.asarray(columns_first.resize((new_width, new_height), PILLOWS[kind]))
    assert np.array_equal(resized(pixels, frame(pixels, kind), (new_height, new_width)), expected)


@pytest.mark.parametrize("kind", FILTERS)
def test_the_middle_of_the_scaled_frame_is_what_pillow_cuts_out_of_it(kind: str) -> None:
    pixels = picture(60, 83)
    expected = np.asarray(Image.fromarray(pixels).resize((41, 30), PILLOWS[kind]))[2:26, 8:32]
    made = resized(pixels, frame(pixels, kind, scaled_size=(30, 41), crop_size=(48, 48)), (25, 24))[:24]
    assert np.array_equal(made, expected)


@pytest.mark.parametrize("kind", FILTERS)
def test_without_a_scaled_frame_the_crop_alone_is_resized(kind: str) -> None:
    pixels = picture(40, 51)
    spec = FrameSpec(height=40, width=51, crop="center", resize=kind)  # type: ignore[arg-type]  # a name of the table
    expected = np.asarray(Image.fromarray(pixels[:, 5:45]).resize((16, 16), PILLOWS[kind]))
    assert np.array_equal(resized(pixels, spec, (16, 16)), expected)
    rows, columns = filter_axes(spec, (16, 16))
    assert not columns[:, :5].any()
    assert not columns[:, 45:].any()
    assert np.allclose([rows.sum(axis=1), columns.sum(axis=1)], 1)


@pytest.mark.parametrize("kind", FILTERS)
def test_an_axis_that_keeps_its_length_keeps_its_pixels(kind: str) -> None:
    assert np.array_equal(filter_weights(kind, 7, 7), np.eye(7))
