"""Fit the input guard: limits of quality, the distribution of training frames' features, and the limit of the OOD score.

Every group of frames counts once, as frames of one patient are alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import FrameGuard, QualityLimits
from weckd_edge.config import GuardConfig
from weckd_edge.devices.runtime.input_guard import BINS, FEATURES, LAGS, FrameFeatures, distances

Floats = NDArray[np.float64]

MIN_GROUPS = 20
"""Least number of groups of training frames; with fewer there is no guard."""

TAIL = 0.005
"""Part of the training frames that lies beyond a limit of quality, before the margin, 0..1."""

MARGIN = 0.2
"""Margin of a limit of quality behind that tail, as a part of the value, or of a fraction's distance to 1."""

FOLDS = 10

_GREY_FLOOR = 0.5
"""Least spread of a feature in grey levels, so that a grey data set does not reject a camera for its last bit."""

_FRACTION_FLOOR = 0.02
"""Least spread of a feature that is the root of a fraction of points."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureSet:
    """Features and quality of a number of frames, as the guard counts them.

    Attributes:
        features: Features of each frame ``[N, FEATURES]``.
        quality: Quality of each frame ``[N, 4]``: sharpness, contrast, dark fraction, bright fraction.
        groups: Group of each frame.
    """

    features: Floats
    quality: Floats
    groups: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedGuard:
    """Guard with the groups and the bound that its limit of the OOD score rests on.

    Attributes:
        guard: Guard that is deployed.
        groups: Number of groups that the limit rests on.
        false_reject_bound: Largest expected fraction of a new group's frames that is rejected; over the requested rate where
            there are too few groups.
    """

    guard: FrameGuard
    groups: int
    false_reject_bound: float


def stack_features(frames: Sequence[FrameFeatures], groups: Sequence[str]) -> FeatureSet:
    """Stack the features of single frames."""
    quality = [(q.sharpness, q.contrast, q.dark_fraction, q.bright_fraction) for q in (frame.quality for frame in frames)]
    return FeatureSet(
        features=np.array([frame.features for frame in frames]).reshape(len(frames), FEATURES),
        quality=np.array(quality).reshape(len(frames), 4),
        groups=tuple(groups),
    )


def fit_guard(train: FeatureSet, held_out: FeatureSet, config: GuardConfig) -> FittedGuard | None:
    """Fit a guard to training frames; its limit comes from frames that it was not fitted to.

    The limit is a conformal quantile of hierarchical data (Lee, Barber and Willett 2023, arXiv 2306.06342): groups are
    exchangeable, and a frame of a new group is rejected with at most the requested probability. Held-out groups are scored
    by the guard itself, training groups by guards that were fitted without them (cross-conformal prediction, Vovk 2015).

    Args:
        train: Training frames, which the features' distribution is taken from.
        held_out: Frames of other groups; may be none.
        config: Settings of the guard.

    Returns:
        The guard; None where there are fewer than ``MIN_GROUPS`` training groups.
    """
    names, member = np.unique(np.asarray(train.groups), return_inverse=True)
    if len(names) < MIN_GROUPS:
        return None
    mean, whitening = fit_distance(train.features, member)
    scores = [distances(held_out.features, mean, whitening)] if held_out.groups else []
    held_out_groups = list(held_out.groups)
    fold_of = np.arange(len(names)) % FOLDS  # names are sorted, and do not depend on the frames
    for fold in range(FOLDS):
        out = fold_of[member] == fold
        scores.append(distances(train.features[out], *fit_distance(train.features[~out], member[~out])))
        held_out_groups += [train.groups[row] for row in np.flatnonzero(out)]
    limit, promised = conformal_limit(np.concatenate(scores), held_out_groups, config.false_reject_rate)
    guard = FrameGuard(
        limits=quality_limits(train, config),
        mean=tuple(mean.tolist()),
        whitening=tuple(tuple(whitening[row, : row + 1].tolist()) for row in range(FEATURES)),
        max_ood_score=limit,
    )
    return FittedGuard(guard=guard, groups=len(set(held_out_groups)), false_reject_bound=promised)


def fit_distance(features: Floats, member: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return mean ``[D]`` and lower triangular whitening ``[D, D]`` of features ``[N, D]``, each group counting once.

    The covariance is Ledoit and Wolf's (2004, Journal of Multivariate Analysis 88:365), of standardised features.

    Args:
        features: Features of each frame, one row a frame.
        member: Group of each row, whole numbers from 0.
    """
    sizes = np.bincount(member)
    weight = 1.0 / (np.count_nonzero(sizes) * sizes[member])
    mean: Floats = weight @ features
    spread = np.maximum(np.sqrt(weight @ (features - mean) ** 2), feature_floors())
    standard = (features - mean) / spread
    count = standard.shape[1]
    sample = (standard * weight[:, None]).T @ standard
    level = np.trace(sample) / count
    squared_gap = float(((sample - level * np.eye(count)) ** 2).sum())
    noise = 0.0
    groups = np.count_nonzero(sizes)
    order = np.argsort(member, kind="stable")
    for rows in np.split(order, np.cumsum(sizes)[:-1]):
        if len(rows):
            own = standard[rows].T @ standard[rows] / len(rows)
            noise += float(((own - sample) ** 2).sum()) / groups**2
    shrinkage = 1.0 if squared_gap == 0 else min(1.0, noise / squared_gap)
    covariance = (1 - shrinkage) * sample + shrinkage * level * np.eye(count)
    inverse = np.linalg.inv(covariance)
    # Cholesky runs from the last row on, so that the factor on the right is a lower triangle.
    upper = np.linalg.cholesky(inverse[::-1, ::-1])[::-1, ::-1]
    whitening: Floats = np.tril(upper.T) / spread
    return mean, whitening


def feature_floors() -> Floats:
    """Return the least spread of each feature ``[D]`` that a distance counts by."""
    fractions = 11 + 2 * len(LAGS)  # where the histogram begins
    floors = np.full(FEATURES, _GREY_FLOOR)
    floors[fractions : fractions + BINS] = _FRACTION_FLOOR
    return floors


def conformal_limit(scores: Floats, groups: Sequence[str], refused: float) -> tuple[float | None, float]:
    """Return the smallest limit that a frame of a new group exceeds with probability ``refused`` at most.

    Args:
        scores: OOD score of each frame.
        groups: Group of each frame.
        refused: Requested probability, 0..1; 0 asks for no limit.

    Returns:
        The limit, and the probability that it guarantees. With fewer groups than ``1 / refused - 1`` the limit is the
        largest score and guarantees one in ``groups + 1``.
    """
    if refused <= 0:
        return None, 0.0
    names, member, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    inside = np.cumsum(1.0 / sizes[member[order]]) / (len(names) + 1)
    enough = np.flatnonzero(inside >= 1 - refused - 1e-12)
    if len(enough):
        return float(scores[order[enough[0]]]), refused
    return float(scores[order[-1]]), 1.0 / (len(names) + 1)


def quality_limits(train: FeatureSet, config: GuardConfig) -> QualityLimits:
    """Return the limits of quality, as configured, or a margin behind the tail of the training frames."""
    _, member, sizes = np.unique(np.asarray(train.groups), return_inverse=True, return_counts=True)
    weight = 1.0 / sizes[member]

    def limit(requested: float | str, column: int, low: bool) -> float | None:
        if not isinstance(requested, str):
            return requested
        if requested == "off":
            return None
        tail = weighted_quantile(train.quality[:, column], weight, TAIL if low else 1 - TAIL)
        return tail * (1 - MARGIN) if low else tail + MARGIN * (1 - tail)

    return QualityLimits(
        min_sharpness=limit(config.min_sharpness, 0, True),
        min_contrast=limit(config.min_contrast, 1, True),
        max_dark_fraction=limit(config.max_dark_fraction, 2, False),
        max_bright_fraction=limit(config.max_bright_fraction, 3, False),
    )


def weighted_quantile(values: Floats, weight: Floats, part: float) -> float:
    """Return the smallest value at or under which ``part`` of the weight lies."""
    order = np.argsort(values, kind="stable")
    inside = np.cumsum(weight[order]) / weight.sum()
    return float(values[order[min(int(np.searchsorted(inside, part - 1e-12)), len(values) - 1)]])
