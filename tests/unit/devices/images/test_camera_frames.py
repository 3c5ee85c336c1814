"""Arrays become the frame that the same picture in a file becomes; a camera's values become RGB."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from support.errors import raises
from support.frames.camera import values_of
from weckd_edge.artifacts import FrameSpec
from weckd_edge.core.errors import ConfigError, ModelError
from weckd_edge.devices.images.camera_frames import COLOURS, FACTORS, MATRICES, camera_frame, rgb_of
from weckd_edge.devices.images.fitting import fit_to_frame
from weckd_edge.devices.images.frames import frame_from_pixels

SPEC = FrameSpec(height=24, width=32, crop="center", resize="bilinear")


def frame_from_array(image: NDArray[np.uint8], spec: FrameSpec, **more: Any) -> NDArray[np.uint8]:
    return frame_from_pixels(rgb_of(camera_frame(image, **more)), spec)


def picture(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(24, 32), (480, 640), (7, 90), (1, 1)])
def test_an_array_of_any_size_fits_the_frame_as_a_file_does(size: tuple[int, int]) -> None:
    frame = frame_from_array(picture(*size), SPEC)
    assert (frame.shape, frame.dtype, frame.flags.c_contiguous) == ((1, 24, 32, 3), np.uint8, True)
    assert (frame[0] == fit_to_frame(picture(*size), 24, 32)).all()


def test_red_comes_first_whatever_order_the_array_has() -> None:
    image = picture(24, 32)
    assert (frame_from_array(image[:, :, ::-1], SPEC, colour="bgr") == image).all()
    assert (frame_from_array(image, SPEC, colour="rgb") == image).all()


def test_grey_becomes_three_equal_channels() -> None:
    grey = picture(24, 32)[:, :, 0]
    assert (frame_from_array(grey, SPEC, colour="bgr")[0] == grey[:, :, None]).all()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("matrix", MATRICES)
def test_values_of_every_order_become_the_rgb_that_the_definition_says(colour: str, matrix: str) -> None:
    values = values_of(colour, 8, 12)
    rgb = rgb_of(camera_frame(values, colour=colour, matrix=matrix))
    expected = [[pixel_by_hand(values, colour, matrix, row, column) for column in range(12)] for row in range(8)]
    assert rgb.tolist() == expected
    part = rgb_of(camera_frame(values, colour=colour, matrix=matrix, region=(2, 4, 6, 2)))
    assert np.array_equal(part, rgb[4:6, 2:8])


def pixel_by_hand(values: NDArray[np.uint8], colour: str, matrix: str, row: int, column: int) -> list[int]:
    """Return red, green and blue of one pixel, from the words of the standards, in fractions until the end."""
    if colour in ("rgb", "bgr", "grey"):
        found = np.broadcast_to(values[row, column], 3).tolist()
        return found[::-1] if colour == "bgr" else found
    if colour == "nv12":
        luma, pair = int(values[row, column]), values[8 + row // 2, column // 2 * 2 :][:2].tolist()
    else:
        luma, pair = int(values[row, column, 0]), [int(values[row, column // 2 * 2 + k, 1]) for k in range(2)]
    gain, offset, red_cr, green_cb, green_cr, blue_cb = (Fraction(factor, 65536) for factor in FACTORS[matrix])
    light, blue, red = gain * (luma - offset * 65536), pair[0] - 128, pair[1] - 128
    sums = (light + red_cr * red, light + green_cb * blue + green_cr * red, light + blue_cb * blue)
    return [min(255, max(0, math.floor(total + Fraction(1, 2)))) for total in sums]


def test_the_factors_of_the_matrices_are_those_of_the_standards() -> None:
    for name, (kr, kb) in {"bt601": (0.299, 0.114), "bt709": (0.2126, 0.0722)}.items():
        for span, luma, chroma, offset in (("limited", 255 / 219, 255 / 224, 16), ("full", 1.0, 1.0, 0)):
            kg = 1 - kr - kb
            exact = [
                *(luma, 2 * (1 - kr) * chroma),
                *(-2 * (1 - kb) * kb / kg * chroma, -2 * (1 - kr) * kr / kg * chroma, 2 * (1 - kb) * chroma),
            ]
            gain, found_offset, *others = FACTORS[f"{name}_{span}"]
            assert found_offset == offset
            assert np.abs(np.array([gain, *others]) - np.array(exact) * 65536).max() < 2


def test_nv12_may_come_as_one_array_or_as_two_planes() -> None:
    whole = values_of("nv12", 8, 12)
    luma, chroma = whole[:8], whole[8:]
    expected = frame_from_array(whole, SPEC, colour="nv12")
    assert np.array_equal(frame_from_array(luma, SPEC, colour="nv12", chroma=chroma), expected)
    assert np.array_equal(frame_from_array(luma, SPEC, colour="nv12", chroma=chroma.reshape(4, 6, 2)), expected)
    with raises(ModelError, "E_MODEL_FRAME_GEOMETRY", says="[3, 12]"):
        frame_from_array(luma, SPEC, colour="nv12", chroma=chroma[:3])
    with raises(ModelError, "E_MODEL_FRAME", says="'grey'"):
        frame_from_array(luma, SPEC, colour="grey", chroma=chroma)


def test_another_type_shape_or_order_is_refused() -> None:
    with raises(ModelError, "E_MODEL_FRAME", says=("float64", "[24, 32, 3]", "astype(numpy.uint8)")):
        frame_from_array(picture(24, 32) / 255, SPEC)
    with raises(ModelError, "E_MODEL_FRAME", says=("[3, 24, 32]", "channels last")):
        frame_from_array(np.moveaxis(picture(24, 32), 2, 0), SPEC)
    with raises(ModelError, "E_MODEL_FRAME", says=("list", "numpy.asarray")):
        frame_from_array([[0]], SPEC)  # type: ignore[arg-type]
    with raises(ModelError, "E_MODEL_FRAME", says=("[H, W, 2]", "[24, 32, 3]")):
        frame_from_array(picture(24, 32), SPEC, colour="yuyv")
    with raises(ConfigError, "E_CONFIG_CHOICE", says="'bgr'"):
        frame_from_array(picture(24, 32), SPEC, colour="bgra")
    with raises(ModelError, "E_MODEL_FRAME_GEOMETRY", says="8192"):
        frame_from_array(np.zeros((8193, 1), np.uint8), SPEC)
    with raises(ModelError, "E_MODEL_FRAME_GEOMETRY", says="0 x 4"):
        frame_from_array(np.zeros((4, 0, 3), np.uint8), SPEC)
    with raises(ModelError, "E_MODEL_FRAME_GEOMETRY", says="whole pixels"):
        frame_from_array(picture(24, 32), SPEC, region=(0, 0, 1.5, 2))  # type: ignore[arg-type]
