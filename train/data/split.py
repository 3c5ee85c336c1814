"""Split images into training, validation and test by whole groups, and cut disjoint labelled subsets from training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from weckd_edge.artifacts import Split
from weckd_edge.config import DataConfig
from weckd_edge.core.errors import DataError
from weckd_edge.train.data.allocate import Bin, allocate
from weckd_edge.train.data.folds import Fold
from weckd_edge.train.data.published import test_part

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitItem:
    """Image as splitting sees it.

    Attributes:
        label: Class name.
        group: Group, which must not be cut.
        published_split: Split that the data set puts it in; None without one.
    """

    label: str
    group: str
    published_split: Split | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Use of an image: its split, and its labelled subset if it is a training image whose label is used."""

    split: Split
    labelled_subset: int | None = None


def split_images(
    items: Sequence[SplitItem], config: DataConfig, *, labelled_subsets: int, seed: int, published: bool = False
) -> tuple[Placement, ...]:
    """Assign every image to a split and labelled subset, independently of the order of ``items``.

    No group is cut, neither by a split nor by a subset; every class is in every split and subset; the parts come as near to
    the wanted fractions as whole groups allow. Where the published split is kept, the test images, and the validation
    images, if there are any, are those that the data set names, leaks and all, and only the rest is dealt.

    Raises:
        DataError: A class has too few groups.
    """
    if published:
        return _around_published(items, config, labelled_subsets, seed)
    train = 1 - config.test_fraction - config.val_fraction
    bins: list[tuple[Placement, Bin]] = [
        (Placement(split="test"), Bin(part=config.test_fraction, needs_all=True)),
        (Placement(split="val"), Bin(part=config.val_fraction, needs_all=True)),
        *_train_bins(config, labelled_subsets, train),
    ]
    return _distribute(items, bins, seed)


def split_fold(
    items: Sequence[SplitItem], config: DataConfig, fold: Fold, *, labelled_subsets: int, seed: int
) -> tuple[Placement, ...]:
    """Assign every image to a split where one fold is the test split, independently of the order of ``items``.

    All images are dealt into folds of equal parts by whole groups, each with every class. The fold that is asked for is the
    test split; the others are dealt to validation and training as ``split_images`` deals them. The folds depend on the seed
    and not on which of them is asked for, so that each image is in the test split of one fold. How the others are dealt is
    drawn anew for each fold, so that the labelled subsets of two folds are no more alike than those of two seeds.

    Args:
        items: Images.
        config: Fractions; ``test_fraction`` is not used, as a fold is the test split.
        fold: Fold that is the test split.
        labelled_subsets: Number of disjoint labelled subsets to cut from the training images.
        seed: Seed of the folds and of the split of the others.

    Raises:
        DataError: A class has too few groups.
    """
    parts = [(Placement(split="test"), Bin(part=1 / fold.count, needs_all=True)) for _ in range(fold.count)]
    place_of = dict(zip((item.group for item in items), _bin_numbers(items, parts, seed), strict=True))
    rest = [item for item in items if place_of[item.group] != fold.number - 1]
    val = min(0.5, config.val_fraction * len(items) / len(rest))
    bins = [
        (Placement(split="val"), Bin(part=val, needs_all=True)),
        *_train_bins(config, labelled_subsets, 1 - val),
    ]
    placed = iter(_distribute(rest, bins, fold.seed(seed)))
    return tuple(Placement(split="test") if place_of[item.group] == fold.number - 1 else next(placed) for item in items)


def _train_bins(config: DataConfig, labelled_subsets: int, train: float) -> list[tuple[Placement, Bin]]:
    subset = config.fraction_of_a_subset(labelled_subsets) if labelled_subsets else 0.0
    named = [
        (Placement(split="train", labelled_subset=k), Bin(part=train * subset, needs_all=True))
        for k in range(labelled_subsets)
    ]
    rest = 1 - subset * labelled_subsets
    if rest < _ROUNDING:
        return named
    return [*named, (Placement(split="train"), Bin(part=train * rest, needs_all=not labelled_subsets))]


def _distribute(items: Sequence[SplitItem], bins: Sequence[tuple[Placement, Bin]], seed: int) -> tuple[Placement, ...]:
    return tuple(bins[number][0] for number in _bin_numbers(items, bins, seed))


def _bin_numbers(items: Sequence[SplitItem], bins: Sequence[tuple[Placement, Bin]], seed: int) -> tuple[int, ...]:
    """Return the position in ``bins`` of each item; items of one group have the same."""
    labels = sorted({item.label for item in items})
    names = sorted({item.group for item in items})
    row, column = {name: i for i, name in enumerate(names)}, {label: i for i, label in enumerate(labels)}
    counts = np.zeros((len(names), len(labels)), np.int64)
    for item in items:
        counts[row[item.group], column[item.label]] += 1
    _refuse_small_classes(labels, counts, [place for place, one in bins if one.needs_all])
    chosen = allocate(names, counts, [one for _, one in bins], seed)
    if chosen is None:
        raise DataError(
            "no way was found to give every split and labelled subset images of every class, as groups that hold several "
            "classes cannot be cut; add groups, use fewer links, or lower data.near_duplicate_distance",
            code="E_DATA_SPLIT",
        )
    return tuple(chosen[row[item.group]] for item in items)


def _refuse_small_classes(labels: Sequence[str], counts: NDArray[np.int64], needed: Sequence[Placement]) -> None:
    subsets = sum(place.labelled_subset is not None for place in needed)
    splits = sorted({place.split for place in needed if place.labelled_subset is None})
    folds = len(needed) if len(needed) > 1 and splits == ["test"] else 0
    wanted = " + ".join(
        [
            *([f"one for each of {folds} folds"] if folds else []),
            *(["one for each of " + ", ".join(splits)] if splits and not folds else []),
            *([f"{subsets} labelled subsets"] if subsets else []),
        ]
    )
    for c, label in enumerate(labels):
        groups = int((counts[:, c] > 0).sum())
        if groups < len(needed):
            raise DataError(
                f"class '{label}' has {groups} groups ({int(counts[:, c].sum())} images) to deal out, at least "
                f"{len(needed)} are needed ({wanted}; groups are never cut); add images of it, use "
                f"fewer {'folds' if folds else '[[link]] tables'}, or lower data.near_duplicate_distance",
                code="E_DATA_SMALL_CLASS",
            )


def _around_published(
    items: Sequence[SplitItem], config: DataConfig, labelled_subsets: int, seed: int
) -> tuple[Placement, ...]:
    splits = [item.published_split for item in items]
    part = test_part(splits)
    rest = [i for i, split in enumerate(splits) if split == "train"]
    bins: list[tuple[Placement, Bin]] = []
    val = 0.0
    if part == "val" or "val" not in splits:
        val = min(0.5, config.val_fraction * len(items) / len(rest))
        bins.append((Placement(split="val"), Bin(part=val, needs_all=True)))
    try:
        placed = _distribute([items[i] for i in rest], [*bins, *_train_bins(config, labelled_subsets, 1 - val)], seed)
    except DataError as err:
        raise DataError(
            f"{err} (of the training images in the split that the data set came with; --no-published-split deals all anew)",
            code=err.code,
        ) from err
    places = [Placement(split="test" if split == part else split or "train") for split in splits]
    for i, place in zip(rest, placed, strict=True):
        places[i] = place
    return tuple(places)
