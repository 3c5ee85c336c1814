"""A source that a thread reads: what waits, what is dropped, and that nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from support.errors import raises
from weckd_edge.core.errors import DataError, DeviceError
from weckd_edge.devices.images.camera_frames import camera_frame
from weckd_edge.devices.video.base import LostFrames, TimedFrame
from weckd_edge.devices.video.reading_thread import AHEAD_FRAMES, LIVE_FRAMES, ThreadSource

_FRAME = camera_frame(np.zeros((4, 4, 3), np.uint8))


class Made:
    """A source of numbered frames, whose time is their number."""

    def __init__(self, count: int, *, is_live: bool = False, then: Callable[[], None] = lambda: None) -> None:
        self.name, self.is_live, self.expected_frames = "made", is_live, count
        self.lost = LostFrames(damaged=1)
        self.given, self.closed_by = 0, ""
        self.all_given = threading.Event()
        self._count, self._then = count, then

    def frames(self) -> Iterator[TimedFrame]:
        for number in range(self._count):
            self.given += 1
            yield TimedFrame(frame=_FRAME, time_ns=number)
        self.all_given.set()
        self._then()

    def close(self) -> None:
        self.closed_by = threading.current_thread().name


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.002)


def test_a_file_is_read_ahead_and_nothing_of_it_is_dropped() -> None:
    made = Made(20)
    source = ThreadSource(lambda: made, "exam.mp4")
    wait_until(lambda: made.given == AHEAD_FRAMES + 1)
    assert [one.time_ns for one in source.frames()] == list(range(20))
    source.close()
    assert source.lost == LostFrames(damaged=1)
    assert source.expected_frames == 20
    assert made.closed_by == "frames of exam.mp4"


def test_the_oldest_frames_of_a_live_source_are_dropped_and_counted() -> None:
    made = Made(20, is_live=True)
    source = ThreadSource(lambda: made, "camera")
    assert made.all_given.wait(60)
    assert [one.time_ns for one in source.frames()] == list(range(20 - LIVE_FRAMES, 20))
    assert source.lost == LostFrames(dropped=20 - LIVE_FRAMES, damaged=1)
    source.close()


def test_a_source_that_falls_silent_ends_and_says_so() -> None:
    silent = threading.Event()
    source = ThreadSource(lambda: Made(3, then=lambda: silent.wait(60) and None), "camera", limit_s=0.5)  # type: ignore[func-returns-value]
    assert len(list(source.frames())) == 3
    assert source.lost.end is not None
    assert "0.5 s" in source.lost.end
    silent.set()
    source.close()


def test_a_source_that_does_not_open_is_not_waited_for_for_ever() -> None:
    silent = threading.Event()

    def hang() -> Made:
        silent.wait(60)
        return Made(1)

    with raises(DeviceError, "E_DEVICE_NO_REPLY", says=("camera", "0.2 s")):
        ThreadSource(hang, "camera", limit_s=0.2)
    silent.set()


def test_an_error_of_the_source_is_raised_behind_its_frames() -> None:
    def break_off() -> None:
        raise DataError("exam.mp4: broken", code="E_DATA_NO_FRAME")

    source = ThreadSource(lambda: Made(3, then=break_off), "exam.mp4")
    frames = source.frames()
    assert [next(frames).time_ns for _ in range(3)] == [0, 1, 2]
    with raises(DataError, "E_DATA_NO_FRAME"):
        next(frames)
    source.close()


def test_an_error_of_opening_is_raised_at_once() -> None:
    def refuse() -> Made:
        raise DeviceError("camera: gone", code="E_DEVICE_CAMERA")

    with raises(DeviceError, "E_DEVICE_CAMERA"):
        ThreadSource(refuse, "camera")


def test_large_frames_of_a_file_are_not_held_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weckd_edge.devices.video.reading_thread.AHEAD_BYTES", _FRAME.pixels.nbytes)
    made = Made(20)
    source = ThreadSource(lambda: made, "exam.mp4")
    wait_until(lambda: made.given == 2)
    assert [one.time_ns for one in source.frames()] == list(range(20))
    source.close()


@pytest.mark.parametrize("is_live", [False, True])
def test_closing_ends_the_thread_and_the_source(is_live: bool) -> None:
    made = Made(1000, is_live=is_live)
    source = ThreadSource(lambda: made, "exam")
    next(source.frames())
    source.close()
    source.close()
    wait_until(lambda: made.closed_by == "frames of exam")
    assert made.given < 1000 or is_live
