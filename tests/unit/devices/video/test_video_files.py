"""Videos as sources of frames: what comes of their pixels, their times, and of what is broken."""

from __future__ import annotations

import gc
import struct
import tracemalloc
from contextlib import closing
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from support.errors import raises
from support.videos import av, rotate, scene, write_sound, write_video
from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.camera_frames import rgb_of
from weckd_edge.devices.video import pyav_source
from weckd_edge.devices.video.base import LostFrames, TimedFrame
from weckd_edge.devices.video.pyav_backend import open_video
from weckd_edge.devices.video.pyav_frames import UprightFrames


def read(path: Path) -> tuple[list[TimedFrame], LostFrames]:
    with closing(open_video(path)) as source:
        frames = list(source.frames())
        return frames, source.lost


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    return [rgb_of(one.frame) for one in read(path)[0]]


def test_a_video_gives_its_frames_in_order_with_their_times(tmp_path: Path) -> None:
    shown = scene(48, 64, frames=12)
    with closing(open_video(write_video(tmp_path / "exam.mp4", shown))) as source:
        found = list(source.frames())
        assert source.expected_frames == 12
        assert source.name == str(tmp_path / "exam.mp4")
        assert not source.is_live
        assert source.lost == LostFrames()
    assert [one.time_ns for one in found] == [40_000_000 * number for number in range(12)]
    off = [np.abs(rgb_of(one.frame).astype(int) - pixels).mean() for one, pixels in zip(found, shown, strict=True)]
    assert max(off) < 8  # what encoding costs


def test_luma_and_chroma_are_those_that_the_decoder_gave(tmp_path: Path) -> None:
    path = write_video(tmp_path / "exam.mp4", scene(50, 70, frames=5))
    with av.open(str(path)) as container:
        planes = [picture.to_ndarray() for picture in container.decode(video=0)]
    found, _ = read(path)
    assert len(found) == len(planes) == 5
    for one, stored in zip(found, planes, strict=True):
        assert one.frame.colour == "nv12"
        assert one.frame.chroma is not None
        assert np.array_equal(one.frame.pixels, stored[:50])
        quarter = stored[50:].reshape(2, 25, 35)
        assert np.array_equal(one.frame.chroma, np.moveaxis(quarter, 0, 2))


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((0, 1, -1, 0), lambda stored: np.rot90(stored, -1)),
        ((-1, 0, 0, -1), lambda stored: stored[::-1, ::-1]),
        ((0, -1, 1, 0), lambda stored: np.rot90(stored, 1)),
        ((-1, 0, 0, 1), lambda stored: stored[:, ::-1]),
        ((1, 0, 0, -1), lambda stored: stored[::-1]),
        ((0, 1, 1, 0), lambda stored: stored.swapaxes(0, 1)),
    ],
    ids=["a quarter to the right", "half", "a quarter to the left", "mirrored", "upside down", "over its diagonal"],
)
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p"])
def test_a_rotated_video_comes_upright(tmp_path: Path, matrix: tuple[int, ...], upright, pixel_format: str) -> None:  # type: ignore[no-untyped-def]
    path = write_video(tmp_path / "exam.mp4", scene(48, 64, frames=3), pixel_format=pixel_format)
    stored = pictures(path)
    rotate(path, matrix)  # type: ignore[arg-type]
    turned = pictures(path)
    assert len(turned) == 3
    for before, after in zip(stored, turned, strict=True):
        assert np.array_equal(after, upright(before))


def test_a_variable_frame_rate_follows_presentation_times(tmp_path: Path) -> None:
    times = [0, 40, 50, 250, 260, 1000]
    found, lost = read(write_video(tmp_path / "exam.mkv", scene(48, 64, frames=6), times_ms=times))
    assert [one.time_ns // 1_000_000 for one in found] == times
    assert lost.end is None


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "yuv420p10le", "gray"])
def test_other_pixel_formats_show_the_same_picture(tmp_path: Path, pixel_format: str) -> None:
    shown = scene(48, 64, frames=3)
    if pixel_format == "gray":
        shown = [np.repeat(one[..., :1], 3, axis=2) for one in shown]
    found = pictures(write_video(tmp_path / "exam.mkv", shown, pixel_format=pixel_format, codec="ffv1"))
    assert len(found) == 3
    assert max(np.abs(one.astype(int) - pixels).mean() for one, pixels in zip(found, shown, strict=True)) < 8


@pytest.mark.parametrize(
    ("pixel_format", "bits", "shift"),
    [
        ("yuv420p", 8, 0),
        ("yuv422p", 8, 0),
        ("yuv444p", 8, 0),
        ("yuv440p", 8, 0),
        ("yuv411p", 8, 0),
        ("nv16", 8, 0),
        ("yuv420p10le", 10, 0),
        ("yuv422p10le", 10, 0),
        ("yuv444p10le", 10, 0),
        ("yuv420p12le", 12, 0),
        ("yuv420p16le", 16, 0),
        ("p010le", 10, 6),
    ],
)
def test_a_grey_ramp_has_the_levels_that_its_range_says(pixel_format: str, bits: int, shift: int) -> None:
    frames = UprightFrames(hd_is_bt709=True)
    kind = np.dtype(np.uint8 if bits == 8 else "<u2")
    for luma, colorspace, width in product(range(16, 236, 3), (1, 5, 9), (32, 31)):
        picture = av.VideoFrame(width, 32, pixel_format)
        for number, plane in enumerate(picture.planes):
            value = (luma if number == 0 else 128) << (bits - 8 + shift)
            plane.update(np.full(plane.buffer_size // kind.itemsize, value, kind).tobytes())
        picture.colorspace, picture.color_range = colorspace, 1  # Rec. 709, 601 or 2020, limited
        found = rgb_of(frames.frame_of(picture))
        assert found.shape == (32, width, 3)
        assert (found == round((luma - 16) * 255 / 219)).all(), (luma, colorspace, width, found.min(), found.max())


def test_sides_that_chroma_does_not_divide_are_read_whole(tmp_path: Path) -> None:
    shown = scene(47, 61, frames=3)
    found = pictures(write_video(tmp_path / "exam.mkv", shown, codec="ffv1"))
    assert [one.shape for one in found] == [(47, 61, 3)] * 3
    assert max(np.abs(one.astype(int) - pixels).mean() for one, pixels in zip(found, shown, strict=True)) < 8


def test_full_range_and_rec_709_are_taken_from_the_stream(tmp_path: Path) -> None:
    shown = scene(48, 64, frames=2)
    found, _ = read(write_video(tmp_path / "exam.avi", shown, pixel_format="yuvj420p", codec="mjpeg"))
    assert {one.frame.matrix for one in found} == {"bt601_full"}
    large, _ = read(write_video(tmp_path / "large.mp4", scene(720, 1280, frames=1)))
    assert {one.frame.matrix for one in large} == {"bt709_limited"}


def test_a_damaged_part_is_counted_and_the_video_goes_on_at_the_next_key_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "exam.mkv", scene(96, 128, frames=40), key_frame_every=10)
    whole = pictures(path)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    at = data.index(bytes(packets[12]))
    for offset in range(at + 8, at + packets[12].size):
        data[offset] ^= 0xFF
    path.write_bytes(data)
    found, lost = read(path)
    assert 0 < lost.damaged <= 10
    assert len(found) + lost.damaged == 40
    shown = [rgb_of(one.frame) for one in found]
    assert all(any(np.array_equal(one, other) for other in whole) for one in shown)
    assert np.array_equal(shown[-20], whole[20])


@pytest.mark.parametrize("name", ["exam.mp4", "exam.mkv"])
def test_a_video_that_was_cut_short_gives_what_it_has_and_says_so(tmp_path: Path, name: str) -> None:
    options = {"movflags": "faststart"} if name == "exam.mp4" else {}
    path = write_video(tmp_path / name, scene(96, 128, frames=40), **options)
    assert read(path)[1].end is None
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    found, lost = read(path)
    assert 5 < len(found) < 40
    assert lost.end is not None
    assert "of 1.6 s" in lost.end
    assert abs(len(found) + lost.damaged - 40) <= 4


def test_a_stream_that_names_no_length_ends_where_it_ends(tmp_path: Path) -> None:
    path = write_video(tmp_path / "exam.ts", scene(96, 128, frames=40))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    found, _ = read(path)
    assert 5 < len(found) < 40


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "an empty file"),
        (b"a letter, and no video", "text"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nother.ts\n#EXT-X-ENDLIST\n", "text"),
        (b"<!doctype html><html></html>", "an HTML page"),
        (bytes(range(256)) * 8, "no known kind"),
    ],
    ids=["empty", "text", "playlist", "page", "unknown"],
)
def test_a_file_that_is_no_video_is_named_for_what_it_is(tmp_path: Path, content: bytes, says: str) -> None:
    write_video(tmp_path / "other.ts", scene(48, 64, frames=3))
    path = tmp_path / "exam.mp4"
    path.write_bytes(content)
    with raises(DataError, "E_DATA_VIDEO", says=(str(path), says)):
        open_video(path)


def test_a_video_whose_recording_was_never_ended_is_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "exam.mp4", scene(48, 64, frames=20))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])  # the table of its frames, which is written at the end
    with raises(DataError, "E_DATA_VIDEO", says="cut short"):
        open_video(path)


def test_a_file_of_sound_alone_has_no_stream_of_video(tmp_path: Path) -> None:
    with raises(DataError, "E_DATA_VIDEO", says="audio"):
        open_video(write_sound(tmp_path / "exam.mp4"))


def test_a_codec_that_is_not_here_is_one_clear_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "exam.mkv", scene(48, 64, frames=3), codec="mpeg4")
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/ASP", b"V_MPEG9/ISO/ASP"))
    with raises(DataError, "E_DATA_VIDEO_CODEC", says=str(path)):
        open_video(path)


def test_a_missing_file_and_a_folder_are_no_videos(tmp_path: Path) -> None:
    with raises(DataError, "E_FILE_UNREADABLE", says=str(tmp_path / "none.mp4")):
        open_video(tmp_path / "none.mp4")
    with raises(DataError, "E_FILE_KIND", says=str(tmp_path)):
        open_video(tmp_path)


def test_a_video_of_nothing_but_damage_has_no_frame(tmp_path: Path) -> None:
    path = write_video(tmp_path / "exam.mkv", scene(48, 64, frames=3))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    data = path.read_bytes()
    for packet in packets:
        data = data.replace(bytes(packet), bytes(packet.size))
    path.write_bytes(data)
    with closing(open_video(path)) as source, raises(DataError, "E_DATA_NO_FRAME", says=str(path)):
        list(source.frames())


def test_pictures_larger_than_a_frame_may_be_are_refused_before_one_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(tmp_path / "exam.mp4", scene(48, 64, frames=3))
    monkeypatch.setattr(pyav_source, "MAX_PIXELS", 48 * 64 - 1)
    with raises(DataError, "E_DATA_IMAGE_LIMIT", says=("64 x 48", str(path))):
        open_video(path)


def test_a_display_matrix_that_is_slanted_turns_nothing(tmp_path: Path) -> None:
    path = write_video(tmp_path / "exam.mp4", scene(48, 64, frames=2))
    stored = pictures(path)
    rotate(path, (1, 1, -1, 1))
    assert struct.pack(">i", 1 << 16) in path.read_bytes()
    assert all(np.array_equal(one, other) for one, other in zip(pictures(path), stored, strict=True))


def test_a_frame_is_freed_when_nobody_holds_it_any_more(tmp_path: Path) -> None:
    def pictures_alive() -> int:
        return sum(type(one) is av.VideoFrame for one in gc.get_objects())  # isinstance wakes lazy objects of others

    path = write_video(tmp_path / "exam.mp4", scene(48, 64, frames=60))
    rotate(path, (0, 1, -1, 0))
    gc.collect()
    before, most = pictures_alive(), 0
    gc.disable()
    try:
        with closing(open_video(path)) as source:
            for _ in source.frames():
                most = max(most, pictures_alive() - before)
    finally:
        gc.enable()
    assert 0 < most < 30


def test_a_long_video_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    path = write_video(tmp_path / "exam.mkv", scene(48, 64, frames=600))
    peaks = []
    for wanted in (50, 600):
        tracemalloc.start()
        with closing(open_video(path)) as source:
            count = sum(1 for number, _ in enumerate(source.frames()) if number < wanted)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count == wanted
    assert peaks[1] < peaks[0] + 100_000
