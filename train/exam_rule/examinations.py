"""Examinations, gathered from recorded predictions and from what the input guard measures of the same frames."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import ExamRule
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.exam import FrameUse, is_repeated
from weckd_edge.devices.runtime.exam_tally import ExamTally
from weckd_edge.devices.runtime.input_guard import OpenGuard
from weckd_edge.devices.video.image_files import name_key

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecordedFrame:
    """One frame, as guard and network see it.

    Attributes:
        path: Path of the image.
        time_s: Time in its examination, seconds; None where it is not known.
        code: Reason for which it is no evidence, of the guard or the network; None: it may count.
        sharpness: The guard's sharpness; None without a guard.
        whitened: The guard's whitened features ``[D]``; None without a guard.
        probabilities: Probability of each label, 0..1, as float32 holds it.
    """

    path: str
    time_s: float | None
    code: str | None
    sharpness: float | None
    whitened: Floats | None
    probabilities: tuple[float, ...]

    @property
    def best(self) -> int:
        """Most probable label index."""
        return self.probabilities.index(max(self.probabilities))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Examination:
    """One examination.

    Attributes:
        name: Name of the examination, or of the group that stands for it.
        group: Group that it belongs to.
        label: True label index; None where all frames are of non-gradeable classes.
        frames: Frames in the order of their times, then of their paths, numbers in them as people count.
    """

    name: str
    group: str
    label: int | None
    frames: tuple[RecordedFrame, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Examinations:
    """The examinations of one split.

    Attributes:
        exams: Examinations, sorted by name.
        left_out: Number of examinations that were left out because their frames have several labels.
    """

    exams: tuple[Examination, ...]
    left_out: int


def gather(
    images: SplitFrames, predicted: NDArray[Any], guard: OpenGuard | None, non_gradeable: Collection[int]
) -> Examinations:
    """Gather the examinations of a split.

    The label of an examination is the one that its frames have, those of non-gradeable classes left aside.

    Args:
        images: Images of the split.
        predicted: Predictions of the deployed model for them ``[N, classes]``.
        guard: The input guard; None: there is none.
        non_gradeable: Label indices that give no decision.
    """
    rows: dict[str, list[int]] = {}
    for row, record in enumerate(images.records):
        rows.setdefault(record.examination, []).append(row)
    exams, left_out = [], 0
    for name in sorted(rows):
        records = [images.records[row] for row in rows[name]]
        labels = {record.label for record in records} - set(non_gradeable)
        if len(labels) > 1:
            left_out += 1
            continue
        seen = [_see(images, row, predicted[row], guard, non_gradeable) for row in rows[name]]
        if all(frame.time_s is not None for frame in seen):
            seen.sort(key=lambda frame: (frame.time_s, name_key(frame.path)))
        else:
            seen.sort(key=lambda frame: name_key(frame.path))
        exams.append(
            Examination(name=name, group=records[0].group, label=labels.pop() if labels else None, frames=tuple(seen))
        )
    return Examinations(exams=tuple(exams), left_out=left_out)


def _see(
    images: SplitFrames, row: int, predicted: NDArray[Any], guard: OpenGuard | None, non_gradeable: Collection[int]
) -> RecordedFrame:
    record = images.records[row]
    judged = None if guard is None else guard.check(images.frame(row))
    probabilities = tuple(float(value) for value in predicted.astype(np.float32))
    code = None if judged is None else judged.code
    if code is None and not all(map(math.isfinite, probabilities)):
        code = "not_a_number"
    elif code is None and int(predicted.argmax()) in non_gradeable:
        code = "non_gradeable_label"
    return RecordedFrame(
        path=record.path,
        time_s=record.time_s,
        code=code,
        sharpness=None if judged is None else judged.quality.sharpness,
        whitened=None if judged is None else judged.whitened,
        probabilities=probabilities,
    )


_BY_NETWORK = frozenset({"not_a_number", "non_gradeable_label"})
"""Reasons that are known only after the network ran, and so after a repeat was noticed."""


def uses_of(frames: Sequence[RecordedFrame], duplicate_distance: float | None) -> list[FrameUse]:
    """Return what becomes of each frame where an examination never ends early, as the runtime does it.

    Args:
        frames: Frames in order.
        duplicate_distance: Largest squared distance at which a frame repeats the last counted one; None: none does.
    """
    uses: list[FrameUse] = []
    last: Floats | None = None
    for frame in frames:
        if frame.code is not None and frame.code not in _BY_NETWORK:
            uses.append("refused")
        elif _repeats(frame, last, duplicate_distance):
            uses.append("repeated")
        elif frame.code is not None:
            uses.append("refused")
        else:
            uses.append("counted")
            last = frame.whitened
    return uses


def _repeats(frame: RecordedFrame, last: Floats | None, distance: float | None) -> bool:
    if distance is None or last is None or frame.whitened is None:
        return False
    return is_repeated(frame.whitened, last, distance)


def counted_frames(exam: Examination, duplicate_distance: float | None) -> list[RecordedFrame]:
    """Return the frames of an examination that count, in order, where it never ends early."""
    uses = uses_of(exam.frames, duplicate_distance)
    return [frame for frame, use in zip(exam.frames, uses, strict=True) if use == "counted"]


def tally_of(rule: ExamRule, frames: Sequence[RecordedFrame], *, ends_early: bool = False) -> ExamTally:
    """Return the tally of frames that count, up to the rule's largest number.

    Args:
        rule: The rule, maybe without its threshold yet: it then ends examinations where the finished rule goes on.
        frames: Frames that count, at least one, in order.
        ends_early: Whether frames after the examination has seen enough change nothing.
    """
    tally = ExamTally(rule, len(frames[0].probabilities), ends_early=ends_early)
    for frame in frames:
        tally.add(frame.probabilities, frame.sharpness)
    return tally
