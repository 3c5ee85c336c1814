"""A report says in words which part of a camera frame the network is shown."""

from __future__ import annotations

from typing import Any

import pytest

from weckd_edge.artifacts import FrameSpec, InputSpec, NetworkInput, prepared_frame
from weckd_edge.report.chapters.verdicts import frame_text


@pytest.mark.parametrize(
    ("frame", "crop_pct", "expected"),
    [
        ({"crop": "stretch", "resize": "area"}, 1.0, "all of it, resized to 224 x 224 pixels (area)"),
        ({"crop": "center", "resize": "area"}, 1.0, "its centred 480 x 480 pixels, resized to 224 x 224 pixels (area)"),
        ({"crop": "center", "resize": "area"}, 0.875, "its centred 420 x 420 pixels, resized to 224 x 224 pixels (area)"),
        (
            {"crop": "center", "resize": "antialiased_bicubic"},
            0.875,
            "the middle 224 x 224 pixels of it, scaled to 341 x 256 (antialiased_bicubic)",
        ),
    ],
)
def test_the_part_that_is_shown_has_its_size(frame: dict[str, Any], crop_pct: float, expected: str) -> None:
    network = NetworkInput(height=224, width=224, mean=(0.0,) * 3, std=(1.0,) * 3)
    made = prepared_frame(FrameSpec(height=480, width=640, **frame), network.size, crop_pct)
    text = frame_text(InputSpec(frame=made, network=network))
    assert text == f"uint8 RGB, 640 x 480 pixels; the network is shown {expected}"
