"""An examination from its source to its decision: frames are read, shown to the model and told one after another."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from weckd_edge.devices.images.camera_frames import CameraFrame
from weckd_edge.devices.runtime.exam import ExamDecision, ExamFrame
from weckd_edge.devices.video.base import FrameSource, LostFrames

STOPPED = "it was stopped"


class OpenExam(Protocol):
    """An examination that is under way."""

    @property
    def has_seen_enough(self) -> bool:
        """Whether no later frame changes the decision."""

    def add(self, frame: CameraFrame, *, time_ns: int | None = None) -> ExamFrame:
        """Add the next frame."""

    def decide(self, *, dropped: int = 0) -> ExamDecision:
        """Return the decision by the frames so far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenFrame:
    """A frame of an examination, and what was made of it.

    Attributes:
        exam: The examination's source as the user named it.
        number: Number of the frame among those that were looked at, from 0.
        file: Path of the image file that it was read from; empty where it is no file of its own.
        found: What the examination made of it.
    """

    exam: str
    number: int
    file: str
    found: ExamFrame


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamResult:
    """An examination that has ended.

    Attributes:
        exam: The examination's source as the user named it.
        decision: Decision on its frames.
        length_ns: Time of the last frame that was looked at, nanoseconds from the first.
        lost: What of the source was lost.
    """

    exam: str
    decision: ExamDecision
    length_ns: int
    lost: LostFrames


def run_exam(
    exam: OpenExam, source: FrameSource, on_frame: Callable[[SeenFrame], None], *, live_limit_s: float
) -> ExamResult:
    """Show a source's frames to an examination until it has seen enough, or the source ends.

    Ctrl-C ends an examination of a live source, too: the decision rests on the frames until then.

    Args:
        exam: The examination, without frames.
        source: The open source.
        on_frame: Receives every frame that was looked at, with what was made of it.
        live_limit_s: Longest examination of a live source, seconds.

    Raises:
        WeckdError: No frame can be read, or one is not what the model takes.
    """
    length_ns, end, start_s = 0, None, time.monotonic()
    try:
        for number, frame in enumerate(source.frames()):
            found = exam.add(frame.frame, time_ns=frame.time_ns)
            length_ns = frame.time_ns
            on_frame(SeenFrame(exam=source.name, number=number, file=frame.file, found=found))
            if exam.has_seen_enough:
                break
            if source.is_live and time.monotonic() - start_s >= live_limit_s:
                break
    except KeyboardInterrupt:
        if not source.is_live:
            raise
        end = STOPPED
    lost = source.lost
    return ExamResult(
        exam=source.name,
        decision=exam.decide(dropped=lost.dropped),
        length_ns=length_ns,
        lost=LostFrames(dropped=lost.dropped, damaged=lost.damaged, end=end or lost.end),
    )
