"""Whatever the hashes are: every way to find the near ones finds the same pairs, each once, as comparing them one by one."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weckd_edge.train.data.duplicates import near_hashes
from weckd_edge.train.data.duplicates.candidates import find_candidates
from weckd_edge.train.data.duplicates.near_hashes import NearPairs, compare_all, find_near, look_up

SETTINGS = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def crowded(draw: st.DrawFn) -> NDArray[np.uint64]:
    """Draw hashes that crowd around a few, as those of pictures do, and some that are anywhere."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    found = draw(st.lists(st.integers(0, 2**64 - 1), max_size=8))
    for _ in range(draw(st.integers(0, 60))):
        flips = draw(st.lists(st.integers(0, 63), max_size=12))
        one = draw(st.sampled_from(centres))
        for bit in flips:
            one ^= 1 << bit
        found.append(one)
    return np.array(found, np.uint64)


def one_by_one(hashes: NDArray[np.uint64], distance: int) -> dict[tuple[int, int], int]:
    found = {
        (a, b): (int(one) ^ int(hashes[b])).bit_count() for a, one in enumerate(hashes) for b in range(a + 1, len(hashes))
    }
    return {pair: bits for pair, bits in found.items() if bits <= distance}


def told(blocks: Iterable[NearPairs]) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    for block in blocks:
        for a, b, bits in zip(block.first.tolist(), block.second.tolist(), block.distance.tolist(), strict=True):
            assert (a, b) not in found
            found[a, b] = bits
    return found


@SETTINGS
@given(hashes=crowded(), distance=st.integers(0, 16))
def test_both_ways_find_the_pairs_that_comparing_one_by_one_finds(hashes: NDArray[np.uint64], distance: int) -> None:
    expected = one_by_one(hashes, distance)
    assert told(compare_all(hashes, distance)) == expected
    assert told(look_up(hashes, distance)) == expected


@SETTINGS
@given(hashes=crowded(), distance=st.integers(0, 16))
def test_candidates_are_all_near_pairs_of_pictures_also_of_equal_hashes(hashes: NDArray[np.uint64], distance: int) -> None:
    doubled = np.concatenate([hashes, hashes[::2]])
    pairs = []
    for block in find_candidates(doubled, distance):
        pairs += zip(block.first.tolist(), block.second.tolist(), strict=True)
        assert (block.weight == 1).all()
    assert sorted(pairs) == sorted(one_by_one(doubled, distance))


@SETTINGS
@given(numbers=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_bits_are_counted_also_by_a_numpy_that_cannot(numbers: list[int]) -> None:
    expected = [number.bit_count() for number in numbers]
    hashes = np.array(numbers, np.uint64)
    assert near_hashes.count_bits(hashes).tolist() == expected
    assert near_hashes._count_by_table(hashes[None])[0].tolist() == expected


def test_many_hashes_are_looked_up_and_few_or_crowded_ones_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    spread = random.integers(0, 2**64, 20_000, dtype=np.uint64)
    spread[1::2000] = spread[::2000] ^ np.uint64(0b1011)
    crowded = spread[:5000] & np.uint64(0xFF)
    ways = []
    monkeypatch.setattr(near_hashes, "compare_all", lambda *given: ways.append("all") or compare_all(*given))
    near = [told(find_near(hashes, 10)) for hashes in (spread, spread[:4000])]
    assert {(i, i + 1) for i in range(0, 20_000, 2000)} <= set(near[0])
    assert {pair: bits for pair, bits in near[0].items() if pair[1] < 4000} == near[1]
    assert ways == ["all"]
    next(find_near(crowded, 10))
    assert ways == ["all", "all"]
