"""Examinations for tests, drawn from a known distribution, without images or a network."""

from __future__ import annotations

import numpy as np

from weckd_edge.train.exam_rule.examinations import Examination, RecordedFrame

SHARP = 5.0
"""Sharpness from which on a drawn frame is a good one."""


def seen_frame(
    probabilities: tuple[float, ...] = (0.9, 0.1),
    *,
    path: str = "a.png",
    time_s: float | None = None,
    code: str | None = None,
    sharpness: float = 9.0,
    whitened: tuple[float, ...] | None = None,
) -> RecordedFrame:
    """A frame as guard and network see it."""
    return RecordedFrame(
        path=path,
        time_s=time_s,
        code=code,
        sharpness=sharpness,
        whitened=None if whitened is None else np.array(whitened),
        probabilities=probabilities,
    )


def examination(name: str, label: int | None, *frames: RecordedFrame, group: str | None = None) -> Examination:
    """An examination that is a group of its own unless one is named."""
    return Examination(name=name, group=group or name, label=label, frames=frames)


def drawn_exams(
    count: int, seed: int = 0, *, most: int = 12, blurred_noise: float = 0.7, overconfident: float = 1.0
) -> list[Examination]:
    """Draw examinations of 1 to ``most`` frames, half a second apart, with three labels.

    Args:
        count: Number of examinations.
        seed: Seed of the draws.
        most: Largest number of frames.
        blurred_noise: Noise of the logits of frames that are not sharp; sharp ones have 0.7.
        overconfident: Factor of all logits.
    """
    draw = np.random.default_rng(seed)
    exams = []
    for number in range(count):
        label, frames = int(draw.integers(3)), []
        ear = draw.normal(0, 0.5, 3)
        ear[label] += 1.2
        for place in range(int(draw.integers(1, most + 1))):
            sharpness = float(draw.uniform(1, 9))
            logits = (ear + draw.normal(0, 0.7 if sharpness >= SHARP else blurred_noise, 3)) * overconfident
            parts = np.exp(logits - logits.max())
            frames.append(
                seen_frame(
                    tuple(float(value) for value in (parts / parts.sum()).astype(np.float32)),
                    path=f"e{number:04d}/{place:03d}.png",
                    time_s=0.5 * place,
                    sharpness=sharpness,
                    whitened=tuple(draw.normal(0, 3, 8)),
                )
            )
        exams.append(examination(f"e{number:04d}", label, *frames))
    return exams
