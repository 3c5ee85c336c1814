"""Find copies and near copies, and group the images that a split must keep together.

A perceptual hash (64 signs of low DCT coefficients, Zauner 2010) proposes pairs; a pair is tied only if its grey
pictures also correlate at the best small shift and its colours agree. Ties are then merged into groups, the surest
first. Two guards keep look-alikes from chaining into one giant group: a group may grow past ``FREE_SIZE`` only where
its parts are densely tied, and groups that the user named are merged only by copies and by all but identical images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.core.store import sha256_bytes
from weckd_edge.train.data.scan import GREY_SIDE, ScannedImage

HASH_BITS = 64
SHIFTS = (-4, -2, 0, 2, 4)
"""Shifts tried in each direction, in 32nds of the image."""

GREY_CORRELATION = 0.9
COLOUR_CORRELATION = 0.9
SAME_CORRELATION = 0.995
"""Least grey and colour correlation at which two images of differently named groups count as one."""

FREE_SIZE = 20
DENSITY = 0.25
_BLOCK = 2048
_PAIRS = 8192


@dataclass(frozen=True, kw_only=True, slots=True)
class Tie:
    """Tie between two images that look alike.

    Attributes:
        a: Position of the first image.
        b: Position of the second image, greater than ``a``.
        similarity: Lower of their grey and colour correlations, 0..1.
    """

    a: int
    b: int
    similarity: float


def perceptual_hash(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return 64-bit perceptual hashes ``[N]`` of grey pictures ``[N, 32, 32]``."""
    side = np.arange(GREY_SIDE)
    basis = np.cos(np.pi * (2 * side[None, :] + 1) * np.arange(9)[:, None] / (2 * GREY_SIDE))
    coefficients = np.einsum("ui,nij,vj->nuv", basis, grey.astype(np.float64), basis, optimize=True)
    signs = np.rint(coefficients.reshape(len(grey), -1)[:, 1 : HASH_BITS + 1]) > 0
    packed: NDArray[np.uint64] = np.packbits(signs, axis=1).view(np.uint64).reshape(-1)
    return packed


def find_ties(images: Sequence[ScannedImage], distance: int) -> tuple[Tie, ...]:
    """Find pairs of near duplicates.

    Args:
        images: Images; time grows with the square of their number (about 4 s for 10,000 on one core).
        distance: Largest Hamming distance of the hashes, of 64.

    Returns:
        Ties, in the order of ``(a, b)``. A picture without any structure (one flat colour) is tied to no other.
    """
    if len(images) < 2:
        return ()
    grey = np.stack([image.grey for image in images])
    colour = np.stack([image.colour for image in images])
    hashes = perceptual_hash(grey)
    signs = np.unpackbits(hashes.view(np.uint8).reshape(len(images), 8), axis=1).astype(np.float32) * 2 - 1
    tint = _normalise(colour)
    firsts, seconds, tints = [], [], []
    for start in range(0, len(images), _BLOCK):
        near = signs[start : start + _BLOCK] @ signs[start:].T >= HASH_BITS - 2 * distance
        a, b = np.nonzero(np.triu(near, 1))
        for part in range(0, len(a), _PAIRS):
            one, other = a[part : part + _PAIRS] + start, b[part : part + _PAIRS] + start
            alike = np.einsum("nk,nk->n", tint[one], tint[other])
            keep = alike >= COLOUR_CORRELATION
            firsts.append(one[keep])
            seconds.append(other[keep])
            tints.append(alike[keep])
    if not firsts:
        return ()
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    best = _best_correlation(grey, first, second)
    similarity = np.minimum(np.concatenate(tints), best)
    found = np.flatnonzero(best >= GREY_CORRELATION)
    return tuple(Tie(a=int(first[i]), b=int(second[i]), similarity=float(similarity[i])) for i in found)


def _normalise(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(norm > flat.shape[1] ** 0.5, flat / np.maximum(norm, 1e-6), 0).astype(np.float32)


def _window(grey: NDArray[np.uint8], y: int, x: int) -> NDArray[np.float32]:
    edge = max(SHIFTS)
    inner = GREY_SIDE - 2 * edge
    return _normalise(grey[:, edge + y : edge + y + inner, edge + x : edge + x + inner])


def _best_correlation(grey: NDArray[np.uint8], first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return each pair's highest correlation ``[N]`` of one middle with the other shifted, either way round."""
    best = np.zeros(len(first), np.float32)
    middle = _window(grey, 0, 0)
    for y in SHIFTS:
        for x in SHIFTS:
            shifted = _window(grey, y, x)
            for part in range(0, len(first), _PAIRS):
                here = slice(part, part + _PAIRS)
                a, b = first[here], second[here]
                np.maximum(best[here], np.einsum("nk,nk->n", middle[a], shifted[b]), out=best[here])
                np.maximum(best[here], np.einsum("nk,nk->n", shifted[a], middle[b]), out=best[here])
    return best


@dataclass(frozen=True, kw_only=True, slots=True)
class Grouping:
    """Groups that a split must not cut.

    Attributes:
        groups: Group of each image: the name that the user gave, else a digest of the group's first path.
        near_duplicate_groups: Number of groups of near duplicates with more than one distinct image.
        separate_ties: Number of ties between groups that stayed apart (differently named groups, or a chain of look-alikes).
    """

    groups: tuple[str, ...]
    near_duplicate_groups: int
    separate_ties: int


def group_images(images: Sequence[ScannedImage], ties: Sequence[Tie]) -> Grouping:
    """Merge the user's groups, exact copies and near duplicates.

    Args:
        images: Images, sorted by path.
        ties: Ties that ``find_ties`` found among the same images.
    """
    clusters = _Clusters([image.listed.group for image in images])
    first: dict[str, int] = {}
    for i, image in enumerate(images):
        for key in (f"pixels {image.pixels_sha256}", f"group {image.listed.group}" if image.listed.group else ""):
            if key:
                clusters.join(first.setdefault(key, i), i)
    lookalikes = _Clusters([None] * len(images))
    separate = clusters.join_ties(ties)
    for tie in ties:
        if clusters.find(tie.a) == clusters.find(tie.b):
            lookalikes.join(tie.a, tie.b)
    sizes: Counter[int] = Counter()
    for root, _ in {(lookalikes.find(i), image.pixels_sha256) for i, image in enumerate(images)}:
        sizes[root] += 1
    names: dict[int, str] = {}
    for i, image in enumerate(images):
        root = clusters.find(i)
        named = clusters.names[root]
        names.setdefault(root, min(named) if named else "auto-" + sha256_bytes(image.listed.path.encode())[:12])
    return Grouping(
        groups=tuple(names[clusters.find(i)] for i in range(len(images))),
        near_duplicate_groups=sum(size > 1 for size in sizes.values()),
        separate_ties=separate,
    )


class _Clusters:
    """Union-find over images that knows each cluster's members and the names that users gave to them."""

    def __init__(self, names: Sequence[str | None]) -> None:
        self._parent = list(range(len(names)))
        self._members = [[i] for i in range(len(names))]
        self.names = [{name} if name else set() for name in names]

    def find(self, i: int) -> int:
        while self._parent[i] != i:
            self._parent[i] = self._parent[self._parent[i]]
            i = self._parent[i]
        return i

    def join(self, a: int, b: int) -> None:
        a, b = sorted((self.find(a), self.find(b)))
        if a != b:
            self._parent[b] = a
            self._members[a] += self._members[b]
            self._members[b] = []
            self.names[a] |= self.names[b]

    def join_ties(self, ties: Sequence[Tie]) -> int:
        """Join the ties that the guards allow, the surest first; return the number of ties left apart."""
        tied: dict[int, set[int]] = {}
        for tie in ties:
            tied.setdefault(tie.a, set()).add(tie.b)
            tied.setdefault(tie.b, set()).add(tie.a)
        for tie in sorted(ties, key=lambda tie: (-round(tie.similarity, 4), tie.a, tie.b)):
            a, b = self.find(tie.a), self.find(tie.b)
            if a != b and self._allowed(a, b, tie, tied):
                self.join(a, b)
        return sum(self.find(tie.a) != self.find(tie.b) for tie in ties)

    def _allowed(self, a: int, b: int, tie: Tie, tied: dict[int, set[int]]) -> bool:
        if self.names[a] and self.names[b]:
            return tie.similarity >= SAME_CORRELATION
        first, second = self._members[a], self._members[b]
        if len(first) + len(second) <= FREE_SIZE or self.names[a] or self.names[b]:
            return True
        others = set(second)
        between = sum(len(tied.get(i, set()) & others) for i in first)
        return between >= DENSITY * len(first) * len(second)
