"""Group the images that a split must keep together: the user's groups, copies and near duplicates.

Ties are merged into groups, the surest first. Two guards keep look-alikes from chaining into one giant group: a group may
grow past ``FREE_SIZE`` only where its parts are densely tied, and groups that the user named are merged only by copies and
by all but identical images.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from weckd_edge.artifacts import UNNAMED
from weckd_edge.core.store import sha256_bytes
from weckd_edge.train.data.duplicates.ties import Ties
from weckd_edge.train.data.scan import ScannedImage

SAME_CORRELATION = 0.995
"""Least grey and colour correlation at which two images of differently named groups count as one."""

FREE_SIZE = 20
DENSITY = 0.25


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


def group_images(images: Sequence[ScannedImage], ties: Ties) -> Grouping:
    """Merge the user's groups, exact copies and near duplicates.

    Args:
        images: Images, sorted by path.
        ties: Ties that ``find_ties`` found among the same images.
    """
    clusters = _Clusters(images)
    clusters.join_same()
    separate = clusters.join_ties(ties)
    lookalikes: dict[int, int] = {}
    for a, b, _, _ in ties.pairs():
        if clusters.find(a) == clusters.find(b):
            one, other = _root(lookalikes, a), _root(lookalikes, b)
            lookalikes[max(one, other)] = min(one, other)
    names: dict[int, str] = {}
    for i, image in enumerate(images):
        root = clusters.find(i)
        if root not in names:
            named = clusters.names.get(root)
            names[root] = min(named) if named else UNNAMED + sha256_bytes(image.listed.path.encode())[:12]
    return Grouping(
        groups=tuple(names[clusters.find(i)] for i in range(len(images))),
        near_duplicate_groups=sum(_root(lookalikes, picture) == picture for picture in lookalikes),
        separate_ties=separate,
    )


def _root(parents: dict[int, int], i: int) -> int:
    """Return the smallest member that a member's set is known by, in sets that begin with one member each."""
    while parents.setdefault(i, i) != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


class _Clusters:
    """Sets of images that are joined, each known by its first image (a union-find).

    Attributes:
        names: Names that users gave to each cluster, by its first image; only of clusters with names.
    """

    def __init__(self, images: Sequence[ScannedImage]) -> None:
        self._images = images
        self._parent: array[int] = array("q", range(len(images)))
        self._size = array("q", [1]) * len(images)
        self._next = array("q", range(len(images)))
        """The members of a cluster are linked in a ring."""
        self.names = {i: {image.listed.group} for i, image in enumerate(images) if image.listed.group}

    def find(self, i: int) -> int:
        parent = self._parent
        while (above := parent[i]) != i:
            parent[i] = parent[above]
            i = above
        return i

    def join(self, a: int, b: int) -> None:
        a, b = sorted((self.find(a), self.find(b)))
        if a != b:
            self._parent[b] = a
            self._size[a] += self._size[b]
            self._next[a], self._next[b] = self._next[b], self._next[a]
            if b in self.names:
                self.names[a] = self.names.get(a, set()) | self.names.pop(b)

    def join_same(self) -> None:
        """Join the images with the same pixels, and those of groups with the same name."""
        pixels: dict[str, int] = {}
        groups: dict[str, int] = {}
        for i, image in enumerate(self._images):
            self.join(pixels.setdefault(image.pixels_sha256, i), i)
            if image.listed.group:
                self.join(groups.setdefault(image.listed.group, i), i)

    def join_ties(self, ties: Ties) -> int:
        """Join the ties that the guards allow, the surest first; return the number of ties left apart."""
        near, refused = _Neighbours(ties, len(self._images)), dict[tuple[int, int], int]()
        for one, other, similarity, _ in ties.pairs(surest_first=True):
            a, b = self.find(one), self.find(other)
            size = self._size[a] + self._size[b]
            if a != b and refused.get((a, b)) != size:
                if self._allowed(a, b, similarity, near):
                    self.join(a, b)
                elif not (a in self.names and b in self.names):
                    refused[a, b] = size  # asked again only where one of them has grown
        apart = (
            weight * len(ties.copies_of(a)) * len(ties.copies_of(b))
            for a, b, _, weight in ties.pairs()
            if self.find(a) != self.find(b)
        )
        return round(sum(apart))

    def _allowed(self, a: int, b: int, similarity: float, near: _Neighbours) -> bool:
        if a in self.names and b in self.names:
            return similarity >= SAME_CORRELATION
        if self._size[a] + self._size[b] <= FREE_SIZE or a in self.names or b in self.names:
            return True
        if self._size[a] > self._size[b]:
            a, b = b, a
        between = sum(ties for i in self._members(a) for other, ties in near.of(i) if self.find(other) == b)
        return between >= DENSITY * self._size[a] * self._size[b]

    def _members(self, root: int) -> Iterator[int]:
        i = root
        while True:
            yield i
            i = self._next[i]
            if i == root:
                return


class _Neighbours:
    """Pictures that each picture is tied to, with the number of ties between the copies of both."""

    def __init__(self, ties: Ties, images: int) -> None:
        counts = np.ones(images, np.float32)
        for picture, copies in ties.copies.items():
            counts[picture] = len(copies)
        between = ties.first != ties.second
        first, second = ties.first[between], ties.second[between]
        own = np.concatenate([first, second])
        order = np.argsort(own, kind="stable")
        self._other = np.concatenate([second, first])[order]
        self._ties = np.tile(ties.weight[between] * counts[first] * counts[second], 2)[order]
        self._starts = np.searchsorted(own[order], np.arange(images + 1))

    def of(self, picture: int) -> Iterator[tuple[int, float]]:
        """Yield each neighbour of a picture, and the number of ties to it."""
        here = slice(int(self._starts[picture]), int(self._starts[picture + 1]))
        return zip(self._other[here].tolist(), self._ties[here].tolist(), strict=True)
