"""Small pictures that stand for images where near duplicates are looked for: their hash, and how alike two of them are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from weckd_edge.train.data.duplicates.near_hashes import Places

GREY_SIDE = 32
COLOUR_SIDE = 16

SHIFTS = (-4, -2, 0, 2, 4)
"""Shifts tried in each direction, in 32nds of the image."""

GREY_CORRELATION = 0.9
COLOUR_CORRELATION = 0.9
_HASH_BITS = 64
_ROWS = 512


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Thumbnails:
    """Small pictures of some images.

    Attributes:
        grey: Whole images in grey, squeezed by area averaging, uint8 ``[N, 32, 32]``.
        colour: Whole images in colour, squeezed by area averaging, uint8 ``[N, 16, 16, 3]``.
    """

    grey: NDArray[np.uint8]
    colour: NDArray[np.uint8]


class ThumbnailStore(Protocol):
    """Keeps the thumbnails of images, too many to hold them all in memory."""

    def thumbnails(self, numbers: NDArray[np.int64]) -> Thumbnails:
        """Return the thumbnails of images by their rising numbers ``[N]``, in this order."""


def perceptual_hash(grey: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return 64-bit perceptual hashes ``[N]`` of grey pictures ``[N, 32, 32]``.

    Each bit is the sign of a low DCT coefficient (Zauner 2010).
    """
    side = np.arange(GREY_SIDE)
    basis = np.cos(np.pi * (2 * side[None, :] + 1) * np.arange(9)[:, None] / (2 * GREY_SIDE))
    coefficients = np.einsum("ui,nij,vj->nuv", basis, grey.astype(np.float64), basis, optimize=True)
    signs = np.rint(coefficients.reshape(len(grey), -1)[:, 1 : _HASH_BITS + 1]) > 0
    packed: NDArray[np.uint64] = np.packbits(signs, axis=1).view(np.uint64).reshape(-1)
    return packed


def similarity_of(found: Thumbnails, first: Places, second: Places) -> NDArray[np.float32]:
    """Return how alike the pictures of each pair are: the lower of their grey and colour correlations, 0..1 ``[P]``.

    It is 0 where one of the two is too low for near duplicates. A picture without any structure (one flat colour) is like no
    other. Grey pictures are compared at the best small shift.

    Args:
        found: Thumbnails.
        first: Place of each pair's first picture in them ``[P]``.
        second: Place of the second ``[P]``.
    """
    tint = _normalise(found.colour)
    similarity = _products(tint, first, tint, second)
    similarity[similarity < COLOUR_CORRELATION] = 0
    some = np.flatnonzero(similarity)
    if len(some):
        used, places = np.unique(np.concatenate([first[some], second[some]]), return_inverse=True)
        one, other = places.reshape(2, -1)
        best = _best_correlation(found.grey[used], one, other, similarity[some])
        similarity[some] = np.where(best >= GREY_CORRELATION, np.minimum(similarity[some], best), 0)
    return similarity


def _normalise(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    flat = pictures.reshape(len(pictures), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(norm > flat.shape[1] ** 0.5, flat / np.maximum(norm, 1e-6), 0).astype(np.float32)


def _window(grey: NDArray[np.uint8], y: int, x: int) -> NDArray[np.float32]:
    edge = max(SHIFTS)
    inner = GREY_SIDE - 2 * edge
    return _normalise(grey[:, edge + y : edge + y + inner, edge + x : edge + x + inner])


def _best_correlation(
    grey: NDArray[np.uint8], first: Places, second: Places, enough: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return each pair's highest correlation ``[P]`` of one middle with the other shifted, either way round.

    A pair whose correlation reaches what is ``enough`` for it ``[P]`` is not shifted any further.
    """
    best = np.zeros(len(first), np.float32)
    middle = _window(grey, 0, 0)
    for y, x in sorted(((y, x) for y in SHIFTS for x in SHIFTS), key=lambda shift: max(map(abs, shift))):
        left = np.flatnonzero(best < enough)
        if not len(left):
            break
        shifted = _window(grey, y, x)
        a, b = first[left], second[left]
        found = np.maximum(_products(middle, a, shifted, b), _products(shifted, a, middle, b))
        best[left] = np.maximum(best[left], found)
    return best


def _products(one: NDArray[np.float32], first: Places, other: NDArray[np.float32], second: Places) -> NDArray[np.float32]:
    """Return the scalar product of a row of one table and a row of another, of each pair ``[P]``."""
    found = np.empty(len(first), np.float32)
    for at in range(0, len(first), _ROWS):
        here = slice(at, at + _ROWS)
        np.einsum("nk,nk->n", one[first[here]], other[second[here]], out=found[here])
    return found
