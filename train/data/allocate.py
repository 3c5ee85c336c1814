"""Deal whole groups into bins so that each bin gets about its part of every class, and at least one group of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.store import sha256_bytes

_ATTEMPTS = 20
_PASSES = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Part of a data set that groups are dealt into.

    Attributes:
        part: Fraction of all images that it should get, 0..1.
        needs_all: Whether it must hold every class.
    """

    part: float
    needs_all: bool


def allocate(names: Sequence[str], counts: NDArray[np.int64], bins: Sequence[Bin], seed: int) -> tuple[int, ...] | None:
    """Choose a bin for every group, independently of the order in which groups are given.

    Each class is first given to every bin that needs it, the rarest class first; then the largest groups first go where
    the distance from the wanted numbers of images falls most, and single groups are moved as long as that helps.

    Args:
        names: Names of the groups, all different.
        counts: Number of images of each class in each group ``[G, C]``.
        bins: Bins to deal the groups into.
        seed: Seed that breaks ties between groups of equal size.

    Returns:
        Position in ``bins`` of each group; None where no way was found to give every bin every class.
    """
    needed = [b for b, one in enumerate(bins) if one.needs_all]
    targets = np.outer([one.part for one in bins], counts.sum(0)).astype(np.float64)
    for attempt in range(_ATTEMPTS):
        rank = [sha256_bytes(f"{seed}/{attempt}/{name}".encode()) for name in names]
        placed = _reserve(counts, needed, targets, rank)
        if placed is not None:
            return _fill(counts, targets, rank, placed, needed)
    return None


def _reserve(
    counts: NDArray[np.int64], needed: Sequence[int], targets: NDArray[np.float64], rank: Sequence[str]
) -> dict[int, int] | None:
    placed: dict[int, int] = {}
    have = np.zeros((len(targets), counts.shape[1]), np.int64)
    classes = (counts > 0).sum(1)
    for c in sorted(range(counts.shape[1]), key=lambda c: (int((counts[:, c] > 0).sum()), c)):
        free = [int(g) for g in np.flatnonzero(counts[:, c]) if int(g) not in placed]
        free.sort(key=lambda g: (int(classes[g]), int(counts[g].sum()), rank[g]))
        for b in sorted(needed, key=lambda b: (targets[b, c], b)):
            if have[b, c]:
                continue
            if not free:
                return None
            # Among groups of the fewest classes: the largest that does not overfill the bin, else the smallest.
            fits = [g for g in free if classes[g] == classes[free[0]] and counts[g, c] <= targets[b, c] / 2]
            chosen = fits[-1] if fits and len(free) > 2 * len(needed) else free[0]
            free.remove(chosen)
            placed[chosen] = b
            have[b] += counts[chosen]
    return placed


def _fill(
    counts: NDArray[np.int64],
    targets: NDArray[np.float64],
    rank: Sequence[str],
    placed: dict[int, int],
    needed: Sequence[int],
) -> tuple[int, ...]:
    have = np.zeros_like(targets)
    for group, b in placed.items():
        have[b] += counts[group]
    weight = 1 / np.maximum(targets, 1)
    order = sorted(range(len(counts)), key=lambda g: (-int(counts[g].sum()), rank[g]))
    for g in order:
        if g not in placed:
            placed[g] = int(np.argmin(np.round(_gain(have, counts[g], targets, weight), 9)))
            have[placed[g]] += counts[g]
    for _ in range(_PASSES):
        moved = False
        for g in order:
            home = placed[g]
            left = have[home] - counts[g]
            if home in needed and not left.all():
                continue
            have[home] = left
            cost = np.round(_gain(have, counts[g], targets, weight), 9)
            best = int(np.argmin(cost))
            placed[g] = best if cost[best] < cost[home] else home
            have[placed[g]] += counts[g]
            moved |= placed[g] != home
        if not moved:
            break
    return tuple(placed[g] for g in range(len(counts)))


def _gain(
    have: NDArray[np.float64], group: NDArray[np.int64], targets: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the change of each bin's distance from its target with one more group, ``[B]``."""
    change: NDArray[np.float64] = (((have + group - targets) ** 2 - (have - targets) ** 2) * weight).sum(1)
    return change
