"""Find copies and near copies across a split, and the pairs that lie nearest by a frozen network's features."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import LeakPair, SplitLeaks
from weckd_edge.train.data.duplicates.ties import Ties
from weckd_edge.train.data.scan import ScannedImage

SHOWN = 20
"""Number of pairs of each kind that are kept."""

_BLOCK = 512


def find_leaks(
    images: Sequence[ScannedImage], splits: Sequence[str | None], groups: Sequence[str], ties: Ties
) -> SplitLeaks | None:
    """Count the held-out images of a split that have a copy, near copy or group in another part.

    Args:
        images: All readable images, copies among them.
        splits: Part of the split that each image is in; None for none.
        groups: Group of each image.
        ties: Near duplicates among them, by position.

    Returns:
        None where the split holds nothing out, or nothing to train on.
    """
    held_out = [i for i, split in enumerate(splits) if split not in (None, "train")]
    if not held_out or "train" not in splits:
        return None
    copies = _copies(images, splits)
    touched = {i for pair in copies for i in pair} | _touched(splits, ties)
    used: dict[str, set[str]] = {}
    for group, split in zip(groups, splits, strict=True):
        if split is not None:
            used.setdefault(group, set()).add(split)
    same = {frozenset(pair) for pair in copies}
    return SplitLeaks(
        held_out=len(held_out),
        copies=len({i for pair in copies for i in pair} & set(held_out)),
        near=len(touched & set(held_out)),
        grouped=sum(len(used[groups[i]]) > 1 for i in held_out),
        pairs=(
            *(_pair(images, splits, a, b, 1.0, "pixels") for a, b in copies[:SHOWN]),
            *(_pair(images, splits, a, b, similarity, "picture") for a, b, similarity in _alike(splits, ties, same)),
        ),
    )


def nearest_pairs(
    features: NDArray[np.float32], images: Sequence[ScannedImage], splits: Sequence[str | None]
) -> tuple[LeakPair, ...]:
    """Return the held-out images that lie nearest to an image of another split, each with that one.

    Args:
        features: Features of each image ``[N, D]``.
        images: Images in the same order.
        splits: Part of the split that each image is in; None for none.
    """
    centred = features - features.mean(0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    names = np.array([split or "" for split in splits])
    held_out = np.flatnonzero((names != "train") & (names != ""))
    found: list[tuple[float, int, int]] = []
    for start in range(0, len(held_out), _BLOCK):
        block = held_out[start : start + _BLOCK]
        similarity = centred[block] @ centred.T
        similarity[(names[block][:, None] == names[None, :]) | (names[None, :] == "")] = -2
        best = similarity.argmax(1)
        found += [(float(similarity[k, b]), int(block[k]), int(b)) for k, b in enumerate(best) if similarity[k, b] > -2]
    found.sort(key=lambda item: (-round(item[0], 5), item[1]))
    once = {frozenset((a, b)): (similarity, a, b) for similarity, a, b in reversed(found)}
    worst = sorted(once.values(), key=lambda item: (-round(item[0], 5), item[1]))[:SHOWN]
    return tuple(_pair(images, splits, a, b, min(1.0, similarity), "features") for similarity, a, b in worst)


def _between_splits(splits: Sequence[str | None], a: int, b: int) -> bool:
    return splits[a] is not None and splits[b] is not None and splits[a] != splits[b]


def _touched(splits: Sequence[str | None], ties: Ties) -> set[int]:
    """Return the images that are tied to one of another split."""
    touched = set()
    for a, b in zip(ties.first.tolist(), ties.second.tolist(), strict=True):
        for one, other in ((a, b), (b, a)):
            there = {splits[i] for i in ties.copies_of(other)} - {None}
            touched |= {i for i in ties.copies_of(one) if splits[i] is not None and there - {splits[i]}}
    return touched


def _alike(splits: Sequence[str | None], ties: Ties, copies: Collection[frozenset[int]]) -> list[tuple[int, int, float]]:
    """Return the most similar pairs of images of different splits, and their similarity, without those that are copies."""
    found: list[tuple[float, int, int, float]] = []
    pairs = zip(ties.first.tolist(), ties.second.tolist(), ties.similarity.tolist(), strict=True)
    for first, second, similarity in sorted(pairs, key=lambda tie: (-round(tie[2], 6), tie[0], tie[1])):
        rank = -round(similarity, 6)
        if len(found) >= SHOWN and rank > found[-1][0]:
            break
        across = (
            (rank, min(a, b), max(a, b), similarity)
            for a in ties.copies_of(first)
            for b in ties.copies_of(second)
            if (a < b or first != second) and _between_splits(splits, a, b) and frozenset((a, b)) not in copies
        )
        found = sorted([*found, *islice(across, SHOWN)])[:SHOWN]
    return [(a, b, similarity) for _, a, b, similarity in found]


def _copies(images: Sequence[ScannedImage], splits: Sequence[str | None]) -> list[tuple[int, int]]:
    """Return every held-out image with the first image of another split that has its pixels."""
    first: dict[str, dict[str, int]] = {}
    for i, image in enumerate(images):
        split = splits[i]
        if split is not None:
            first.setdefault(image.pixels_sha256, {}).setdefault(split, i)
    pairs = []
    for i, image in enumerate(images):
        if splits[i] not in (None, "train"):
            others = {split: at for split, at in first[image.pixels_sha256].items() if split != splits[i]}
            if others:
                pairs.append((i, others[min(others, key=lambda split: (split != "train", split))]))
    return pairs


def _pair(
    images: Sequence[ScannedImage], splits: Sequence[str | None], a: int, b: int, similarity: float, how: str
) -> LeakPair:
    if splits[a] == "train":
        a, b = b, a
    return LeakPair(
        held_out=images[a].listed.path,
        other=images[b].listed.path,
        splits=f"{splits[a]}, {splits[b]}",
        same_label=images[a].listed.label == images[b].listed.label,
        similarity=round(similarity, 4),
        how=how,  # type: ignore[arg-type]  # one of the three words above
    )
