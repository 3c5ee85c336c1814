"""The compiled library and NumPy make the same bytes and numbers of any pixels, however they lie in memory."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from support.frames.camera import values_of
from weckd_edge.artifacts import FrameGuard, FrameSpec, InputSpec, NetworkInput, QualityLimits, crop_box
from weckd_edge.devices.images import area_resize
from weckd_edge.devices.images.camera_frames import COLOURS, MATRICES, CameraFrame, camera_frame
from weckd_edge.devices.native.guard import CompiledGuard, GuardStatistics
from weckd_edge.devices.native.library import resize
from weckd_edge.devices.runtime import front_end, input_guard

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
    expected = area_resize.resize_by_numpy(pixels, new_height, new_width)
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
    white = input_guard.whiten(expected.features[None], mean, whitening)
    guard = CompiledGuard(compiled, crop_box(spec), GuardStatistics(mean=mean, whitening=whitening))
    numbers, features = guard.measure_all(frame)
    again = guard.measure(frame)
    assert input_guard._quality(numbers.judged) == expected.quality
    assert (features == expected.features).all()
    assert numbers.judged[0] == float(input_guard.squared_lengths(white)[0])
    assert (numbers.whitened == white[0]).all()
    assert again.judged == numbers.judged
    assert (again.whitened == white[0]).all()


def laid_out(values: NDArray[np.uint8], layout: str) -> NDArray[np.uint8]:
    """Return the same values, as they may lie in memory."""
    behind = [(0, 0)] * values.ndim
    behind[1] = (1, 3)
    every_second = np.zeros((2 * len(values), *values.shape[1:]), np.uint8)
    every_second[::2] = values
    found = {
        "plain": values,
        "padded": np.pad(values, behind)[:, 1:-3],
        "upside down": np.ascontiguousarray(values[::-1])[::-1],
        "mirrored": np.ascontiguousarray(values[:, ::-1])[:, ::-1],
        "columns first": np.asfortranarray(values),
        "every second row": every_second[::2],
    }[layout]
    assert np.array_equal(found, values)
    return found


EVEN = st.integers(1, 45).map(lambda half: 2 * half)
ROOMS = ("plain", "padded", "upside down", "mirrored", "columns first", "every second row")


@st.composite
def camera_frames(draw: st.DrawFn) -> CameraFrame:
    """Frames of any order of values, size, matrix, region and strides."""
    colour, matrix = draw(st.sampled_from(COLOURS)), draw(st.sampled_from(MATRICES))
    height, width = draw(EVEN), draw(EVEN)
    values = values_of(colour, height, width, seed=draw(st.integers(0, 99)))
    region = None
    if draw(st.booleans()):
        left, top = 2 * draw(st.integers(0, width // 2 - 1)), 2 * draw(st.integers(0, height // 2 - 1))
        region = (left, top, 2 * draw(st.integers(1, (width - left) // 2)), 2 * draw(st.integers(1, (height - top) // 2)))
    if colour == "nv12" and draw(st.booleans()):
        planes = [laid_out(part, draw(st.sampled_from(ROOMS))) for part in (values[:height], values[height:])]
        return camera_frame(planes[0], chroma=planes[1], colour=colour, matrix=matrix, region=region)
    placed = laid_out(values, draw(st.sampled_from(ROOMS)))
    return camera_frame(placed, colour=colour, matrix=matrix, region=region)


@settings(max_examples=250)
@given(
    camera_frames(),
    st.integers(3, 40),
    st.integers(3, 40),
    st.integers(1, 40),
    st.sampled_from(["center", "stretch"]),
    st.sampled_from(["area", "bilinear"]),
)
def test_both_make_the_same_of_a_camera_frame_of_any_kind(
    compiled: ctypes.CDLL, camera: CameraFrame, height: int, width: int, side: int, crop: Any, resize: Any
) -> None:
    frame = FrameSpec(height=height, width=width, crop=crop, resize=resize)
    _, _, region_width, region_height = camera.region
    sides = {"height": min(side, region_height), "width": min(side + 3, region_width)}
    spec = InputSpec(frame=frame, network=NetworkInput(**sides, mean=(0.0,) * 3, std=(1.0,) * 3))
    expected, found = both(compiled, spec, camera)
    assert np.array_equal(found.pixels, expected.pixels)
    assert found.pixels.shape == spec.graph_shape
    assert found.pixels.flags.c_contiguous
    assert found.decision == expected.decision


LARGE = (
    ("rgb", 1080, 1920, None),
    ("bgr", 1081, 1919, (3, 5, 1900, 1001)),
    ("grey", 8192, 40, None),
    ("nv12", 1080, 1920, (100, 2, 1234, 1000)),
    ("yuyv", 40, 8192, None),
)


@pytest.mark.parametrize(("colour", "height", "width", "region"), LARGE, ids=[row[0] for row in LARGE])
@pytest.mark.parametrize("frame", [(480, 640), (40, 40)], ids=["480 x 640", "40 x 40"])
def test_both_make_the_same_of_large_frames(
    compiled: ctypes.CDLL, colour: str, height: int, width: int, region: Any, frame: tuple[int, int]
) -> None:
    camera = camera_frame(laid_out(values_of(colour, height, width), "padded"), colour=colour, region=region)
    network = NetworkInput(height=37, width=40, mean=(0.0,) * 3, std=(1.0,) * 3)
    spec = InputSpec(frame=FrameSpec(height=frame[0], width=frame[1], crop="center", resize="area"), network=network)
    expected, found = both(compiled, spec, camera)
    assert np.array_equal(found.pixels, expected.pixels)
    assert found.decision is not None
    assert expected.decision is not None
    assert found.decision == expected.decision
    assert (found.decision.whitened == expected.decision.whitened).all()


def both(compiled: ctypes.CDLL, spec: InputSpec, camera: CameraFrame) -> tuple[front_end.Prepared, front_end.Prepared]:
    """Return what NumPy and what the compiled library make of a frame."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(area_resize.library, "pixels_library", lambda: None)
        patched.setattr(front_end, "pixels_library", lambda: None)
        patched.setattr(input_guard, "pixels_library", lambda: None)
        expected = front_end.FrontEnd(spec, open_guard(spec)).prepare_camera(camera)
        patched.setattr(front_end, "pixels_library", lambda: compiled)
        return expected, front_end.FrontEnd(spec, open_guard(spec)).prepare_camera(camera)


def open_guard(spec: InputSpec) -> input_guard.OpenGuard:
    """Return a guard that judges by all features, and refuses no frame."""
    random = np.random.default_rng(7)
    whitening = tuple(tuple((random.standard_normal(row + 1) / 7).tolist()) for row in range(input_guard.FEATURES))
    mean = tuple((random.random(input_guard.FEATURES) * 90).tolist())
    guard = FrameGuard(limits=QualityLimits(), mean=mean, whitening=whitening, max_ood_score=None)
    return input_guard.OpenGuard(guard, spec.frame)
