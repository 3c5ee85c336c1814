"""Sources of frames: what gives the frames of one examination along time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from weckd_edge.devices.images.camera_frames import CameraFrame

USUAL_FRAME_NS = 40_000_000
"""Time from one frame to the next where a source tells none, nanoseconds: 25 frames a second."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TimedFrame:
    """A frame with its time.

    Attributes:
        frame: The frame, upright, with its pixels as they came; they stay as they are when the next frame is read.
        time_ns: Time from the source's first frame, nanoseconds, at least 0; it never goes back.
        file: Path of the image file that the frame was read from; empty where it is no file of its own.
    """

    frame: CameraFrame
    time_ns: int
    file: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LostFrames:
    """What a source could not hand on.

    Attributes:
        dropped: Number of frames of a live source that were left out, as newer ones had come before they were asked for.
        damaged: Number of frames, or of parts of a stream, that could not be decoded.
        end: Sentence on why the source ended early; None where it ended as it should, or has not ended.
    """

    dropped: int = 0
    damaged: int = 0
    end: str | None = None

    def and_damaged(self, frames: int = 1) -> LostFrames:
        """Return the same with more frames that could not be decoded."""
        return replace(self, damaged=self.damaged + frames)


def silence(limit_s: float) -> str:
    """Return why a source ended that gave nothing for too long, in words."""
    return f"nothing came within {limit_s:g} s"


class FrameSource(Protocol):
    """What gives the frames of one examination; whoever opened it closes it.

    A source that breaks while it is read ends, and ``lost`` says why; only one that gives no frame at all raises.
    """

    @property
    def name(self) -> str:
        """The source as the user named it: a path, an address, a camera."""

    @property
    def is_live(self) -> bool:
        """Whether frames come at their own pace and are lost where nobody takes them."""

    @property
    def expected_frames(self) -> int | None:
        """Number of frames that will come, which may be an estimate; None where nobody knows, as of a camera."""

    @property
    def lost(self) -> LostFrames:
        """What was lost up to now."""

    def frames(self) -> Iterator[TimedFrame]:
        """Read the frames once, in the order of their times, each when it is asked for.

        Raises:
            WeckdError: No frame can be read.
        """

    def close(self) -> None:
        """End the reading and free what the source holds; closing twice is allowed."""
