"""A DICOM file of several frames is an examination: its frames along time, none of them held beside another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import crafted_dicom as made
from support.errors import raises
from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.camera_frames import rgb_of
from weckd_edge.devices.video.base import FrameSource
from weckd_edge.devices.video.dicom_frames import DicomFrames

pytest.importorskip("pydicom")

PIXELS = np.stack([made.colours(seed=seed) for seed in range(4)])


def source_of(folder: Path, data: bytes) -> DicomFrames:
    path = folder / "exam.dcm"
    path.write_bytes(data)
    return DicomFrames(path)


@pytest.mark.parametrize("syntax", [made.PLAIN, made.DEFLATED, made.RLE, made.JPEG_LS])
def test_frames_come_in_order_with_their_pixels(tmp_path: Path, syntax: str) -> None:
    source: FrameSource = source_of(tmp_path, made.dicom(PIXELS, syntax=syntax))
    assert (source.name, source.is_live, source.expected_frames) == (str(tmp_path / "exam.dcm"), False, 4)
    found = list(source.frames())
    assert [np.array_equal(rgb_of(one.frame), pixels) for one, pixels in zip(found, PIXELS, strict=True)] == [True] * 4
    assert source.lost.damaged == 0
    source.close()


@pytest.mark.parametrize(
    ("options", "times_ms"),
    [
        ({}, [0, 40, 80, 120]),
        ({"FrameTime": "33.5"}, [0, 33.5, 67, 100.5]),
        ({"FrameTimeVector": ["0", "10", "20", "5"]}, [0, 10, 30, 35]),
        ({"CineRate": 50}, [0, 20, 40, 60]),
        ({"FrameTime": "-3"}, [0, 40, 80, 120]),
        ({"FrameTimeVector": ["0", "10"]}, [0, 40, 80, 120]),
    ],
)
def test_times_are_those_of_the_header(tmp_path: Path, options: dict[str, Any], times_ms: list[float]) -> None:
    source = source_of(tmp_path, made.dicom(PIXELS, **options))
    assert [one.time_ns for one in source.frames()] == [round(1e6 * time) for time in times_ms]
    source.close()


def test_greys_stay_greys_and_a_damaged_frame_is_counted(tmp_path: Path) -> None:
    greys = np.stack([made.gradient(16, 16)] * 3)
    source = source_of(tmp_path, made.dicom(greys))
    assert [one.frame.colour for one in source.frames()] == ["grey"] * 3
    source.close()
    data = bytearray(made.dicom(greys, syntax=made.RLE))
    head = b"\x01\0\0\0\x40\0\0\0"  # one plane, which begins at byte 64
    data[data.index(head, data.index(head) + 1)] = 9
    source = source_of(tmp_path, bytes(data))
    assert len(list(source.frames())) == 2
    assert source.lost.damaged == 1
    source.close()


def test_what_holds_no_frames_says_so_with_its_path(tmp_path: Path) -> None:
    with raises(DataError, "E_DATA_IMAGE_FORMAT", says="exam.dcm"):
        source_of(tmp_path, made.dicom(None))
    with raises(DataError, "E_DATA_IMAGE_LIMIT", says="9000"):
        source_of(tmp_path, made.dicom(made.gradient(9000, 2)))
    with raises(DataError, "E_FILE_UNREADABLE"):
        DicomFrames(tmp_path / "absent.dcm")
    bad = source_of(tmp_path, made.saved(made.dataset(PIXELS, PixelData=made.encapsulated([b"no"] * 4)), made.JPEG))
    with raises(DataError, "E_DATA_IMAGE_DAMAGED", says="none of its frames"):
        list(bad.frames())
    bad.close()
