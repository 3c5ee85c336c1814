"""An examination: frames of one ear that end in one decision, or in "unable to analyze"."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Literal

from weckd_edge.artifacts import ExamRule, FrameQuality, OperatingPoint
from weckd_edge.devices.images.camera_frames import CameraFrame
from weckd_edge.devices.runtime.backends.base import Frame
from weckd_edge.devices.runtime.decision import ABSTAIN, FramePredictor, decide
from weckd_edge.devices.runtime.exam_tally import ExamTally
from weckd_edge.devices.runtime.input_guard import Floats, GuardDecision, squared_lengths

FrameUse = Literal["counted", "repeated", "refused", "not_needed"]
"""What an examination makes of a frame: it counts; it is the last counted one over again; it is no evidence; or the
examination had seen enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamFrame:
    """What an examination makes of one frame.

    Attributes:
        use: ``counted``; ``repeated``: nearly the last counted frame over again; ``refused``; or ``not_needed``: the
            examination had seen enough. The network ran for a counted frame, and for a refused one that the guard accepted.
        code: Name of the reason for refusing the frame: ``unreadable``; of the guard, ``too_dark``, ``too_bright``,
            ``flat``, ``blurred`` or ``out_of_distribution``; of the network, ``not_a_number`` or ``non_gradeable_label``.
            None where it is not refused.
        reason: Sentence on why the frame is refused; None where it is not.
        time_ns: Time of the frame, nanoseconds from the source's start; None where nobody told it.
        label: Most probable label of this frame alone; None where the network did not run or gave no number.
        probabilities: Probability of each label for this frame alone, 0..1; empty where ``label`` is None.
        quality: Quality of the frame; None where the bundle has no guard, or nobody looked at the frame.
        ood_score: Distance of the frame from the training frames, at least 0; None where ``quality`` is None.
        latency_ns: Time that the frame took, nanoseconds. Two results that differ in it alone are equal.
    """

    use: FrameUse
    code: str | None = None
    reason: str | None = None
    time_ns: int | None = None
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    quality: FrameQuality | None = None
    ood_score: float | None = None
    latency_ns: int = field(default=0, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamDecision:
    """The decision of an examination, or what its frames say so far.

    Attributes:
        decision: The label, or "unable to analyze".
        label: Most probable label; None where no frame is evidence.
        probabilities: Probability of each label, 0..1, in the order of the bundle's labels; empty where ``label`` is None.
        reason: Sentence on why there is no decision; None where there is one.
        code: Name of that reason: ``too_few_frames`` or ``low_probability``; None where there is a decision.
        seen: Number of frames that were looked at: those that count, those that repeat another and those that are refused.
        counted: Number of frames that count.
        repeated: Number of frames that are nearly the last counted one over again.
        refused: Number of refused frames by the code of the reason.
        dropped: Number of frames that the source left out, as it told.
        has_seen_enough: Whether no later frame changes the decision.
    """

    decision: str
    label: str | None
    probabilities: dict[str, float]
    reason: str | None
    code: str | None
    seen: int
    counted: int
    repeated: int
    refused: dict[str, int]
    dropped: int
    has_seen_enough: bool


class Exam:
    """An examination that is under way.

    Args:
        predictor: The open model.
        rule: How frames become a decision.

    Attributes:
        rule: How frames become a decision.
    """

    def __init__(self, predictor: FramePredictor, rule: ExamRule) -> None:
        self.rule = rule
        self._predictor = predictor
        self._frame_point = OperatingPoint(non_gradeable_labels=predictor.operating_point.non_gradeable_labels)
        self._tally = ExamTally(rule, len(predictor.labels))
        self._last: Floats | None = None  # whitened features of the last counted frame
        self._repeated = 0
        self._refused: Counter[str] = Counter()

    @property
    def has_seen_enough(self) -> bool:
        """Whether no later frame changes the decision."""
        return self._tally.is_complete

    def add(self, frame: Frame | CameraFrame, time_ns: int | None = None) -> ExamFrame:
        """Show the next frame to the guard, and to the network where the guard accepts it and it is not a repeated one.

        Args:
            frame: Camera frame of the contract's size, uint8 ``[1, height, width, 3]``, contiguous; or one of any size.
            time_ns: Time of the frame, nanoseconds from the source's start.

        Raises:
            ModelError: The model takes another frame, or gives another number of probabilities than there are labels. The
                examination stays as it was.
        """
        if self.has_seen_enough:
            return ExamFrame(use="not_needed", time_ns=time_ns)
        start_ns = time.monotonic_ns()
        found = self._look(frame)
        return replace(found, time_ns=time_ns, latency_ns=time.monotonic_ns() - start_ns)

    def add_unreadable(self, reason: str, time_ns: int | None = None) -> ExamFrame:
        """Count a frame that could not be read as a refused one; ``reason`` is a sentence on why."""
        if self.has_seen_enough:
            return ExamFrame(use="not_needed", time_ns=time_ns)
        self._refused["unreadable"] += 1
        return ExamFrame(use="refused", code="unreadable", reason=reason, time_ns=time_ns)

    def _look(self, frame: Frame | CameraFrame) -> ExamFrame:
        looked = self._predictor.look(frame)
        guard = looked.decision
        quality, score = (None, None) if guard is None else (guard.quality, guard.ood_score)
        if guard is not None and guard.code is not None:
            self._refused[guard.code] += 1
            return ExamFrame(use="refused", code=guard.code, reason=guard.words, quality=quality, ood_score=score)
        if guard is not None and self._is_repeated(guard):
            self._repeated += 1
            return ExamFrame(use="repeated", quality=quality, ood_score=score)
        found = decide(self._predictor.run_network(looked), self._predictor.labels, self._frame_point)
        if found.code is None:
            self._tally.add(list(found.probabilities.values()), None if quality is None else quality.sharpness)
            self._last = None if guard is None else guard.whitened
        else:
            self._refused[found.code] += 1
        return ExamFrame(
            use="counted" if found.code is None else "refused",
            code=found.code,
            reason=found.reason,
            label=found.label,
            probabilities=found.probabilities,
            quality=quality,
            ood_score=score,
        )

    def _is_repeated(self, guard: GuardDecision) -> bool:
        if self.rule.duplicate_distance is None or self._last is None:
            return False
        return is_repeated(guard.whitened, self._last, self.rule.duplicate_distance)

    def decide(self, dropped: int = 0) -> ExamDecision:
        """Return the decision by the frames so far; it may be asked for as often as one likes.

        Args:
            dropped: Number of frames that the source left out.
        """
        found, counted, labels = self._tally.probabilities(), self._tally.counted, self._predictor.labels
        label = None if found.best is None else labels[found.best]
        code = reason = None
        if label is None or counted < self.rule.min_frames:
            code, reason = "too_few_frames", self._too_few()
        elif not found.is_decided:
            most = max(found.probabilities)
            text = f"the most probable label, {label}, has {most:.3f}; a decision needs {self.rule.confidence_threshold:g}"
            code, reason = "low_probability", f"not sure enough: {text}"
        return ExamDecision(
            decision=label if label is not None and code is None else ABSTAIN,
            label=label,
            probabilities=dict(zip(labels, found.probabilities, strict=False)),
            reason=reason,
            code=code,
            seen=self._seen,
            counted=counted,
            repeated=self._repeated,
            refused=dict(sorted(self._refused.items())),
            dropped=dropped,
            has_seen_enough=self.has_seen_enough,
        )

    @property
    def _seen(self) -> int:
        return self._tally.counted + self._repeated + self._refused.total()

    def _too_few(self) -> str:
        text = f"too few frames: {self._tally.counted} of {self._seen} count, a decision needs {self.rule.min_frames}"
        if self._refused:
            code, frames = max(self._refused.items(), key=lambda item: (item[1], item[0]))
            text += f"; {frames} were refused as {code.replace('_', ' ')}"
        return text


def is_repeated(whitened: Floats, last: Floats, distance: float) -> bool:
    """Return whether a frame is nearly the last counted one over again.

    Args:
        whitened: Whitened features of the frame ``[D]``.
        last: Whitened features of the last counted frame ``[D]``.
        distance: Largest squared distance at which the two count once.
    """
    return float(squared_lengths((whitened - last)[None])[0]) <= distance
