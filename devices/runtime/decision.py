"""Prediction of a camera frame: by the guard first, then the network, then the operating point."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from weckd_edge.artifacts import DataNote, FrameQuality, OperatingPoint
from weckd_edge.core.errors import ModelError
from weckd_edge.devices.images.camera_frames import CameraFrame
from weckd_edge.devices.runtime.backends.base import Frame, Probabilities
from weckd_edge.devices.runtime.frame_runner import FrameRunner
from weckd_edge.devices.runtime.front_end import Prepared

ABSTAIN = "unable to analyze"


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """The prediction for one image.

    Attributes:
        file: Path of the image, as it was named; empty for an array.
        label: Label with the largest probability; None where the network did not run.
        probabilities: Probability of each label, 0..1, in the order of the bundle's labels; empty where the network did not
            run.
        decision: The label, or "unable to analyze".
        reason: Sentence on why there is no decision; None where there is one.
        code: Name of that reason: ``unreadable``; of the guard, ``too_dark``, ``too_bright``, ``flat``, ``blurred`` or
            ``out_of_distribution``; of the network, ``not_a_number``, ``low_probability`` or ``non_gradeable_label``. None
            where there is a decision.
        guard: Code of the input guard's rejection; None where it accepts the frame, or the bundle has no guard.
        quality: Quality of the frame; None where the bundle has no guard or the image could not be read.
        ood_score: Distance of the frame from the training frames, at least 0; None where ``quality`` is None.
        notes: Notes on the image file, such as that it is nearly of one colour.
        latency_ns: End-to-end latency, from the camera frame to the decision, nanoseconds; reading an image file and
            bringing it to the frame's size come before it. None where the image could not be read. Two predictions that
            differ in it alone are equal.
    """

    file: str
    label: str | None
    probabilities: dict[str, float]
    decision: str
    reason: str | None
    code: str | None = None
    guard: str | None = None
    quality: FrameQuality | None = None
    ood_score: float | None = None
    notes: tuple[DataNote, ...] = ()
    latency_ns: int | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePredictor:
    """A model with what its probabilities become a decision by.

    Attributes:
        runner: The open model, with the guard in its front end.
        labels: Class names, in the order of the network's outputs.
        operating_point: How probabilities become a decision.
    """

    runner: FrameRunner
    labels: tuple[str, ...]
    operating_point: OperatingPoint

    def predict(self, frame: Frame | CameraFrame, *, file: str = "", ignore_guard: bool = False) -> Prediction:
        """Predict one camera frame: by the guard first, then the network, then the operating point.

        Args:
            frame: Camera frame of the contract's size, uint8 ``[1, height, width, 3]``, contiguous; or one of any size.
            file: Name of the frame in the prediction.
            ignore_guard: Predict a frame that the guard refuses, too.

        Raises:
            ModelError: The model takes another frame, or gives another number of probabilities than there are labels.
        """
        start_ns = time.monotonic_ns()
        looked = self.look(frame)
        guard = looked.decision
        if guard is not None and guard.code is not None and not ignore_guard:
            found = Decision(None, {}, ABSTAIN, guard.words or "", guard.code)
        else:
            found = self.decide(self.run_network(looked))
        return Prediction(
            label=found.label,
            probabilities=found.probabilities,
            decision=found.decision,
            reason=found.reason,
            code=found.code,
            file=file,
            guard=None if guard is None else guard.code,
            quality=None if guard is None else guard.quality,
            ood_score=None if guard is None else guard.ood_score,
            latency_ns=time.monotonic_ns() - start_ns,
        )

    def look(self, frame: Frame | CameraFrame) -> Prepared:
        """Return what the graph takes of a frame, and what the guard says of it; the network does not run.

        Raises:
            ModelError: The model takes another frame.
        """
        front_end = self.runner.front_end
        return front_end.prepare_camera(frame) if isinstance(frame, CameraFrame) else front_end.prepare(frame)

    def run_network(self, looked: Prepared) -> Probabilities:
        """Return the probabilities ``[classes]`` of the frame that this thread looked at last, whatever the guard says."""
        return self.runner.graph.run(looked.pixels)

    def run(self, frame: Frame) -> Prediction:
        """Predict one camera frame ``[1, height, width, 3]``, whatever the guard says."""
        return self.predict(frame, ignore_guard=True)

    def decide(self, probabilities: Probabilities) -> Decision:
        """Turn probabilities ``[classes]`` into a decision."""
        return decide(probabilities, self.labels, self.operating_point)


def unreadable(file: str, reason: str) -> Prediction:
    """Return the prediction of an image that cannot be read: "unable to analyze"."""
    return Prediction(file=file, label=None, probabilities={}, decision=ABSTAIN, reason=reason, code="unreadable")


class Decision(NamedTuple):
    """Decision on the probabilities of one frame.

    Attributes:
        label: Label with the largest probability; None where the network gave no number.
        probabilities: Probability of each label, 0..1.
        decision: The label, or "unable to analyze".
        reason: Sentence on why there is no decision; None where there is one.
        code: Name of that reason; None where there is a decision.
    """

    label: str | None
    probabilities: dict[str, float]
    decision: str
    reason: str | None
    code: str | None


def decide(probabilities: Probabilities, labels: tuple[str, ...], point: OperatingPoint) -> Decision:
    """Turn one prediction ``[classes]`` into a decision at an operating point.

    Raises:
        ModelError: There is another number of probabilities than labels.
    """
    if probabilities.shape != (len(labels),):
        raise ModelError(
            f"expected {len(labels)} probabilities, got shape {list(probabilities.shape)}", code="E_MODEL_OUTPUT"
        )
    numbers: list[float] = probabilities.tolist()
    if not all(map(math.isfinite, numbers)):
        return Decision(None, {}, ABSTAIN, "the model gave no number", "not_a_number")
    values = dict(zip(labels, numbers, strict=True))
    most = max(numbers)
    label = labels[numbers.index(most)]
    if most < point.confidence_threshold:
        text = f"the most probable label, {label}, has {most:.3f}; a decision needs {point.confidence_threshold:g}"
        return Decision(label, values, ABSTAIN, f"not sure enough: {text}", "low_probability")
    if label in point.non_gradeable_labels:
        return Decision(label, values, ABSTAIN, label, "non_gradeable_label")
    return Decision(label, values, label, None, None)
