"""Pairs of pictures whose hashes are near: all of them, or a fair part where nearly every picture is like every other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.train.data.duplicates.near_hashes import Hashes, NearPairs, Places, find_near

ALL_PAIRS = 2_000_000
"""Number of pairs up to which all are candidates, whatever the number of pictures."""

PAIRS_EACH = 64
"""Mean number of near pictures of each picture up to which all pairs are candidates; where there are more, so many of the
nearest by hash are, and about as many drawn by chance of the others."""

_BLOCK = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Candidates:
    """Block of pairs of pictures that may be near duplicates.

    Attributes:
        first: Position of each pair's first picture ``[P]``.
        second: Position of the second, greater than the first ``[P]``.
        weight: Number of pairs that each one stands for, at least 1 ``[P]``.
    """

    first: Places
    second: Places
    weight: NDArray[np.float32]


def find_candidates(hashes: Hashes, distance: int) -> Iterator[Candidates]:
    """Yield the pairs of pictures whose hashes are near, each once.

    All pairs are told up to ``ALL_PAIRS``, or a mean of ``PAIRS_EACH`` near pictures for each. Where there are
    more, as among the frames of a camera that nobody moved, telling all would take time and memory with the square of their
    number: of a picture with very many near ones, the nearest are told, and some of the others, which stand for the rest by
    their weight.

    Args:
        hashes: Hash of each picture ``[N]``.
        distance: Largest Hamming distance of two hashes, of 64.

    Yields:
        Blocks, none of them empty.
    """
    some = _SharedHashes(hashes, distance)
    most = max(ALL_PAIRS, PAIRS_EACH * len(hashes) // 2)
    waiting: list[NearPairs] = []
    for block in some.near():
        some.count(block)
        if some.pairs <= most:
            waiting.append(block.smaller())
    if some.pairs <= most:
        for block in waiting:
            yield from some.all_pairs(block)
        return
    waiting.clear()
    reach = some.reach()
    for block in some.near():
        yield from some.some_pairs(block, reach)


class _SharedHashes:
    """Hashes that are all different, each with the pictures that have it.

    Attributes:
        pairs: Number of pairs of pictures that were counted.
    """

    def __init__(self, hashes: Hashes, distance: int) -> None:
        self._hashes, owner, self._counts = np.unique(hashes, return_inverse=True, return_counts=True)
        self._distance = distance
        self._pictures = np.argsort(owner.reshape(-1), kind="stable")
        self._starts = np.cumsum(self._counts) - self._counts
        self._by_distance = np.zeros((len(self._hashes), distance + 1))
        self.pairs = 0.0

    def near(self) -> Iterator[NearPairs]:
        """Yield near pairs of hashes, and each hash with itself that several pictures have."""
        shared = np.flatnonzero(self._counts > 1)
        if len(shared):
            yield NearPairs(first=shared, second=shared, distance=np.zeros(len(shared), np.uint8))
        yield from find_near(self._hashes, self._distance)

    def count(self, block: NearPairs) -> None:
        """Count the pictures near to each picture of some hashes."""
        a, b = block.first, block.second
        same = a == b
        np.add.at(self._by_distance, (a, block.distance), self._counts[b] - same)
        np.add.at(self._by_distance, (b[~same], block.distance[~same]), self._counts[a[~same]])
        self.pairs += float(self._pairs_of(block).sum())

    def reach(self) -> NDArray[np.int64]:
        """Return the largest distance of each hash within which no more than ``PAIRS_EACH`` pictures lie; -1 for none."""
        found: NDArray[np.int64] = (self._by_distance.cumsum(1) <= PAIRS_EACH).sum(1) - 1
        return found

    def all_pairs(self, block: NearPairs) -> Iterator[Candidates]:
        """Yield all pairs of pictures of pairs of hashes."""
        return self._expand(block, self._pairs_of(block), np.ones(len(block.first)))

    def some_pairs(self, block: NearPairs, reach: NDArray[np.int64]) -> Iterator[Candidates]:
        """Yield the nearest pairs of pictures, and a part of the others."""
        near = np.maximum(reach[block.first], reach[block.second]) >= block.distance
        total = self._by_distance.sum(1)
        part = np.minimum(1, PAIRS_EACH / np.maximum(total[block.first], total[block.second]))
        part[near] = 1
        wanted = self._pairs_of(block) * part
        whole = np.floor(wanted + _chance(block.first * 1_000_003 + block.second)).astype(np.int64)
        kept = np.flatnonzero(whole)
        few = NearPairs(first=block.first[kept], second=block.second[kept], distance=block.distance[kept])
        yield from self._expand(few, whole[kept], 1 / part[kept])

    def _pairs_of(self, block: NearPairs) -> NDArray[np.int64]:
        own, other = self._counts[block.first], self._counts[block.second]
        found: NDArray[np.int64] = np.where(block.first == block.second, own * (own - 1) // 2, own * other)
        return found

    def _expand(self, block: NearPairs, wanted: NDArray[np.int64], weight: NDArray[np.float64]) -> Iterator[Candidates]:
        """Yield so many of the pairs of pictures of each pair of hashes, spread evenly over all of them."""
        total = self._pairs_of(block)
        ends = np.cumsum(wanted)
        for begin in range(0, int(ends[-1]) if len(ends) else 0, _BLOCK):
            at = np.arange(begin, min(begin + _BLOCK, int(ends[-1])))
            pair = np.searchsorted(ends, at, side="right")
            within = at - (ends[pair] - wanted[pair])
            step = total[pair] / wanted[pair]
            place = np.where(step > 1, np.minimum((within + _chance(at)) * step, total[pair] - 1), within).astype(np.int64)
            one, other = block.first[pair], block.second[pair]
            row, column = np.divmod(place, self._counts[other])
            same = one == other
            row[same], column[same] = _triangle(place[same])
            a = self._pictures[self._starts[one] + row]
            b = self._pictures[self._starts[other] + column]
            yield Candidates(first=np.minimum(a, b), second=np.maximum(a, b), weight=weight[pair].astype(np.float32))


def _triangle(places: Places) -> tuple[Places, Places]:
    """Return the two different numbers of each pair, counted as (0, 1), (0, 2), (1, 2), (0, 3) and so on."""
    column = ((1 + np.sqrt(1 + 8 * places.astype(np.float64))) / 2).astype(np.int64)
    column -= column * (column - 1) // 2 > places
    column += (column + 1) * column // 2 <= places
    return places - column * (column - 1) // 2, column


def _chance(numbers: Places) -> NDArray[np.float64]:
    """Return a number of 0..1 for each number, which looks drawn and is always the same (splitmix64)."""
    mixed = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: NDArray[np.float64] = ((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(11)) / float(1 << 53)
    return found
