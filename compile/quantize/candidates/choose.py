"""Score candidates, choose the one that is deployed, and explain the choice in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import QuantizationTrial
from weckd_edge.compile.quantize.candidates.sensitivity import divergence
from weckd_edge.config import QuantizeConfig
from weckd_edge.devices.runtime.backends.base import Probabilities
from weckd_edge.devices.runtime.backends.table import find_backend
from weckd_edge.metrics.intervals import rate_by_group

MARGIN = 0.03
"""Largest relative difference of two candidates' times at which they count as equally fast."""

LARGER = 1.25
"""Largest size, relative to the smallest of the equally fast, at which the candidate closest to FP32 is chosen."""

_ROUNDING = 1e-9
"""Number of images by which a limit is off through rounding alone, at most."""


def score_candidate(
    trial: QuantizationTrial,
    probabilities: Probabilities,
    reference: Probabilities,
    truth: NDArray[np.intp],
    labels: Sequence[str],
    groups: Sequence[str],
    config: QuantizeConfig,
) -> QuantizationTrial:
    """Return a trial with its accuracy, and the images and recall that it loses against FP32.

    Args:
        trial: Record of the candidate.
        probabilities: Predictions of the candidate on the validation images, ``[N, classes]``.
        reference: Predictions of FP32, ``[N, classes]``.
        truth: True class of each image, ``[N]``.
        labels: Class names.
        groups: Group of each image.
        config: Limits. One image more or less is always allowed: fewer cannot be told apart.
    """
    before, after = reference.argmax(axis=1) == truth, probabilities.argmax(axis=1) == truth
    lost = int(before.sum() - after.sum())
    allowed = _whole(min(config.max_accuracy_drop * len(after), (1 - config.min_relative_accuracy) * before.sum()))
    reasons = []
    if lost > allowed:
        reasons.append(f"loses {lost} of {len(after)} validation images (at most {allowed})")
    for label, name in enumerate(labels):
        own = truth == label
        gone = int(before[own].sum() - after[own].sum())
        maximum = _whole(config.max_recall_drop * own.sum())
        if gone > maximum:
            reasons.append(f"loses {gone} of {int(own.sum())} images of {name} (at most {maximum})")
    return replace(
        trial,
        accuracy=rate_by_group(after, groups),
        net_lost=lost,
        divergence=divergence(reference, probabilities),
        within_limits=not reasons,
        note="; ".join(reasons),
    )


def _whole(images: float) -> int:
    """Return the most images that may be lost, at least one: of 0.1 times 30, which is a little under 3, all three."""
    return max(1, int(images + _ROUNDING))


def is_whole_int8(trial: QuantizationTrial) -> bool:
    """Tell whether a trial is int8 of our own with no layer in floating point; all such are equally fast."""
    return trial.precision == "int8" and trial.method not in (None, "nncf", "imported") and not trial.float_nodes


def closest_candidate(trials: Sequence[QuantizationTrial]) -> QuantizationTrial | None:
    """Return the trial whose predictions stay closest to FP32's, one within the limits before one that is not."""
    return min(trials, key=lambda t: (not t.within_limits, t.divergence or 0.0), default=None)


def choose_candidate(eligible: Sequence[QuantizationTrial]) -> QuantizationTrial:
    """Return the trial that is deployed: the fastest; of those as fast, a small one that stays close to FP32.

    One that breaks an accuracy limit is only chosen where all do. Of two as fast OpenVINO's is taken, which the extra for
    processors brings. Where none was timed, int8 as a whole comes before int8 in part, and that before the last of the
    others.
    """
    eligible = [t for t in eligible if t.within_limits] or eligible
    timed = [t for t in eligible if t.relative_time is not None]
    if not timed:
        int8 = closest_candidate([t for t in eligible if is_whole_int8(t)]) or closest_candidate(
            [t for t in eligible if t.float_nodes]
        )
        return int8 or eligible[-1]
    best = min(t.relative_time or 0.0 for t in timed)
    tied = [t for t in timed if (t.relative_time or 0.0) <= best * (1 + MARGIN)]
    tied = [t for t in tied if t.backend == "openvino"] or tied
    minimum = min(t.bytes or 0 for t in tied)
    return min((t for t in tied if (t.bytes or 0) <= minimum * LARGER), key=lambda t: t.divergence or 0.0)


def rank_listed(chosen: QuantizationTrial, eligible: Sequence[QuantizationTrial]) -> list[QuantizationTrial]:
    """Return the trials that are listed: of each backend and precision the fastest, the deployed one first, then by time.

    What was not timed on this machine comes last.
    """
    ordered = [chosen, *sorted((t for t in eligible if t is not chosen), key=lambda t: t.median_ns or float("inf"))]
    found: dict[tuple[str, str], QuantizationTrial] = {}
    for trial in ordered:
        found.setdefault((trial.backend, trial.precision), trial)
    return list(found.values())


def compare_precisions(trials: Sequence[QuantizationTrial]) -> tuple[str, ...]:
    """Return for each backend in which int8 and FP32 were timed which of them comes first, in a sentence."""
    sentences = []
    for backend in dict.fromkeys(t.backend for t in trials):
        timed = [t for t in trials if t.backend == backend and t.median_ns is not None]
        floats, small = ([t for t in timed if t.precision == precision] for precision in ("fp32", "int8"))
        if not floats or not small:
            continue
        fp32, int8 = floats[0], min(small, key=lambda t: t.median_ns or 0)
        slower = (int8.median_ns or 0) > (fp32.median_ns or 0)
        sentences.append(
            f"{find_backend(backend).title} takes {_ms(int8)} in int8 and {_ms(fp32)} in FP32: "
            + ("int8 does not pay here, and FP32 comes before it" if slower else "int8 comes first")
        )
    return tuple(sentences)


def explain_choice(
    chosen: QuantizationTrial, trials: Sequence[QuantizationTrial], images: int, *, requested: bool, timed: bool
) -> str:
    """Return the reason why a trial is deployed, in a sentence.

    Args:
        chosen: Trial that is deployed.
        trials: Every trial, FP32 first.
        images: Number of validation images.
        requested: Whether its precision was asked for.
        timed: Whether candidates were built and timed here.
    """
    fp32 = trials[0]
    parts = []
    if requested:
        parts.append(f"{chosen.precision} was asked for")
        if not chosen.within_limits:
            parts.append(f"it {chosen.note}")
    elif not timed:
        parts.append(
            f"{chosen.name} keeps the limits on {images} validation images; not timed, as the device builds its own engine"
        )
    if chosen.precision != "fp32" and chosen.median_ns is not None and fp32.median_ns is not None:
        parts.append(f"{chosen.name} takes {_ms(chosen)} where FP32 takes {_ms(fp32)}, and {_lost(chosen.net_lost)}")
    for precision in ("int8", "fp16"):
        others = [t for t in trials if t.precision == precision]
        if requested or not others or chosen.precision == precision:
            continue
        contenders = [t for t in others if t.median_ns is not None]
        if contenders:
            fastest = min(contenders, key=lambda t: t.relative_time or 0.0)
            slower = (fastest.relative_time or 0.0) > (chosen.relative_time or 1.0)
            word = "slower here" if slower else "no faster here"
            parts.append(f"{precision} is {word}: {_ms(fastest)} against {_ms(chosen)}")
        elif others[-1].note:
            parts.append(f"{precision} {others[-1].note}")
    return "; ".join(parts) or f"{chosen.name} is the only one within the limits"


def _ms(trial: QuantizationTrial) -> str:
    return f"{(trial.median_ns or 0) / 1e6:.2f} ms"


def _lost(lost: int | None) -> str:
    if not lost:
        return "loses no validation image" if lost == 0 else "was not scored"
    word = "loses" if lost > 0 else "gains"
    return f"{word} {abs(lost)} validation image{'s' if abs(lost) != 1 else ''}"
