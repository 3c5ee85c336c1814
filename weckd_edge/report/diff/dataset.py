"""Comparison of two data sets, image by image, by the digest of the pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from weckd_edge.artifacts import SPLITS, DataChange, DatasetIndex, ImageChange, ImageRecord, Split


def compare_data(old: DatasetIndex, new: DatasetIndex) -> DataChange:
    """Return the differences of two data sets, image by image."""
    before, after = by_pixels(old), by_pixels(new)
    common = [key for key in after if key in before]
    groups = JointGroups(old, new)
    pool = {image.pixels_sha256: image.path for image in new.unlabelled}

    def change(key: str) -> ImageChange:
        was, now = before.get(key), after.get(key)
        path = now.path if now else pool.get(key) or (was.path if was else "")
        return ImageChange(
            path=path,
            old_label=old.label_of(was) if was else None,
            new_label=new.label_of(now) if now else None,
            old_split=was.split if was else None,
            new_split=now.split if now else "unlabelled" if key in pool else None,
        )

    both = [change(key) for key in common]
    tested = [change(key) for key, was in before.items() if was.split == "test"]
    entered = [one for one in tested if one.new_split in ("train", "unlabelled")]
    trained = groups.with_split(new="train")
    rest = [
        key for key, was in before.items() if was.split == "test" and change(key).new_split not in ("train", "unlabelled")
    ]
    return DataChange(
        old_images=len(old.images),
        new_images=len(new.images),
        common=len(common),
        old_groups=len({image.group for image in old.images}),
        new_groups=len({image.group for image in new.images}),
        added=_sorted(change(key) for key in after if key not in before),
        removed=_sorted(change(key) for key in before if key not in after),
        moved=_sorted(one for one in both if one.old_split != one.new_split),
        relabelled=_sorted(one for one in both if one.old_label != one.new_label),
        renamed=sum(before[key].path != after[key].path for key in common),
        regrouped=_regrouped(before, after, common),
        entered_training=_sorted(entered),
        entered_validation=_sorted(one for one in tested if one.new_split == "val"),
        grouped_with_training=sum(groups.of_old(before[key].group) in trained for key in rest),
    )


def by_pixels(index: DatasetIndex) -> dict[str, ImageRecord]:
    """Return a data set's images by the digest of their pixels; of copies the one in training, else the first."""
    found: dict[str, ImageRecord] = {}
    for image in sorted(index.images, key=lambda image: (SPLITS.index(image.split), image.path)):
        found.setdefault(image.pixels_sha256, image)
    return found


class JointGroups:
    """Groups of two data sets, joined where they share an image."""

    def __init__(self, old: DatasetIndex, new: DatasetIndex) -> None:
        self._parents: dict[tuple[str, str], tuple[str, str]] = {}
        self._old, self._new = old, new
        before = by_pixels(old)
        for key, image in by_pixels(new).items():
            if key in before:
                self._parents[self._root(("old", before[key].group))] = self._root(("new", image.group))

    def _root(self, node: tuple[str, str]) -> tuple[str, str]:
        while node in self._parents and self._parents[node] != node:
            node = self._parents[node]
        return node

    def of_old(self, group: str) -> tuple[str, str]:
        """Return the joint group of a group of the old data set."""
        return self._root(("old", group))

    def of_new(self, group: str) -> tuple[str, str]:
        """Return the joint group of a group of the new data set."""
        return self._root(("new", group))

    def with_split(self, *, old: Split | None = None, new: Split | None = None) -> set[tuple[str, str]]:
        """Return the joint groups with an image in a split of the old, or of the new, data set."""
        found = {self.of_old(image.group) for image in (self._old.split(old) if old else ())}
        return found | {self.of_new(image.group) for image in (self._new.split(new) if new else ())}


def _regrouped(before: Mapping[str, ImageRecord], after: Mapping[str, ImageRecord], common: list[str]) -> int:
    mates: tuple[dict[str, set[str]], dict[str, set[str]]] = (defaultdict(set), defaultdict(set))
    for key in common:
        mates[0][before[key].group].add(key)
        mates[1][after[key].group].add(key)
    return sum(mates[0][before[key].group] != mates[1][after[key].group] for key in common)


def _sorted(changes: Iterable[ImageChange]) -> tuple[ImageChange, ...]:
    return tuple(sorted(changes, key=lambda one: one.path))
