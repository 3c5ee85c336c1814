"""Find all pairs of 64-bit hashes that differ in few bits, exactly, in blocks of bounded memory.

Few hashes are compared all with all. For many, multi-index hashing (Norouzi, Punjani and Fleet 2012) looks up candidates: a
hash is cut into four parts of 16 bits, and two hashes that differ in at most ``d`` bits differ in few bits of at least one
part. Hashes of real pictures crowd in a few places: which bits make a part decides how many candidates there are (of real
ears, cells and brains, 5 to 18 % of all pairs), so they are counted for several choices before one of the ways is taken.

This is own code because faiss, which has both ways, is a large compiled library that returns the nearest few or one list a
query, and the pairs of pictures that are all alike must come in blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Places = NDArray[np.int64] | NDArray[np.int32]

HASH_BITS = 64
_PARTS = 4
_PART_BITS = HASH_BITS // _PARTS
_ROWS, _COLUMNS = 32, 8192
_CANDIDATES = 1 << 18
_FEW = 4096
"""Number of hashes up to which no index can pay."""

_CHOICES = 16
"""Number of divisions of the bits into parts that are tried."""

_COMPARE_NS = 2.5
_CANDIDATE_NS = 16.0
_MASK_NS = 25.0
"""Time of one comparison, of one candidate, and of one hash and mask of a part, ns, as measured on one core."""

_TABLE = np.array([number.bit_count() for number in range(1 << 16)], np.uint8)


def _count_by_table(numbers: Hashes) -> NDArray[np.uint8]:
    parts = np.ascontiguousarray(numbers).view(np.uint16).reshape(*numbers.shape, 4)
    counted: NDArray[np.uint8] = _TABLE[parts].sum(-1, dtype=np.uint8)
    return counted


count_bits: Callable[[Hashes], NDArray[np.uint8]] = getattr(np, "bitwise_count", _count_by_table)
"""Counts the bits that are set, uint8 of the same shape; NumPy does it from 2.0 on."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NearPairs:
    """Block of pairs of hashes.

    Attributes:
        first: Position of each pair's first hash ``[P]``.
        second: Position of the second, greater than the first ``[P]``.
        distance: Number of bits in which they differ ``[P]``.
    """

    first: Places
    second: Places
    distance: NDArray[np.uint8]

    def smaller(self) -> NearPairs:
        """Return the pairs with positions of 32 bits, to keep many of them."""
        return NearPairs(
            first=self.first.astype(np.int32), second=self.second.astype(np.int32), distance=self.distance.astype(np.uint8)
        )


def find_near(hashes: Hashes, distance: int) -> Iterator[NearPairs]:
    """Yield every pair of hashes within a distance, each once, in no order that is promised.

    Args:
        hashes: Hashes ``[N]``.
        distance: Largest number of bits in which two may differ, 0..16.

    Yields:
        Blocks, none of them empty, of at most some 260,000 pairs.
    """
    if len(hashes) <= _FEW:
        yield from compare_all(hashes, distance)
        return
    index = min((_Index(hashes, distance, choice) for choice in range(_CHOICES)), key=lambda index: index.cost_ns)
    yield from index.look_up() if index.cost_ns < _COMPARE_NS * len(hashes) ** 2 / 2 else compare_all(hashes, distance)


def compare_all(hashes: Hashes, distance: int) -> Iterator[NearPairs]:
    """Yield the pairs of ``find_near``; every hash is compared with every other."""
    for row in range(0, len(hashes), _ROWS):
        own = hashes[row : row + _ROWS, None]
        for column in range(row, len(hashes), _COLUMNS):
            bits = count_bits(own ^ hashes[None, column : column + _COLUMNS])
            near = bits <= distance
            if not near.any():
                continue
            rows, columns = np.nonzero(near)
            first, second = rows + row, columns + column
            keep = first < second
            if keep.any():
                yield NearPairs(first=first[keep], second=second[keep], distance=bits[rows, columns][keep])


def look_up(hashes: Hashes, distance: int) -> Iterator[NearPairs]:
    """Yield the pairs of ``find_near``; candidates are looked up by parts of the hashes."""
    return _Index(hashes, distance, 0).look_up()


class _Index:
    """Hashes by each of four parts of 16 bits.

    Of two hashes that differ in at most ``distance`` bits, one part at least differs in no more bits than its radius, where
    radii and their number of parts add up to ``distance + 1``: else the differences would add up to more.

    Attributes:
        cost_ns: About how long it takes to look up all candidates, ns: their number is counted, their time is rough.
    """

    def __init__(self, hashes: Hashes, distance: int, choice: int) -> None:
        self._hashes, self._distance = hashes, distance
        self._radii = [(distance + 1 + part) // _PARTS - 1 for part in range(_PARTS)]
        bits = np.arange(HASH_BITS, dtype=np.uint64)
        mixed = bits if choice == 0 else np.random.default_rng(choice).permutation(bits)
        self._bits = mixed.reshape(_PARTS, _PART_BITS)
        self._part_masks = np.bitwise_or.reduce(np.uint64(1) << self._bits, axis=1)
        self.cost_ns = sum(self._cost_ns(part) for part in range(_PARTS) if self._radii[part] >= 0)

    def _cost_ns(self, part: int) -> float:
        counts = np.bincount(self._keys(part), minlength=1 << _PART_BITS).astype(np.float64)
        # The number of pairs at each difference of this part, by a Walsh-Hadamard transform.
        pairs = _walsh(_walsh(counts) ** 2) / len(counts)
        masks = _masks(self._radii[part])
        return _CANDIDATE_NS * float(pairs[masks].sum()) / 2 + _MASK_NS * len(self._hashes) * len(masks)

    def _keys(self, part: int) -> Places:
        """Return a part of each hash, 0..65535 ``[N]``."""
        found = np.zeros(len(self._hashes), np.uint64)
        for n, bit in enumerate(self._bits[part]):
            found |= ((self._hashes >> bit) & np.uint64(1)) << np.uint64(n)
        return found.astype(np.int64)

    def look_up(self) -> Iterator[NearPairs]:
        for part, radius in enumerate(self._radii):
            if radius < 0:
                continue
            keys = self._keys(part)
            order = np.argsort(keys, kind="stable")
            keys, own = keys[order], self._hashes[order]
            starts = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=1 << _PART_BITS))])
            for mask in _masks(radius):
                for one, other in _candidates(keys, starts, int(mask)):
                    yield from self._check(part, order, own, one, other)

    def _check(self, part: int, order: Places, own: Hashes, one: Places, other: Places) -> Iterator[NearPairs]:
        different = own[one] ^ own[other]
        bits = count_bits(different)
        near = np.flatnonzero(bits <= self._distance)
        if not len(near):
            return
        different = different[near]
        new = np.ones(len(near), np.bool_)
        for earlier in range(part):  # a pair that an earlier part found is not told again
            if self._radii[earlier] >= 0:
                new &= count_bits(different & self._part_masks[earlier]) > self._radii[earlier]
        if new.any():
            near = near[new]
            a, b = order[one[near]], order[other[near]]
            yield NearPairs(first=np.minimum(a, b), second=np.maximum(a, b), distance=bits[near])


def _candidates(keys: Places, starts: Places, mask: int) -> Iterator[tuple[Places, Places]]:
    """Yield blocks of pairs of places in sorted keys whose keys differ by a mask, each pair once."""
    places = np.arange(len(keys))
    if mask:
        places = np.flatnonzero(keys < keys ^ mask)
        begin = starts[keys[places] ^ mask]
        count = starts[(keys[places] ^ mask) + 1] - begin
    else:
        begin = places + 1
        count = starts[keys + 1] - begin
    some = np.flatnonzero(count)
    places, begin, count = places[some], begin[some], count[some]
    ends = np.cumsum(count)
    at = 0
    while at < len(places):
        done = int(ends[at - 1]) if at else 0
        stop = max(at + 1, int(np.searchsorted(ends, done + _CANDIDATES, side="right")))
        own = count[at:stop]
        within = np.arange(int(own.sum())) - np.repeat(ends[at:stop] - own - done, own)
        yield np.repeat(places[at:stop], own), within + np.repeat(begin[at:stop], own)
        at = stop


def _masks(radius: int) -> Places:
    """Return every number of 16 bits of which at most ``radius`` are set."""
    chosen = (combinations(range(_PART_BITS), bits) for bits in range(radius + 1))
    return np.array([sum(1 << bit for bit in one) for some in chosen for one in some], np.int64)


def _walsh(values: NDArray[np.float64]) -> NDArray[np.float64]:
    for bit in range(_PART_BITS):
        pairs = values.reshape(-1, 2, 1 << bit)
        values = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1).reshape(-1)
    return values
