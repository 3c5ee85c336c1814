"""Examinations that pages have open: each takes its frames in their order, and is dropped where none comes for long.

An examination holds sums and features of its frames, and no pixels.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from weckd_edge.core.errors import DeviceError, ModelError
from weckd_edge.core.serialization import to_data
from weckd_edge.devices.demo.session import DemoSession
from weckd_edge.devices.images.camera_frames import CameraFrame, camera_frame
from weckd_edge.devices.runtime.exam import Exam

Query = Mapping[str, str]
"""Parameters of a request's address."""

CHANNELS = 4
"""Bytes of a pixel as a browser's canvas gives it: red, green, blue, opacity."""


@dataclass(kw_only=True, slots=True)
class OpenExam:
    """An examination that a page has open.

    Attributes:
        exam: The examination.
        taken: Number of frames that were taken.
        until_s: Time at which it is dropped unless a frame comes, seconds of the table's clock.
    """

    exam: Exam
    taken: int = 0
    until_s: float


class OpenExams:
    """The examinations that pages have open.

    Args:
        session: The open bundle; its turn guards this table too.
        at_most: Most examinations at one time.
        silence_s: Time after which an examination without a new frame is dropped, seconds.
        clock: Monotonic clock, seconds.
    """

    def __init__(
        self, session: DemoSession, *, at_most: int, silence_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._session, self._at_most, self._silence_s, self._clock = session, at_most, silence_s, clock
        self._open: dict[str, OpenExam] = {}

    def __len__(self) -> int:
        """Return how many examinations are held."""
        return len(self._open)

    def begin(self, query: Query, body: bytes) -> dict[str, Any]:
        """Begin an examination, and return its name, which no other page can guess, and what a decision needs.

        Raises:
            DeviceError: No further examination may be open.
        """
        with self._session.turn():
            self._drop_silent()
            if len(self._open) >= self._at_most:
                raise DeviceError(
                    f"as many examinations are open as may be, {self._at_most}; end one or wait {self._silence_s:g} seconds",
                    code="E_DEVICE_DEMO_EXAM",
                )
            exam, name = self._session.open_exam(), secrets.token_urlsafe(16)
            self._open[name] = OpenExam(exam=exam, until_s=self._clock() + self._silence_s)
        rule = exam.rule
        return {
            "exam": name,
            "min_frames": rule.min_frames,
            "max_frames": rule.max_frames,
            "confidence_threshold": rule.confidence_threshold,
        }

    def add(self, query: Query, body: bytes) -> dict[str, Any]:
        """Show an examination its next frame, and return what becomes of it and what the frames say so far.

        Args:
            query: ``exam``, the name that ``begin`` returned; ``number`` of the frame, from 1 on; ``width`` and ``height``,
                pixels.
            body: Red, green, blue and opacity of each pixel, one byte each, rows first.

        Raises:
            DeviceError: There is no such examination, or the frame is not its next one.
            ModelError: A number is missing or is none, the pixels are not as many as it says, or too few for the network.
        """
        number = _whole(query, "number")
        frame = _frame(body, width=_whole(query, "width"), height=_whole(query, "height"))
        with self._session.turn():
            found = self._find(query)
            if number != found.taken + 1:
                raise DeviceError(
                    f"expected frame {found.taken + 1} of this examination, got frame {number}; begin another one",
                    code="E_DEVICE_DEMO_EXAM",
                )
            frame_found = found.exam.add(frame)
            found.taken = number
            found.until_s = self._clock() + self._silence_s
            decision = found.exam.decide()
        return {"frame": to_data(frame_found), "decision": to_data(decision)}

    def end(self, query: Query, body: bytes) -> dict[str, Any]:
        """End an examination, and return its decision.

        Raises:
            DeviceError: There is no such examination.
        """
        with self._session.turn():
            decision = self._find(query).exam.decide()
            del self._open[query["exam"]]
        return {"decision": to_data(decision)}

    def _find(self, query: Query) -> OpenExam:
        self._drop_silent()
        found = self._open.get(query.get("exam", ""))
        if found is None:
            raise DeviceError(
                f"no such examination is open: it ended, or had no frame for {self._silence_s:g} seconds; begin another",
                code="E_DEVICE_DEMO_EXAM",
            )
        return found

    def _drop_silent(self) -> None:
        now = self._clock()
        self._open = {name: found for name, found in self._open.items() if now < found.until_s}


def _whole(query: Query, name: str) -> int:
    text = query.get(name, "")
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ModelError(f"{name}: expected a whole number, got {text[:20]!r}", code="E_MODEL_FRAME")
    return int(text)


def _frame(body: bytes, *, width: int, height: int) -> CameraFrame:
    if len(body) != width * height * CHANNELS or not body:
        raise ModelError(
            f"expected {width} x {height} pixels of {CHANNELS} bytes, {width * height * CHANNELS} in all, got {len(body)}",
            code="E_MODEL_FRAME",
        )
    pixels = np.frombuffer(body, np.uint8).reshape(height, width, CHANNELS)
    return camera_frame(pixels[..., :3])
