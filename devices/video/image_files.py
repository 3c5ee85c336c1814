"""Image files as the frames of one examination: a folder of frames, or what a pattern matches, in the order of names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from weckd_edge.core.errors import DataError
from weckd_edge.devices.images.camera_frames import camera_frame
from weckd_edge.devices.images.decoding import decode
from weckd_edge.devices.video.base import USUAL_FRAME_NS, LostFrames, TimedFrame


class ImageFiles:
    """The frames of one examination, one image file each, as ``FrameSource`` says.

    Args:
        name: The folder or the pattern, as the user named it.
        files: The image files, in the order of time.

    Attributes:
        name: The folder or the pattern, as the user named it.
        is_live: False.
        expected_frames: Number of the files.
        lost: What was lost up to now.
    """

    def __init__(self, name: str, files: Sequence[Path]) -> None:
        self.name = name
        self.is_live = False
        self.expected_frames: int | None = len(files)
        self.lost = LostFrames()
        self._files = files

    def frames(self) -> Iterator[TimedFrame]:
        """Decode the files one after another; those that cannot be read are counted as lost.

        Raises:
            DataError: None can be read, or the sizes are mixed.
        """
        size, given, first_error = None, 0, ""
        for number, file in enumerate(self._files):
            try:
                pixels = decode(file)
            except DataError as err:
                self.lost = self.lost.and_damaged()
                first_error = first_error or str(err)
                continue
            size = size or pixels.shape
            if pixels.shape != size:
                raise DataError(
                    f"{self.name}: expected frames of one size, found {size[1]} x {size[0]} pixels and, in {file}, "
                    f"{pixels.shape[1]} x {pixels.shape[0]}; they are not of one camera",
                    code="E_DATA_FRAME_SIZE",
                )
            given += 1
            yield TimedFrame(frame=camera_frame(pixels), time_ns=number * USUAL_FRAME_NS, file=str(file))
        if not given:
            why = f"the first: {first_error}" if first_error else "there are no files"
            raise DataError(f"{self.name}: expected frames, none can be read; {why}", code="E_DATA_NO_FRAME")

    def close(self) -> None:
        """Do nothing: each file is closed once it was read."""


def in_order_of_time(files: Iterable[Path]) -> list[Path]:
    """Return files sorted by their names as people count: ``frame2`` before ``frame10``."""
    return sorted(files, key=lambda file: name_key(str(file)))


def name_key(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts names of frames as people count."""
    return [_part(text) for text in re.split(r"([0-9]+)", name)]


def _part(text: str) -> tuple[int, int, str]:
    return (0, int(text), text) if text.isdecimal() and text.isascii() else (1, 0, text)
