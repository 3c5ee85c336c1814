"""Evaluate candidates: score their predictions on the validation images against FP32's, and time them in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.compile.quantize.candidates.base import PrecisionCandidate
from weckd_edge.compile.quantize.candidates.choose import score_candidate
from weckd_edge.compile.verify.implementations import Predict, PredictionError
from weckd_edge.config import QuantizeConfig
from weckd_edge.core.errors import ModelError
from weckd_edge.core.progress import Progress
from weckd_edge.core.store import file_ref
from weckd_edge.devices.bench.interleaved import InterleavedTiming, time_interleaved
from weckd_edge.devices.images.split_frames import SplitFrames
from weckd_edge.devices.runtime.backends.base import Probabilities, Runner

_TIMED_FRAMES = 8
"""Validation images that candidates are timed on."""

TimeModels = Callable[[Sequence[Runner], Sequence[NDArray[Any]]], list[InterleavedTiming]]
"""Times models in turn on the same frames, as ``interleaved.time_interleaved`` does."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """How candidates are evaluated on this machine.

    Attributes:
        images: Validation images.
        labels: Class names, in the order of the predictions.
        predict: Returns what a candidate predicts of images.
        time_models: Times models in turn on the same frames; None takes ``time_interleaved``.
    """

    images: SplitFrames
    labels: Sequence[str]
    predict: Predict
    time_models: TimeModels | None = None

    def score(
        self, candidates: Sequence[PrecisionCandidate], fp32: PrecisionCandidate, config: QuantizeConfig, progress: Progress
    ) -> None:
        """Classify every validation image with candidates that can be run and have not yet; score them against FP32.

        Args:
            candidates: Candidates of one network. One that cannot predict keeps the reason as its note.
            fp32: Implementation that the others are compared with.
            config: Limits on the accuracy that a candidate may lose.
            progress: Receiver of the progress.
        """
        with progress.task("predict validation images", len(candidates)) as task:
            for candidate in candidates:
                candidate.probabilities = self._predict(candidate)
                task.advance()
        truth, groups = self.images.labels, self.images.groups
        for candidate in candidates:
            if candidate.probabilities is None or fp32.probabilities is None:
                continue
            refs = candidate.built.files if candidate.built else (file_ref(candidate.onnx.parent, candidate.onnx),)
            trial = replace(candidate.trial, bytes=sum(ref.bytes for ref in refs))
            candidate.trial = score_candidate(
                trial, candidate.probabilities, fp32.probabilities, truth, self.labels, groups, config
            )

    def time(self, candidates: Sequence[PrecisionCandidate], threads: int, progress: Progress) -> None:
        """Time candidates in turn on the same frames; relative times refer to the first one."""
        frames = list(self.images.take(range(min(_TIMED_FRAMES, len(self.images)))))
        time_models = self.time_models or time_interleaved
        with _opened(candidates, threads) as opened, progress.task("time candidates", 1):
            timings = time_models([runner for _, runner in opened], frames)
        for (candidate, _), timing in zip(opened, timings, strict=True):
            candidate.trial = replace(
                candidate.trial,
                median_ns=timing.median_ns,
                relative_time=timing.relative,
                relative_low=timing.low,
                relative_high=timing.high,
            )

    def _predict(self, candidate: PrecisionCandidate) -> Probabilities | None:
        """Return a candidate's predictions; None, with the reason as its note, where it cannot predict."""
        try:
            probabilities = self.predict(candidate.implementation, self.images)
        except PredictionError as err:
            candidate.trial = replace(candidate.trial, note=f"cannot predict: {err}")
            return None
        except ModelError as err:
            candidate.trial = replace(candidate.trial, note=f"cannot be opened: {err}")
            return None
        if not np.isfinite(probabilities).all():
            candidate.trial = replace(candidate.trial, note="predicts values that are not numbers")
            return None
        return probabilities


@contextmanager
def _opened(candidates: Sequence[PrecisionCandidate], threads: int) -> Iterator[list[tuple[PrecisionCandidate, Runner]]]:
    """Open candidates; one that cannot be opened keeps the reason as its note and is left out."""
    with ExitStack() as stack:
        runners: list[tuple[PrecisionCandidate, Runner]] = []
        for candidate in candidates:
            try:
                runner = candidate.implementation.open(threads=threads)
            except ModelError as err:
                candidate.trial = replace(candidate.trial, note=f"cannot be opened: {err}")
                continue
            stack.callback(runner.close)
            runners.append((candidate, runner))
        yield runners
