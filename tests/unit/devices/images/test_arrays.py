"""Arrays become the frame that the same picture in a file becomes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from support.errors import raises
from weckd_edge.artifacts import FrameSpec
from weckd_edge.core.errors import ConfigError, DataError, ModelError
from weckd_edge.devices.images.arrays import frame_from_array
from weckd_edge.devices.images.frames import fit_to_frame

SPEC = FrameSpec(height=24, width=32, crop="center", resize="bilinear")


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


def test_another_type_shape_order_or_size_is_refused() -> None:
    with raises(ModelError, "E_MODEL_FRAME", says=("float64", "[24, 32, 3]", "astype(numpy.uint8)")):
        frame_from_array(picture(24, 32) / 255, SPEC)
    with raises(ModelError, "E_MODEL_FRAME", says=("[3, 24, 32]", "channels last")):
        frame_from_array(np.moveaxis(picture(24, 32), 2, 0), SPEC)
    with raises(ConfigError, "E_CONFIG_CHOICE", says="'bgr'"):
        frame_from_array(picture(24, 32), SPEC, colour="bgra")
    with raises(DataError, "E_DATA_IMAGE_LIMIT", says="8192"):
        frame_from_array(np.zeros((8193, 1), np.uint8), SPEC)
