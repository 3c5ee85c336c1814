"""A source that a thread reads: a file some frames ahead on another processor, a live source with its oldest frames dropped.

Nothing waits for ever: whoever takes frames waits for a limited time, whatever a driver or a network does, and a source that
gave nothing until then has ended. The thread alone opens and closes the source; one that hangs keeps no program from ending.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace

from weckd_edge.core.errors import DeviceError
from weckd_edge.devices.video.base import FrameSource, LostFrames, TimedFrame, silence

AHEAD_FRAMES = 8
"""Most frames of a file that are decoded before they are asked for; with fewer, the threads wait for each other more."""

AHEAD_BYTES = 64 << 20
"""Most memory of these frames, bytes; one frame may take more."""

LIVE_FRAMES = 4
"""Frames of a live source that wait to be taken; with a further one, the oldest is dropped."""

FRAME_LIMIT_S = 60.0
"""Longest time until the next frame of a file, and until it is open, seconds."""

LIVE_LIMIT_S = 15.0
"""Longest time until the next frame of a live source, and until it is open, seconds, where its driver keeps no limit."""

_CLOSE_LIMIT_S = 2.0


class ThreadSource:
    """Another source, which a thread of its own reads.

    Args:
        open_source: Opens the source; the thread calls it.
        name: The source as the user named it.
        limit_s: Longest time until the source is open, and from frame to frame, seconds.

    Attributes:
        name: The source as the user named it.
        is_live: Whether frames come at their own pace; of such a source, the oldest frames are dropped.
        expected_frames: Number of frames that will come, which may be an estimate; None: nobody knows.

    Raises:
        WeckdError: The source cannot be opened.
    """

    def __init__(self, open_source: Callable[[], FrameSource], name: str, *, limit_s: float = FRAME_LIMIT_S) -> None:
        self.name = name
        self.is_live = False
        self.expected_frames: int | None = None
        self._limit_s = limit_s
        self._changed = threading.Condition()
        self._waiting: deque[TimedFrame] = deque()
        self._source: FrameSource | None = None
        self._dropped = 0
        self._end: str | None = None
        self._error: BaseException | None = None
        self._is_open = self._is_over = self._is_closed = False
        self._thread = threading.Thread(target=self._read, args=(open_source,), name=f"frames of {name}", daemon=True)
        self._thread.start()
        with self._changed:
            has_replied = self._changed.wait_for(lambda: self._is_open or self._is_over, limit_s)
        self._check_open()
        if not has_replied:
            self.close()
            raise DeviceError(f"{name}: expected frames, it did not open within {limit_s:g} s", code="E_DEVICE_NO_REPLY")

    def _check_open(self) -> None:
        """Raise the error of opening; one of reading is raised behind the frames that were read."""
        if self._error is not None and not self._is_open:
            raise self._error

    @property
    def lost(self) -> LostFrames:
        """What was lost up to now."""
        found = LostFrames() if self._source is None else self._source.lost
        return replace(found, dropped=found.dropped + self._dropped, end=found.end or self._end)

    def frames(self) -> Iterator[TimedFrame]:
        """Return the frames that the thread reads, one after another.

        Raises:
            WeckdError: No frame can be read.
        """
        while True:
            with self._changed:
                if not self._changed.wait_for(lambda: self._waiting or self._is_over, self._limit_s):
                    self._end = silence(self._limit_s)
                    return
                if not self._waiting:
                    break
                frame = self._waiting.popleft()
                self._changed.notify_all()
            yield frame
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the reading; a thread that a driver holds is left behind."""
        with self._changed:
            self._is_closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(_CLOSE_LIMIT_S)

    def _read(self, open_source: Callable[[], FrameSource]) -> None:
        try:
            source = open_source()
            try:
                with self._changed:
                    self._source, self._is_open = source, True
                    self.is_live, self.expected_frames = source.is_live, source.expected_frames
                    self._changed.notify_all()
                for frame in source.frames():
                    if not self._hand_on(frame):
                        break
            finally:
                source.close()
        except BaseException as err:  # whoever takes the frames is told
            self._error = err
        finally:
            with self._changed:
                self._is_over = True
                self._changed.notify_all()

    def _has_room(self, frame: TimedFrame) -> bool:
        ahead = len(self._waiting)
        return ahead == 0 or (ahead < AHEAD_FRAMES and (ahead + 1) * _bytes_of(frame) <= AHEAD_BYTES)

    def _hand_on(self, frame: TimedFrame) -> bool:
        """Let a frame wait to be taken; return False where nobody takes any more."""
        with self._changed:
            if self.is_live:
                if len(self._waiting) == LIVE_FRAMES:
                    self._waiting.popleft()
                    self._dropped += 1
            else:
                self._changed.wait_for(lambda: self._is_closed or self._has_room(frame))
            if self._is_closed:
                return False
            self._waiting.append(frame)
            self._changed.notify_all()
            return True


def _bytes_of(frame: TimedFrame) -> int:
    pixels, chroma = frame.frame.pixels, frame.frame.chroma
    return pixels.nbytes + (0 if chroma is None else chroma.nbytes)
