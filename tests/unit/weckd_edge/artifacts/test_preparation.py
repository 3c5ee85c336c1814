"""The frame of an imported network: what a trainer's settings say, and the crop that torchvision and timm take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from weckd_edge.artifacts import (
    INTERPOLATIONS,
    FrameSpec,
    crop_box,
    prepared_frame,
    read_preparation,
    trained_normalisation,
    trained_size,
)

SIDES = st.integers(16, 700)


def frame(height: int, width: int, **changes: Any) -> FrameSpec:
    return FrameSpec(**{"height": height, "width": width, "crop": "center", "resize": "antialiased_bicubic", **changes})


@settings(max_examples=200, deadline=None, derandomize=True)
@given(height=SIDES, width=SIDES, size=st.tuples(SIDES, SIDES), crop_pct=st.sampled_from([1.0, 0.875, 0.9, 0.95, 0.7]))
@example(height=480, width=640, size=(224, 224), crop_pct=0.875)
@example(height=640, width=480, size=(160, 160), crop_pct=0.875)
@example(height=480, width=640, size=(192, 256), crop_pct=0.9)
def test_the_frame_is_scaled_and_cropped_as_timm_does_it(
    height: int, width: int, size: tuple[int, int], crop_pct: float
) -> None:
    pytest.importorskip("timm")
    from PIL import Image
    from timm.data.transforms_factory import transforms_imagenet_eval

    for crop, mode in (("center", "center"), ("stretch", "squash")):
        made = prepared_frame(frame(height, width, crop=crop), size, crop_pct)
        resize = transforms_imagenet_eval(size, crop_pct=crop_pct, crop_mode=mode, interpolation="nearest").transforms[0]
        expected = resize(Image.new("L", (width, height))).size
        assert made.scaled_size == (expected[1], expected[0])
        assert all(kept <= scaled for kept, scaled in zip(size, made.scaled_size or (), strict=True))
        top, left, tall, wide = crop_box(made)
        for start, kept, side, new, scaled in zip(
            (top, left), (tall, wide), (height, width), size, made.scaled_size or (), strict=True
        ):
            ratio = side / scaled
            exact = round((scaled - new) / 2) * ratio
            allowed = 1 + ratio  # a pixel of the frame and one of the scaled frame
            assert start >= 0
            assert start + kept <= side
            assert abs(start - exact) <= allowed
            assert abs(start + kept - exact - new * ratio) <= allowed


def test_the_whole_square_needs_no_crop_of_its_own() -> None:
    assert prepared_frame(frame(480, 640, resize="area"), (96, 96), 1.0) == frame(480, 640, resize="area")
    assert prepared_frame(frame(480, 640, resize="bilinear"), (96, 96), 1.0) == frame(480, 640, resize="bilinear")


def test_other_resizes_take_the_box_in_whole_pixels() -> None:
    made = prepared_frame(frame(480, 640, resize="area"), (224, 224), 0.875)
    assert (made.scaled_size, crop_box(made)) == (None, (30, 110, 420, 420))
    wide = prepared_frame(frame(480, 640, resize="area"), (100, 300), 1.0)
    assert crop_box(wide) == (133, 0, 213, 640)


def test_a_part_that_is_a_fraction_gives_the_size_it_was_made_of() -> None:
    for scaled in range(225, 400):
        assert prepared_frame(frame(480, 480), (224, 224), 224 / scaled).scaled_size == (scaled, scaled)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"crop_pct": 0.9, "interpolation": "bicubic", "crop_mode": "center"}, (0.9, "center", "antialiased_bicubic", 0)),
        ({"crop_pct": 1, "interpolation": "bilinear", "crop_mode": "squash"}, (1.0, "stretch", "antialiased_bilinear", 0)),
        (
            {"val_resize_size": 256, "val_crop_size": 224, "interpolation": "bilinear"},
            (0.875, None, "antialiased_bilinear", 0),
        ),
        ({"interpolation": "InterpolationMode.BICUBIC"}, (None, None, "antialiased_bicubic", 0)),
        ({"interpolation": "lanczos"}, (None, None, "antialiased_bicubic", 1)),
        ({"crop_mode": "border"}, (None, None, None, 1)),
        ({"crop_pct": 1.2, "interpolation": "nearest", "crop_mode": 3}, (None, None, None, 0)),
        ({"crop_pct": True, "interpolation": None, "val_resize_size": 0, "val_crop_size": 2}, (None, None, None, 0)),
        ({"crop_pct": float("nan")}, (None, None, None, 0)),
        ({}, (None, None, None, 0)),
    ],
)
def test_settings_of_trainers_are_read_as_far_as_they_make_sense(
    settings: dict[str, Any], expected: tuple[Any, ...]
) -> None:
    found = read_preparation(settings, "the file says")
    assert (found.crop_pct, found.crop, found.resize, len(found.notes)) == expected
    assert found.source == "the file says"


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"img_size": 96}, (96, 96)),
        ({"input_size": [3, 192, 256]}, (192, 256)),
        ({"img_size": None, "input_size": (3, 64, 64)}, (64, 64)),
        ({"image_size": [128, 160]}, (128, 160)),
        ({"img_size": 4, "input_size": [3, 64, 1e3]}, None),
        ({"img_size": True, "crop_size": []}, None),
    ],
)
def test_the_size_is_read_with_its_two_sides(settings: dict[str, Any], size: tuple[int, int] | None) -> None:
    assert trained_size(settings) == size


def test_colours_are_three_finite_numbers_or_one() -> None:
    assert trained_normalisation({"mean": [0.5], "std": (0.1, 0.2, 0.3)}) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    for value in ("0.5", [0.1, 0.2], [0.1, float("inf"), 0.2], None):
        assert trained_normalisation({"mean": value, "std": [0.5]}) is None
        assert trained_normalisation({"mean": [0.5], "std": value}) is None
    assert trained_normalisation({"mean": [0.5], "std": [0.5, 0.5, 0.0]}) is None


@pytest.mark.parametrize(
    ("mean", "std", "found"),
    [
        ([127.5], [127.5], ((0.5,) * 3, (0.5,) * 3)),
        ([0.0], [255.0], ((0.0,) * 3, (1.0,) * 3)),
        ([102.0], [1.0], ((0.4,) * 3, (1 / 255,) * 3)),
        ([0.0], [1.0], ((0.0,) * 3, (1.0,) * 3)),
    ],
)
def test_colours_of_values_up_to_255_are_divided_by_it(mean: list[float], std: list[float], found: Any) -> None:
    assert trained_normalisation({"mean": mean, "std": std}) == found


def test_every_interpolation_that_the_command_offers_is_known() -> None:
    from weckd_edge.cli.compile_model import command

    (option,) = [one for one in command.params if one.name == "interpolation"]
    assert set(option.type.names) == set(INTERPOLATIONS)  # type: ignore[attr-defined]  # of this package's own type
