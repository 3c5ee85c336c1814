"""Choice of an examination's frames for a data set: sharp ones, no two of them alike.

Sharpness and likeness are measured as the input guard measures a frame. Its features are not whitened here, as there is no
guard before there are data; each counts by its spread in the video. Of every fifth of a second the sharpest frame is a
candidate, so that an hour of video takes little memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameSpec
from weckd_edge.devices.images.camera_frames import rgb_of
from weckd_edge.devices.runtime.input_guard import FEATURES, MIN_SIDE, measure_frame
from weckd_edge.devices.video.base import FrameSource, TimedFrame
from weckd_edge.train.input_guard.fit import feature_floors

Floats = NDArray[np.float64]

WINDOW_NS = 200_000_000
"""Length of the part of a video whose sharpest frame is a candidate, nanoseconds."""

ALIKE = FEATURES / 2
"""Squared distance under which two frames are alike: a quarter of what two frames of a video differ by on average."""

SHARP_QUANTILE = 0.9
"""Quantile of the candidates' sharpness that a sharp frame is measured by."""

SHARP_PART = 0.5
"""Part of that sharpness that a frame must have to be taken."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidate:
    """A frame that may be taken.

    Attributes:
        number: Number of the frame among those of its source, from 0.
        time_ns: Time from the source's first frame, nanoseconds.
        sharpness: Sharpness of the frame, grey levels, as the input guard measures it.
        features: Features of the frame, float64 ``[FEATURES]``.
    """

    number: int
    time_ns: int
    sharpness: float
    features: Floats


def find_candidates(source: FrameSource, on_frame: Callable[[], None]) -> list[Candidate]:
    """Return the sharpest frame of each part of a source, in the order of time.

    Args:
        source: The open source.
        on_frame: Called for each frame that was measured.

    Raises:
        WeckdError: No frame can be read.
    """
    found: list[Candidate] = []
    for number, frame in enumerate(source.frames()):
        on_frame()
        one = _measure(number, frame)
        if one is None:
            continue
        if found and found[-1].time_ns // WINDOW_NS == one.time_ns // WINDOW_NS:
            if one.sharpness > found[-1].sharpness:
                found[-1] = one
        else:
            found.append(one)
    return found


def _measure(number: int, frame: TimedFrame) -> Candidate | None:
    """Return a frame as a candidate; None: it is too small to be measured."""
    pixels = np.ascontiguousarray(rgb_of(frame.frame))
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        return None
    measured = measure_frame(pixels, FrameSpec(height=height, width=width, crop="center"))
    return Candidate(number=number, time_ns=frame.time_ns, sharpness=measured.quality.sharpness, features=measured.features)


def choose_frames(candidates: list[Candidate], at_most: int) -> list[Candidate]:
    """Return the frames to take, in the order of time: the sharpest first, without those that are like one already taken.

    A frame with less than half of the sharpness that the sharpest tenth of the candidates has is never taken.

    Args:
        candidates: Frames that may be taken.
        at_most: Largest number of frames.
    """
    if not candidates:
        return []
    features = np.array([one.features for one in candidates])
    standard = features / np.maximum(features.std(axis=0), feature_floors())
    least = SHARP_PART * float(np.quantile([one.sharpness for one in candidates], SHARP_QUANTILE))
    taken: list[int] = []
    for place in sorted(range(len(candidates)), key=lambda place: -candidates[place].sharpness):
        if len(taken) == at_most or candidates[place].sharpness < least:
            break
        if all(float(((standard[place] - standard[other]) ** 2).sum()) >= ALIKE for other in taken):
            taken.append(place)
    return [candidates[place] for place in sorted(taken)]
