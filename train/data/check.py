"""Check a data set without training on it: bad files, copies, near copies, and leaks of its published split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weckd_edge.artifacts import BadFile, DataNote, PublishedLeaks
from weckd_edge.config import DataConfig
from weckd_edge.core.progress import Progress
from weckd_edge.core.serialization import to_data
from weckd_edge.train.data.duplicates.groups import group_images
from weckd_edge.train.data.duplicates.ties import find_ties
from weckd_edge.train.data.index import find_contradictions
from weckd_edge.train.data.published import count_leaks, keeps_published, leak_notes, test_part
from weckd_edge.train.data.reading import read_data
from weckd_edge.train.data.scan import ScannedImage
from weckd_edge.train.data.scan_store import open_scan_store
from weckd_edge.train.data.synth.phantoms import is_phantom


@dataclass(frozen=True, kw_only=True, slots=True)
class Leak:
    """Leak of a published split: a test image with the pixels of a training or validation image.

    Attributes:
        test: Path of the test image.
        train: Path of the first training image that it copies; None: it copies none.
        val: Path of the first validation image that it copies; None: it copies none.
    """

    test: str
    train: str | None
    val: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataReport:
    """Findings of ``check_data``.

    Attributes:
        images: Number of readable images, copies among them.
        class_counts: Number of readable images of each class.
        groups: Number of groups that a split would keep together: the user's groups, copies and near duplicates.
        largest_group: Number of images in the largest group.
        bad_files: Files that cannot be read.
        contradictions: Images whose pixels also appear under another label.
        exact_duplicates: Number of images that copy an earlier one.
        near_duplicate_groups: Number of groups of near duplicates with more than one distinct image.
        separate_ties: Number of pairs that look alike but belong to groups that stay apart.
        published_split: Leaks of the split that the data set came with; None where it came with none.
        leaks: Every test image that copies a training or validation image.
        synthetic: Whether the images are synthetic.
        notes: Decisions on the layout, and possible faults.
    """

    images: int
    class_counts: dict[str, int]
    groups: int
    largest_group: int
    bad_files: tuple[BadFile, ...]
    contradictions: tuple[BadFile, ...]
    exact_duplicates: int
    near_duplicate_groups: int
    separate_ties: int
    published_split: PublishedLeaks | None
    leaks: tuple[Leak, ...]
    synthetic: bool
    notes: tuple[DataNote, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints: stable keys, plain data."""
        published = self.published_split
        return {
            "images": self.images,
            "labels": sorted(self.class_counts),
            "class_counts": self.class_counts,
            "groups": self.groups,
            "bad_files": to_data(self.bad_files),
            "exact_duplicates": self.exact_duplicates,
            "near_duplicate_groups": self.near_duplicate_groups,
            "published_split": published
            and {
                "leaking_test_images": published.copies,
                "grouped_test_images": published.grouped,
                "test_images_leaking_from_val": published.val_copies,
                "test_images_grouped_with_val": published.val_grouped,
                "test_images": published.test_images,
            },
            "leaks": to_data(self.leaks),
            "notes": to_data(self.notes),
        }


def check_data(path: Path, config: DataConfig, progress: Progress, cache: Path | None = None) -> DataReport:
    """Read a data set and report on it; unreadable files are part of the report.

    Args:
        path: A folder or a CSV, in a layout of ``list_data``.
        config: Settings, of which ``near_duplicate_distance`` and the columns are used.
        progress: Receiver of the progress.
        cache: Folder that keeps what was read of each image, so that a stopped check goes on and a later one is short; None
            keeps nothing.

    Raises:
        DataError: Nothing is there, or it is not laid out as a data set.
        StoreError: The cache cannot be used.
    """
    with open_scan_store(cache, progress) as store:
        found = read_data(path, progress, config, store)
        ties = find_ties(found.images, config.near_duplicate_distance, store)
    grouping = group_images(found.images, ties)
    counts = Counter(dict.fromkeys(found.labels, 0))
    counts.update(image.listed.label for image in found.images)
    labels = [image.listed.label for image in found.images]
    _, notes = keeps_published(labels, [image.listed.published_split for image in found.images], DataConfig())
    published = count_leaks(found.images, grouping.groups)
    return DataReport(
        images=len(found.images),
        class_counts=dict(sorted(counts.items())),
        groups=len(set(grouping.groups)),
        largest_group=max(Counter(grouping.groups).values(), default=0),
        bad_files=found.bad_files,
        contradictions=find_contradictions(found.images),
        exact_duplicates=len(found.images) - len({image.pixels_sha256 for image in found.images}),
        near_duplicate_groups=grouping.near_duplicate_groups,
        separate_ties=grouping.separate_ties,
        published_split=published,
        leaks=_leaks(found.images),
        synthetic=is_phantom(found.root),
        notes=(*found.notes, *notes, *leak_notes(published)),
    )


def _leaks(images: Sequence[ScannedImage]) -> tuple[Leak, ...]:
    part = test_part([image.listed.published_split for image in images])
    first: dict[str, dict[str, str]] = {"train": {}, "val": {}}
    for image in images:
        split = image.listed.published_split
        if split in first and split != part:
            first[split].setdefault(image.pixels_sha256, image.listed.path)
    found = [
        Leak(
            test=image.listed.path,
            train=first["train"].get(image.pixels_sha256),
            val=first["val"].get(image.pixels_sha256),
        )
        for image in images
        if image.listed.published_split == part
    ]
    return tuple(leak for leak in found if leak.train or leak.val)
