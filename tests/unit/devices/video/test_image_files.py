"""A folder of frames as one examination."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from support.errors import raises
from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.camera_frames import rgb_of
from weckd_edge.devices.video.base import USUAL_FRAME_NS
from weckd_edge.devices.video.image_files import ImageFiles, in_order_of_time


def write_frames(folder: Path, count: int, size: tuple[int, int] = (48, 64)) -> list[Path]:
    folder.mkdir(exist_ok=True)
    values = np.random.default_rng(1).integers(0, 256, (count, *size, 3), np.uint8)
    for number, pixels in enumerate(values):
        Image.fromarray(pixels).save(folder / f"frame{number}.png")
    return in_order_of_time(folder.iterdir())


def test_frames_come_in_the_order_that_people_count_in(tmp_path: Path) -> None:
    files = write_frames(tmp_path, 12)
    assert [file.name for file in files] == [f"frame{number}.png" for number in range(12)]
    source = ImageFiles("exam", files)
    found = list(source.frames())
    assert source.expected_frames == 12
    assert [one.time_ns for one in found] == [USUAL_FRAME_NS * number for number in range(12)]
    assert [one.file for one in found] == [str(file) for file in files]
    assert all(np.array_equal(rgb_of(one.frame), np.asarray(Image.open(one.file))) for one in found)


def test_a_file_that_cannot_be_read_is_counted_and_the_others_keep_their_times(tmp_path: Path) -> None:
    files = write_frames(tmp_path, 4)
    files[1].write_bytes(b"no image")
    source = ImageFiles("exam", files)
    assert [one.time_ns // USUAL_FRAME_NS for one in source.frames()] == [0, 2, 3]
    assert source.lost.damaged == 1


def test_mixed_sizes_are_refused(tmp_path: Path) -> None:
    files = [*write_frames(tmp_path / "a", 2), *write_frames(tmp_path / "b", 1, (50, 64))]
    with raises(DataError, "E_DATA_FRAME_SIZE", says=("exam", "64 x 48", "64 x 50", str(files[2]))):
        list(ImageFiles("exam", files).frames())


def test_files_of_which_none_can_be_read_are_no_examination(tmp_path: Path) -> None:
    files = write_frames(tmp_path, 2)
    for file in files:
        file.write_bytes(b"no image")
    with raises(DataError, "E_DATA_NO_FRAME", says=("exam", str(files[0]))):
        list(ImageFiles("exam", files).frames())
