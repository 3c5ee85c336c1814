"""The frames of a DICOM file as those of one examination: decoded one by one, however long the file is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from weckd_edge.core.errors import DataError
from weckd_edge.core.files import read_start
from weckd_edge.devices.images.camera_frames import camera_frame
from weckd_edge.devices.images.decoding import check_size
from weckd_edge.devices.images.dicom import head as tags
from weckd_edge.devices.images.dicom.head import Head, decimal_of, frames_of
from weckd_edge.devices.images.dicom.image import decode_frame, open_head
from weckd_edge.devices.video.base import USUAL_FRAME_NS, LostFrames, TimedFrame

_LONGEST_MS = 60_000


class DicomFrames:
    """The frames of a DICOM file, as ``FrameSource`` says.

    Args:
        path: The file.

    Attributes:
        name: The file's path.
        is_live: False.
        expected_frames: Number of frames that its header names.
        lost: What was lost up to now.

    Raises:
        DataError: The file holds no frames that are read here; the message names the file and quotes no text of its header.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.is_live = False
        self.lost = LostFrames()
        try:
            read_start(path, 1, error=DataError)  # a pipe is never waited for
            self._file = path.open("rb")
        except DataError as err:
            raise DataError(f"{path}: {err}", code=err.code) from err
        except OSError as err:
            raise DataError(f"{path}: cannot be read ({err.strerror})", code="E_FILE_UNREADABLE") from err
        try:
            self._head = open_head(self._file)
            check_size("DICOM", self._head.columns, self._head.rows)
        except DataError as err:
            self._file.close()
            raise DataError(f"{path}: {err}", code=err.code) from err
        self.expected_frames: int | None = self._head.frames

    def frames(self) -> Iterator[TimedFrame]:
        """Decode the frames one after another; those that are damaged are counted as lost.

        Raises:
            DataError: None can be decoded.
        """
        given, first_error = 0, None
        encoded = frames_of(self._head) if self._head.compressed else itertools.repeat(None, self._head.frames)
        for number, (time_ns, data) in enumerate(zip(_times_ns(self._head), encoded, strict=False)):
            try:
                pixels, _ = decode_frame(self._head, number, data)
            except DataError as err:
                self.lost = self.lost.and_damaged()
                first_error = first_error or err
                continue
            given += 1
            yield TimedFrame(frame=camera_frame(pixels), time_ns=time_ns)
        if not given and first_error is not None:
            raise DataError(f"{self.name}: none of its frames can be read: {first_error}", code=first_error.code)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _times_ns(head: Head) -> Iterator[int]:
    """Yield the time of each frame, nanoseconds: by the times between them, the time of one, or the rate, of the header."""
    values = head.source.elements.values
    listed = values.get(tags.FRAME_TIMES)
    if listed is not None:
        steps = [decimal_of(listed._replace(data=one)) for one in listed.data.split(b"\\")]
        if len(steps) == head.frames and all(step is not None and 0 <= step <= _LONGEST_MS for step in steps[1:]):
            yield from itertools.accumulate((round(1e6 * (step or 0)) for step in steps[1:]), initial=0)
            return
    step, rate = decimal_of(values.get(tags.FRAME_TIME)), decimal_of(values.get(tags.CINE_RATE))
    if step is None and rate is not None and rate > 0:
        step = 1000 / rate
    step_ns = round(1e6 * step) if step is not None and 0 < step <= _LONGEST_MS else USUAL_FRAME_NS
    yield from (number * step_ns for number in range(head.frames))
