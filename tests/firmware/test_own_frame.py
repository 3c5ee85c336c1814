"""Pixels in the library's own frame buffer: classified as from anywhere else, or refused; never another prediction."""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

RGB, BGR, GREY, NV12, YUYV = range(5)
COVER = 1
ARGUMENT = -1


@pytest.fixture(params=["frame", "pixels"])
def opened(request: Any, binding: ModuleType, library: Any, toy: ModuleType, tmp_path: Path) -> Iterator[Any]:
    """A bundle whose graph takes the frame, and one whose graph takes pixels, of as many as the frame has."""
    spec = toy.input_spec() if request.param == "frame" else toy.area_input_spec(toy.SIDE, toy.SIDE)
    folder = toy.write_bundle(tmp_path / "bundle", spec=spec, **toy.IN_C).folder
    sides = {"max_source_width": 64, "max_source_height": 64}
    found = binding.Bundle(str(library.folder / "libweckd_edge.so"), str(folder), backend=b"echo", **sides)
    yield found
    found.close()


def place(opened: Any, pixels: NDArray[np.uint8]) -> Any:
    """Write pixels into the bundle's own frame, as a camera's driver does."""
    own = opened.frame_buffer()
    data = pixels.tobytes()
    ctypes.memmove(own, data, len(data))
    return own


def behind(array: Any, offset: int, times: int = 1) -> Any:
    """Return the memory that begins so many bytes behind an array's start, and is so many times as long."""
    return (ctypes.c_char * (times * ctypes.sizeof(array))).from_address(ctypes.addressof(array) + offset)


@pytest.mark.parametrize("form", [RGB, BGR])
def test_a_whole_frame_is_classified_as_from_anywhere_else_and_left_as_it_was(
    opened: Any, toy: ModuleType, form: int
) -> None:
    for image in toy.frames(8):
        pixels = np.ascontiguousarray(image[..., ::-1]) if form == BGR else image
        expected = opened.classify(pixels.tobytes(), format=form)
        assert expected.probabilities != opened.classify(pixels.tobytes(), format=BGR - form).probabilities
        own = place(opened, pixels)
        for _ in range(2):  # the same pixels again: the same prediction
            assert opened.classify(own, format=form).probabilities == expected.probabilities
        assert bytes(own) == pixels.tobytes()


def overlapping(opened: Any, toy: ModuleType) -> dict[str, tuple[Any, dict[str, int]]]:
    """Frames that share bytes with the block's own, in any other way than one whole frame."""
    side = toy.SIDE
    own = place(opened, toy.frames(1)[0])
    row = 3 * side
    foreign = ctypes.create_string_buffer(4 * side * side)
    elsewhere = ctypes.addressof(foreign)
    half = {"roi_width": side, "roi_height": side}
    cases: dict[str, tuple[Any, dict[str, int]]] = {
        "grey": (own, {"format": GREY}),
        "NV12": (own, {"format": NV12}),
        "YUYV": (own, {"format": YUYV}),
        "NV12 with its chroma alone there": (foreign, {"format": NV12, "chroma": ctypes.addressof(own)}),
        "NV12 with its luma alone there": (own, {"format": NV12, "chroma": elsewhere}),
        "BGR with a stride": (behind(own, 0, 2), {"format": BGR, "stride_bytes": row + 3}),
        "RGB with a stride": (behind(own, 0, 2), {"stride_bytes": row + 3}),
        "RGB from the second byte on": (behind(own, 1), {}),
        "BGR from the second pixel on": (behind(own, 3), {"format": BGR}),
        "RGB that ends in its first byte": (behind(own, 1 - row * side), {}),
        "RGB that begins in its last byte": (behind(own, row * side - 1), {}),
        "a region of a wider frame": (behind(own, -3, 2), {"width": side + 1, "roi_x": 1, **half}),
        "a smaller one to be scaled": (own, {"width": side // 2, "height": side // 2, "fit": COVER}),
        "a larger one to be scaled": (
            behind(own, 0, 4),
            {"width": side * 2, "height": side * 2, "fit": COVER, "format": BGR},
        ),
        "a part of it to be scaled": (own, {"roi_width": 3, "roi_height": 5, "fit": COVER}),
        "grey to be scaled": (own, {"width": 20, "height": 4, "fit": COVER, "format": GREY}),
    }
    opened.kept = foreign  # lives as long as the bundle
    return cases


def test_whatever_overlaps_it_otherwise_is_refused(opened: Any, binding: ModuleType, toy: ModuleType) -> None:
    cases = overlapping(opened, toy)
    before = bytes(opened.frame_buffer())
    for what, (pixels, frame) in cases.items():
        with pytest.raises(binding.WeckdCError, match="overlaps the bundle's own frame buffer") as caught:
            opened.classify(pixels, **frame)
        assert caught.value.status == ARGUMENT, what
        assert bytes(opened.frame_buffer()) == before, what


def test_a_region_of_a_frame_of_the_callers_is_no_overlap(opened: Any, toy: ModuleType) -> None:
    side, image = toy.SIDE, toy.frames(2)[1]
    wide = np.zeros((side, side + 5, 3), np.uint8)
    wide[:, 2 : 2 + side] = image
    region = {"width": side + 5, "roi_x": 2, "roi_width": side, "roi_height": side}
    assert opened.classify(wide.tobytes(), **region).probabilities == opened.classify(image.tobytes()).probabilities
