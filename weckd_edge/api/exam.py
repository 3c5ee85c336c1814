"""An examination with an open model: frames of one ear, and one decision."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from weckd_edge.devices.images.camera_frames import CameraFrame, Colour, Matrix, Region, camera_frame
from weckd_edge.devices.runtime.exam import Exam, ExamDecision, ExamFrame


class Examination:
    """Frames of one ear that end in one decision, or in "unable to analyze"; ``Model.exam`` begins one.

    Several examinations may share a model, and threads may share an examination: frames are looked at one after another.
    """

    def __init__(self, exam: Exam, one_at_a_time: threading.Lock, check_open: Callable[[], None]) -> None:
        """Take an examination of the runtime; ``Model.exam`` calls this."""
        self._exam, self._one_at_a_time, self._check_open = exam, one_at_a_time, check_open

    @property
    def has_seen_enough(self) -> bool:
        """Whether no later frame changes the decision."""
        return self._exam.has_seen_enough

    def add(
        self,
        frame: NDArray[np.uint8] | CameraFrame,
        *,
        time_ns: int | None = None,
        colour: Colour = "rgb",
        matrix: Matrix = "bt601_limited",
        region: Region | None = None,
        chroma: NDArray[np.uint8] | None = None,
    ) -> ExamFrame:
        """Add the next frame.

        The input guard looks at it first. The network runs where the guard accepts it, and it is not nearly the last counted
        frame over again.

        Args:
            frame: Array, uint8, as ``Model.predict`` takes it; or a camera's frame that describes itself, and needs none of
                the other arguments but its time.
            time_ns: Time of the frame, nanoseconds from the source's start; it is handed back.
            colour: Order of an array's values.
            matrix: Matrix of an array of NV12 or YUYV.
            region: Part of an array that is used; None: all of it.
            chroma: Chroma of NV12, where it does not lie behind the luma.

        Returns:
            Whether the frame counts, and what the network says of it alone.

        Raises:
            ConfigError: The order of the values or the matrix is unknown.
            ModelError: The model was closed, or the array is not one that ``Model.predict`` takes. The examination stays as
                it was.

        Example:
            >>> import numpy, weckd_edge
            >>> from PIL import Image
            >>> frame = numpy.asarray(Image.open("eardrum.png"))
            >>> with weckd_edge.load("ear-bundle").open() as model:
            ...     exam = model.exam()
            ...     first, second = exam.add(frame, time_ns=0), exam.add(frame, time_ns=33_000_000)
            >>> first.use, first.label
            ('counted', 'normal')
            >>> second.use, second.time_ns
            ('repeated', 33000000)
        """
        if not isinstance(frame, CameraFrame):
            frame = camera_frame(frame, colour=colour, matrix=matrix, region=region, chroma=chroma)
        with self._one_at_a_time:
            self._check_open()
            return self._exam.add(frame, time_ns)

    def add_unreadable(self, reason: str, *, time_ns: int | None = None) -> ExamFrame:
        """Count a frame that could not be read as a refused one.

        Args:
            reason: Sentence on why it could not be read.
            time_ns: Time of the frame, nanoseconds from the source's start.

        Example:
            >>> import weckd_edge
            >>> with weckd_edge.load("ear-bundle").open() as model:
            ...     exam = model.exam()
            >>> frame = exam.add_unreadable("frame 7: the file ends early")
            >>> frame.use, frame.code
            ('refused', 'unreadable')
        """
        with self._one_at_a_time:
            return self._exam.add_unreadable(reason, time_ns)

    def decide(self, *, dropped: int = 0) -> ExamDecision:
        """Return the decision by the frames so far. It may be asked for after each frame, and more frames may follow.

        Args:
            dropped: Number of frames that the source left out; it is handed back.

        Example:
            >>> import numpy, weckd_edge
            >>> from PIL import Image
            >>> with weckd_edge.load("ear-bundle").open() as model:
            ...     exam = model.exam()
            ...     for name in ("eardrum.png", "pictures/a.png", "pictures/b.png"):
            ...         frame = exam.add(numpy.asarray(Image.open(name)))
            ...         if exam.has_seen_enough:
            ...             break
            >>> found = exam.decide()
            >>> found.decision, found.seen, found.counted, found.repeated, found.refused
            ('normal', 3, 2, 1, {})
        """
        with self._one_at_a_time:
            return self._exam.decide(dropped)
