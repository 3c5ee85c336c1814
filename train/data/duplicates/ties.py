"""Find near duplicates: pairs of images whose perceptual hashes are near and whose small pictures correlate.

A hash (64 signs of low DCT coefficients) proposes pairs; a pair is tied only if its grey pictures also correlate at the best
small shift and its colours agree. Images with the same pixels are compared once for all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weckd_edge.train.data.duplicates.candidates import Candidates, find_candidates
from weckd_edge.train.data.duplicates.near_hashes import Places, find_near
from weckd_edge.train.data.duplicates.thumbnails import ThumbnailStore, similarity_of
from weckd_edge.train.data.scan import ScannedImage

_PAIRS = 4096
_MANY_PAIRS = 16 * _PAIRS
_SORTED = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ties:
    """Near duplicates among images, each pair of different pictures once.

    Images are named by their positions; of images with the same pixels, by the first.

    Attributes:
        first: First picture of each tie ``[T]``.
        second: Second picture, greater than the first; the same for a picture that is tied to its own copies ``[T]``.
        similarity: Lower of grey and colour correlation, 0..1 ``[T]``.
        weight: Number of ties that each stands for: 1, and more where only a part of very many was looked at ``[T]``.
        copies: Positions of all images with the same pixels, by the first of them; only where there are several.
    """

    first: NDArray[np.int32]
    second: NDArray[np.int32]
    similarity: NDArray[np.float32]
    weight: NDArray[np.float32]
    copies: Mapping[int, Sequence[int]]

    def copies_of(self, picture: int) -> Sequence[int]:
        """Return the positions of the images with a picture's pixels, rising."""
        return self.copies.get(picture, (picture,))

    def pairs(self, *, surest_first: bool = False) -> Iterator[tuple[int, int, float, float]]:
        """Yield each tie between two pictures: their positions, their similarity, and the tie's weight.

        Args:
            surest_first: Whether the most similar come first, to four places, instead of the first pictures.
        """
        order = np.flatnonzero(self.first != self.second)
        if surest_first:
            rounded = np.fromiter((round(value, 4) for value in self.similarity[order].tolist()), np.float64, len(order))
            order = order[np.argsort(-rounded, kind="stable")]
        for start in range(0, len(order), _PAIRS):
            here = order[start : start + _PAIRS]
            columns = (self.first[here], self.second[here], self.similarity[here], self.weight[here])
            yield from zip(*(column.tolist() for column in columns), strict=True)


def no_ties() -> Ties:
    """Return no ties, of a data set whose near duplicates are not looked for."""
    nothing = np.zeros(0, np.int32)
    return Ties(first=nothing, second=nothing, similarity=np.zeros(0, np.float32), weight=np.ones(0, np.float32), copies={})


def find_ties(images: Sequence[ScannedImage], distance: int | None, store: ThumbnailStore) -> Ties:
    """Find pairs of near duplicates.

    Args:
        images: Images.
        distance: Largest Hamming distance of the hashes, of 64; None finds no ties.
        store: Keeps their thumbnails.

    Returns:
        Ties, in the order of their positions. A picture without any structure (one flat colour) is tied to no other.
    """
    if distance is None:
        return no_ties()
    pictures, copies = _different(images)
    hashes = np.array([images[i].picture_hash for i in pictures], np.uint64)
    numbers = np.array([images[i].thumbnail for i in pictures], np.int64)
    own = np.searchsorted(pictures, np.array(sorted(copies), np.int64))
    found = [_tied(Candidates(first=own, second=own, weight=np.ones(len(own), np.float32)), numbers, store)]
    found += [_tied(block, numbers, store) for block in _gathered(find_candidates(hashes, distance))]
    first, second, similarity, weight = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((second, first))
    return Ties(
        first=pictures[first[order]].astype(np.int32),
        second=pictures[second[order]].astype(np.int32),
        similarity=similarity[order],
        weight=weight[order],
        copies=copies,
    )


def find_alike(
    known: Sequence[ScannedImage], fresh: Sequence[ScannedImage], distance: int, store: ThumbnailStore
) -> NDArray[np.bool_]:
    """Return which images ``[N]`` are near duplicates of one that is known; none is overlooked.

    Args:
        known: Images that are known.
        fresh: The other images.
        distance: Largest Hamming distance of the hashes, of 64.
        store: Keeps the thumbnails of all of them.
    """
    images, border = [*known, *fresh], len(known)
    numbers = np.array([image.thumbnail for image in images], np.int64)
    found = np.zeros(len(images), np.bool_)
    for block in find_near(np.array([image.picture_hash for image in images], np.uint64), distance):
        across = (block.first < border) & (block.second >= border)
        first, second = block.first[across], block.second[across]
        while len(first):
            similarity = _similarities(first[:_PAIRS], second[:_PAIRS], numbers, store)
            found[second[:_PAIRS][similarity > 0]] = True
            left = ~found[second[_PAIRS:]]
            first, second = first[_PAIRS:][left], second[_PAIRS:][left]
    return found[border:]


def _different(images: Sequence[ScannedImage]) -> tuple[NDArray[np.int64], dict[int, list[int]]]:
    """Return the positions of the first images of different pixels, and those of all copies by the first of them."""
    first: dict[str, int] = {}
    pictures, copies = [], dict[int, list[int]]()
    for i, image in enumerate(images):
        picture = first.setdefault(image.pixels_sha256, i)
        if picture == i:
            pictures.append(i)
        else:
            copies.setdefault(picture, [picture]).append(i)
    return np.array(pictures, np.int64), copies


def _gathered(blocks: Iterable[Candidates]) -> Iterator[Candidates]:
    """Yield larger blocks of candidates, each sorted, so that a thumbnail is read once for many pairs."""
    waiting: list[Candidates] = []
    for block in blocks:
        waiting.append(block)
        if sum(len(one.first) for one in waiting) >= _SORTED:
            yield _sorted(waiting)
            waiting = []
    if waiting:
        yield _sorted(waiting)


def _sorted(blocks: Sequence[Candidates]) -> Candidates:
    first, second = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("first", "second"))
    weight = np.concatenate([block.weight for block in blocks])
    order = np.lexsort((second, first))
    return Candidates(first=first[order], second=second[order], weight=weight[order])


def _tied(block: Candidates, numbers: NDArray[np.int64], store: ThumbnailStore) -> tuple[NDArray[Any], ...]:
    """Return the ties among candidates: their pictures, similarity and weight."""
    parts: list[tuple[NDArray[Any], ...]] = [
        (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.float32))
    ]
    at = 0
    while at < len(block.first):
        stop = at + _MANY_PAIRS  # where they are pairs of few pictures
        if len(np.unique(np.concatenate([block.first[at:stop], block.second[at:stop]]))) > 2 * _PAIRS:
            stop = at + _PAIRS
        first, second, weight = block.first[at:stop], block.second[at:stop], block.weight[at:stop]
        similarity = _similarities(first, second, numbers, store)
        kept = similarity > 0
        parts.append((first[kept], second[kept], similarity[kept], weight[kept]))
        at = stop
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def _similarities(first: Places, second: Places, numbers: NDArray[np.int64], store: ThumbnailStore) -> NDArray[np.float32]:
    used, places = np.unique(numbers[np.concatenate([first, second])], return_inverse=True)
    one, other = places.reshape(2, -1)
    return similarity_of(store.thumbnails(used), one, other)
