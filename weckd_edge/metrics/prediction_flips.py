"""Prediction flips: decisions that changed between teacher, student and deployed model, for better or worse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FlipCount, FlippedFrame, Flips, Prediction
from weckd_edge.metrics.calibration import mcnemar
from weckd_edge.metrics.counts import Bools

Decisions = NDArray[np.intp]


def count_flips(
    names: tuple[str, str],
    before: Decisions,
    after: Decisions,
    truth: Decisions,
    labels: Sequence[str],
    slices: Sequence[tuple[str, Bools]],
) -> Flips:
    """Count the decisions that changed: all of them, by class, and by slice.

    Args:
        names: Names of the two implementations.
        before: Decisions of the first implementation ``[N]``.
        after: Decisions of the second implementation ``[N]``.
        truth: True label indices ``[N]``.
        labels: Class names.
        slices: Name of each slice, and the mask of its images ``[N]``.

    Raises:
        MissingDependency: scipy is not installed.
    """

    def count(of: str, rows: Bools) -> FlipCount:
        was, now, true = before[rows], after[rows], truth[rows]
        return FlipCount(
            of=of,
            images=int(rows.sum()),
            better=int(((was != true) & (now == true)).sum()),
            worse=int(((was == true) & (now != true)).sum()),
            other=int(((was != true) & (now != true) & (was != now)).sum()),
        )

    return Flips(
        before=names[0],
        after=names[1],
        total=count("all", np.ones(len(truth), dtype=bool)),
        mcnemar_p=mcnemar(before == truth, after == truth)[2],
        classes=tuple(count(label, truth == number) for number, label in enumerate(labels)),
        slices=tuple(count(name, rows) for name, rows in slices),
    )


def flipped_frames(predictions: Sequence[Prediction]) -> tuple[FlippedFrame, ...]:
    """Return every image on which teacher, FP32 and deployed model do not all agree, sorted by path."""
    frames = []
    for prediction in predictions:
        teacher = None if prediction.teacher is None else int(np.argmax(prediction.teacher))
        fp32, compiled = int(np.argmax(prediction.fp32)), int(np.argmax(prediction.compiled))
        if fp32 != compiled or teacher not in (None, fp32):
            frames.append(
                FlippedFrame(path=prediction.path, label=prediction.label, teacher=teacher, fp32=fp32, compiled=compiled)
            )
    return tuple(sorted(frames, key=lambda frame: frame.path))
