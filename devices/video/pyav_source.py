"""The frames of one video stream that PyAV has open, decoded when each is asked for.

After a part that cannot be decoded, pictures are left out until the next one that stands for itself, as those between are
made of what was lost. FFmpeg itself would fill them in with what it guesses, and hand most of them on as if they were whole.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from weckd_edge.core.bounds import MAX_SIDE
from weckd_edge.core.errors import DataError
from weckd_edge.devices.video.base import USUAL_FRAME_NS, LostFrames, TimedFrame, silence
from weckd_edge.devices.video.pyav_frames import UprightFrames

READ_LIMIT_S = 5.0
"""Longest time between two pictures of a stream or a camera, seconds; after it, the source has ended."""

MAX_PIXELS = 35_651_584
"""Most pixels of a frame: those of the highest levels of H.264 and HEVC. A decoder holds up to seventeen frames."""

_RETRY_S = 0.005

_KNOWS_LENGTH = ("mov", "matroska")
"""Beginnings of FFmpeg's names of formats whose head says how long the video is."""

_MISSING_FRAMES = 2.5
"""Frames by which a video must be shorter than its head says to be called cut short."""


class PyavSource:
    """The frames of one video stream, as ``FrameSource`` says.

    Args:
        name: The source as the user named it.
        container: PyAV's open container; closing the source closes it.
        stream: The container's stream of pictures.
        errors: PyAV's module of errors.
        is_live: Whether frames come at their own pace.

    Attributes:
        name: The source as the user named it.
        is_live: Whether frames come at their own pace.
        expected_frames: Number of frames that the file says it has, or that follows from its length; None: nobody knows.
        lost: What was lost up to now.
    """

    def __init__(self, name: str, container: Any, stream: Any, errors: Any, *, is_live: bool) -> None:
        self.name = name
        self.is_live = is_live
        self.lost = LostFrames()
        self._container, self._stream, self._errors = container, stream, errors
        self._names_hd = container.format.name.partition(",")[0] != "video4linux2"  # large pictures of files are Rec. 709
        self.expected_frames = None if is_live else stream.frames or self._frames_in(container.duration or 0)

    def _frames_in(self, length_us: int) -> int | None:
        rate = self._stream.average_rate
        return round(length_us * rate / 1_000_000) or None if rate else None

    def frames(self) -> Iterator[TimedFrame]:
        """Decode the frames one after another.

        Raises:
            DataError: No frame can be decoded, or a picture is larger than one may be.
        """
        clock, upright, given = _Clock(self._stream.average_rate), UprightFrames(hd_is_bt709=self._names_hd), 0
        for picture in self._whole_pictures():
            given += 1
            check_size(self.name, picture.width, picture.height)
            yield TimedFrame(frame=upright.frame_of(picture), time_ns=clock.time_ns(picture))
        if not given:
            why = f": {self.lost.end}" if self.lost.end else f"; {self.lost.damaged} parts of it are damaged"
            raise DataError(f"{self.name}: expected frames, none can be decoded{why}", code="E_DATA_NO_FRAME")

    def _whole_pictures(self) -> Iterator[Any]:
        """Decode the stream's pictures, without those that are made of what was lost, which are counted."""
        is_broken, resume_at, end, read = False, None, 0, 0
        for packet in self._packets():
            if packet.pts is not None:
                read += 1
                end = max(end, packet.pts + (packet.duration or 0))
                if is_broken and packet.is_keyframe and resume_at is None:
                    resume_at = packet.pts
            try:
                decoded = packet.decode()
            except self._errors.FFmpegError:
                is_broken, resume_at = True, None
                self._lose(1)
                continue
            for picture in decoded:
                # Pictures come in the order of their times: some from before the loss come after it.
                is_late = is_broken and (resume_at is None or picture.pts is None or picture.pts < resume_at)
                if picture.is_corrupt and not is_late:
                    is_broken, resume_at, is_late = True, None, True
                if is_late:
                    self._lose(1)
                else:
                    is_broken = False
                    yield picture
        self._compare_with_length(read, end)

    def _packets(self) -> Iterator[Any]:
        packets, last_s = self._container.demux(self._stream), time.monotonic()
        while True:
            try:
                packet = next(packets)
            except (StopIteration, self._errors.EOFError):
                return self._end("it broke off") if self.is_live else None
            except self._errors.BlockingIOError:
                if time.monotonic() - last_s < READ_LIMIT_S:
                    time.sleep(_RETRY_S)
                    continue
                return self._end(silence(READ_LIMIT_S))
            except self._errors.FFmpegError as err:
                took_s = time.monotonic() - last_s
                return self._end(silence(READ_LIMIT_S) if self.is_live and took_s >= READ_LIMIT_S else words_of(err))
            last_s = time.monotonic()
            yield packet

    def _compare_with_length(self, read: int, end: int) -> None:
        """Note what is missing behind the ``read`` packets, of which the last ends at ``end`` in the stream's time base."""
        stream, container = self._stream, self._container
        if not read or self.is_live or not container.format.name.startswith(_KNOWS_LENGTH):
            return
        length_s = container.duration / 1_000_000 if container.duration and len(container.streams) == 1 else 0.0
        if stream.duration is not None:
            length_s = float(stream.duration * stream.time_base)
        end_s = float((end - (stream.start_time or 0)) * stream.time_base)
        missing = (length_s - end_s) * read / end_s if end_s > 0 else 0.0
        if missing >= _MISSING_FRAMES:
            self._lose(round(missing))
            self._end(f"it ends after {end_s:.1f} of {length_s:.1f} s: cut short, or damaged")

    def _lose(self, frames: int) -> None:
        self.lost = self.lost.and_damaged(frames)

    def _end(self, why: str) -> None:
        self.lost = replace(self.lost, end=self.lost.end or why)

    def close(self) -> None:
        """Close the container; no other thread may be reading it."""
        self._container.close()


class _Clock:
    """Presentation times as nanoseconds from the first frame, which never go back."""

    def __init__(self, rate: Any) -> None:
        self._usual_ns = round(1_000_000_000 / rate) if rate else USUAL_FRAME_NS
        self._start_ns: int | None = None
        self._last_ns: int = -self._usual_ns

    def time_ns(self, picture: Any) -> int:
        if picture.pts is None:
            self._last_ns += self._usual_ns
            return self._last_ns
        base = picture.time_base
        now_ns = picture.pts * base.numerator * 1_000_000_000 // base.denominator
        if self._start_ns is None:
            self._start_ns = now_ns - self._last_ns - self._usual_ns
        self._last_ns = max(self._last_ns, now_ns - self._start_ns)
        return self._last_ns


def check_size(name: str, width: int, height: int) -> None:
    """Refuse pictures that are larger than a frame may be.

    Raises:
        DataError: A side is too long, or there are too many pixels.
    """
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        text = f"{width} x {height} pixels; a side may have {MAX_SIDE}, and a frame {MAX_PIXELS}; save it smaller"
        raise DataError(f"{name}: {text}", code="E_DATA_IMAGE_LIMIT")


def words_of(err: Exception) -> str:
    """Return why FFmpeg refused, in its own words, as one short line."""
    found = str(getattr(err, "strerror", None) or err or type(err).__name__)
    return found.splitlines()[0][:120]
